package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockName is the file in a data directory that its server holds locked.
const lockName = "server.lock"

// dataDir is a data directory in use. The lock ends with the process, however
// that ends.
type dataDir struct{ lock *os.File }

// openDataDir makes a data directory if it is not there and locks it: two
// servers on the same data would each believe to own the rooms.
func openDataDir(dir string) (*dataDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, dirError(dir, "make", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, dirError(dir, "write to", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := lockHolder(f)
		err = lockError(dir, holder, err)
		return nil, errors.Join(err, f.Close())
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(dirError(dir, "write to", err), f.Close())
	}
	return &dataDir{f}, nil
}

// close gives the directory back.
func (d *dataDir) close() error { return d.lock.Close() }

func lockHolder(f *os.File) string {
	data, _ := io.ReadAll(io.LimitReader(f, 32))
	if pid := strings.TrimSpace(string(data)); pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

func lockError(dir, holder string, err error) error {
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("data directory %s: another server%s uses it: stop that one or set another general.data_dir", dir, holder)
	}
	return fmt.Errorf("data directory %s: lock it: %w", dir, err)
}

func dirError(dir, what string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("data directory %s: cannot %s it (%w): let this user write there or set another general.data_dir", dir, what, err)
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("data directory %s: something on this path is no directory: set another general.data_dir", dir)
	}
	return fmt.Errorf("data directory %s: cannot %s it: %w", dir, what, err)
}
