package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/backup"
	"github.com/muster-im/muster/server"
)

type backupCommand struct {
	File  string `arg:"" help:"File to write."`
	Force bool   `short:"f" help:"Replace the file if it is there."`
	socketFlags
}

// Help says what is in a backup.
func (backupCommand) Help() string {
	return `The server may run meanwhile, and nobody waits for the backup. Everything in
data_dir that belongs to the server is in the file: accounts, contacts, waiting
messages, rooms with their messages, the self-made certificate. Not in it: the
configuration, and certificates elsewhere. The file is checked to its end before
it gets its name. Keep it as secret as the data directory.

With PostgreSQL use pg_dump; the command says how. Examples:

    muster backup muster.backup
    muster backup --config /etc/muster/muster.toml /var/backups/muster-$(date +%F)
    muster backup muster.backup --force --json`
}

// backupResult is what backup and restore print with --json.
type backupResult struct {
	File     string        `json:"file"`
	DataDir  string        `json:"data_dir,omitempty"`
	Created  time.Time     `json:"created"`
	Program  string        `json:"program"`
	Hosts    []string      `json:"hosts,omitempty"`
	Bytes    int64         `json:"bytes"`
	Files    []backup.File `json:"files"`
	Replaced string        `json:"replaced,omitempty"`
}

// Run makes a backup.
func (c *backupCommand) Run(ctx context.Context, e *env) error {
	m, err := c.run(ctx, e)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	info, err := os.Stat(c.File)
	if err != nil {
		return err
	}
	if c.JSON {
		return e.printJSON(backupResult{
			File: c.File, Created: m.Created, Program: m.Program, Hosts: m.Hosts, Bytes: info.Size(), Files: m.Files,
		})
	}
	flag := ""
	switch {
	case c.DataDir != "":
		flag = " --data-dir " + c.DataDir
	case c.Config != "":
		flag = " --config " + c.Config
	}
	e.printf("wrote %s (%s, %s), checked; %q brings it back\n",
		c.File, inBytes(info.Size()), contentsOf(m), "muster restore"+flag+" "+c.File)
	return nil
}

// contentsOf says in a few words what is in a backup.
func contentsOf(m *backup.Manifest) string {
	rows := make(map[string]int64)
	for i := range m.Files {
		maps.Copy(rows, m.Files[i].Rows)
	}
	return fmt.Sprintf("%d accounts, %d rooms, %d messages", rows["accounts"], rows["rooms"], rows["archive"])
}

func (c *backupCommand) run(ctx context.Context, e *env) (*backup.Manifest, error) {
	if _, err := os.Lstat(c.File); err == nil && !c.Force {
		return nil, fmt.Errorf("%s is there already: --force replaces it", c.File)
	}
	dir := filepath.Dir(c.File)
	f, err := os.CreateTemp(dir, "."+filepath.Base(c.File)+"-") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written: %w", c.File, pathless(err))
	}
	m, err := c.write(ctx, e, f)
	if err = errors.Join(err, f.Close()); err == nil {
		err = errors.Join(os.Rename(f.Name(), c.File), syncDir(dir))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // or what is left of it
		return nil, err
	}
	return m, nil
}

// write writes the backup to f and reads it again.
func (c *backupCommand) write(ctx context.Context, e *env, f *os.File) (*backup.Manifest, error) {
	bar := newProgress(e)
	defer bar.end()
	size := int64(0)
	client, err := c.client(e)
	if err != nil {
		return nil, err
	}
	to := writerFunc(func(p []byte) (int, error) {
		n, err := f.Write(p)
		bar.add("write", int64(n), size)
		return n, err
	})
	err = client.Backup(ctx, to, func(p admin.BackupProgress) {
		size = cmp.Or(p.Size, size)
		bar.show(p.Step, p.Done, p.Total)
	})
	if errors.Is(err, admin.ErrNotRunning) {
		err = c.stopped(ctx, e, to, bar, &size)
	}
	if err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return backup.Read(f, "", func(done, total int64) { bar.show("check "+c.File, done, total) })
}

// stopped makes the backup while no server runs.
func (c *backupCommand) stopped(ctx context.Context, e *env, to io.Writer, bar *progress, size *int64) error {
	dir := c.DataDir
	var hosts []string
	if dir == "" {
		cfg, err := e.loadConfig(c.Config)
		if err == nil {
			err = server.CanBackup(cfg)
		}
		if err != nil {
			return err
		}
		dir, hosts = cfg.General.DataDir, cfg.General.Hosts
	}
	p, err := server.BackupStopped(ctx, dir, hosts, bar.show)
	if err != nil {
		return err
	}
	*size = p.Size()
	return errors.Join(p.Write(to), p.Close())
}

type restoreCommand struct {
	File    string `arg:"" help:"File that \"muster backup\" has written."`
	Replace bool   `help:"Move what is in the data directory aside, into a directory in it."`
	socketFlags
}

// Help says what restore does.
func (restoreCommand) Help() string {
	return `The server must be stopped and its data directory empty; with --replace what is
there is moved into a new directory replaced-TIME in it, to be deleted once all is
well. The whole file is checked first: if anything is wrong with it, nothing
changes. Backups of older versions are brought up to date by the next start.
Examples:

    muster restore muster.backup
    muster restore --config /etc/muster/muster.toml --replace muster.backup`
}

// Run restores a backup.
func (c *restoreCommand) Run(ctx context.Context, e *env) error {
	r, dir, err := c.run(ctx, e)
	if err != nil {
		return fmt.Errorf("restore %s: %w", c.File, err)
	}
	if c.JSON {
		m := r.Manifest
		return e.printJSON(backupResult{
			File: c.File, DataDir: dir, Created: m.Created, Program: m.Program, Hosts: m.Hosts, Bytes: m.Size(), Files: m.Files, Replaced: r.Replaced,
		})
	}
	e.printf("restored %s to %s: %s, as of %s\n", c.File, dir, contentsOf(r.Manifest), r.Manifest.Created.Local().Format(time.DateTime))
	if r.Replaced != "" {
		e.printf("what was there is in %s now: delete that once all is well\n", r.Replaced)
	}
	return nil
}

func (c *restoreCommand) run(ctx context.Context, e *env) (r server.Restored, dir string, err error) {
	dir = c.DataDir
	if dir == "" {
		cfg, err := e.loadConfig(c.Config)
		if err == nil {
			err = server.CanRestore(cfg)
		}
		if err != nil {
			return r, "", err
		}
		dir = cfg.General.DataDir
	}
	f, err := os.Open(c.File)
	if err != nil {
		return r, "", pathless(err)
	}
	defer f.Close() //nolint:errcheck // only read from
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return r, "", errors.Join(err, backup.ErrNotBackup)
	}
	bar := newProgress(e)
	defer bar.end()
	// Before anything is made on the disk.
	if _, err := backup.Read(f, "", func(done, total int64) { bar.show("check "+c.File, done, total) }); err != nil {
		return r, "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return r, "", err
	}
	r, err = server.Restore(ctx, dir, f, server.RestoreOptions{Replace: c.Replace, Progress: bar.show})
	return r, dir, err
}

// pathless is an error of a file without the file's name.
func pathless(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// syncDir brings the names in a directory to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writerFunc is a function that writes.
type writerFunc func(p []byte) (int, error)

// Write calls the function.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// inBytes is a size as people read it.
func inBytes(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", (n+1023)>>10)
}
