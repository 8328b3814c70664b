package interop_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/client"
)

// program is the binary under test, built once.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "muster-interop")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		program = filepath.Join(dir, "muster")
		if out, err := exec.Command("go", "build", "-o", program, "../../cmd/muster").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// host is a running server.
type host struct {
	dir    string // working directory: muster.toml and data
	port   string
	addr   string
	cmd    *exec.Cmd
	stderr *bytes.Buffer
}

// newHost writes a configuration; more is added to it.
func newHost(t *testing.T, more string) *host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	h := &host{dir: t.TempDir(), port: port, addr: "127.0.0.1:" + port}
	text := fmt.Sprintf(`[general]
hosts = ["localhost"]
data_dir = "data"
loglevel = "warning"
[[listen.c2s]]
port = %s
ip_address = "127.0.0.1"
tls.mode = "starttls_required"
%s
`, port, more)
	if err := os.WriteFile(filepath.Join(h.dir, "muster.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// rooms is a room service as `muster init` writes it, with a long history.
const rooms = `[modules.mod_muc]
history_size = 100000
max_user_conferences = 100000
[modules.mod_muc.default_room]
persistent = true
moderated = false
allow_multiple_sessions = true
`

func (h *host) start(t *testing.T) {
	t.Helper()
	h.stderr = new(bytes.Buffer)
	h.cmd = exec.Command(program, "serve")
	h.cmd.Dir, h.cmd.Stderr = h.dir, h.stderr
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.kill() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		if conn, err := net.Dial("tcp", h.addr); err == nil {
			_ = conn.Close()
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			h.kill()
			t.Fatalf("the server does not listen:\n%s", h.stderr)
		}
	}
}

// kill is kill -9.
func (h *host) kill() {
	if h.cmd != nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
		h.cmd = nil
	}
}

// run runs a command of the program and returns what it printed.
func (h *host) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdin = h.dir, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("muster %s: %v\n%s\n%s", strings.Join(args, " "), err, out, h.stderr)
	}
	return string(out)
}

func (h *host) addUser(t *testing.T, name string) {
	t.Helper()
	h.run(t, "secret-"+name+"\n", "user", "add", name+"@localhost", "--password-stdin")
}

func (h *host) certificate() string { return filepath.Join(h.dir, "data", "selfsigned.crt") }

// connect logs in with our own client.
func (h *host) connect(t *testing.T, name string, o client.Options) (*client.Client, error) {
	t.Helper()
	pem, err := os.ReadFile(h.certificate())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	o.Addr, o.Domain, o.Username, o.Password = h.addr, "localhost", name, "secret-"+name
	o.TLSConfig = &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return client.Dial(ctx, o)
}

// needs skips a test without a program from Debian's packages; CI installs
// them.
func needs(t *testing.T, file, pkg string) {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		t.Skipf("%s is not installed (apt-get install %s)", file, pkg)
	}
}

// TestSlixmpp runs a written tour with slixmpp: by SCRAM, and with the settings
// that a server has by default. slixmpp 1.8 wants a channel binding that TLS 1.3
// does not have, and gets in with the mechanisms that are left.
func TestSlixmpp(t *testing.T) {
	needs(t, "/usr/lib/python3/dist-packages/slixmpp/__init__.py", "python3-slixmpp")
	for name, settings := range map[string]string{
		"scram":    "[auth]\nsasl_mechanisms = [\"SCRAM-SHA-256\", \"SCRAM-SHA-1\"]\n",
		"defaults": "",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, rooms+settings)
			h.start(t)
			h.addUser(t, "romeo")
			h.addUser(t, "juliet")
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			tour, err := filepath.Abs("testdata/tour.py")
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(ctx, "/usr/bin/python3", tour, h.port, h.certificate()).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "ok everything") {
				t.Errorf("%v\n%s\n%s", err, out, h.stderr)
			}
		})
	}
}

// TestRegistrationBySlixmpp: an account is made, changed and removed by its
// client.
func TestRegistrationBySlixmpp(t *testing.T) {
	needs(t, "/usr/lib/python3/dist-packages/slixmpp/__init__.py", "python3-slixmpp")
	h := newHost(t, "[modules.mod_register]\n")
	h.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	script, err := filepath.Abs("testdata/register.py")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, "/usr/bin/python3", script, h.port, h.certificate()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ok session ended") {
		t.Errorf("%v\n%s\n%s", err, out, h.stderr)
	}
}

// TestGoSendXMPP sends a message and a room message as a script would.
func TestGoSendXMPP(t *testing.T) {
	needs(t, "/usr/bin/go-sendxmpp", "go-sendxmpp")
	h := newHost(t, rooms)
	h.start(t)
	h.addUser(t, "romeo")
	h.addUser(t, "juliet")
	juliet, err := h.connect(t, "juliet", client.Options{Resource: "b"})
	if err != nil {
		t.Fatal(err)
	}
	j := &actor{t: t, c: juliet}
	j.send("<presence/>")
	j.enter("team", "Juliet", true)
	send := func(args ...string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		args = append([]string{"-u", "romeo@localhost", "-p", "secret-romeo", "-j", h.addr, "-n"}, args...)
		cmd := exec.CommandContext(ctx, "/usr/bin/go-sendxmpp", args...)
		cmd.Stdin = strings.NewReader("But soft\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go-sendxmpp %v: %v\n%s\n%s", args, err, out, h.stderr)
		}
	}
	send("juliet@localhost")
	j.until("a message by go-sendxmpp", "type='chat'", "<body>But soft")
	send("-c", "-a", "Romeo", "team@conference.localhost")
	j.until("a room message by go-sendxmpp", "from='team@conference.localhost/Romeo'", "<body>But soft")
}
