package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/httppool"
)

// NoPool is what a setting that names a pool says if there is to be none.
const NoPool = "none"

// OutgoingPools is [outgoing_pools].
type OutgoingPools struct {
	HTTP map[string]HTTPPool `toml:"http" example:"[outgoing_pools.http.auth]|connection.host = 'https://auth.example.org:8443'|connection.path_prefix = '/muster/'" doc:"HTTP services that this server asks, under names that other settings use. No proxy is used and no redirect followed."`
}

// HTTPPool is [outgoing_pools.http.NAME]. Names, units and defaults are those
// of MongooseIM.
type HTTPPool struct {
	Scope       string         `toml:"scope" choice:"global,host_type,host" doc:"Accepted for files from MongooseIM; a pool is there once, for all hosts."`
	Strategy    string         `toml:"strategy" choice:"best_worker,random_worker,next_worker,available_worker,next_available_worker" doc:"Accepted for files from MongooseIM; what is asked waits for the first worker that is free."`
	Workers     Positive       `toml:"workers" doc:"Most requests at a time."`
	CallTimeout Milliseconds   `toml:"call_timeout" doc:"Time for an answer, waiting for a worker included."`
	Connection  HTTPConnection `toml:"connection" doc:"The service."`
}

// HTTPConnection is [outgoing_pools.http.NAME.connection].
type HTTPConnection struct {
	Host           string       `toml:"host" doc:"Address of the service, like https://auth.example.org:8443. Required."`
	PathPrefix     string       `toml:"path_prefix" doc:"What every path begins with; what is asked for is appended as it is, so end it with a slash."`
	RequestTimeout Milliseconds `toml:"request_timeout" doc:"Time for a request."`
	TLS            ClientTLS    `toml:"tls" doc:"Encryption, where the address is https."`
}

// ClientTLS is the tls table of an outgoing connection.
type ClientTLS struct {
	VerifyMode string `toml:"verify_mode" choice:"peer,selfsigned_peer,none" doc:"Whom to take for the service: who has a certificate for its name from an authority, or also one that it has signed itself, or anybody."`
	CACertFile string `toml:"cacertfile" doc:"PEM file with the authorities to trust; without it those of the system."`
	CertFile   string `toml:"certfile" doc:"PEM file with the certificate that is shown to the service."`
	KeyFile    string `toml:"keyfile" doc:"PEM file with its private key; without it the key is in certfile."`
	SNI        SNI    `toml:"server_name_indication" doc:"The name that the service goes by."`
}

// SNI is tls.server_name_indication.
type SNI struct {
	Enabled  bool   `toml:"enabled" doc:"Say in the handshake which name is meant."`
	Host     string `toml:"host" doc:"Name in the handshake and in the certificate; without it that of the host."`
	Protocol string `toml:"protocol" choice:"default,https" doc:"Accepted for files from MongooseIM; names are compared as HTTPS wants it."`
}

func (p *HTTPPool) defaults() {
	*p = HTTPPool{
		Scope: "global", Strategy: "best_worker", Workers: 10, CallTimeout: Milliseconds(5 * time.Second),
		Connection: HTTPConnection{
			PathPrefix: "/", RequestTimeout: Milliseconds(2 * time.Second),
			TLS: ClientTLS{VerifyMode: string(httppool.VerifyPeer), SNI: SNI{Enabled: true, Protocol: "default"}},
		},
	}
}

// Milliseconds is a positive length of time as a number of milliseconds, or a
// string such as "2s".
type Milliseconds time.Duration

func (m *Milliseconds) set(v any) error {
	d, err := time.Duration(0), error(nil)
	switch v := v.(type) {
	case int64:
		if d = day; v <= int64(day/time.Millisecond) {
			d = time.Duration(v) * time.Millisecond
		}
	case string:
		d, err = time.ParseDuration(v)
	}
	if err != nil || d < time.Millisecond || d >= day {
		return fmt.Errorf("want %s", m.form())
	}
	*m = Milliseconds(d)
	return nil
}

func (m *Milliseconds) form() string {
	return `a positive number of milliseconds, or a duration such as "2s"`
}
func (m *Milliseconds) text() string { return fmt.Sprint(time.Duration(*m).Milliseconds()) }

// pools checks [outgoing_pools].
func (d *decoder) pools(c *Config) {
	for _, name := range slices.Sorted(maps.Keys(c.OutgoingPools.HTTP)) {
		path := "outgoing_pools.http." + name
		if name == NoPool {
			d.problem(d.src.keys[path], path, `the name "none" means no pool: choose another`)
		}
		pool := c.OutgoingPools.HTTP[name]
		d.connection(path+".connection", path, &pool.Connection)
	}
}

func (d *decoder) connection(path, pool string, c *HTTPConnection) {
	if _, ok := d.src.keys[path+".host"]; !ok {
		d.problem(d.at(path, pool), path+".host", "required, like https://auth.example.org:8443")
	} else if _, err := httppool.ParseHost(c.Host); err != nil && !d.reported(path+".host") {
		d.wrong(path+".host", withoutUser(c.Host), err.Error())
	}
	if _, err := url.ParseRequestURI(c.PathPrefix); err != nil || !strings.HasPrefix(c.PathPrefix, "/") || strings.ContainsAny(c.PathPrefix, "?# ") {
		d.wrong(path+".path_prefix", c.PathPrefix, "want a path that begins with a slash, like /auth/")
	}
	if c.TLS.KeyFile != "" && c.TLS.CertFile == "" {
		d.problem(d.at(path+".tls.keyfile", path), path+".tls.certfile", "required when keyfile is set")
	}
	if name := c.TLS.SNI.Host; strings.ContainsAny(name, " /:@") {
		d.wrong(path+".tls.server_name_indication.host", name, "want a domain")
	}
}

// reported reports whether there is a problem with a key already.
func (d *decoder) reported(key string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Key == key })
}

// withoutUser is an address without what may be a password in it.
func withoutUser(address string) string {
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		return "***" + address[at:]
	}
	return address
}

// pool checks a setting that names an HTTP pool, through which secrets go.
func (n *names) pool(path, name string) {
	n.used["outgoing_pools.http."+name] = true
	if _, ok := n.c.OutgoingPools.HTTP[name]; ok || name == NoPool {
		return
	}
	n.d.wrong(path, name, `want "none" or a pool that [outgoing_pools.http.NAME] defines`+maybe(name, slices.Sorted(maps.Keys(n.c.OutgoingPools.HTTP))))
}

// poolWarnings are about pools that work and are likely not meant like that, and
// about what is accepted for files from MongooseIM.
func (n *names) poolWarnings() Problems {
	var list Problems
	for name, pool := range n.c.OutgoingPools.HTTP {
		path := "outgoing_pools.http." + name
		conn, tls := path+".connection", path+".connection.tls"
		add := func(applies bool, key, text string) {
			if applies {
				list = append(list, n.c.Problem(key, text))
			}
		}
		written := func(key string) bool { return n.d.src.keys[key] != (position{}) }
		c := &pool.Connection
		https := strings.HasPrefix(c.Host, "https:")
		add(!n.used[path], path, unnamed)
		add(written(path+".scope") && pool.Scope != "global", path+".scope", notNeeded+"a pool is there once, for all hosts")
		add(written(path+".strategy"), path+".strategy", notNeeded+"what is asked waits for the first worker that is free")
		add(!https && !isLoopback(c.Host), conn+".host", "passwords cross the network readably: use https, or a service on this machine")
		add(!https && written(tls), tls, "the address is not https: this has no effect")
		add(https && c.TLS.VerifyMode != string(httppool.VerifyPeer), tls+".verify_mode", "anybody between here and the service can take its place and read passwords: use peer, with its certificate in cacertfile")
		add(!strings.HasSuffix(c.PathPrefix, "/"), conn+".path_prefix", "there is no slash at the end, so that "+c.PathPrefix+"check_password is asked for")
		add(c.RequestTimeout > pool.CallTimeout, conn+".request_timeout", "call_timeout is shorter, and ends requests before")
	}
	return list.With()
}

// isLoopback reports whether an address is on this machine.
func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// HTTPPool returns what an HTTP pool of [outgoing_pools] is made of.
func (c *Config) HTTPPool(name string) httppool.Options {
	p := c.OutgoingPools.HTTP[name]
	tls := &p.Connection.TLS
	return httppool.Options{
		Name: name, Host: p.Connection.Host, PathPrefix: p.Connection.PathPrefix, Workers: int(p.Workers),
		RequestTimeout: time.Duration(p.Connection.RequestTimeout), CallTimeout: time.Duration(p.CallTimeout),
		TLS: httppool.TLS{
			Verify: httppool.Verify(tls.VerifyMode), CACertFile: tls.CACertFile, CertFile: tls.CertFile, KeyFile: tls.KeyFile,
			ServerName: tls.SNI.Host, NoSNI: !tls.SNI.Enabled,
		},
	}
}

// HTTPPoolProblem says where in the file the reason stands why a pool cannot be
// made.
func (c *Config) HTTPPoolProblem(name string, err error) Problem {
	path := "outgoing_pools.http." + name + ".connection"
	if e, ok := errors.AsType[*httppool.FileError](err); ok {
		return c.Problem(path+".tls."+e.Key, e.Err.Error())
	}
	return c.Problem(path, err.Error())
}

// laterPools are settings of pools that this version does not have; see later.
var laterPools = map[string]string{ //nolint:gochecknoglobals // a table
	"outgoing_pools.rdbms":                                "pools of database connections (set storage)",
	"outgoing_pools.redis":                                "Redis (sessions live in memory)",
	"outgoing_pools.cassandra":                            "Cassandra (set storage)",
	"outgoing_pools.riak":                                 "Riak (set storage)",
	"outgoing_pools.elastic":                              "Elasticsearch",
	"outgoing_pools.rabbit":                               "RabbitMQ",
	"outgoing_pools.ldap":                                 "LDAP",
	"outgoing_pools.http.NAME.host":                       "pools of single hosts (a pool is there once, for all hosts)",
	"outgoing_pools.http.NAME.connection.tls.password":    "passwords of key files (write the key without one, readable for the server alone)",
	"outgoing_pools.http.NAME.connection.tls.ciphers":     "a choice of ciphers (TLS 1.2 and 1.3 with those that are safe)",
	"outgoing_pools.http.NAME.connection.tls.versions":    "a choice of versions (TLS 1.2 and 1.3)",
	"outgoing_pools.http.NAME.connection.tls.dhfile":      "parameters of ciphers (TLS 1.2 and 1.3 with those that are safe)",
	"outgoing_pools.http.NAME.connection.tls.verify_peer": "verify_peer (its newer name is verify_mode)",
	"outgoing_pools.http.NAME.connection.tls.required":    "a choice here (the address says it, by http or https)",
}

// withoutNames is the path of a setting in every pool.
func withoutNames(path string) string {
	const pools = "outgoing_pools.http."
	if rest, ok := strings.CutPrefix(path, pools); ok {
		if _, key, ok := strings.Cut(rest, "."); ok {
			return pools + "NAME." + key
		}
	}
	return path
}
