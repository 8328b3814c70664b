package app

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

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
	next := func(want string) {
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
