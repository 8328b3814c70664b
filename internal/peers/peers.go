// Package peers runs other servers of this machine, each with files of its own in
// a directory of its own, for comparison and for tests with foreign software. A
// server is a process group; nothing here starts goroutines that outlive it.
package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// Kind is a program that can be run. Its texts are templates, filled with a
// Setting.
type Kind struct {
	Name    string
	Title   string
	Account string            // the user it runs as if we are root; "" for ours
	Files   map[string]string // by name
	Command []string
	Version []string // prints it
	Process string   // whose PID counts; "" for the one that is started
}

// Setting is what the templates of a kind are filled with.
type Setting struct {
	Dir    string // of this server; Start sets it
	Port   int    // for clients; Start sets it
	Second int    // another one; Start sets it

	Muster           string // the program
	Archive          bool
	Certificate, Key string // PEM
}

// Server is one that runs.
type Server struct {
	*Kind
	Addr   string // of Setting.Port
	Second string // of Setting.Second
	PID    int

	cmd *exec.Cmd
	log bytes.Buffer
}

// startTimeout bounds the start of a server.
const startTimeout = time.Minute

// Start runs a server of this kind with files of its own below dir, until Stop or
// the end of ctx, and returns when it accepts connections on its port.
func (k *Kind) Start(ctx context.Context, dir string, s Setting) (*Server, error) {
	dir, err := os.MkdirTemp(dir, k.Name)
	if err != nil {
		return nil, err
	}
	s.Dir = dir
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	if s.Second, err = freePort(); err != nil {
		return nil, err
	}
	for name, text := range k.Files {
		if err := writeFile(filepath.Join(dir, name), text, s); err != nil {
			return nil, err
		}
	}
	if err := k.own(dir); err != nil {
		return nil, err
	}
	args := make([]string, len(k.Command))
	for i, a := range k.Command {
		if args[i], err = fill(a, s); err != nil {
			return nil, err
		}
	}
	v := &Server{Kind: k, Addr: "127.0.0.1:" + strconv.Itoa(s.Port), Second: "127.0.0.1:" + strconv.Itoa(s.Second)}
	v.cmd = exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // our own table
	v.cmd.Dir, v.cmd.Stdout, v.cmd.Stderr = dir, &v.log, &v.log
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: k.credential()}
	v.cmd.Env = append(os.Environ(), "HOME="+dir)
	v.cmd.Cancel = func() error { return syscall.Kill(-v.cmd.Process.Pid, syscall.SIGTERM) }
	v.cmd.WaitDelay = 10 * time.Second
	if err := v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", k.Title, err)
	}
	if err := v.await(ctx); err != nil {
		v.Stop()
		return nil, err
	}
	return v, nil
}

// own gives the files to the server's user.
func (k *Kind) own(dir string) error {
	c := k.credential()
	if c == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, int(c.Uid), int(c.Gid))
	})
}

// credential is nil if the server runs as who we are.
func (k *Kind) credential() *syscall.Credential {
	if k.Account == "" || os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(k.Account)
	if err != nil {
		return nil
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// await waits until the server accepts connections, and finds its process.
func (v *Server) await(ctx context.Context) error {
	var d net.Dialer
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		conn, err := d.DialContext(ctx, "tcp", v.Addr)
		if err == nil {
			_ = conn.Close() // only asked whether it accepts
			break
		}
		if time.Since(begun) > startTimeout || ctx.Err() != nil {
			return fmt.Errorf("%s does not accept connections: %w\n%s", v.Title, err, v.log.String())
		}
	}
	v.PID = v.cmd.Process.Pid
	if v.Process == "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, "pgrep", "-g", strconv.Itoa(v.PID), v.Process).Output() //nolint:gosec // our own table
	if err != nil {
		return fmt.Errorf("find the process of %s: %w", v.Title, err)
	}
	v.PID, err = strconv.Atoi(strings.Fields(string(out))[0])
	return err
}

// Stop ends the server and everything that it has started.
func (v *Server) Stop() {
	_ = syscall.Kill(-v.cmd.Process.Pid, syscall.SIGTERM)
	done := time.AfterFunc(15*time.Second, func() { _ = syscall.Kill(-v.cmd.Process.Pid, syscall.SIGKILL) })
	defer done.Stop()
	_ = v.cmd.Wait() // how it ends is not measured
}

// Describe returns the version, "?" if it is not known.
func (k *Kind) Describe(ctx context.Context, s Setting) string {
	args := make([]string, len(k.Version))
	for i, a := range k.Version {
		args[i], _ = fill(a, s) // a constant template
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).Output() //nolint:gosec // our own table
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(out))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(port)
	return n, errors.Join(err, l.Close())
}

func writeFile(path, text string, s Setting) error {
	content, err := fill(text, s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // read by another user
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644) //nolint:gosec // read by another user
}

func fill(text string, s Setting) (string, error) {
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, s)
	return out.String(), err
}

// Installed says what is missing for it.
func (k *Kind) Installed() error {
	program := k.Command[0]
	if strings.HasPrefix(program, "{{") {
		return nil
	}
	if _, err := exec.LookPath(program); err != nil {
		return errors.New(k.Title + " is not installed")
	}
	return nil
}
