package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// socketMode lets only the user who runs the server connect.
const socketMode = 0o600

// maxSocketPath is what a socket address holds on the smallest of the common
// systems (104 bytes with the final zero; 108 on Linux).
const maxSocketPath = 103

// Listen makes the local socket in dir. A socket that a killed server has left
// there is replaced: the caller holds the lock of the data directory, so
// nobody is listening on it.
func Listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	// The socket is made in a directory of its own, which nobody else can
	// enter, so that there is no moment at which its mode is not yet set.
	nursery, err := os.MkdirTemp(dir, ".s")
	if err != nil {
		return nil, fmt.Errorf("make the admin socket: %w", err)
	}
	defer os.RemoveAll(nursery) //nolint:errcheck // empty by then; leaving it behind does no harm
	born := filepath.Join(nursery, "s")
	if len(born) > maxSocketPath {
		return nil, fmt.Errorf("%s: the path is too long for a socket by %d bytes: choose a shorter data directory",
			path, len(born)-maxSocketPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: born, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make the admin socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // it would remove born
	if err := errors.Join(os.Chmod(born, socketMode), os.Rename(born, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("make the admin socket: %w", err), l.Close())
	}
	return &socket{UnixListener: l, path: path}, nil
}

// socket removes its path when it is closed.
type socket struct {
	*net.UnixListener
	path string
}

// Close stops listening and removes the socket.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if e := os.Remove(s.path); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}
