// Package sdnotify speaks systemd's protocol for services: it tells the service
// manager how the process is doing (sd_notify(3)), and takes over sockets that
// the manager has opened (sd_listen_fds(3)). Without a service manager it does
// nothing. It has no goroutines; telling blocks only while the manager's queue
// of datagrams is full, and not for long.
package sdnotify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sendTimeout bounds one message.
const sendTimeout = time.Second

// firstFD is the first file descriptor that is passed (SD_LISTEN_FDS_START).
const firstFD = 3

// Notifier tells the service manager about this process. Its methods do nothing
// if there is none; errors say that it cannot be told, and nothing else is
// wrong then.
type Notifier struct {
	addr     *net.UnixAddr // nil: no manager
	watchdog time.Duration
}

// New returns the notifier that the environment asks for.
func New(getenv func(string) string) *Notifier {
	n := &Notifier{}
	path := getenv("NOTIFY_SOCKET")
	if path == "" || path[0] != '/' && path[0] != '@' { // net reads "@" as an abstract address, as systemd does
		return n
	}
	n.addr = &net.UnixAddr{Name: path, Net: "unixgram"}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if pid := getenv("WATCHDOG_PID"); err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// WatchdogInterval is how often Alive must be called, 0 if nobody waits for it:
// half the time after which the manager takes the process for hung.
func (n *Notifier) WatchdogInterval() time.Duration { return n.watchdog / 2 }

// Ready says that the start or a reload has come to its end.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", "STATUS="+status) }

// Reloading says that a reload has begun; Ready must follow.
func (n *Notifier) Reloading() error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return err
	}
	return n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", ts.Nano()/int64(time.Microsecond)))
}

// Stopping says that the end has begun.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1", "STATUS=ending") }

// Alive says that the process is not hung.
func (n *Notifier) Alive() error { return n.send("WATCHDOG=1") }

// send sends one datagram. A line per assignment; a status must not bring more.
func (n *Notifier) send(lines ...string) error {
	if n.addr == nil {
		return nil
	}
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], "\n", " ")
	}
	conn, err := net.DialUnix("unixgram", nil, n.addr)
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer conn.Close() //nolint:errcheck // a datagram is sent whole or not at all
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// Listeners returns the sockets that the service manager has opened for this
// process, none if there are none.
func Listeners(getenv func(string) string) ([]net.Listener, error) {
	count, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || count < 1 || getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil //nolint:nilerr // they are not for us
	}
	list := make([]net.Listener, 0, count)
	for fd := firstFD; fd < firstFD+count; fd++ {
		unix.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), fmt.Sprintf("socket %d of the service manager", fd-firstFD))
		l, err := net.FileListener(f) // a copy
		_ = f.Close()
		if err != nil {
			for _, l := range list {
				_ = l.Close()
			}
			return nil, fmt.Errorf("%s: it does not accept connections: %w", f.Name(), err)
		}
		list = append(list, l)
	}
	return list, nil
}
