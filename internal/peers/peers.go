package main

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

// kind is a program that is compared.
type kind struct {
	name    string
	title   string
	irc     bool
	account string // the user it runs as if we are root; "" for ours
	files   map[string]string
	command []string
	version []string // prints it
	process string   // whose CPU counts; "" for the one that is started
}

// setting is what the templates of a kind are filled with.
type setting struct {
	Dir     string // of this server
	Muster  string // the program
	Port    int
	Archive bool

	Certificate, Key string // PEM
}

// server is one that runs.
type server struct {
	*kind
	addr string
	pid  int
	cmd  *exec.Cmd
	log  bytes.Buffer
}

// startTimeout bounds the start of a server.
const startTimeout = time.Minute

// start runs a server of this kind with files of its own below dir.
func (k *kind) start(ctx context.Context, dir string, s setting) (*server, error) {
	dir, err := os.MkdirTemp(dir, k.name)
	if err != nil {
		return nil, err
	}
	s.Dir = dir
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	for name, text := range k.files {
		if err := writeFile(filepath.Join(dir, name), text, s); err != nil {
			return nil, err
		}
	}
	if err := k.own(dir); err != nil {
		return nil, err
	}
	args := make([]string, len(k.command))
	for i, a := range k.command {
		if args[i], err = fill(a, s); err != nil {
			return nil, err
		}
	}
	v := &server{kind: k, addr: "127.0.0.1:" + strconv.Itoa(s.Port)}
	v.cmd = exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // our own table
	v.cmd.Dir, v.cmd.Stdout, v.cmd.Stderr = dir, &v.log, &v.log
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: k.credential()}
	v.cmd.Env = append(os.Environ(), "HOME="+dir)
	v.cmd.Cancel = func() error { return syscall.Kill(-v.cmd.Process.Pid, syscall.SIGTERM) }
	v.cmd.WaitDelay = 10 * time.Second
	if err := v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", k.title, err)
	}
	if err := v.await(ctx); err != nil {
		v.stop()
		return nil, err
	}
	return v, nil
}

// own gives the files to the server's user.
func (k *kind) own(dir string) error {
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
func (k *kind) credential() *syscall.Credential {
	if k.account == "" || os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(k.account)
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
func (v *server) await(ctx context.Context) error {
	var d net.Dialer
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		conn, err := d.DialContext(ctx, "tcp", v.addr)
		if err == nil {
			_ = conn.Close() // only asked whether it accepts
			break
		}
		if time.Since(begun) > startTimeout || ctx.Err() != nil {
			return fmt.Errorf("%s does not accept connections: %w\n%s", v.title, err, v.log.String())
		}
	}
	v.pid = v.cmd.Process.Pid
	if v.process == "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, "pgrep", "-g", strconv.Itoa(v.pid), v.process).Output() //nolint:gosec // our own table
	if err != nil {
		return fmt.Errorf("find the process of %s: %w", v.title, err)
	}
	v.pid, err = strconv.Atoi(strings.Fields(string(out))[0])
	return err
}

// stop ends the server and everything that it has started.
func (v *server) stop() {
	_ = syscall.Kill(-v.cmd.Process.Pid, syscall.SIGTERM)
	done := time.AfterFunc(15*time.Second, func() { _ = syscall.Kill(-v.cmd.Process.Pid, syscall.SIGKILL) })
	defer done.Stop()
	_ = v.cmd.Wait() // how it ends is not measured
}

// describe returns the version.
func (k *kind) describe(ctx context.Context, s setting) string {
	args := make([]string, len(k.version))
	for i, a := range k.version {
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

func writeFile(path, text string, s setting) error {
	content, err := fill(text, s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // read by another user
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644) //nolint:gosec // read by another user
}

func fill(text string, s setting) (string, error) {
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, s)
	return out.String(), err
}

// installed says what is missing for it.
func (k *kind) installed() error {
	program := k.command[0]
	if strings.HasPrefix(program, "{{") {
		return nil
	}
	if _, err := exec.LookPath(program); err != nil {
		return errors.New(k.title + " is not installed: bench/compare.sh installs it")
	}
	return nil
}
