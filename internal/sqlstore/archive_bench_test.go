package sqlstore

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

var benchRows = flag.Int("archive-rows", 1_000_000, "messages in the archive of BenchmarkArchiveQueries")

// fillArchive makes an archive of n messages: every second one in coven, the
// others in fifty rooms beside it. A hundred people speak, and juliet once in
// the beginning.
func fillArchive(b *testing.B, db *DB, n int) {
	b.Helper()
	rooms, people := make([]jid.JID, 50), make([]jid.JID, 100)
	for i := range rooms {
		rooms[i] = newJID(b, fmt.Sprintf("room%d", i), "chat.example.org")
	}
	for i := range people {
		people[i] = newJID(b, fmt.Sprintf("user%d", i), "example.org")
	}
	body := strings.Repeat("x", 300)
	rows := make([]store.ArchiveRow, 0, 256)
	for i := range n {
		r := store.ArchiveRow{
			ID: fmt.Sprintf("%021d", i), Room: coven, Time: noon.Add(time.Duration(i) * time.Second), RealJID: people[i*7919%100],
			Resource: "phone", Subject: i%5000 == 0, Stanza: fmt.Appendf(nil, "<message id='%d'><body>%s</body></message>", i, body),
		}
		if i%2 == 1 {
			r.Room = rooms[i%50]
		}
		if i == 10 {
			r.RealJID = juliet
		}
		var err error
		if r.From, err = jid.New(r.Room.Local(), r.Room.Domain(), r.RealJID.Local()); err != nil {
			b.Fatal(err)
		}
		if rows = append(rows, r); len(rows) == cap(rows) || i == n-1 {
			if err := db.AppendArchive(b.Context(), rows); err != nil {
				b.Fatal(err)
			}
			rows = rows[:0]
		}
	}
}

// BenchmarkArchiveQueries measures what queries of clients cost in a long
// archive. See docs/performance.md.
func BenchmarkArchiveQueries(b *testing.B) {
	n := *benchRows
	db, err := Open(b.Context(), Options{Driver: SQLite, Dir: b.TempDir(), Durability: DurabilityProcess})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing depends on it
	fillArchive(b, db, n)
	id := func(i int) string { return fmt.Sprintf("%021d", i) }
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) }
	page := func(q store.ArchiveQuery) func(context.Context, int) error {
		q.Room, q.Limit = coven, 51
		return func(ctx context.Context, _ int) error {
			rows, err := db.ArchivePage(ctx, q)
			if err == nil && len(rows) == 0 {
				err = fmt.Errorf("nothing found")
			}
			return err
		}
	}
	for _, test := range []struct {
		name string
		do   func(ctx context.Context, i int) error
	}{
		{"newest page", page(store.ArchiveQuery{Newest: true})},
		{"page back, anywhere", func(ctx context.Context, i int) error {
			return page(store.ArchiveQuery{Newest: true, BeforeID: id(n/10 + i*7919%(n*8/10))})(ctx, i)
		}},
		{"an hour, anywhere", func(ctx context.Context, i int) error {
			k := n/10 + i*7919%(n*8/10)
			return page(store.ArchiveQuery{AfterID: id(k), BeforeID: id(k + 3600), Start: at(k), End: at(k + 3600)})(ctx, i)
		}},
		{"newest page of somebody who speaks", page(store.ArchiveQuery{Newest: true, With: newJID(b, "user4", "example.org")})},
		{"newest page of somebody who spoke once", page(store.ArchiveQuery{Newest: true, With: juliet})},
		{"count up to 1,001", func(ctx context.Context, _ int) error {
			_, err := db.CountArchive(ctx, store.ArchiveQuery{Room: coven}, 1001)
			return err
		}},
		{"count all", func(ctx context.Context, _ int) error {
			_, err := db.CountArchive(ctx, store.ArchiveQuery{Room: coven}, 1<<30)
			return err
		}},
		{"look up an id", func(ctx context.Context, i int) error {
			_, err := db.ArchivedRows(ctx, coven, []string{id(i * 7919 % n)})
			return err
		}},
	} {
		b.Run(strings.ReplaceAll(test.name, " ", "_"), func(b *testing.B) {
			var took []time.Duration
			i := 0
			for b.Loop() {
				start := time.Now()
				if err := test.do(b.Context(), i); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
				i++
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
