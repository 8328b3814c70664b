package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/server"
)

// mainVariable makes the test binary the program itself.
const mainVariable = "MUSTER_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		Main()
	}
	goleak.VerifyTestMain(m)
}

// result is what a command has left behind.
type result struct {
	status         int
	stdout, stderr string
}

// execute runs a command line with standard input.
func execute(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	e := &env{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs}
	status := run(t.Context(), e, args)
	return result{status, out.String(), errs.String()}
}

// shortDir is a directory whose path is short enough for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "muster")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// configFile writes a configuration whose server uses free ports, and returns
// its path and the data directory.
func configFile(t *testing.T, more string) (file, dataDir string) {
	t.Helper()
	dir := shortDir(t)
	file, dataDir = filepath.Join(dir, "muster.toml"), filepath.Join(dir, "data")
	text := fmt.Sprintf(`[general]
hosts = ["localhost"]
data_dir = %q
[[listen.c2s]]
port = 0
[[listen.http]]
port = 0
[modules.mod_muc]
%s`, dataDir, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, dataDir
}

// serving runs a server with a configuration, and extensions, until the test ends.
func serving(t *testing.T, file string, extensions ...server.Extension) *server.Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan *server.Server, 1)
	var errs bytes.Buffer
	e := &env{
		stdin: strings.NewReader(""), stdout: io.Discard, stderr: &errs, extensions: extensions, serving: func(s *server.Server) { ready <- s },
	}
	var wg sync.WaitGroup
	status := -1
	wg.Go(func() { status = run(ctx, e, []string{"serve", "--config", file}); close(ready) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if status != exitOK {
			t.Errorf("serve ended with status %d: %s", status, errs.String())
		}
	})
	s, ok := <-ready
	if !ok {
		t.Fatalf("serve has not begun: %s", errs.String())
	}
	return s
}

func TestUsage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args   string
		status int
		stdout string // contained
		stderr string // exactly
	}{
		{"", 0, "muster demo", ""},
		{"--help", 0, "muster user add romeo@localhost", ""},
		{"--version", 0, "muster ", ""},
		{"-V", 0, "muster ", ""},
		{"user add --help", 0, "muster user add juliet --generate", ""},
		{"user --help", 0, "user passwd", ""},
		{"bench fanout --help", 0, "--occupants=100", ""},
		{"frobnicate", 2, "", "muster: unexpected argument frobnicate (see muster --help)\n"},
		{"user", 2, "", "muster: expected one of \"add\", \"passwd\", \"delete\", \"list\", \"sessions\", ... (see muster user --help)\n"},
		{"user add", 2, "", "muster: expected \"<account>\" (see muster user add --help)\n"},
		{"serve --prot 1", 2, "", "muster: unknown flag --prot (see muster serve --help)\n"},
		{"group show -abcdefghijk", 2, "", "muster: unknown flag -a: what begins with - and is no flag stands behind -- (see muster group show --help)\n"},
		{"user add x --generate --password-stdin", 2, "", "muster: --password-stdin and --generate can't be used together (see muster user add --help)\n"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			got := execute(t, "", strings.Fields(tt.args)...)
			if got.status != tt.status || !strings.Contains(got.stdout, tt.stdout) || got.stderr != tt.stderr {
				t.Errorf("muster %s: got %+v, want status %d, %q and %q", tt.args, got, tt.status, tt.stdout, tt.stderr)
			}
		})
	}
}

func TestUser(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "")
	serving(t, file)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("from a file\nand more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		stdin, args string
		want        result // stdout and stderr are patterns
	}{
		{"", "list", result{0, `There are no accounts yet: muster user add NAME makes one\.\n`, ``}},
		{"", "add juliet@localhost wherefore", result{0, `added juliet@localhost\n`, ``}},
		{"", "add juliet again", result{1, ``, `muster: there is an account juliet@localhost already\n`}},
		{"art thou\n", "add romeo --json", result{0, `\{\n  "jid": "romeo@localhost"\n\}\n`, ``}},
		{"", "add nurse --generate", result{0, `added nurse@localhost with the password [A-Z2-7]{26}\n`, ``}},
		{"", "add tybalt --generate --json", result{0, `\{\n  "jid": "tybalt@localhost",\n  "password": "[A-Z2-7]{26}"\n\}\n`, ``}},
		{"", "add paris --password-file " + secret, result{0, `added paris@localhost\n`, ``}},
		{"", "add friar", result{1, ``, `muster: read the password: the first line of standard input is empty\n`}},
		{"", "add friar x --generate", result{1, ``, `muster: the password is given twice: leave out the argument or the flag\n`}},
		{"", "add friar --password-file /nowhere", result{1, ``, `muster: open /nowhere: no such file or directory\n`}},
		{"", "add friar@verona.test x", result{1, ``, `muster: this server does not serve "verona\.test" but localhost\n`}},
		{"", "add fri:ar x", result{1, ``, `muster: "fri:ar@localhost": malformed address.*\n`}},
		{"", "add friar@localhost/cell x", result{1, ``, `muster: want an address like name@localhost, got "friar@localhost/cell"\n`}},
		{"new\n", "passwd juliet", result{0, `changed the password of juliet@localhost\n`, ``}},
		{"", "passwd nobody x", result{1, ``, `muster: there is no account nobody@localhost\n`}},
		{"", "delete tybalt paris@localhost", result{0, `deleted tybalt@localhost\ndeleted paris@localhost\n`, ``}},
		{"", "delete nurse tybalt romeo", result{1, ``, `muster: there is no account tybalt@localhost\n`}},
		{"", "delete nurse nurse Nurse@localhost", result{0, `deleted nurse@localhost\n`, ``}},
		{"", "list", result{0, `juliet@localhost   since 20\d\d-\d\d-\d\d \d\d:\d\d\nromeo@localhost    since .*\n`, ``}},
		{"", "list verona.test", result{1, ``, `muster: this server does not serve "verona\.test" but localhost\n`}},
	}
	for _, s := range steps {
		args := append([]string{"user"}, strings.Fields(s.args)...)
		got := execute(t, s.stdin, append(args, "--config", file)...)
		if got.status != s.want.status || !matches(s.want.stdout, got.stdout) || !matches(s.want.stderr, got.stderr) {
			t.Errorf("muster user %s: got %+v, want %+v", s.args, got, s.want)
		}
	}
	got := execute(t, "", "user", "list", "--data-dir", dataDir, "--json")
	var list []admin.Account
	if err := json.Unmarshal([]byte(got.stdout), &list); err != nil || len(list) != 2 || list[1].JID.Local() != "romeo" {
		t.Errorf("user list --json: %v, %+v", err, got)
	}
}

// matches reports whether the whole of s is like a pattern.
func matches(pattern, s string) bool {
	return regexp.MustCompile(`^(?s:` + pattern + `)$`).MatchString(s)
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "")
	socket := filepath.Join(dataDir, admin.SocketName)
	tests := []struct{ flag, value, want string }{
		{"--config", file, `muster: no server is running (nobody answers on ` + socket + `): start it with "muster serve --config ` + file +
			`" in another terminal, or name another one's data directory with --data-dir` + "\n"},
		{"--data-dir", dataDir, `muster: no server is running (nobody answers on ` + socket +
			`): start the server that has this data directory, or leave --data-dir out` + "\n"},
	}
	for _, tt := range tests {
		got := execute(t, "", "user", "list", tt.flag, tt.value)
		if got.status != exitError || got.stderr != tt.want {
			t.Errorf("got %+v, want %s", got, tt.want)
		}
	}
}

func TestInitAndCheck(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "my.toml")
	got := execute(t, "", "init", file)
	if got.status != exitOK || !strings.Contains(got.stdout, "muster check --config "+file) {
		t.Errorf("init: %+v", got)
	}
	if got := execute(t, "", "init", file); got.status != exitError || got.stderr != "muster: "+file+" is there already: --force replaces it\n" {
		t.Errorf("second init: %+v", got)
	}
	if got := execute(t, "", "init", "--force", file); got.status != exitOK {
		t.Errorf("init --force: %+v", got)
	}
	if got := execute(t, "", "init", "-"); got.stdout != string(config.Example()) {
		t.Errorf("init -: %+v, want the example", got)
	}
	if got := execute(t, "", "check", "--config", file); got != (result{exitOK, file + ": no problems\n", ""}) {
		t.Errorf("check of what init has written: %+v", got)
	}
	bad := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(bad, []byte("[general]\nhosts = [\"a.test\"]\nloglevel = \"loud\"\n[[listen.c2s]]\nprot = 5222\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := bad + `:3:12: general.loglevel: want "trace", "debug", "info", "warning" or "error", got "loud"` + "\n" +
		bad + `:5:1: listen.c2s[0].prot: unknown key (did you mean "port"?)` + "\n"
	for _, command := range []string{"check", "serve"} {
		if got := execute(t, "", command, "--config", bad); got != (result{exitError, "", want}) {
			t.Errorf("%s: got %+v, want %s", command, got, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "no.toml")
	wantMissing := "muster: " + missing + ": there is no such file; \"muster init " + missing + "\" writes one\n"
	if got := execute(t, "", "check", "--config", missing); got.status != exitError || got.stderr != wantMissing {
		t.Errorf("missing file: got %+v, want %s", got, wantMissing)
	}
}

func TestServeProblems(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()                                    //nolint:errcheck // a test
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port) //nolint:errcheck,forcetypeassert // TCP it is
	running, _ := configFile(t, "")
	serving(t, running)
	taken, _ := configFile(t, "[[listen.c2s]]\nport = "+port+"\n")
	public, _ := configFile(t, "[[listen.c2s]]\nport = 0\nip_address = \"0.0.0.0\"\n")
	noCert, _ := configFile(t, "[[listen.c2s]]\nport = 0\ntls.certfile = \"/nowhere/a.crt\"\ntls.keyfile = \"/nowhere/a.key\"\n")
	tests := []struct{ name, file, want string }{
		{"port taken", taken, `muster: listen\.c2s\[1\]: port ` + port + ` on 127\.0\.0\.1 is taken: stop the program that uses it, or set another port\n`},
		{"directory in use", running, `muster: .*in use by another process \(pid ` + strconv.Itoa(os.Getpid()) + `\).*\n`},
		{"public without certificate", public, regexp.QuoteMeta(public) + `:\d+:\d+: listen\.c2s\[1\]: 0\.0\.0\.0 can be reached from elsewhere and needs a certificate.*\n`},
		{"no certificate", noCert, regexp.QuoteMeta(noCert) + `:11:16: listen\.c2s\[1\]\.tls\.certfile: certificate /nowhere/a\.crt: there is no such file\n`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := execute(t, "", "serve", "--config", tt.file)
			if got.status != exitError || !matches(tt.want, got.stderr) || strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("got %+v, want one line like %s", got, tt.want)
			}
		})
	}
}

func TestGreeting(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	e := &env{stdout: &out, stderr: io.Discard, greeting: true, serving: func(*server.Server) { cancel() }}
	if status := run(ctx, e, []string{"serve", "--config", file}); status != exitOK {
		t.Fatalf("status %d", status)
	}
	want := `
Muster is ready\.

  hosts     localhost
  rooms     conference\.localhost
  clients   127\.0\.0\.1:\d+ \(STARTTLS offered\)
  metrics   http://127\.0\.0\.1:\d+/metrics
  data      ` + dataDir + `

  Add an account from another terminal: .* user add NAME@localhost --config ` + file + `
  Ctrl-C ends the server\.

`
	if !matches(want, out.String()) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// program is the program itself, running.
type program struct {
	cmd *exec.Cmd
	log *bufio.Scanner
	all []string
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	return startWith(t, nil, args...)
}

// startWith is start with more environment.
func startWith(t *testing.T, environment []string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.CommandContext(t.Context(), os.Args[0], args...)}
	p.cmd.Env = append(append(os.Environ(), mainVariable+"=1"), environment...)
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.log = bufio.NewScanner(log)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// await reads the log up to a line with a text.
func (p *program) await(t *testing.T, text string) {
	t.Helper()
	patience := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() }) // then show what was logged
	defer patience.Stop()
	for p.log.Scan() {
		p.all = append(p.all, p.log.Text())
		if strings.Contains(p.log.Text(), text) {
			return
		}
	}
	t.Fatalf("%q was not logged:\n%s", text, strings.Join(p.all, "\n"))
}

func (p *program) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the end and returns how it was.
func (p *program) wait() error {
	for p.log.Scan() {
		p.all = append(p.all, p.log.Text())
	}
	return p.cmd.Wait()
}

func TestSignals(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := start(t, "serve", "--config", file, "--log-format", "json")
		p.await(t, `"msg":"server started"`)
		p.signal(t, syscall.SIGHUP)
		p.await(t, `"msg":"configuration reloaded"`)
		p.signal(t, sig)
		if err := p.wait(); err != nil {
			t.Errorf("%v: %v, want status 0\n%s", sig, err, strings.Join(p.all, "\n"))
		}
		if _, err := os.Stat(filepath.Join(dataDir, admin.SocketName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v: the admin socket is still there: %v", sig, err)
		}
	}
}

func TestHangupWithABadFile(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "")
	p := start(t, "serve", "--config", file)
	p.await(t, `msg="server started"`)
	if err := os.WriteFile(file, []byte("[general]\nhosts = []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	p.await(t, `level=ERROR msg="the configuration stays as it was" problem="`+file)
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(); err != nil {
		t.Errorf("%v, want status 0", err)
	}
}

func TestKilledServerStartsAgain(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "")
	p := start(t, "serve", "--config", file)
	p.await(t, `msg="server started"`)
	if got := execute(t, "", "user", "add", "romeo", "secret", "--data-dir", dataDir); got.status != exitOK {
		t.Fatalf("%+v", got)
	}
	p.signal(t, os.Kill)
	_ = p.wait() // killed
	if got := execute(t, "", "user", "list", "--data-dir", dataDir); got.status != exitError || !strings.Contains(got.stderr, "no server is running") {
		t.Errorf("with the dead server's socket: %+v", got)
	}
	serving(t, file)
	if got := execute(t, "", "user", "list", "--data-dir", dataDir); got.status != exitOK || !strings.Contains(got.stdout, "romeo@localhost") {
		t.Errorf("the account is gone: %+v", got)
	}
}
