package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// archiveRows returns the rows from..to-1 of a room, one per second.
func archiveRows(room jid.JID, from, to int) []store.ArchiveRow {
	rows := make([]store.ArchiveRow, 0, to-from)
	for i := from; i < to; i++ {
		nick, err := jid.New(room.Local(), room.Domain(), "Moon 🌙")
		if err != nil {
			panic(err)
		}
		rows = append(rows, store.ArchiveRow{
			ID: fmt.Sprintf("%016d", i), Room: room, Time: noon.Add(time.Duration(i) * time.Second),
			From: nick, RealJID: romeo, Subject: i%10 == 9,
			Stanza: fmt.Appendf(nil, "<message id='%d'>%s</message>", i, strings.Repeat("x", 400)),
		})
	}
	return rows
}

func ids(rows []store.ArchiveRow) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s ", strings.TrimLeft(r.ID[:len(r.ID)-1], "0")+r.ID[len(r.ID)-1:])
	}
	return strings.TrimSpace(b.String())
}

func TestArchive(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		rows := archiveRows(coven, 0, 20)
		rows[3].From, rows[3].RealJID = coven, jid.JID{} // the room itself
		rows[4].From, rows[4].RealJID = jid.MustParse("coven@chat.example.org/Julia"), juliet
		must(t, db.AppendArchive(ctx, nil))
		must(t, db.AppendArchive(ctx, rows[:7]))
		must(t, db.AppendArchive(ctx, rows[7:]))
		must(t, db.AppendArchive(ctx, archiveRows(jid.MustParse("other@chat.example.org"), 0, 5)))
		must(t, db.Close())
		db = open()
		got, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: coven, Limit: 100})
		if err != nil || !reflect.DeepEqual(got, rows) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, rows)
		}
		at := func(i int) time.Time { return rows[i].Time }
		for _, test := range []struct {
			name string
			q    store.ArchiveQuery
			want string
		}{
			{"oldest", store.ArchiveQuery{Limit: 3}, "0 1 2"},
			{"newest", store.ArchiveQuery{Limit: 3, Newest: true}, "17 18 19"},
			{"after", store.ArchiveQuery{Limit: 2, AfterID: rows[5].ID}, "6 7"},
			{"before", store.ArchiveQuery{Limit: 2, BeforeID: rows[5].ID, Newest: true}, "3 4"},
			{"between", store.ArchiveQuery{Limit: 9, AfterID: rows[5].ID, BeforeID: rows[8].ID}, "6 7"},
			{"after the last", store.ArchiveQuery{Limit: 9, AfterID: rows[19].ID}, ""},
			{"after an id that is not there", store.ArchiveQuery{Limit: 2, AfterID: "00000000000000055"}, "6 7"},
			{"start and end", store.ArchiveQuery{Limit: 9, Start: at(4), End: at(6)}, "4 5 6"},
			{"start, newest", store.ArchiveQuery{Limit: 2, Start: at(4), Newest: true}, "18 19"},
			{"occupant", store.ArchiveQuery{Limit: 9, With: rows[4].From}, "4"},
			{"the room", store.ArchiveQuery{Limit: 9, With: coven}, "3"},
			{"person", store.ArchiveQuery{Limit: 9, With: juliet}, "4"},
			{"person, oldest", store.ArchiveQuery{Limit: 5, With: romeo}, "0 1 2 5 6"},
			{"stranger", store.ArchiveQuery{Limit: 9, With: jid.MustParse("tybalt@example.org")}, ""},
			{"subjects", store.ArchiveQuery{Limit: 9, Subjects: true}, "9 19"},
			{"subjects after", store.ArchiveQuery{Limit: 9, Subjects: true, AfterID: rows[9].ID}, "19"},
			{"subjects newest", store.ArchiveQuery{Limit: 1, Subjects: true, Newest: true}, "19"},
		} {
			test.q.Room = coven
			page, err := db.ArchivePage(ctx, test.q)
			if err != nil || ids(page) != test.want {
				t.Errorf("%s: got %q, %v, want %q", test.name, ids(page), err, test.want)
			}
		}
		if _, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: coven}); err == nil {
			t.Error("no error without limit")
		}
	})
}

func TestAppendArchiveIsWhole(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		rows := archiveRows(coven, 0, 4)
		must(t, db.AppendArchive(ctx, rows[:2]))
		again := archiveRows(coven, 1, 4)
		again[0].Stanza = []byte("<something-else/>")
		if err := db.AppendArchive(ctx, []store.ArchiveRow{again[1], again[0], again[2]}); err == nil {
			t.Error("no error for an ID that is taken")
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := db.AppendArchive(ended, rows[2:]); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		page, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: coven, Limit: 9})
		if err != nil || !reflect.DeepEqual(page, rows[:2]) {
			t.Errorf("got %s, %v, want 0 1", ids(page), err)
		}
		must(t, db.AppendArchive(ctx, rows[2:])) // it still works
	})
}

// PostgreSQL can commit and lose the connection before it says so.
func TestAppendArchiveTwiceOnPostgres(t *testing.T) {
	t.Parallel()
	db, ctx := opener(t, postgresOptions(t))(), t.Context()
	rows := archiveRows(coven, 0, 3)
	must(t, db.AppendArchive(ctx, rows[:2]))
	must(t, db.AppendArchive(ctx, rows))
	rows[1].Stanza = []byte("<other/>")
	if err := db.AppendArchive(ctx, rows); !errors.Is(err, store.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
}

func TestDeleteArchiveRows(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		rows := archiveRows(coven, 0, 4)
		must(t, db.AppendArchive(ctx, rows))
		rows[3].Stanza = []byte("<not-this-one/>")
		must(t, db.DeleteArchiveRows(ctx, rows[2:]))
		page, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: coven, Limit: 9})
		if err != nil || ids(page) != "0 1 3" {
			t.Errorf("got %s, %v", ids(page), err)
		}
	})
}

func TestDeleteArchive(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		other := jid.MustParse("other@chat.example.org")
		must(t, db.AppendArchive(ctx, archiveRows(coven, 0, 3*purgeStep)))
		must(t, db.AppendArchive(ctx, archiveRows(other, 0, 5)))
		must(t, db.DeleteArchive(ctx, coven))
		must(t, db.DeleteArchive(ctx, coven))
		must(t, db.AppendArchive(ctx, archiveRows(coven, 0, 2))) // the same IDs again
		page, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: coven, Limit: 9})
		if err != nil || ids(page) != "0 1" {
			t.Errorf("got %s, %v, want what came after the deletion", ids(page), err)
		}
		if page, err = db.ArchivePage(ctx, store.ArchiveQuery{Room: other, Limit: 9}); err != nil || len(page) != 5 {
			t.Errorf("other room: got %s, %v", ids(page), err)
		}
		for more := true; more; { // beside the goroutine that does the same
			if more, err = db.purgeArchive(ctx); err != nil {
				t.Fatal(err)
			}
		}
		var left int
		if _, err := db.archive.one(ctx, "SELECT count(*) FROM archive", nil, &left); err != nil || left != 7 {
			t.Errorf("%d rows left, %v, want 7", left, err)
		}
	})
}

// Nothing that is appended beside a deletion may end up in the dropped archive.
func TestAppendBesideDelete(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 30 {
				if err := db.DeleteArchive(ctx, coven); err != nil {
					t.Error(err)
				}
			}
		})
		for i := range 60 {
			must(t, db.AppendArchive(ctx, archiveRows(coven, i, i+1)))
		}
		wg.Wait()
		must(t, db.AppendArchive(ctx, archiveRows(coven, 60, 61)))
		page, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: coven, Limit: 1, Newest: true})
		if err != nil || ids(page) != "60" {
			t.Errorf("got %q, %v", ids(page), err)
		}
	})
}

func TestManyRooms(t *testing.T) {
	t.Parallel()
	var r roomIDs
	r.ids = make(map[jid.JID]int64)
	for i := range 2 * maxRoomIDs {
		r.add(map[jid.JID]int64{newJID(t, fmt.Sprint("r", i), "chat.example.org"): int64(i)}, 0)
	}
	if len(r.ids) > maxRoomIDs {
		t.Errorf("%d ids are kept, want %d at most", len(r.ids), maxRoomIDs)
	}
	age := r.now()
	r.forget(coven)
	r.add(map[jid.JID]int64{coven: 1}, age)
	if _, missing := r.lookup([]store.ArchiveRow{{Room: coven}}); missing == nil {
		t.Error("an id that was dropped meanwhile is remembered")
	}
}

// A full disk costs those who write then, and nobody later.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	db, ctx := opener(t, Options{Driver: SQLite, Dir: t.TempDir()})(), t.Context()
	must(t, db.AppendArchive(ctx, archiveRows(coven, 0, 10)))
	for _, d := range []*database{db.meta, db.archive} {
		_, err := d.writer.ExecContext(ctx, "PRAGMA max_page_count(1)") // what there is, no more
		must(t, err)
	}
	stored := 10
	for ; ; stored++ {
		if err := db.AppendArchive(ctx, archiveRows(coven, stored, stored+1)); err != nil {
			if !strings.Contains(err.Error(), "full") {
				t.Fatalf("got %v, want an error that says what is wrong", err)
			}
			break
		}
	}
	if err := db.AppendArchive(ctx, archiveRows(coven, stored, stored+200)); err == nil {
		t.Fatal("a full disk takes 200 rows")
	}
	if err := db.AddOffline(ctx, store.OfflineMessage{To: romeo, Stanza: make([]byte, 1<<16)}, upTo(9)); err == nil || errors.Is(err, store.ErrFull) {
		t.Errorf("message on a full disk: %v", err)
	}
	for _, d := range []*database{db.meta, db.archive} {
		_, err := d.writer.ExecContext(ctx, "PRAGMA max_page_count(1000000)")
		must(t, err)
	}
	must(t, db.AppendArchive(ctx, archiveRows(coven, stored, stored+200)))
	must(t, db.AddOffline(ctx, store.OfflineMessage{To: romeo, Stanza: make([]byte, 1<<16)}, upTo(9)))
	page, err := db.ArchivePage(ctx, store.ArchiveQuery{Room: coven, Limit: 1000})
	if err != nil || len(page) != stored+200 {
		t.Errorf("got %d rows, %v, want %d", len(page), err, stored+200)
	}
}

// A call that waits for its turn gives up when its context ends.
func TestWaitingForTheWriter(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), Options{Driver: SQLite, Dir: dir})
		must(t, err)
		defer db.Close() //nolint:errcheck // nothing depends on it
		conn, err := db.archive.writer.Conn(t.Context())
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := db.AppendArchive(ctx, archiveRows(coven, 0, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
		must(t, conn.Close())
		must(t, db.AppendArchive(t.Context(), archiveRows(coven, 0, 1)))
	})
}

// Requests fail while PostgreSQL cuts connections, and work again soon after.
func TestPostgresReconnects(t *testing.T) {
	t.Parallel()
	o := postgresOptions(t)
	dsn := o.URL
	cfg, err := pgx.ParseConfig(dsn)
	must(t, err)
	o.URL = fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s application_name=%s",
		cfg.Host, cfg.Port, cfg.User, cfg.Password, cfg.Database, o.Schema)
	db, ctx := opener(t, o)(), t.Context()
	must(t, db.AppendArchive(ctx, archiveRows(coven, 0, 1)))
	must(t, db.ApplyRoomChange(ctx, coven, 0, wordChange()))
	pgtest.Exec(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", o.Schema)
	failures := 0
	for _, f := range []func() error{
		func() error { return db.AppendArchive(ctx, archiveRows(coven, 1, 2)) },
		func() error { return db.ApplyRoomChange(ctx, coven, 0, wordChange()) },
		func() error { _, err := db.Room(ctx, coven); return err },
	} {
		for err := f(); err != nil; err = f() {
			if failures++; failures > 50 {
				t.Fatalf("still: %v", err)
			}
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkAppendArchive(b *testing.B) {
	rooms := make([]jid.JID, 50)
	for i := range rooms {
		rooms[i] = jid.MustParse(fmt.Sprintf("room%d@chat.example.org", i))
	}
	for _, durability := range []string{DurabilityFull, DurabilityProcess} {
		for _, n := range []int{1, len(rooms)} {
			for _, batch := range []int{1, 8, 64, 256} {
				b.Run(fmt.Sprintf("%s/rooms=%d/batch=%d", durability, n, batch), func(b *testing.B) {
					benchmarkAppend(b, durability, rooms[:n], batch)
				})
			}
		}
	}
}

func benchmarkAppend(b *testing.B, durability string, rooms []jid.JID, batch int) {
	db, err := Open(b.Context(), Options{Driver: SQLite, Dir: b.TempDir(), Durability: durability})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing depends on it
	rows := archiveRows(coven, 0, batch)
	for i := range rows {
		rows[i].Subject = false
	}
	n := 0
	b.ReportAllocs()
	before := cpuTime()
	for b.Loop() {
		for i := range rows {
			rows[i].Room = rooms[n%len(rooms)]
			rows[i].ID = fmt.Sprintf("%016d", n)
			n++
		}
		if err := db.AppendArchive(b.Context(), rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(n)/1000, "cpu-µs/row")
}

func BenchmarkArchivePage(b *testing.B) {
	db, err := Open(b.Context(), Options{Driver: SQLite, Dir: b.TempDir(), Durability: DurabilityProcess})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing depends on it
	if err := db.AppendArchive(b.Context(), archiveRows(coven, 0, 10000)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.ArchivePage(b.Context(), store.ArchiveQuery{Room: coven, Limit: 50, Newest: true}); err != nil {
			b.Fatal(err)
		}
	}
}
