package interop_test

import (
	"errors"
	"os"
	"testing"

	"github.com/muster-im/muster/internal/peers"
	"github.com/muster-im/muster/internal/xmpptest"
)

// componentSecret is what the rooms and the server they are attached to have.
const componentSecret = "component secret"

// fronts are servers to which rooms are attached, set up as docs/attach.md says,
// with accounts for anybody.
var fronts = map[string]*peers.Kind{
	"prosody": {
		Name: "prosody", Title: "Prosody", Account: "prosody",
		Files: map[string]string{"data/empty": "", "prosody.cfg.lua": `daemonize = false
pidfile = "{{.Dir}}/pid"
data_path = "{{.Dir}}/data"
log = { warn = "*console" }
interfaces = { "127.0.0.1" }
c2s_ports = { {{.Port}} }
s2s_ports = {}
http_ports = {}
https_ports = {}
component_interfaces = { "127.0.0.1" }
component_ports = { {{.Second}} }
modules_enabled = { "roster", "saslauth", "disco", "register", "ping", "private" }
modules_disabled = { "s2s", "offline", "tls" }
allow_registration = true
c2s_require_encryption = false
authentication = "internal_hashed"
VirtualHost "localhost"
Component "conf.test"
  component_secret = "` + componentSecret + `"
`},
		Command: []string{"prosody", "-F", "--config", "prosody.cfg.lua"},
	},
	"ejabberd": {
		Name: "ejabberd", Title: "ejabberd", Account: "ejabberd",
		Files: map[string]string{
			"ejabberdctl.cfg": "INET_DIST_INTERFACE=127.0.0.1\n", "spool/empty": "", "log/empty": "",
			"inetrc": "{lookup,[\"file\",\"native\"]}.\n{host,{127,0,0,1}, [\"localhost\"]}.\n{file, resolv, \"/etc/resolv.conf\"}.\n",
			"ejabberd.yml": `loglevel: warning
hosts: [localhost]
auth_password_format: scram
registration_timeout: infinity
listen:
  -
    port: {{.Port}}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    shaper: none
    access: all
  -
    port: {{.Second}}
    ip: "127.0.0.1"
    module: ejabberd_service
    access: all
    shaper_rule: none
    hosts:
      conf.test:
        password: "` + componentSecret + `"
modules:
  mod_disco: {}
  mod_ping: {}
  mod_private: {}
  mod_register:
    ip_access: all
    access: all
  mod_roster: {}
`,
		},
		Command: []string{
			"ejabberdctl", "--node", "front{{.Port}}@localhost", "--config-dir", "{{.Dir}}", "--ctl-config", "{{.Dir}}/ejabberdctl.cfg",
			"--spool", "{{.Dir}}/spool", "--logs", "{{.Dir}}/log", "foreground",
		},
	},
}

// exceptions are transcripts that show something else through a server.
var exceptions = map[string][]string{
	// Without offline messages, one to somebody who has sent no presence comes back
	// with an error.
	"prosody": {
		"muc-entry-order", "muc-password",
		"muc-invite", // a message to nobody gets no answer
	},
	"ejabberd": {"muc-entry-order", "muc-password"},
}

// TestAttachedToOthers: the transcripts of rooms hold when the rooms are attached
// to a server that others wrote (XEP-0114).
func TestAttachedToOthers(t *testing.T) {
	for name, kind := range fronts {
		t.Run(name, func(t *testing.T) {
			if err := kind.Installed(); err != nil {
				t.Skip(err)
			}
			dir, err := os.MkdirTemp("", "front") // another user reads it
			err = errors.Join(err, os.Chmod(dir, 0o755))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			server, err := kind.Start(t.Context(), dir, peers.Setting{})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Stop()
			front := xmpptest.Foreign{
				Client: server.Addr, Component: server.Second, Secret: componentSecret,
				Unordered: name == "ejabberd", // takes a stanza apart, and puts what it knows last
			}
			front.Run(t, "../../testdata/script/muc-*.txt", 30, exceptions[name]...)
		})
	}
}
