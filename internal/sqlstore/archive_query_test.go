package sqlstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

func TestArchiveBySender(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		rows := archiveRows(coven, 0, 6)
		for i, client := range []string{"phone", "laptop", "phone", "", "phone", "laptop"} {
			rows[i].Resource = client
		}
		rows[4].RealJID = juliet
		must(t, db.AppendArchive(ctx, rows))
		for _, test := range []struct{ name, with, want string }{
			{"all clients", "romeo@example.org", "0 1 2 3 5"},
			{"one client", "romeo@example.org/phone", "0 2"},
			{"a client that never spoke", "romeo@example.org/watch", ""},
			{"of somebody else", "juliet@example.org/phone", "4"},
			{"nickname", rows[0].From.String(), "0 1 2 3 4 5"},
			{"a domain", "example.org", ""},
		} {
			q := store.ArchiveQuery{Room: coven, With: jid.MustParse(test.with), Limit: 9}
			page, err := db.ArchivePage(ctx, q)
			if err != nil || ids(page) != test.want {
				t.Errorf("%s: got %q, %v, want %q", test.name, ids(page), err, test.want)
			}
			if n, err := db.CountArchive(ctx, q, 100); err != nil || n != len(page) {
				t.Errorf("%s: counted %d, %v, want %d", test.name, n, err, len(page))
			}
		}
		q := store.ArchiveQuery{Room: coven, With: romeo, Skip: 1, Limit: 2}
		if page, err := db.ArchivePage(ctx, q); err != nil || ids(page) != "1 2" {
			t.Errorf("behind one: got %q, %v", ids(page), err)
		}
		q.Newest = true
		if page, err := db.ArchivePage(ctx, q); err != nil || ids(page) != "2 3" {
			t.Errorf("before the last: got %q, %v", ids(page), err)
		}
		if n, err := db.CountArchive(ctx, q, 3); err != nil || n != 3 {
			t.Errorf("counted %d, %v, want no more than 3", n, err)
		}
	})
}

func TestArchivedRows(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		rows := archiveRows(coven, 0, 6)
		must(t, db.AppendArchive(ctx, rows))
		got, err := db.ArchivedRows(ctx, coven, []string{rows[4].ID, "nothing", rows[1].ID, rows[4].ID})
		if err != nil || ids(got) != "1 4" {
			t.Errorf("got %q, %v, want 1 4", ids(got), err)
		}
		for _, test := range []struct {
			name string
			room jid.JID
			ids  []string
		}{
			{"no ids", coven, nil}, {"another room", newJID(t, "other", "chat.example.org"), []string{rows[1].ID}},
		} {
			if got, err := db.ArchivedRows(ctx, test.room, test.ids); err != nil || len(got) != 0 {
				t.Errorf("%s: got %q, %v, want nothing", test.name, ids(got), err)
			}
		}
	})
}

func TestReplaceArchived(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		rows := archiveRows(coven, 0, 3)
		must(t, db.AppendArchive(ctx, rows))
		must(t, db.ReplaceArchived(ctx, coven, rows[1].ID, []byte("<gone/>")))
		page, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: coven, Limit: 9})
		if err != nil || ids(page) != "0 1 2" || string(page[1].Stanza) != "<gone/>" || page[1].Time != rows[1].Time || page[1].From != rows[1].From {
			t.Errorf("got %+v, %v: want the second one replaced where it stands", page, err)
		}
		for _, room := range []jid.JID{coven, newJID(t, "other", "chat.example.org")} {
			if err := db.ReplaceArchived(ctx, room, "nothing", []byte("<gone/>")); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: got %v, want ErrNotFound", room, err)
			}
		}
	})
}

// The oldest go first, in steps, and nothing goes that has something older
// before it which stays.
func TestTrimArchive(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		for i, test := range []struct {
			name   string
			rows   int
			before time.Time
			keep   int
			left   string // the first and how many
		}{
			{"nothing to do", 10, time.Time{}, 0, "0 10"},
			{"by number", 10, time.Time{}, 3, "7 3"},
			{"fewer than may be kept", 10, time.Time{}, 11, "0 10"},
			{"by time", 10, noon.Add(4 * time.Second), 0, "4 6"},
			{"by both, number first", 10, noon.Add(2 * time.Second), 3, "7 3"},
			{"by both, time first", 10, noon.Add(9 * time.Second), 5, "9 1"},
			{"everything", 10, noon.Add(time.Hour), 0, "0 0"},
			{"many steps", 3*purgeStep + 7, time.Time{}, 5, fmt.Sprintf("%d 5", 3*purgeStep+2)},
		} {
			db, ctx := open(), t.Context()
			room := newJID(t, fmt.Sprintf("room%d", i), "chat.example.org")
			must(t, db.AppendArchive(ctx, archiveRows(room, 0, test.rows)))
			total := 0
			for more := true; more; {
				var n int
				var err error
				n, more, err = db.TrimArchive(ctx, room, test.before, test.keep)
				must(t, err)
				if n > purgeStep {
					t.Errorf("%s: %d in one step", test.name, n)
				}
				total += n
			}
			page, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: room, Limit: 10000})
			must(t, err)
			first := "0"
			if len(page) > 0 {
				first = ids(page[:1])
			}
			if got := fmt.Sprintf("%s %d", first, len(page)); got != test.left || total != test.rows-len(page) {
				t.Errorf("%s: left %s, removed %d; want left %s", test.name, got, total, test.left)
			}
			must(t, db.Close())
		}
	})
}

// A clock that was put back leaves rows that are newer by id and older by time:
// they stay as long as those before them do.
func TestTrimLeavesNoHole(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		rows := archiveRows(coven, 0, 4)
		rows[2].Time = noon.Add(-time.Hour)
		must(t, db.AppendArchive(ctx, rows))
		_, _, err := db.TrimArchive(ctx, coven, rows[1].Time, 0)
		must(t, err)
		page, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: coven, Limit: 9})
		if err != nil || ids(page) != "1 2 3" {
			t.Errorf("got %q, %v, want 1 2 3", ids(page), err)
		}
	})
}

func TestArchiveRooms(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		for _, name := range []string{"b", "c", "a"} {
			must(t, db.AppendArchive(ctx, archiveRows(newJID(t, name, "chat.example.org"), 0, 1)))
		}
		var got []string
		for after := ""; ; {
			page, err := db.ArchiveRooms(ctx, after, 2)
			must(t, err)
			for _, room := range page {
				got = append(got, room.JID.Local())
				after = room.JID.String()
			}
			if len(page) < 2 {
				break
			}
		}
		if fmt.Sprint(got) != "[a b c]" {
			t.Errorf("got %v, want a, b and c", got)
		}
		if _, err := db.RoomSettings(ctx, coven); !errors.Is(err, muc.ErrNoRoom) {
			t.Errorf("settings of no room: %v", err)
		}
		change := wordChange()
		change.Settings = map[string][]string{"key": {"a", "b"}}
		must(t, db.ApplyRoomChange(ctx, coven, 0, change))
		if s, err := db.RoomSettings(ctx, coven); err != nil || fmt.Sprint(s) != "map[key:[a b]]" {
			t.Errorf("got %v, %v", s, err)
		}
	})
}
