// Package pgtest gives tests a PostgreSQL: a schema in one that is there, or a
// throw-away Server for a test that does to it what happens to databases: kill
// -9, standing still, coming back. A Server owns the processes that it starts;
// its methods wait for them.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds each wait for PostgreSQL.
const patience = 30 * time.Second

// Server is a PostgreSQL in a directory of its own, on a unix socket only.
type Server struct {
	t    testing.TB
	bin  string // directory
	dir  string
	cred *syscall.Credential // nil: ours
	cmd  *exec.Cmd           // nil while it is down
}

// Start starts a server that ends with the test. The test is skipped if
// PostgreSQL is not installed.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, bin: programs()}
	if s.bin == "" {
		t.Skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
	}
	var err error
	// The name of a unix socket is short: t.TempDir is too long for it.
	if s.dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		_ = os.RemoveAll(s.dir)
	})
	s.unprivileged()
	initdb := s.command("initdb", "-D", s.data(), "-U", "muster", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.Restart()
	return s
}

// programs is the directory of the newest PostgreSQL's programs.
func programs() string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(dirs, func(a, b string) int { return number(b) - number(a) })
	for _, dir := range append(dirs, "/usr/local/bin", "/usr/bin") {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir
		}
	}
	return ""
}

// number is the version in a directory's name.
func number(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return n
}

// unprivileged finds somebody to run PostgreSQL as, which refuses to be root.
func (s *Server) unprivileged() {
	if os.Getuid() != 0 {
		return
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(s.dir, int(uid), int(gid)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setpgid: true}
	return cmd
}

// URL is where the server is, as a connection string.
func (s *Server) URL() string {
	return "host=" + s.dir + " user=muster dbname=postgres"
}

// Restart starts a server that is down and returns when it answers.
func (s *Server) Restart() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	for {
		cmd := s.command("postgres", "-D", s.data(), "-c", "listen_addresses=", "-c", "unix_socket_directories="+s.dir,
			"-c", "fsync=off", "-c", "max_connections=100")
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		if s.comesUp(ctx, cmd) {
			s.cmd = cmd
			return
		}
		_ = cmd.Wait() // it found something of its predecessor still alive
		if ctx.Err() != nil {
			text, _ := os.ReadFile(log.Name())
			s.t.Fatalf("PostgreSQL does not start:\n%s", text)
		}
	}
}

// comesUp waits until the server takes connections; false if it ended instead.
func (s *Server) comesUp(ctx context.Context, cmd *exec.Cmd) bool {
	ready := filepath.Join(s.data(), "postmaster.pid")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		// The last line says "ready" once it is.
		text, err := os.ReadFile(ready)
		if err == nil && strings.HasPrefix(string(text), strconv.Itoa(cmd.Process.Pid)+"\n") && strings.Contains(string(text), "\nready") {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return false
		}
		if ended(cmd.Process.Pid) {
			return false
		}
	}
}

// ended reports whether a child has ended and waits to be reaped.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(rest, "Z")
}

// Kill is kill -9 of the server and all its processes. Nothing happens if it is
// down.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGSTOP) // it starts no more
	all := s.processes()
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = s.cmd.Wait() // says that it was killed
	s.cmd = nil
	for _, pid := range all { // the next server waits for the last of them
		for !ended(pid) {
			pause()
		}
	}
}

// Freeze stops all processes, so that the server accepts connections and says
// nothing; Thaw lets them go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	for _, pid := range s.processes() {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			s.t.Fatal(err)
		}
	}
}

// processes are the server's own, the postmaster first.
func (s *Server) processes() []int {
	parent := s.cmd.Process.Pid
	all := []int{parent}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			all = append(all, pid)
		}
	}
	return all
}

// pause waits a little for another process.
func pause() {
	tick := time.NewTimer(5 * time.Millisecond)
	<-tick.C
}
