package sqlstore

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The files of a data directory. Another user must not read them.
const (
	lockFile    = "lock"
	metaFile    = "muster.db"
	archiveFile = "archive.db"

	dirMode  = 0o700
	fileMode = 0o600
)

// SQLite's readers per file.
const sqliteReaders = 4

// openSQLite locks the data directory and opens its files.
func (db *DB) openSQLite(o Options) error {
	if o.Dir == "" {
		return errors.New("no data directory given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	if db.lock, err = lockDir(dir); err != nil {
		return err
	}
	if db.meta, err = openFile("meta", filepath.Join(dir, metaFile), o.Durability); err != nil {
		return err
	}
	db.archive, err = openFile("archive", filepath.Join(dir, archiveFile), o.Durability)
	return err
}

// lockDir takes the lock that keeps a second server out of dir. The kernel
// gives it back when the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		pid := strings.TrimSpace(string(holder))
		if pid == "" {
			pid = "unknown"
		}
		return nil, fmt.Errorf(
			"data directory %s is in use by another process (pid %s): stop that one, or give this one its own data_dir", dir, pid)
	}
	if err := writePID(f); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	return f, nil
}

// writePID says in the lock who holds it.
func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(f, os.Getpid())
	return err
}

// openFile opens one database file.
func openFile(name, path, durability string) (*database, error) {
	// SQLite would create the file readable by everybody; its log and shared
	// memory get the mode of the file.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, explainSQLite(path, err)
	}
	d := &database{
		dialect: sqlite, name: name, path: path, explain: func(err error) error { return explainSQLite(path, err) },
	}
	if d.writer, err = openSQLite(sqliteDSN(path, durability, false)); err != nil {
		return nil, err
	}
	d.writer.SetMaxOpenConns(1)
	if d.reader, err = openSQLite(sqliteDSN(path, durability, true)); err != nil {
		return nil, errors.Join(err, d.writer.Close())
	}
	d.reader.SetMaxOpenConns(sqliteReaders)
	d.reader.SetMaxIdleConns(sqliteReaders)
	return d, nil
}

// sqliteDSN is the address of a file with the settings of a connection to it.
func sqliteDSN(path, durability string, readOnly bool) string {
	synchronous := "FULL"
	if durability == DurabilityProcess {
		synchronous = "NORMAL"
	}
	v := url.Values{}
	v.Set("_txlock", "immediate")
	for _, p := range []string{
		"journal_mode(WAL)",
		"busy_timeout(5000)", // for backups and administrators' shells
		"synchronous(" + synchronous + ")",
		"foreign_keys(1)",
		"wal_autocheckpoint(0)", // never in somebody's commit, see checkpointer
		fmt.Sprintf("journal_size_limit(%d)", walKeep),
		"cache_size(-16384)",
	} {
		v.Add("_pragma", p)
	}
	if readOnly {
		v.Add("_pragma", "query_only(1)") // still lets it checkpoint
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: v.Encode()}).String()
}
