package muster_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// docBlock is a block of code in a document: a file if its first line names one,
// else commands.
type docBlock struct{ kind, text string }

var fileName = regexp.MustCompile(`^(?://|#) ([a-z_]+\.(?:go|toml))\n`)

// docBlocks returns the blocks of code of a document.
func docBlocks(t *testing.T, path string) (list []docBlock) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range strings.Split(string(data), "\n```") {
		if kind, text, found := strings.Cut(part, "\n"); i%2 == 1 && found {
			list = append(list, docBlock{kind, text + "\n"})
		}
	}
	return list
}

// reader is somebody who follows a document in a directory.
type reader struct {
	t      *testing.T
	dir    string
	env    []string
	server *exec.Cmd // nil: none runs
	log    *bytes.Buffer
}

// shell runs commands, the first that fails ends them.
func (r *reader) shell(commands string) (output string, err error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", commands)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// serve starts the server and waits until it accepts clients.
func (r *reader) serve(command string) {
	r.t.Helper()
	r.stop() // as the document says
	r.server = exec.CommandContext(context.WithoutCancel(r.t.Context()), "sh", "-c", "exec "+command)
	r.server.Dir, r.server.Env, r.log = r.dir, r.env, new(bytes.Buffer)
	stderr, err := r.server.StderrPipe()
	if err == nil {
		err = r.server.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		r.log.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), `msg="server started"`) {
			go io.Copy(io.Discard, stderr) //nolint:errcheck // ends with the server
			return
		}
	}
	r.t.Fatalf("the server has not started: %v\n%s", r.server.Wait(), r.log)
}

// stop ends the server by what Ctrl-C does.
func (r *reader) stop() {
	r.t.Helper()
	if r.server == nil {
		return
	}
	if err := errors.Join(r.server.Process.Signal(syscall.SIGINT), r.server.Wait()); err != nil {
		r.t.Errorf("the server ended with %v", err)
	}
	r.server = nil
}

// follow does what a block says.
func (r *reader) follow(b docBlock) {
	r.t.Helper()
	if m := fileName.FindStringSubmatch(b.text); m != nil {
		text := strings.Replace(b.text, "port = 5222", "port = 0", 1) // another server may run here
		if err := os.WriteFile(filepath.Join(r.dir, m[1]), []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
		return
	}
	switch b.kind {
	case "sh":
		if out, err := r.shell(b.text); err != nil {
			r.t.Fatalf("%v\n%s%s", err, b.text, out)
		}
	case "sh fails":
		out, err := r.shell(b.text)
		if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 1 || !strings.Contains(out, "Mind your language") {
			r.t.Fatalf("got %v, want the exit status 1\n%s%s", err, b.text, out)
		}
	case "sh serve":
		r.serve(b.text)
	default:
		r.t.Fatalf("a block of kind %q, which nobody can follow:\n%s", b.kind, b.text)
	}
}

// TestExtendingDocument follows docs/extending.md word by word in an empty
// directory outside the tree, and without a network.
func TestExtendingDocument(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a server")
	}
	t.Parallel()
	dir, err := os.MkdirTemp("", "mychat") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tree, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, dir: dir, env: append(os.Environ(), "MUSTER="+tree, "GOPROXY=off", "GOFLAGS=", "GOWORK=off")}
	t.Cleanup(r.stop)
	for _, b := range docBlocks(t, "docs/extending.md") {
		r.follow(b)
	}
	if !strings.Contains(r.log.String(), "msg=hello extension=hello") {
		t.Errorf("the first extension has not said that it is there:\n%s", r.log)
	}
	for command, want := range map[string]string{
		"./mychat --help":                  "[modules.filter]",
		"./mychat room show lobby":         "The lobby",
		"./mychat room history lobby":      "The server has been started.",
		"./mychat room affiliations lobby": "juliet@localhost",
		"./mychat room config coven":       "x-greeting",
		"./mychat init -":                  "[modules.filter]",
	} {
		if out, err := r.shell(command); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, want %q in\n%s", command, err, want, out)
		}
	}
}
