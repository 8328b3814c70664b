package sqlstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/store"
)

func TestDataDirectoryIsLocked(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by", "us")
	open := opener(t, Options{Driver: SQLite, Dir: dir})
	first := open()
	_, err := Open(t.Context(), Options{Driver: SQLite, Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use by another process (pid ") ||
		!strings.Contains(err.Error(), "data_dir") {
		t.Fatalf("second Open: got %v, want an error that names process and remedy", err)
	}
	must(t, first.CreateAccount(t.Context(), store.Account{JID: romeo})) // it must not have been disturbed
	must(t, first.Close())
	must(t, first.Close())
	if _, err := open().Account(t.Context(), romeo); err != nil {
		t.Fatalf("after reopening: %v", err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	db := opener(t, Options{Driver: SQLite, Dir: dir})()
	must(t, db.CreateAccount(t.Context(), store.Account{JID: romeo}))
	must(t, db.AppendArchive(t.Context(), archiveRows(coven, 0, 1)))
	files := 0
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		files++
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s has mode %v", path, mode)
		}
		return nil
	}))
	if files < 7 { // directory, lock, two databases with log and shared memory
		t.Errorf("found %d files", files)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	notADir := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(notADir, nil, 0o600))
	garbage := t.TempDir()
	must(t, os.WriteFile(filepath.Join(garbage, metaFile), []byte(strings.Repeat("no database ", 500)), 0o600))
	for _, test := range []struct {
		name string
		o    Options
		want string
	}{
		{"unknown driver", Options{Driver: "mnesia", Dir: t.TempDir()}, `unknown driver "mnesia"`},
		{"unknown durability", Options{Driver: SQLite, Dir: t.TempDir(), Durability: "hope"}, `unknown durability "hope"`},
		{"no directory", Options{Driver: SQLite}, "no data directory"},
		{"a file", Options{Driver: SQLite, Dir: notADir}, "not a directory"},
		{"no database", Options{Driver: SQLite, Dir: garbage}, "database " + filepath.Join(garbage, metaFile) + " is damaged (file is not a database (26)): bring a backup back with"},
		{"bad url", Options{Driver: Postgres, URL: "postgres://%%"}, "storage.url is not understood"},
		{"no server", Options{Driver: Postgres, URL: "host=/nonexistent user=x dbname=y"}, "PostgreSQL at /nonexistent (port 5432), database \"y\", user \"x\": nobody answers there: start PostgreSQL, or correct storage.url"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db, err := Open(t.Context(), test.o)
			if err == nil {
				_ = db.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, test.want)
			}
		})
	}
}

func TestPingAndUseAfterClose(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db := open()
		must(t, db.Ping(t.Context()))
		must(t, db.Close())
		if err := db.Ping(t.Context()); err == nil {
			t.Error("Ping succeeds after Close")
		}
		if err := db.AppendArchive(t.Context(), archiveRows(coven, 0, 1)); err == nil {
			t.Error("AppendArchive succeeds after Close")
		}
		if _, err := db.Account(t.Context(), romeo); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Account after Close: %v", err)
		}
	})
}

func TestSecretIsMadeOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db := open()
		first, err := db.Secret(t.Context(), "decoy", func() []byte { return []byte("first") })
		must(t, err)
		must(t, db.Close())
		second, err := open().Secret(t.Context(), "decoy", func() []byte { return []byte("second") })
		must(t, err)
		if string(first) != "first" || string(second) != "first" {
			t.Errorf("got %q and then %q, want the first twice", first, second)
		}
	})
}

// The log must come to rest in the database soon after the last write, without
// anybody waiting for it, and nothing must run after that.
func TestCheckpointWhenIdle(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		db, err := Open(t.Context(), Options{Driver: SQLite, Dir: dir, Registerer: reg})
		must(t, err)
		defer db.Close() //nolint:errcheck // closed by a test that has seen enough
		must(t, db.AppendArchive(t.Context(), archiveRows(coven, 0, 200)))
		file := filepath.Join(dir, archiveFile)
		if size := fileSize(t, file); size > 8192 {
			t.Fatalf("database has %d bytes right after a write: the commit has made a checkpoint", size)
		}
		time.Sleep(4 * checkpointTick)
		if size := fileSize(t, file); size < 200*300 {
			t.Errorf("database has %d bytes after a quiet moment, want 200 rows of 300 or more", size)
		}
		done := checkpoints(t, reg)
		time.Sleep(time.Hour)
		if got := checkpoints(t, reg); got != done {
			t.Errorf("%d more checkpoints in an idle hour", got-done)
		}
	})
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Size()
}

func checkpoints(t *testing.T, reg *prometheus.Registry) (n uint64) {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() != "muster_sqlstore_checkpoint_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			n += m.GetHistogram().GetSampleCount()
		}
	}
	return n
}
