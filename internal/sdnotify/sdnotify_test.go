package sdnotify_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/sdnotify"
)

const childVariable = "MUSTER_TEST_CHILD"

// TestMain lets the test binary be a service with passed sockets.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	list, err := sdnotify.Listeners(func(name string) string {
		if name == "LISTEN_PID" { // known only to whoever forks and execs himself
			return strconv.Itoa(os.Getpid())
		}
		return os.Getenv(name)
	})
	if err != nil {
		fmt.Println("error:", err)
	}
	for _, l := range list {
		fmt.Println(l.Addr())
	}
	os.Exit(0)
}

// environment is a process environment.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if value, ok := strings.CutPrefix(p, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, address := range map[string]string{
		"in the file system": filepath.Join(dir, "notify"),
		"abstract":           fmt.Sprintf("@muster-test-%d", os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer manager.Close()
			n := sdnotify.New(environment("NOTIFY_SOCKET=" + address))
			for _, step := range []struct {
				tell func() error
				want string
			}{
				{func() error { return n.Ready("two\nlines") }, `READY=1\nSTATUS=two lines`},
				{n.Reloading, `RELOADING=1\nMONOTONIC_USEC=[1-9]\d+`},
				{n.Alive, `WATCHDOG=1`},
				{n.Stopping, `STOPPING=1\nSTATUS=ending`},
			} {
				if err := step.tell(); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 512)
				k, err := manager.Read(buf)
				if got := string(buf[:k]); err != nil || !regexp.MustCompile("^"+step.want+"$").MatchString(got) {
					t.Errorf("got %q (%v), want %q", got, err, step.want)
				}
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	for _, env := range []string{"", "NOTIFY_SOCKET=", "NOTIFY_SOCKET=vsock:2:1"} {
		if err := sdnotify.New(environment(env)).Ready("up"); err != nil {
			t.Errorf("%s: %v", env, err)
		}
	}
	if err := sdnotify.New(environment("NOTIFY_SOCKET=/nowhere/notify")).Ready("up"); err == nil {
		t.Error("a socket that is not there: no error")
	}
}

func TestWatchdogInterval(t *testing.T) {
	t.Parallel()
	own := "WATCHDOG_PID=" + strconv.Itoa(os.Getpid())
	for _, test := range []struct {
		name string
		env  []string
		want time.Duration
	}{
		{"wanted", []string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=30000000", own}, 15 * time.Second},
		{"of any process", []string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=30000000"}, 15 * time.Second},
		{"of another process", []string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=30000000", "WATCHDOG_PID=1"}, 0},
		{"not wanted", []string{"NOTIFY_SOCKET=/x"}, 0},
		{"no number", []string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=soon"}, 0},
		{"no manager", []string{"WATCHDOG_USEC=30000000", own}, 0},
	} {
		if got := sdnotify.New(environment(test.env...)).WatchdogInterval(); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// A child process finds the sockets that it was given.
func TestListeners(t *testing.T) {
	t.Parallel()
	var files []*os.File
	want := ""
	for range 2 {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
		want += l.Addr().String() + "\n"
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, test := range []struct {
		name  string
		files []*os.File
		env   string
		want  string
	}{
		{"two", files, "LISTEN_FDS=2", want},
		{"none", nil, "LISTEN_FDS=", ""},
		{"no socket", []*os.File{null}, "LISTEN_FDS=1", "error: socket 0 of the service manager: it does not accept connections"},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"=1", test.env)
		cmd.ExtraFiles = test.files
		out, err := cmd.Output()
		if err != nil || !strings.HasPrefix(string(out), test.want) || test.want == "" && len(out) > 0 {
			t.Errorf("%s: got %q (%v), want %q", test.name, out, err, test.want)
		}
	}
	if list, err := sdnotify.Listeners(environment("LISTEN_FDS=2", "LISTEN_PID=1")); list != nil || err != nil {
		t.Errorf("sockets of another process: %v, %v", list, err)
	}
}
