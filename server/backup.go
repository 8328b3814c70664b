package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/backup"
	"github.com/muster-im/muster/internal/sqlstore"
)

// Directories and files in a data directory that are there for a while.
const (
	backupPrefix  = ".backup-"  // copies that are made for a backup
	restorePrefix = ".restore-" // files of a backup, not in use yet
	restoreMark   = "restoring" // while files of a backup come into use
	replacedName  = "replaced-" // what a restored backup has replaced
	replacedTime  = "20060102T150405.000Z"
)

// errBackupRuns refuses a second backup at the same time.
var errBackupRuns = errors.New("a backup is under way already: wait for its end")

// Backup prepares a backup while the server runs. The caller closes it.
// progress, if set, is told what is done and how far that is.
func (s *Server) Backup(ctx context.Context, progress func(step string, done, total int64)) (*backup.Prepared, error) {
	if err := mayWait("back up"); err != nil {
		return nil, err
	}
	cfg := s.config.Load()
	if err := CanBackup(cfg); err != nil {
		return nil, err
	}
	if !s.backup.TryLock() {
		return nil, errBackupRuns
	}
	begin := time.Now()
	p, err := prepareBackup(ctx, cfg.General.DataDir, cfg.General.Hosts, progress)
	if err != nil {
		s.backup.Unlock()
		return nil, err
	}
	p.Release = func() error { s.backup.Unlock(); return nil }
	s.log.LogAttrs(ctx, slog.LevelInfo, "backup made", slog.Int64("bytes", p.Size()), slog.Duration("took", time.Since(begin)))
	return p, nil
}

// BackupStopped prepares a backup of a data directory whose server does not
// run, and keeps it from starting until the caller has closed the backup. hosts
// are for information.
func BackupStopped(ctx context.Context, dir string, hosts []string, progress func(step string, done, total int64)) (*backup.Prepared, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be read: %w", dir, pathless(err))
	}
	if !sqlstore.HasSQLite(dir) {
		return nil, fmt.Errorf("there are no databases in %s: is it the right data directory?", dir)
	}
	lock, err := sqlstore.LockDir(dir)
	if err != nil {
		return nil, err
	}
	err = checkRestoring(dir)
	if err == nil {
		var p *backup.Prepared
		if p, err = prepareBackup(ctx, dir, hosts, progress); err == nil {
			p.Release = lock.Close
			return p, nil
		}
	}
	return nil, errors.Join(err, lock.Close())
}

// pathless is an error of a file without the file's name.
func pathless(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// CanBackup reports whether backups of a server with this configuration are
// made here; the error says what makes them otherwise.
func CanBackup(cfg *config.Config) error {
	if cfg.Storage.Driver != sqlstore.Postgres {
		return nil
	}
	dump, _ := sqlstore.DumpCommands(string(cfg.Storage.URL))
	return fmt.Errorf("storage.driver is postgres, whose own program makes backups while the server runs: %s", dump)
}

// CanRestore reports whether backups are restored here; the error says what
// restores them otherwise.
func CanRestore(cfg *config.Config) error {
	if cfg.Storage.Driver != sqlstore.Postgres {
		return nil
	}
	_, restore := sqlstore.DumpCommands(string(cfg.Storage.URL))
	return fmt.Errorf("storage.driver is postgres, whose own program restores what pg_dump has written, while the server is stopped: %s", restore)
}

// prepareBackup copies what belongs into a backup to a directory in dir.
func prepareBackup(ctx context.Context, dir string, hosts []string, progress func(step string, done, total int64)) (p *backup.Prepared, err error) {
	if err := removeLeftovers(dir); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(dir, backupPrefix)
	if err != nil {
		return nil, dirError(dir, "written to", err)
	}
	p = &backup.Prepared{Dir: work, Manifest: backup.Manifest{
		Format: backup.Format, Created: time.Now().UTC(), Program: Version(), Hosts: hosts,
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
			p = nil
		}
	}()
	databases, err := sqlstore.CopySQLite(ctx, dir, work, progress)
	if err != nil {
		return p, err
	}
	for _, db := range databases {
		f, err := backup.Digest(filepath.Join(work, db.Name))
		if err != nil {
			return p, err
		}
		f.Schema, f.Rows = db.Schema, db.Rows
		p.Manifest.Files = append(p.Manifest.Files, f)
	}
	return p, addCertificate(p, dir)
}

// addCertificate adds the certificate that was made for development, which
// people have told their clients to trust.
func addCertificate(p *backup.Prepared, dir string) error {
	certFile, keyFile := selfSignedPaths(dir)
	if _, err := readKeyPair(certFile, keyFile); err != nil {
		return nil //nolint:nilerr // there is none, or none that is of use
	}
	for _, file := range []string{certFile, keyFile} {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		to := filepath.Join(p.Dir, filepath.Base(file))
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return err
		}
		f, err := backup.Digest(to)
		if err != nil {
			return err
		}
		p.Manifest.Files = append(p.Manifest.Files, f)
	}
	return nil
}

// removeLeftovers removes what a killed backup or restore has left in dir,
// whose lock the caller holds.
func removeLeftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return dirError(dir, "read", err)
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), backupPrefix) || strings.HasPrefix(e.Name(), restorePrefix) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// RestoreOptions say how to restore.
type RestoreOptions struct {
	// Replace moves what is in the directory aside instead of refusing.
	Replace  bool
	Progress func(step string, done, total int64) // may be nil
}

// Restored says what Restore has done.
type Restored struct {
	Manifest *backup.Manifest
	// Replaced is the directory with what was there before, "" if nothing was.
	Replaced string
}

// Restore reads a backup, checks all of it and puts its files into the data
// directory dir, which is made if it is missing and must else be empty. What
// goes wrong before the last step leaves the directory as it was.
func Restore(ctx context.Context, dir string, from io.Reader, o RestoreOptions) (r Restored, err error) {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	_, missing := os.Stat(dir)
	if err := prepareDataDir(dir); err != nil {
		return r, err
	}
	lock, err := sqlstore.LockDir(dir)
	if err != nil {
		return r, err
	}
	defer func() {
		if err = errors.Join(err, lock.Close()); err != nil && missing != nil { // as it was
			_ = os.Remove(filepath.Join(dir, lockName))
			_ = os.Remove(dir) // unless something is in it
		}
	}()
	if err := removeLeftovers(dir); err != nil {
		return r, err
	}
	present, err := contents(dir)
	if err != nil {
		return r, err
	}
	if len(present) > 0 && !o.Replace {
		return r, fmt.Errorf("data directory %s is not empty (it has %s): name an empty one, or let --replace move what is there aside",
			dir, strings.Join(present, ", "))
	}
	work, err := os.MkdirTemp(dir, restorePrefix)
	if err != nil {
		return r, dirError(dir, "written to", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if r.Manifest, err = backup.Read(cancellable{ctx, from}, work, func(done, total int64) { o.Progress("read", done, total) }); err != nil {
		return r, err
	}
	if err := checkRestored(ctx, work, r.Manifest, o.Progress); err != nil {
		return r, err
	}
	r.Replaced, err = install(dir, work, present, r.Manifest)
	return r, err
}

// cancellable is a reader that ends with a context.
type cancellable struct {
	ctx context.Context //nolint:containedctx // lives as long as one call
	io.Reader
}

// Read reads unless the context has ended.
func (c cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

// contents are the names in a data directory, without those that are no data.
func contents(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, dirError(dir, "read", err)
	}
	var names []string
	for _, e := range entries {
		switch name := e.Name(); {
		case name == lockName, name == admin.SocketName, name == "lost+found", strings.HasPrefix(name, replacedName):
		default:
			names = append(names, name)
		}
	}
	return names, nil
}

// checkRestored makes sure that a server will start with the files in work.
func checkRestored(ctx context.Context, work string, m *backup.Manifest, progress func(string, int64, int64)) error {
	databases := 0
	for i := range m.Files {
		f := &m.Files[i]
		if f.Rows == nil {
			continue
		}
		databases++
		progress("check "+f.Name, 0, f.Size)
		c, err := sqlstore.CheckSQLite(ctx, filepath.Join(work, f.Name))
		if err != nil {
			return err
		}
		for table, n := range f.Rows {
			if c.Rows[table] != n {
				return fmt.Errorf("%s has %d rows of table %s instead of %d: %w", f.Name, c.Rows[table], table, n, backup.ErrDamaged)
			}
		}
		progress("check "+f.Name, f.Size, f.Size)
	}
	if databases == 0 {
		return backup.ErrNotBackup
	}
	return nil
}

// install moves what is in dir aside and the files of a backup in its place. A
// mark keeps servers from starting on one half of it.
func install(dir, work string, present []string, m *backup.Manifest) (replaced string, err error) {
	mark := filepath.Join(dir, restoreMark)
	if err := writeFile(mark, nil, 0o600); err != nil {
		return "", err
	}
	if len(present) > 0 {
		replaced = filepath.Join(dir, replacedName+time.Now().UTC().Format(replacedTime))
		if err := os.Mkdir(replaced, 0o700); err != nil {
			return "", err
		}
	}
	for _, name := range present {
		if name == restoreMark {
			continue
		}
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(replaced, name)); err != nil {
			return replaced, err
		}
	}
	for i := range m.Files {
		name := m.Files[i].Name
		if err := os.Rename(filepath.Join(work, name), filepath.Join(dir, name)); err != nil {
			return replaced, err
		}
	}
	if err := errors.Join(giveToOwner(dir, replaced, m), syncDir(dir)); err != nil {
		return replaced, err
	}
	return replaced, errors.Join(os.Remove(mark), syncDir(dir))
}

// giveToOwner gives what root has made in dir to the user whose directory it is:
// the one whom the server runs as.
func giveToOwner(dir, replaced string, m *backup.Manifest) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	paths := []string{filepath.Join(dir, lockName)}
	if replaced != "" {
		paths = append(paths, replaced)
	}
	for i := range m.Files {
		paths = append(paths, filepath.Join(dir, m.Files[i].Name))
	}
	var errs []error
	for _, path := range paths {
		errs = append(errs, os.Chown(path, int(owner.Uid), int(owner.Gid)))
	}
	return errors.Join(errs...)
}

// syncDir brings the names in a directory to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkRestoring refuses a directory in which a restore was cut short.
func checkRestoring(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, restoreMark)); err != nil {
		return nil //nolint:nilerr // no restore is under way
	}
	return fmt.Errorf("data directory %s: a restore has not come to its end: run \"muster restore --replace\" again", dir)
}
