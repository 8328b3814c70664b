package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/server"
)

// authority makes certificates in a directory.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test authority"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	return a
}

// issue writes NAME.crt and NAME.key.
func (a *authority) issue(t *testing.T, name string, serial int64, hosts ...string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// parse reads a configuration and keeps its server off the usual places.
func parse(t *testing.T, text, dir string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("muster.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	cfg.General.DataDir = dir
	return cfg
}

// shown returns the serial number of the certificate that a server shows.
func shown(t *testing.T, address, name string) int64 {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}} //nolint:gosec // what is shown counts
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()                                                                 //nolint:errcheck // a test
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64() //nolint:errcheck,forcetypeassert // TLS it is
}

func TestReload(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue(t, "a.test", 10, "a.test")
	a.issue(t, "b.test", 20, "b.test")
	dir := onNetwork(t).General.DataDir
	text := fmt.Sprintf(`
[general]
hosts = ["a.test", "b.test"]
loglevel = "warning"
[[listen.c2s]]
port = 0
tls.mode = "tls"
tls.certfile = "%[1]s/@HOST@.crt"
tls.keyfile = "%[1]s/@HOST@.key"
`, a.dir)
	level := new(slog.LevelVar)
	s := start(t, parse(t, text, dir), server.Options{LogLevel: level})
	defer shutdown(t, s)
	address := s.Info().Listeners[0].Address
	expect := func(name string, want int64) {
		t.Helper()
		if got := shown(t, address, name); got != want {
			t.Errorf("%s: certificate %d is shown, want %d", name, got, want)
		}
	}
	expect("a.test", 10)
	expect("b.test", 20)
	if level.Level() != slog.LevelWarn {
		t.Errorf("log level %v, want warning", level)
	}

	// Renewed in place: nobody has to say so.
	a.issue(t, "b.test", 21, "b.test", "more-so-that-the-size-differs.test")
	expect("b.test", 21)

	// Other files and another log level, on demand.
	_, keyFile := a.issue(t, "both", 30, "a.test", "b.test")
	next := strings.NewReplacer("@HOST@.crt", "both.crt", "@HOST@.key", "both.key", `"warning"`, `"debug"`).Replace(text)
	if err := s.Reload(parse(t, next, dir)); err != nil {
		t.Fatal(err)
	}
	expect("a.test", 30)
	if level.Level() != slog.LevelDebug {
		t.Errorf("log level %v, want debug", level)
	}

	// What cannot be used leaves everything as it was.
	if err := os.Rename(keyFile, keyFile+".gone"); err != nil {
		t.Fatal(err)
	}
	oneLine(t, s.Reload(parse(t, next, dir)), "muster.toml:8:16: listen.c2s[0].tls.certfile: key "+keyFile+": there is no such file")
	if err := os.Rename(keyFile+".gone", keyFile); err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(next, `"debug"`, `"error"`, 1) + "max_stanza_size = 20000\n"
	oneLine(t, s.Reload(parse(t, bad, dir)), "listen.c2s[0].max_stanza_size: this has changed and takes effect only when the server starts")
	expect("a.test", 30)
	if level.Level() != slog.LevelDebug {
		t.Errorf("log level %v after a refused reload, want debug still", level)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	certFile, keyFile := a.issue(t, "a.test", 1, "a.test")
	development := offNetwork(t)
	shutdown(t, start(t, development, server.Options{NoListen: true}))
	selfCert := filepath.Join(development.General.DataDir, server.SelfSignedCertificate)
	selfKey := strings.TrimSuffix(selfCert, ".crt") + ".key"
	file := func(hosts, ip, cert, key, more string) string {
		return fmt.Sprintf("[general]\nhosts = [%s]\n[[listen.c2s]]\nip_address = %q\ntls.certfile = %q\ntls.keyfile = %q\n%s", hosts, ip, cert, key, more)
	}
	tests := []struct{ name, text, warning, problem string }{
		{"fine", file(`"a.test"`, "0.0.0.0", certFile, keyFile, "[modules.mod_muc]\n"), "", ""},
		{"no files", "[general]\nhosts = [\"a.test\"]\n[[listen.c2s]]\n", "", ""},
		{
			"host not covered", file(`"a.test", "b.test"`, "0.0.0.0", certFile, keyFile, ""),
			"muster.toml:5:16: listen.c2s[0].tls.certfile: the certificate " + certFile + " is not valid for b.test", "",
		},
		{
			"missing file", file(`"a.test"`, "0.0.0.0", "/nowhere/a.crt", keyFile, ""), "",
			"muster.toml:5:16: listen.c2s[0].tls.certfile: certificate /nowhere/a.crt: there is no such file",
		},
		{"not its key", file(`"a.test"`, "0.0.0.0", certFile, selfKey, ""), "", "private key does not match public key"},
		{
			"self-signed for others", file(`"localhost"`, "0.0.0.0", selfCert, selfKey, ""), "",
			"is self-signed, and 0.0.0.0 can be reached from elsewhere",
		},
		{
			"rule that nothing names", file(`"a.test"`, "127.0.0.1", certFile, keyFile, "[access]\nmax_user_sessions = [{acl = \"all\", value = 10}]\n"),
			"muster.toml:8:1: access.max_user_sessions: no setting names this: it has no effect", "",
		},
		{
			"API for this machine alone", file(`"a.test"`, "127.0.0.1", certFile, keyFile, "[[listen.http]]\nip_address = \"0.0.0.0\"\n"),
			"muster.toml:8:14: listen.http[0].ip_address: without encryption the API answers this machine alone here", "",
		},
		{
			"API that others can read", file(`"a.test"`, "127.0.0.1", certFile, keyFile,
				"[[listen.http]]\nip_address = \"0.0.0.0\"\napi_without_tls = true\n"),
			"muster.toml:9:19: listen.http[0].api_without_tls: whoever is on the network can read tokens", "",
		},
		{"no API", file(`"a.test"`, "127.0.0.1", certFile, keyFile, "[[listen.http]]\nip_address = \"0.0.0.0\"\napi = false\n"), "", ""},
		{
			"authorities of a pool", file(`"a.test"`, "127.0.0.1", certFile, keyFile,
				fmt.Sprintf("[outgoing_pools.http.x.connection]\nhost = \"https://b.test\"\ntls.cacertfile = %q\n[modules.mod_muc]\nhttp_auth_pool = \"x\"\ndefault_room.password_protected = true\n", keyFile)), "",
			"muster.toml:9:18: outgoing_pools.http.x.connection.tls.cacertfile: there is no certificate in it",
		},
		{"self-signed for oneself", file(`"localhost"`, "::1", selfCert, selfKey, ""), "", ""},
		{
			"room defaults", file(`"a.test"`, "127.0.0.1", certFile, keyFile,
				"[modules.mod_muc]\ndefault_room.password_protected = true\ndefault_room.password = \""+strings.Repeat("x", 1024)+"\"\n"), "",
			"muster.toml:7:10: modules.mod_muc: room service: default of muc#roomconfig_roomsecret: at most 1023 bytes, got 1024",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			warnings, err := server.Check(parse(t, tt.text, dir))
			if got := warnings.Error(); !strings.Contains(got, tt.warning) || (got == "") != (tt.warning == "") {
				t.Errorf("warnings %q, want %q", got, tt.warning)
			}
			if tt.problem == "" && err != nil {
				t.Errorf("got %v, want no problem", err)
			}
			if tt.problem != "" {
				oneLine(t, err, tt.problem)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("checking has made the data directory")
			}
		})
	}
}

func TestCheckOfExtension(t *testing.T) {
	t.Parallel()
	g := greeter{}
	cfg, err := config.Parse("muster.toml", []byte("[general]\nhosts = [\"a.test\"]\n[modules.mod_greeter]\nwrod = \"x\"\n"), g.Name())
	if err != nil {
		t.Fatal(err)
	}
	_, err = server.Check(cfg, g)
	oneLine(t, err, `muster.toml:4:1: modules.mod_greeter.wrod: unknown key (did you mean "word"?)`)
}
