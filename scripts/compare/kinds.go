package main

import "github.com/muster-im/muster/internal/peers"

// ircServer is the one that speaks another protocol.
const ircServer = "inspircd"

// kinds are the servers, with limits raised so that none refuses the load, and
// nothing switched on that the load does not use.
//
//nolint:gochecknoglobals // a table
var kinds = map[string]*peers.Kind{
	"muster": {
		Name: "muster", Title: "Muster",
		Files: map[string]string{"muster.toml": musterConfig},
		// The garbage collector and everything else is as an operator has it.
		Command: []string{"{{.Muster}}", "serve", "--config", "muster.toml"},
		Version: []string{"{{.Muster}}", "--version"},
	},
	"prosody": {
		Name: "prosody", Title: "Prosody", Account: "prosody",
		Files: map[string]string{
			"prosody.cfg.lua": prosodyConfig, "certs/localhost.crt": "{{.Certificate}}", "certs/localhost.key": "{{.Key}}", "data/empty": "",
		},
		Command: []string{"prosody", "-F", "--config", "prosody.cfg.lua"},
		Version: []string{"dpkg-query", "-W", "-f", "${Version}", "prosody"},
	},
	"ejabberd": {
		Name: "ejabberd", Title: "ejabberd", Account: "ejabberd",
		Files: map[string]string{
			"ejabberd.yml": ejabberdConfig, "ejabberdctl.cfg": "ERL_MAX_PORTS=65536\nINET_DIST_INTERFACE=127.0.0.1\n",
			"inetrc":   "{lookup,[\"file\",\"native\"]}.\n{host,{127,0,0,1}, [\"localhost\"]}.\n{file, resolv, \"/etc/resolv.conf\"}.\n",
			"both.pem": "{{.Key}}{{.Certificate}}", "spool/empty": "", "log/empty": "",
		},
		Command: []string{
			"ejabberdctl", "--node", "compare{{.Port}}@localhost", "--config-dir", "{{.Dir}}", "--ctl-config", "{{.Dir}}/ejabberdctl.cfg",
			"--spool", "{{.Dir}}/spool", "--logs", "{{.Dir}}/log", "foreground",
		},
		Version: []string{"dpkg-query", "-W", "-f", "${Version}", "ejabberd"},
		Process: "beam.smp",
	},
	ircServer: {
		Name: ircServer, Title: "InspIRCd", Account: "irc",
		Files:   map[string]string{"inspircd.conf": inspircdConfig},
		Command: []string{"inspircd", "--nofork", "--config", "{{.Dir}}/inspircd.conf"},
		Version: []string{"dpkg-query", "-W", "-f", "${Version}", "inspircd"},
	},
}

const musterConfig = `[general]
hosts = ["localhost"]
data_dir = "{{.Dir}}/data"
loglevel = "warning"
[[listen.c2s]]
port = {{.Port}}
ip_address = "127.0.0.1"
tls.mode = "starttls"
[modules.mod_register]
access = "all"
[modules.mod_muc]
max_users = 5000
max_user_conferences = 1000000
[modules.mod_muc.default_room]
max_users = 5000
moderated = false
persistent = {{.Archive}}
`

const prosodyConfig = `daemonize = false
pidfile = "{{.Dir}}/pid"
data_path = "{{.Dir}}/data"
certificates = "{{.Dir}}/certs"
log = { error = "*console" }
network_backend = "epoll"
interfaces = { "127.0.0.1" }
c2s_ports = { {{.Port}} }
s2s_ports = {}
http_ports = {}
https_ports = {}
modules_enabled = { "roster", "saslauth", "tls", "disco", "register", "ping" }
modules_disabled = { "s2s", "offline" }
allow_registration = true
c2s_require_encryption = false
authentication = "internal_hashed"
ssl = { certificate = "{{.Dir}}/certs/localhost.crt", key = "{{.Dir}}/certs/localhost.key" }
VirtualHost "localhost"
Component "conference.localhost" "muc"
  restrict_room_creation = false
  muc_room_locking = false
  muc_room_cache_size = 10000
  muc_room_default_persistent = {{.Archive}}
  modules_enabled = { {{if .Archive}}"muc_mam"{{end}} }
  muc_log_by_default = {{.Archive}}
  muc_log_all_rooms = {{.Archive}}
`

const ejabberdConfig = `loglevel: error
hosts: [localhost]
certfiles: ["{{.Dir}}/both.pem"]
auth_password_format: scram
auth_scram_hash: sha
registration_timeout: infinity
listen:
  -
    port: {{.Port}}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    shaper: none
    access: all
    starttls: true
modules:
  mod_disco: {}
  mod_muc:
    max_users: 5000
    max_user_conferences: 1000000
    max_users_presence: 100000
    default_room_options: {mam: {{.Archive}}, persistent: {{.Archive}}, max_users: 5000, allow_subscription: false}
{{if .Archive}}  mod_mam: {default: never}
{{end}}  mod_ping: {}
  mod_register:
    ip_access: all
    access: all
  mod_roster: {}
`

const inspircdConfig = `<config format="xml">
<server name="bench.test" description="bench" network="bench" id="00A">
<admin name="a" nick="a" email="a@b.c">
<bind address="127.0.0.1" port="{{.Port}}" type="clients">
<connect name="main" allow="*" timeout="60" pingfreq="600" hardsendq="64M" softsendq="64M" recvq="1M" localmax="10000" globalmax="10000" resolvehostnames="no" useident="no" fakelag="no" threshold="100000" commandrate="100000000" limit="20000" maxchans="100">
<class name="none">
<performance netbuffersize="10240" somaxconn="1024" softlimit="20000" quietbursts="yes">
<limits maxnick="31" maxchan="64" maxmodes="20" maxident="11" maxquit="255" maxtopic="307" maxkick="255" maxgecos="128" maxaway="200">
<log method="file" level="default" type="* -USERINPUT -USEROUTPUT" target="{{.Dir}}/log">
<pid file="{{.Dir}}/pid">
`
