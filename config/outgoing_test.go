package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/httppool"
)

// TestPoolIsNotAsked: a service that decides on passwords is not asked about
// rooms that need none.
func TestPoolIsNotAsked(t *testing.T) {
	t.Parallel()
	const file = minimal + "[outgoing_pools.http.auth]\nconnection.host = \"http://[::1]\"\n[modules.mod_muc]\nhttp_auth_pool = \"auth\"\n"
	for protected, want := range map[string]bool{"": true, "default_room.password_protected = false\n": true, "default_room.password_protected = true\n": false} {
		c, err := config.Parse("m.toml", []byte(file+protected))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if list := c.Warnings(); len(list) > 0 {
			got = list.Error()
		}
		if strings.HasPrefix(got, "m.toml:6:18: modules.mod_muc.http_auth_pool: it is asked about rooms that need a password") != want {
			t.Errorf("%q: %s", protected, got)
		}
	}
}

func TestPoolProblems(t *testing.T) {
	t.Parallel()
	const pool = minimal + "[outgoing_pools.http.auth]\n"
	tests := []struct{ name, text, want string }{
		{"no address", pool, "m.toml:3:22: outgoing_pools.http.auth.connection.host: required, like https://auth.example.org:8443"},
		{"no address in a table", pool + "[outgoing_pools.http.auth.connection]\npath_prefix = \"/\"\n", "m.toml:4:27: outgoing_pools.http.auth.connection.host: required"},
		{
			"address", pool + "connection.host = \"auth.example.org\"\n",
			`m.toml:4:19: outgoing_pools.http.auth.connection.host: want an address like https://auth.example.org:8443, without a path, got "auth.example.org"`,
		},
		{"port", pool + "connection.host = \"http://auth.example.org:99999\"\n", `like https://auth.example.org:8443, without a path, got "http://auth.example.org:99999"`},
		{"path in the address", pool + "connection.host = \"https://auth.example.org/v1/\"\n", "without a path, got"},
		{"password in the address", pool + "connection.host = \"https://u:hunter2@auth.example.org\"\n", `got "***@auth.example.org"`},
		{"number", pool + "connection.host = 8000\n", "m.toml:4:19: outgoing_pools.http.auth.connection.host: want a string, got 8000"},
		{
			"words and numbers", pool + "scope = \"single_host\"\nstrategy = \"best\"\nworkers = 0\ncall_timeout = 0\nconnection.request_timeout = \"fast\"\nconnection.path_prefix = \"auth?x\"\n" +
				"connection.host = \"http://[::1]\"\nconnection.tls.verify_mode = \"no\"\nconnection.tls.keyfile = \"k.pem\"\nconnection.tls.server_name_indication.host = \"a b\"\n",
			`m.toml:4:9: outgoing_pools.http.auth.scope: want "global", "host_type" or "host", got "single_host"
m.toml:5:12: outgoing_pools.http.auth.strategy: want "best_worker", "random_worker", "next_worker", "available_worker" or "next_available_worker", got "best"
m.toml:6:11: outgoing_pools.http.auth.workers: want a positive integer, got 0
m.toml:7:16: outgoing_pools.http.auth.call_timeout: want a positive number of milliseconds, or a duration such as "2s", got 0
m.toml:8:30: outgoing_pools.http.auth.connection.request_timeout: want a positive number of milliseconds, or a duration such as "2s", got "fast"
m.toml:9:26: outgoing_pools.http.auth.connection.path_prefix: want a path that begins with a slash, like /auth/, got "auth?x"
m.toml:11:30: outgoing_pools.http.auth.connection.tls.verify_mode: want "peer", "selfsigned_peer" or "none", got "no"
m.toml:12:26: outgoing_pools.http.auth.connection.tls.certfile: required when keyfile is set
m.toml:13:46: outgoing_pools.http.auth.connection.tls.server_name_indication.host: want a domain, got "a b"`,
		},
		{"more than a day", pool + "call_timeout = 9223372036854775807\n", "call_timeout: want a positive number"},
		{"a word that means none", minimal + "[outgoing_pools.http.none]\nconnection.host = \"http://[::1]\"\n", `m.toml:3:22: outgoing_pools.http.none: the name "none" means no pool: choose another`},
		{
			"other pools and settings", minimal + "[outgoing_pools.redis.default]\nstrategy = \"best_worker\"\n[outgoing_pools.http.a]\nhost = \"x\"\nconnection.host = \"http://[::1]\"\nconnection.tls.versions = [\"tlsv1.3\"]\n",
			`m.toml:3:17: outgoing_pools.redis: this version does not have Redis (sessions live in memory): remove the key
m.toml:6:1: outgoing_pools.http.a.host: this version does not have pools of single hosts (a pool is there once, for all hosts): remove the key
m.toml:8:16: outgoing_pools.http.a.connection.tls.versions: this version does not have a choice of versions (TLS 1.2 and 1.3): remove the key`,
		},
		{
			"no such pool", pool + "connection.host = \"http://[::1]\"\n[modules.mod_muc]\nhttp_auth_pool = \"auht\"\nhttp_auth_method = \"GET\"\n",
			`m.toml:6:18: modules.mod_muc.http_auth_pool: want "none" or a pool that [outgoing_pools.http.NAME] defines (did you mean "auth"?), got "auht"
m.toml:7:20: modules.mod_muc.http_auth_method: want "get" or "post", got "GET"`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("m.toml", []byte(test.text))
			if _, ok := errors.AsType[config.Problems](err); !ok {
				t.Fatalf("got %v, want Problems", err)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s\ngot:\n%v\nwant:\n%s", test.text, err, test.want)
			}
			if strings.Count(err.Error(), "connection.host:") > 1 {
				t.Errorf("reported twice:\n%v", err)
			}
		})
	}
}

func TestPoolWarnings(t *testing.T) {
	t.Parallel()
	const begin, use = minimal + "[outgoing_pools.http.auth]\n", "[modules.mod_muc]\nhttp_auth_pool = \"auth\"\ndefault_room.password_protected = true\n"
	tests := []struct{ name, text, want string }{
		{"nothing", begin + "connection.host = \"https://auth.example.org\"\n" + use, ""},
		{"this machine", begin + "connection.host = \"http://localhost:8000\"\n" + use, ""},
		{"this machine by address", begin + "connection.host = \"http://[::1]:8000\"\n" + use, ""},
		{"readable", begin + "connection.host = \"http://auth.example.org\"\n" + use, "m.toml:4:19: outgoing_pools.http.auth.connection.host: passwords cross the network readably: use https, or a service on this machine"},
		{"not quite this machine", begin + "connection.host = \"http://localhost.example.org\"\n" + use, "passwords cross the network readably"},
		{"anybody", begin + "connection.host = \"https://auth.example.org\"\nconnection.tls.verify_mode = \"none\"\n" + use, "m.toml:5:30: outgoing_pools.http.auth.connection.tls.verify_mode: anybody between here and the service"},
		{"for nobody", begin + "connection.host = \"https://auth.example.org\"\n", "m.toml:3:22: outgoing_pools.http.auth: no setting names this: it has no effect"},
		{"TLS without https", begin + "connection.host = \"http://127.0.0.1\"\nconnection.tls.cacertfile = \"ca.pem\"\n" + use, "m.toml:5:12: outgoing_pools.http.auth.connection.tls: the address is not https: this has no effect"},
		{"no slash", begin + "connection.host = \"http://127.0.0.1\"\nconnection.path_prefix = \"/auth\"\n" + use, "so that /authcheck_password is asked for"},
		{"too long", begin + "connection.host = \"http://127.0.0.1\"\nconnection.request_timeout = \"6s\"\n" + use, "m.toml:5:30: outgoing_pools.http.auth.connection.request_timeout: call_timeout is shorter"},
		{
			"accepted", begin + "scope = \"host_type\"\nstrategy = \"next_worker\"\nconnection.host = \"http://127.0.0.1\"\n" + use,
			"m.toml:4:9: outgoing_pools.http.auth.scope: not needed: a pool is there once, for all hosts\nm.toml:5:12: outgoing_pools.http.auth.strategy: not needed: what is asked waits for the first worker that is free",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Parse("m.toml", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Warnings().Error(); (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
				t.Errorf("%s\ngot:\n%s\nwant:\n%s", test.text, got, test.want)
			}
		})
	}
}

// TestSeedExternalPasswords: the example of MongooseIM's page, as it is, in a
// file that defines what it names.
func TestSeedExternalPasswords(t *testing.T) {
	t.Parallel()
	c, err := config.Load(filepath.Join("testdata", "http_auth_pool.toml"))
	if err != nil {
		t.Fatal(err)
	}
	m := c.Modules.MUC
	if m.HTTPAuthPool != "my_auth_pool" || m.HTTPAuthMethod != "get" || !m.DefaultRoom.PasswordProtected || m.DefaultRoom.Password != "" {
		t.Errorf("rooms: %+v", m)
	}
	want := httppool.Options{
		Name: "my_auth_pool", Host: "http://my_server:8000", PathPrefix: "/", Workers: 10, RequestTimeout: 2 * time.Second, CallTimeout: 5 * time.Second,
		TLS: httppool.TLS{Verify: httppool.VerifyPeer},
	}
	got := c.HTTPPool("my_auth_pool")
	if got.Dial = nil; got.Name != want.Name || got.Host != want.Host || got.PathPrefix != want.PathPrefix || got.Workers != want.Workers ||
		got.RequestTimeout != want.RequestTimeout || got.CallTimeout != want.CallTimeout || got.TLS != want.TLS {
		t.Errorf("got %+v, want %+v", got, want)
	}
	warnings := c.Warnings().Error()
	for _, part := range []string{"my_auth_pool.strategy: ", "my_auth_pool.connection.host: passwords cross the network readably"} {
		if !strings.Contains(warnings, part) {
			t.Errorf("no warning %q in\n%s", part, warnings)
		}
	}
}

// TestPoolFiles: paths are relative to the file, and what is wrong with what they
// name has the place of the key.
func TestPoolFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "muster.toml")
	text := minimal + "[outgoing_pools.http.auth.connection]\nhost = \"https://auth.example.org\"\ntls.cacertfile = \"ca.pem\"\ntls.certfile = \"own.pem\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	o := c.HTTPPool("auth")
	if o.TLS.CACertFile != filepath.Join(dir, "ca.pem") || o.TLS.CertFile != filepath.Join(dir, "own.pem") {
		t.Errorf("paths: %+v", o.TLS)
	}
	_, err = httppool.New(o)
	if p := c.HTTPPoolProblem("auth", err).String(); !strings.HasPrefix(p, file+":5:18: outgoing_pools.http.auth.connection.tls.cacertfile: open ") {
		t.Errorf("got %s", p)
	}
}
