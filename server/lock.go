package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockName is the file in a data directory that its server holds locked. With
// SQLite it is the store that does so.
const lockName = "lock"

// prepareDataDir makes the data directory if it is not there, and finds out
// whether this user may write to it.
func prepareDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dirError(dir, "made", err)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return dirError(dir, "written to", err)
	}
	return nil
}

// lockDataDir keeps a second server out of dir: it would take over the admin
// socket. The lock ends with the process, however that ends.
func lockDataDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, dirError(dir, "written to", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fmt.Errorf("data directory %s is in use by another process: stop that one, or give this one its own data_dir", dir)
	case err != nil:
		err = fmt.Errorf("data directory %s: lock it: %w", dir, err)
	default:
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}

// dirError says what cannot be done to a data directory, and what to do.
func dirError(dir, what string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	remedy := ""
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		remedy = ": let this user write there, or set another general.data_dir"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		remedy = ": set another general.data_dir"
	}
	return fmt.Errorf("data directory %s cannot be %s: %w%s", dir, what, err, remedy)
}
