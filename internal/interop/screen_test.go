package interop_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// screenWait is how long a foreign client may take to show something.
const screenWait = patience

// screen is a terminal with a foreign client in it, by tmux. Its input line is
// the last one.
type screen struct {
	t      *testing.T
	name   string
	socket string
}

// newScreen starts a client. Its home is dir; the rest of its environment is
// that of tmux.
func newScreen(t *testing.T, name, dir string, command ...string) *screen {
	t.Helper()
	s := &screen{t: t, name: name, socket: filepath.Join(dir, "tmux")}
	conf := filepath.Join(dir, "tmux.conf")
	if err := os.WriteFile(conf, []byte("set -g remain-on-exit on\nset -g escape-time 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-f", conf, "new-session", "-d", "-s", name, "-x", "150", "-y", "45"}
	for _, v := range []string{
		"HOME=" + dir, "XDG_DATA_HOME=" + dir + "/data", "XDG_CONFIG_HOME=" + dir + "/config",
		"XDG_CACHE_HOME=" + dir + "/cache", "LC_ALL=C.UTF-8", "TERM=screen-256color",
	} {
		args = append(args, "-e", v)
	}
	s.tmux(append(append(args, "--"), command...)...)
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", s.socket, "kill-server").Run() }) // it may have ended
	return s
}

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// lines returns what is to be seen.
func (s *screen) lines() []string {
	s.t.Helper()
	return strings.Split(strings.TrimSuffix(s.tmux("capture-pane", "-p", "-t", s.name), "\n"), "\n")
}

// poll looks at the screen until seen is content with it.
func (s *screen) poll(what string, seen func(lines []string) bool) {
	s.t.Helper()
	ticker := time.NewTicker(30 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(screenWait)
	for !seen(s.lines()) {
		select {
		case <-ticker.C:
		case <-late:
			s.t.Fatalf("%s never shows %s:\n%s", s.name, what, strings.Join(s.lines(), "\n"))
		}
	}
}

// until waits for a line with all of parts in their order.
func (s *screen) until(parts ...string) {
	s.t.Helper()
	s.poll(fmt.Sprintf("%q", parts), func(lines []string) bool {
		for _, line := range lines {
			ok := true
			for _, p := range parts {
				var found bool
				_, line, found = strings.Cut(line, p)
				ok = ok && found
			}
			if ok {
				return true
			}
		}
		return false
	})
}

// say types a line and sends it off: the first key alone, which opens the input
// of some clients, and nothing before the client shows what was typed, for keys
// that come together look like something pasted.
func (s *screen) say(line string) {
	s.t.Helper()
	input := func(want string) func([]string) bool {
		return func(lines []string) bool { return strings.HasSuffix(strings.TrimRight(lines[len(lines)-1], " "), want) }
	}
	s.tmux("send-keys", "-t", s.name, "-l", "--", line[:1])
	s.poll("the key "+line[:1], input(line[:1]))
	s.tmux("send-keys", "-t", s.name, "-l", "--", line[1:])
	s.poll("what was typed, "+line, input(line))
	s.tmux("send-keys", "-t", s.name, "Enter")
	s.poll("an empty line behind "+line, func(lines []string) bool { return !input(line)(lines) })
}

// key presses a key by the name that tmux has for it.
func (s *screen) key(name string) {
	s.t.Helper()
	s.tmux("send-keys", "-t", s.name, name)
}

// write writes a file below dir, with the directories it needs.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// keys types what the client does not show, such as a password, and sends it
// off.
func (s *screen) keys(text string) {
	s.t.Helper()
	s.tmux("send-keys", "-t", s.name, "-l", "--", text)
	s.tmux("send-keys", "-t", s.name, "Enter")
}
