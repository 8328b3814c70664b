package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// notices returns what waits for the next message to a service manager, and wants
// it to begin in a way.
func notices(t *testing.T, socket *net.UnixConn) (next func(want string)) {
	return func(want string) {
		t.Helper()
		for {
			buf := make([]byte, 512)
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got := string(buf[:n])
			if got == "WATCHDOG=1" && want != got {
				continue
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			return
		}
	}
}

// Under systemd the server says when it is ready, reloads, ends, and that it is
// alive; a reload that is refused leaves it ready.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "")
	address := filepath.Join(filepath.Dir(file), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	next := notices(t, socket)
	p := startWith(t, []string{"NOTIFY_SOCKET=" + address, "WATCHDOG_USEC=200000"}, "serve", "--config", file)
	next("READY=1\nSTATUS=serving localhost")
	next("WATCHDOG=1")
	p.signal(t, syscall.SIGHUP)
	next("RELOADING=1\nMONOTONIC_USEC=")
	next("READY=1\nSTATUS=serving localhost")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	next("RELOADING=1\nMONOTONIC_USEC=")
	next("READY=1\nSTATUS=serving; a reload was refused, see the log")
	p.await(t, `msg="the configuration stays as it was" problem="`+file+`: there is no such file`)
	next("WATCHDOG=1")
	p.signal(t, syscall.SIGTERM)
	next("STOPPING=1")
	if err := p.wait(); err != nil {
		t.Error(err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "")
	if got := execute(t, "", "status", "--config", file); got.status != exitError || !strings.HasPrefix(got.stderr, "muster: no server is running") {
		t.Errorf("without a server: %+v", got)
	}
	serving(t, file)
	got := execute(t, "", "status", "--config", file)
	want := `status     ok
version    \S+
process    \d+, for \S+
hosts      localhost
rooms      conference\.localhost
c2s        127\.0\.0\.1:\d+ \(STARTTLS offered\)
http       127\.0\.0\.1:\d+ \(no TLS\)
`
	if got.status != exitOK || !matches(want, got.stdout) || got.stderr != "" {
		t.Errorf("got %+v, want %s", got, want)
	}
	got = execute(t, "", "status", "--config", file, "--json")
	var s statusResult
	if err := json.Unmarshal([]byte(got.stdout), &s); err != nil || s.Storage != "ok" || s.PID != os.Getpid() {
		t.Errorf("--json: %v, %+v", err, got)
	}
}

// TestHangupNamesGroupsFile: what is wrong with a groups file is said with each
// SIGHUP, and by the status until it is mended.
func TestHangupNamesGroupsFile(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "[modules.mod_groups]\ngroups_file = \"groups.txt\"\ncheck_interval = \"0s\"\n")
	path := filepath.Join(filepath.Dir(file), "groups.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[Team]\nromeo@localhost\n")
	p := start(t, "serve", "--config", file)
	p.await(t, `msg="server started"`)
	status := func(want string) {
		t.Helper()
		got := execute(t, "", "status", "--data-dir", dataDir)
		if _, problems, _ := strings.Cut(got.stdout, "problem "); got.status != exitOK || !strings.HasPrefix(got.stdout, "status     ok\n") || problems != want {
			t.Errorf("the status is %+v, want the problem %q", got, want)
		}
	}
	status("")
	write("[Team]\nSales\n")
	for range 2 {
		p.signal(t, syscall.SIGHUP)
		p.await(t, `line=2 problem="Sales is neither`)
		p.await(t, `msg="configuration reloaded"`)
		status("   groups stay as they were: " + path + ":2:1: Sales is neither a [group] nor an address like name@host\n")
	}
	write("[Team]\njuliet@localhost\n")
	p.signal(t, syscall.SIGHUP)
	p.await(t, `msg="configuration reloaded"`)
	status("")
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(); err != nil {
		t.Errorf("%v, want status 0", err)
	}
}

// Everything that takes a restart is named, each with its line, and nothing of
// the file comes into use.
func TestHangupNamesWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "")
	p := start(t, "serve", "--config", file)
	p.await(t, `msg="server started"`)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(`["localhost"]`, `["localhost", "b.test"]`+"\nloglevel = \"error\"", dataDir, dataDir+"2").Replace(string(text))
	if err := os.WriteFile(file, []byte(changed+"[auth]\nallow_plain_without_tls = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	for _, key := range []string{file + ":2:1: general.hosts", file + ":4:12: general.data_dir", "auth.allow_plain_without_tls"} {
		p.await(t, key+": this has changed and takes effect only when the server starts")
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	p.await(t, `level=INFO msg="configuration reloaded"`) // so the level has not changed
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(); err != nil {
		t.Error(err)
	}
}

// certificate writes a certificate with a serial number, and its key.
func certificate(t *testing.T, dir, name string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A running process takes another certificate and another level into use, and
// keeps both if the next file is broken.
func TestHangupTakesCertificatesAndLevel(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "[[listen.c2s]]\nport = 0\ntls.mode = \"tls\"\ntls.certfile = \"one.crt\"\ntls.keyfile = \"one.key\"\n")
	dir := filepath.Dir(file)
	certificate(t, dir, "one", 1)
	certificate(t, dir, "two", 2)
	p := start(t, "serve", "--config", file)
	p.await(t, `msg="server started"`)
	got := execute(t, "", "status", "--data-dir", dataDir, "--json")
	var s statusResult
	if err := json.Unmarshal([]byte(got.stdout), &s); err != nil {
		t.Fatalf("%v, %+v", err, got)
	}
	expect := func(serial int64) {
		t.Helper()
		d := tls.Dialer{Config: &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}} //nolint:gosec // what is shown counts
		conn, err := d.DialContext(t.Context(), "tcp", s.Listeners[1].Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != serial {
			t.Errorf("certificate %d is shown, want %d", got, serial)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	hangup := func(old, replacement, want string) {
		t.Helper()
		text = []byte(strings.ReplaceAll(string(text), old, replacement))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		p.signal(t, syscall.SIGHUP)
		p.await(t, want)
	}
	expect(1)
	hangup("one.", "two.", `msg="configuration reloaded"`)
	expect(2)
	hangup("two.", "three.", `problem="`+file+`:`)
	expect(2)
	hangup("[general]", "[general]\nloglevel = \"debug\"", `problem="`+file+`:`)
	hangup("three.", "one.", `msg="configuration reloaded"`)
	expect(1)
	p.await(t, `level=DEBUG`) // of the connection that has just ended
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(); err != nil {
		t.Error(err)
	}
}

// The rooms of another server reload with a hangup, which must not end them, and
// tell the service manager that they live.
func TestComponentUnderAManager(t *testing.T) {
	t.Parallel()
	other, _ := configFile(t, "host = \"rooms.localhost\"\n[[listen.component]]\nport = 0\npassword = \"between us\"\ndomains = [\"talk.localhost\"]\n")
	address := ""
	for _, l := range serving(t, other).Info().Listeners {
		if l.Kind == "component" {
			address = l.Address
		}
	}
	dir := shortDir(t)
	socket, secret, file := filepath.Join(dir, "notify"), filepath.Join(dir, "secret"), filepath.Join(dir, "rooms.toml")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	next := notices(t, conn)
	text := "[general]\nhosts = [\"localhost\"]\ndata_dir = '" + dir + "/data'\nloglevel = \"warning\"\n[modules.mod_muc]\nhost = \"talk.localhost\"\n"
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secret, "between us\n")
	write(file, text)
	p := startWith(t, []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=200000"}, "component", "--server", address, "--secret-file", secret, "--config", file)
	ready := "READY=1\nSTATUS=serving talk.localhost for " + address
	next(ready)
	next("WATCHDOG=1")
	write(file, strings.Replace(text, "warning", "info", 1))
	p.signal(t, syscall.SIGHUP)
	next("RELOADING=1\nMONOTONIC_USEC=")
	next(ready)
	p.await(t, `level=INFO msg="configuration reloaded"`) // so the level is in use
	write(file, text+"[[listen.c2s]]\nport = 0\n")
	p.signal(t, syscall.SIGHUP)
	next("RELOADING=1\nMONOTONIC_USEC=")
	next("READY=1\nSTATUS=serving; a reload was refused, see the log")
	p.await(t, `msg="the configuration stays as it was" problem="`+file+`:`)
	p.signal(t, syscall.SIGTERM)
	next("STOPPING=1")
	if err := p.wait(); err != nil {
		t.Errorf("%v, want status 0", err)
	}
}
