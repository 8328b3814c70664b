package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// writer writes numbered things until it is told to stop, and remembers what it
// was answered.
type writer struct {
	write func(ctx context.Context, n int) error

	mu     sync.Mutex
	stored map[int]bool // by number: whether it is stored; missing if in doubt
	last   int          // the last number that is stored
	fails  int
	slow   time.Duration
}

func (w *writer) run(ctx context.Context) {
	for n := 1; ctx.Err() == nil; n++ {
		began := time.Now()
		err := w.write(context.WithoutCancel(ctx), n)
		took := time.Since(began)
		w.mu.Lock()
		w.slow = max(w.slow, took)
		switch {
		case err == nil:
			w.stored[n], w.last = true, n
		case errors.Is(err, store.ErrInDoubt):
			w.fails++
		default:
			w.stored[n] = false
			w.fails++
		}
		w.mu.Unlock()
		if err != nil {
			pause(ctx) // as a client would
		}
	}
}

func pause(ctx context.Context) {
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (w *writer) counts() (stored, failed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.fails
}

// reaches waits until every writer has got as far as ok says.
func reaches(t *testing.T, what string, writers []*writer, ok func(i int, w *writer) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i, w := range writers {
		for !ok(i, w) {
			if pause(ctx); ctx.Err() != nil {
				t.Fatalf("writer %d: %s never comes", i, what)
			}
		}
	}
}

// PostgreSQL is killed under load and comes back, three times: who writes
// meanwhile gets an error, soon, and what he was told is true. Nothing is half
// there, and everything goes on by itself.
func TestPostgresIsKilled(t *testing.T) {
	t.Parallel()
	pg := pgtest.Start(t)
	db := opener(t, Options{Driver: Postgres, URL: pg.URL(), MaxConns: 8})()
	room := func(i int) jid.JID { return jid.MustParse(fmt.Sprintf("room%d@chat.example.org", i)) }
	waiting := func(i int) jid.JID { return jid.MustParse(fmt.Sprintf("user%d@example.org", i)) }
	const each, kinds = 3, 4
	var writers []*writer
	for i := range each {
		archive := func(ctx context.Context, n int) error {
			return db.AppendArchive(ctx, archiveRows(room(i), 3*n, 3*n+3))
		}
		settings := func(ctx context.Context, n int) error {
			return db.ApplyRoomChange(ctx, room(i), 0, wordChange(fmt.Sprint(n)))
		}
		offline := func(ctx context.Context, n int) error {
			return db.AddOffline(ctx, store.OfflineMessage{To: waiting(i), Time: noon, Stanza: fmt.Append(nil, n)}, upTo(1_000_000))
		}
		account := func(ctx context.Context, n int) error {
			return db.CreateAccount(ctx, store.Account{JID: jid.MustParse(fmt.Sprintf("n%d@host%d", n, i)), Created: noon})
		}
		for _, f := range [kinds]func(context.Context, int) error{archive, settings, offline, account} {
			writers = append(writers, &writer{write: f, stored: make(map[int]bool)})
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, w := range writers {
		wg.Go(func() { w.run(ctx) })
	}
	for range 3 {
		before := make([][2]int, len(writers))
		mark := func() {
			for i, w := range writers {
				before[i][0], before[i][1] = w.counts()
			}
		}
		mark()
		reaches(t, "a success", writers, func(i int, w *writer) bool { stored, _ := w.counts(); return stored > before[i][0]+5 })
		mark()
		pg.Kill()
		if _, err := db.Room(ctx, room(0)); err == nil {
			t.Error("a killed database answers")
		}
		reaches(t, "an error of anybody's", writers[:1], func(int, *writer) bool {
			return slices.ContainsFunc(writers, func(w *writer) bool {
				_, failed := w.counts()
				return failed > before[slices.Index(writers, w)][1]
			})
		})
		pg.Restart()
		mark()
		reaches(t, "a success after the restart", writers, func(i int, w *writer) bool { stored, _ := w.counts(); return stored > before[i][0] })
	}
	stop()
	wg.Wait()
	for i := range each {
		checkOutage(t, db, room(i), writers[kinds*i], writers[kinds*i+1])
		messages, err := db.Offline(t.Context(), waiting(i), 1_000_000)
		must(t, err)
		checkOnce(t, "message", writers[kinds*i+2], messages, func(m store.OfflineMessage) string { return string(m.Stanza) })
		accounts, err := db.Accounts(t.Context(), fmt.Sprint("host", i), "", 1_000_000)
		must(t, err)
		checkOnce(t, "account", writers[kinds*i+3], accounts, func(a store.Account) string { return a.JID.Local()[1:] })
	}
	for i, w := range writers {
		if w.slow > callTimeout+dialTimeout {
			t.Errorf("writer %d waited for %v", i, w.slow)
		}
	}
}

// checkOnce finds everything once that a writer was told is stored, and nothing
// else but what is in doubt.
func checkOnce[T any](t *testing.T, what string, w *writer, list []T, name func(T) string) {
	t.Helper()
	found := make(map[int]int)
	for _, x := range list {
		n, err := strconv.Atoi(name(x))
		must(t, err)
		if found[n]++; found[n] > 1 {
			t.Errorf("%s %d is there %d times", what, n, found[n])
		}
	}
	for n, stored := range w.stored {
		if stored != (found[n] == 1) {
			t.Errorf("%s %d: told %t, found %d times", what, n, stored, found[n])
		}
	}
}

// checkOutage compares what a room has with what its writers were told.
func checkOutage(t *testing.T, db *DB, room jid.JID, archive, settings *writer) {
	t.Helper()
	page, err := db.ArchivePage(t.Context(), store.ArchiveQuery{Room: room, Limit: 1_000_000})
	must(t, err)
	found := make(map[int]int)
	for _, r := range page {
		n, err := strconv.Atoi(r.ID)
		must(t, err)
		found[n/3]++
	}
	for n, stored := range archive.stored {
		if want := map[bool]int{true: 3}[stored]; found[n] != want {
			t.Errorf("%s: batch %d has %d messages, want %d", room, n, found[n], want)
		}
	}
	for n, rows := range found {
		if rows != 3 {
			t.Errorf("%s: batch %d has %d of 3 messages", room, n, rows)
		}
	}
	rec, err := db.Room(t.Context(), room)
	must(t, err)
	got := number(t, rec.Subject.Text)
	if stored, known := settings.stored[got]; got < settings.last || known && !stored || rec.Settings["word"][0] != rec.Subject.Text {
		t.Errorf("%s has subject %s and word %s; %d was the last that was acknowledged", room, rec.Subject.Text, rec.Settings["word"], settings.last)
	}
}

// A database that stands still costs those who ask an error in good time, and
// nobody later.
func TestPostgresStandsStill(t *testing.T) {
	t.Parallel()
	pg := pgtest.Start(t)
	const timeout = 500 * time.Millisecond
	db := opener(t, Options{Driver: Postgres, URL: pg.URL() + " connect_timeout=1", MaxConns: 4, Timeout: timeout})()
	ctx := t.Context()
	must(t, db.AppendArchive(ctx, archiveRows(coven, 0, 1)))
	must(t, db.ApplyRoomChange(ctx, coven, 0, wordChange("before")))
	calls := []func() error{
		func() error { return db.AppendArchive(ctx, archiveRows(coven, 1, 2)) },
		func() error { return db.ApplyRoomChange(ctx, coven, 0, wordChange("meanwhile")) },
		func() error { _, err := db.Room(ctx, coven); return err },
		func() error { _, err := db.Account(ctx, romeo); return err },
		func() error { _, err := db.RosterItem(ctx, romeo, juliet); return err },
		func() error { _, err := db.AccountRemoved(ctx, romeo); return err },
		func() error { return db.Ping(ctx) },
	}
	pg.Freeze()
	began := time.Now()
	var wg sync.WaitGroup
	for i := range 6 * len(calls) { // more than there are connections
		wg.Go(func() {
			err := calls[i%len(calls)]()
			if err == nil || !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "no answer in time") {
				t.Errorf("call %d: got %v, want that there is no answer in time", i%len(calls), err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 10*timeout {
		t.Errorf("the last call came back after %v", took)
	}
	began = time.Now()
	for range 20 { // now that it is known
		for i, f := range calls[:len(calls)-1] {
			wg.Go(func() {
				if err := f(); err == nil {
					t.Errorf("call %d: a database that stands still has answered", i)
				}
			})
		}
	}
	wg.Wait()
	if took := time.Since(began); took > 3*timeout { // the one that waits for all
		t.Errorf("it took %v to refuse more", took)
	}
	pg.Thaw()
	for i, f := range calls {
		err := f()
		for tries := 0; err != nil && !errors.Is(err, store.ErrNotFound); err = f() {
			if tries++; tries > 50 {
				t.Fatalf("call %d: still: %v", i, err)
			}
		}
	}
}

// Entries are written many at a time to PostgreSQL, as if they came one by one.
func TestAffiliationsInOrder(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		must(t, db.ApplyRoomChange(ctx, coven, 0, muc.RoomChange{Created: noon, Affiliations: []muc.AffiliationRecord{
			{JID: romeo, Affiliation: muc.Member, Data: map[string]string{"hat": "red", "shoe": "left"}},
			{JID: juliet, Affiliation: muc.Member, Data: map[string]string{"a": "1"}},
			{JID: romeo, Affiliation: muc.Admin, Data: map[string]string{"hat": "blue"}},
			{JID: juliet}, // gone, with all that was said of her
			{JID: juliet, Affiliation: muc.Owner, Nick: "J", Data: map[string]string{"b": "2"}},
			{JID: coven, Affiliation: muc.Outcast},
			{JID: coven},
		}}))
		room, err := db.Room(ctx, coven)
		must(t, err)
		want := []muc.AffiliationRecord{
			{JID: juliet, Affiliation: muc.Owner, Nick: "J", Data: map[string]string{"b": "2"}},
			{JID: romeo, Affiliation: muc.Admin, Data: map[string]string{"hat": "blue", "shoe": "left"}},
		}
		if got := room.Affiliations; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
