package sqlstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// A copy that is made while people write must be whole, and its archive must
// have every message that its rooms know of.
func TestCopyWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := opener(t, Options{Driver: SQLite, Dir: dir, Durability: DurabilityProcess})()
	must(t, db.AppendArchive(t.Context(), archiveRows(coven, 0, 3000))) // some megabytes: many steps
	ctx, stop := context.WithCancel(t.Context())
	begun := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 3000; ctx.Err() == nil; i++ { // as a room does: first the message, then that it is the subject
			rows := archiveRows(coven, i, i+1)
			err := db.AppendArchive(ctx, rows)
			if err == nil {
				err = db.ApplyRoomChange(ctx, coven, 1, muc.RoomChange{
					Created: noon, Subject: &muc.Subject{Text: rows[0].ID}, SubjectID: rows[0].ID,
				})
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			if i == 3010 {
				close(begun)
			}
		}
	})
	<-begun
	for range 3 {
		to := t.TempDir()
		steps := make(map[string]bool)
		list, err := CopySQLite(t.Context(), dir, to, func(step string, done, total int64) {
			steps[step] = true
			if done > total {
				t.Errorf("%s: %d of %d", step, done, total)
			}
		})
		must(t, err)
		if len(list) != 2 || list[0].Name != metaFile || list[1].Name != archiveFile || list[1].Rows["archive"] < 3010 {
			t.Fatalf("got %+v", list)
		}
		if len(steps) != 4 {
			t.Errorf("progress named %v, want copy and check of two files", steps)
		}
		copied := opener(t, Options{Driver: SQLite, Dir: to})()
		room, err := copied.Room(t.Context(), coven)
		must(t, err)
		page, err := copied.ArchivePage(t.Context(), store.ArchiveQuery{Room: coven, Newest: true, Limit: 1})
		must(t, err)
		if page[0].ID < room.SubjectID {
			t.Errorf("the room knows of %s, its archive ends with %s", room.SubjectID, page[0].ID)
		}
		must(t, copied.Close())
	}
	stop()
	wg.Wait()
}

func TestCopyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := opener(t, Options{Driver: SQLite, Dir: dir, Durability: DurabilityProcess})()
	must(t, db.AppendArchive(t.Context(), archiveRows(coven, 0, 8000)))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := CopySQLite(ctx, dir, t.TempDir(), func(step string, done, _ int64) {
		if step == "copy "+archiveFile && done > 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	must(t, db.CreateAccount(t.Context(), store.Account{JID: romeo})) // nothing is held up
}

func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	// filled is a directory with a store that has a few megabytes.
	filled := func(t *testing.T) string {
		t.Helper()
		dir := t.TempDir()
		db := opener(t, Options{Driver: SQLite, Dir: dir, Durability: DurabilityProcess})()
		must(t, db.AppendArchive(t.Context(), archiveRows(coven, 0, 2000)))
		for _, name := range []string{"a", "b"} {
			j, err := jid.New(name, "example.org", "")
			must(t, err)
			must(t, db.CreateAccount(t.Context(), store.Account{JID: j}))
		}
		must(t, db.Close())
		return dir
	}
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"no databases", func(t *testing.T, dir string) {
			must(t, errors.Join(os.Remove(filepath.Join(dir, metaFile)), os.Remove(filepath.Join(dir, archiveFile))))
		}, metaFile + ": there are no databases"},
		{"one database", func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, archiveFile)))
		}, archiveFile + ": there are no databases"},
		{"no database in the file", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, metaFile), []byte(strings.Repeat("nothing ", 999)), 0o600))
		}, "not a database"},
		{"damage", func(t *testing.T, dir string) {
			file := filepath.Join(dir, archiveFile)
			data, err := os.ReadFile(file)
			must(t, err)
			copy(data[len(data)/2:], strings.Repeat("\xff", 2*pageSize))
			must(t, os.WriteFile(file, data, 0o600))
		}, archiveFile + ": "},
		{"newer schema", func(t *testing.T, dir string) {
			db := opener(t, Options{Driver: SQLite, Dir: dir})()
			execOn(t, db.archive, "UPDATE schema_versions SET version = 1000")
			must(t, db.Close())
		}, "version 1000, this program knows versions up to"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir, to := filled(t), t.TempDir()
			test.spoil(t, dir)
			_, err := CopySQLite(t.Context(), dir, to, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
