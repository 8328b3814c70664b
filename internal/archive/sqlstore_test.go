package archive_test

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/archive"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

func open(tb testing.TB, durability string) *archive.Archive {
	tb.Helper()
	db, err := sqlstore.Open(tb.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: tb.TempDir(), Durability: durability})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return archive.New(archive.Options{Store: db})
}

func message(room jid.JID, i int) store.ArchiveRow {
	return store.ArchiveRow{
		ID: fmt.Sprintf("%016d", i), Room: room, Time: time.UnixMicro(int64(i) + 1), From: room,
		RealJID: jid.MustParse("romeo@example.org"), Stanza: make([]byte, 400),
	}
}

// What a room was told is stored can be read at once, in its order.
func TestOnSQLite(t *testing.T) {
	t.Parallel()
	a := open(t, sqlstore.DurabilityProcess)
	const rooms, each = 4, 500
	var wg sync.WaitGroup
	for r := range rooms {
		room := jid.MustParse(fmt.Sprintf("room%d@chat.example.org", r))
		for i := range each {
			wg.Add(1)
			err := a.Append(message(room, i), func(err error) {
				defer wg.Done()
				if err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	for r := range rooms {
		room := jid.MustParse(fmt.Sprintf("room%d@chat.example.org", r))
		page, err := a.Page(t.Context(), store.ArchiveQuery{Room: room, Limit: each + 1})
		if err != nil || len(page) != each {
			t.Fatalf("room %d: got %d rows, %v", r, len(page), err)
		}
		for i := range page {
			if page[i].ID != message(room, i).ID {
				t.Fatalf("room %d: row %d has ID %s", r, i, page[i].ID)
			}
		}
	}
	if err := a.Delete(t.Context(), jid.MustParse("room0@chat.example.org")); err != nil {
		t.Error(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// BenchmarkWindow keeps so many messages of one room in flight as its senders
// would, and reports what a message costs.
func BenchmarkWindow(b *testing.B) {
	for _, durability := range []string{sqlstore.DurabilityFull, sqlstore.DurabilityProcess} {
		for _, window := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%s/window=%d", durability, window), func(b *testing.B) {
				a := open(b, durability)
				room := jid.MustParse("coven@chat.example.org")
				slots := make(chan struct{}, window)
				done := func(err error) {
					if err != nil {
						b.Error(err)
					}
					<-slots
				}
				before, n := cpuTime(), 0
				for b.Loop() {
					slots <- struct{}{}
					if err := a.Append(message(room, n), done); err != nil {
						b.Fatal(err)
					}
					n++
				}
				if err := a.Close(b.Context()); err != nil {
					b.Error(err)
				}
				b.ReportMetric(float64(cpuTime()-before)/float64(n)/1000, "cpu-µs/row")
			})
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
