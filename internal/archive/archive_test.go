package archive

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var room = jid.MustParse("coven@chat.example.org")

func row(i int) store.ArchiveRow {
	return store.ArchiveRow{ID: fmt.Sprintf("%04d", i), Room: room, Stanza: []byte("<message/>")}
}

// disk is a store that does what a test tells it to.
type disk struct {
	mu      sync.Mutex
	stored  []string
	batches []int
	refuse  map[string]bool // IDs that make a batch fail
	latency time.Duration   // of a commit
	hang    time.Duration   // of the next commit, which does not look at its context
	down    bool            // every commit fails
	doubt   bool            // every commit succeeds and says that it is in doubt; nothing can be removed
	deleted bool
	removed []string
}

var errBadRow = errors.New("bad row")

func (d *disk) AppendArchive(ctx context.Context, rows []store.ArchiveRow) error {
	d.mu.Lock()
	latency, hang := d.latency, d.hang
	d.hang = 0
	d.batches = append(d.batches, len(rows))
	d.mu.Unlock()
	time.Sleep(hang)
	if hang == 0 {
		select {
		case <-time.After(latency):
		case <-ctx.Done():
			return fmt.Errorf("append: %w", ctx.Err())
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range rows {
		if d.refuse[r.ID] || d.down {
			return errBadRow
		}
	}
	for _, r := range rows {
		d.stored = append(d.stored, r.ID)
	}
	if d.doubt {
		return fmt.Errorf("append: %w", store.ErrInDoubt)
	}
	return nil
}

func (d *disk) ArchivePage(context.Context, store.ArchiveQuery) ([]store.ArchiveRow, error) {
	return []store.ArchiveRow{row(7)}, nil
}

func (d *disk) DeleteArchiveRows(_ context.Context, rows []store.ArchiveRow) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.doubt {
		return errBadRow
	}
	for _, r := range rows {
		d.removed = append(d.removed, r.ID)
		d.stored = slices.DeleteFunc(d.stored, func(id string) bool { return id == r.ID })
	}
	return nil
}

func (d *disk) DeleteArchive(context.Context, jid.JID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deleted, d.stored = true, nil
	return nil
}

func (d *disk) ArchivedRows(context.Context, jid.JID, []string) ([]store.ArchiveRow, error) {
	return nil, nil
}

func (d *disk) CountArchive(context.Context, store.ArchiveQuery, int) (int, error) { return 0, nil }

func (d *disk) ReplaceArchived(_ context.Context, _ jid.JID, id string, _ []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.stored, id)
	if i < 0 {
		return store.ErrNotFound
	}
	d.stored[i] += " replaced"
	return nil
}

func (d *disk) DropArchive(context.Context, store.ArchiveRoom) error { return nil }

func (d *disk) ArchiveRooms(context.Context, string, int) ([]store.ArchiveRoom, error) {
	return []store.ArchiveRoom{{JID: room}}, nil
}

func (d *disk) TrimArchive(context.Context, jid.JID, time.Time, int) (int, bool, error) {
	return 0, false, nil
}

// answers notes what became of rows, in order.
type answers struct {
	mu  sync.Mutex
	log []string
}

func (s *answers) done(i int) func(error) {
	return func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		word := "ok"
		switch {
		case errors.Is(err, ErrTimeout):
			word = "timeout"
		case err != nil:
			word = "error"
		}
		s.log = append(s.log, fmt.Sprint(i, " ", word))
	}
}

func (s *answers) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, ", ")
}

// appendAll appends rows from..to-1.
func appendAll(t *testing.T, a *Archive, s *answers, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := a.Append(row(i), s.done(i)); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
	}
}

func closed(t *testing.T, a *Archive) {
	t.Helper()
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// The first row is committed at once, what comes meanwhile is one batch.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{latency: time.Second}, &answers{}
		a := New(Options{Store: d})
		appendAll(t, a, s, 0, 1)
		synctest.Wait()
		appendAll(t, a, s, 1, 4)
		start := time.Now()
		closed(t, a)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want two commits", took)
		}
		if got := s.String(); got != "0 ok, 1 ok, 2 ok, 3 ok" {
			t.Errorf("got %s", got)
		}
		if !slices.Equal(d.batches, []int{1, 3}) {
			t.Errorf("batches %v, want 1 and 3", d.batches)
		}
	})
}

func TestManyRowsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{latency: time.Millisecond}, &answers{}
		a := New(Options{Store: d})
		const n = 5*maxBatch + 3
		for i := 0; i < n; i += 100 {
			appendAll(t, a, s, i, min(i+100, n))
			time.Sleep(300 * time.Microsecond)
		}
		closed(t, a)
		if len(s.log) != n || len(d.stored) != n || !slices.IsSorted(d.stored) {
			t.Errorf("%d answers, %d rows stored, in order: %t; want %d", len(s.log), len(d.stored), slices.IsSorted(d.stored), n)
		}
		for i, got := range s.log {
			if got != fmt.Sprint(i, " ok") {
				t.Fatalf("answer %d is %s", i, got)
			}
		}
		if slices.Max(d.batches) > maxBatch {
			t.Errorf("a batch of %d", slices.Max(d.batches))
		}
	})
}

func TestBadRowFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{latency: time.Millisecond, refuse: map[string]bool{"0002": true}}, &answers{}
		reg := prometheus.NewPedanticRegistry()
		a := New(Options{Store: d, Registerer: reg})
		appendAll(t, a, s, 0, 5)
		closed(t, a)
		if got := s.String(); got != "0 ok, 1 ok, 2 error, 3 ok, 4 ok" {
			t.Errorf("got %s", got)
		}
		if got := failures(t, reg); got != "busy 0, closed 0, error 1, in_doubt 0, timeout 0" {
			t.Errorf("counted %s", got)
		}
	})
}

// A commit that takes too long fails, and what waits behind it proceeds.
func TestTimeout(t *testing.T) {
	for _, test := range []struct {
		name  string
		start func(*disk)
		after func(*disk)
	}{
		{"store listens", func(d *disk) { d.latency = time.Minute }, func(d *disk) { d.latency = 0 }},
		{"store hangs", func(d *disk) { d.hang = time.Minute }, func(*disk) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, s := &disk{}, &answers{}
				reg := prometheus.NewPedanticRegistry()
				a := New(Options{Store: d, Registerer: reg})
				test.start(d)
				appendAll(t, a, s, 0, 1)
				synctest.Wait()
				appendAll(t, a, s, 1, 3)
				d.mu.Lock()
				test.after(d)
				d.mu.Unlock()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got := s.String(); got != "0 timeout, 1 ok, 2 ok" {
					t.Errorf("after 5 s: got %s", got)
				}
				if got := failures(t, reg); got != "busy 0, closed 0, error 0, in_doubt 0, timeout 1" {
					t.Errorf("counted %s", got)
				}
				closed(t, a)
				if !slices.Equal(d.stored, []string{"0001", "0002"}) || !slices.Equal(d.removed, []string{"0000"}) {
					t.Errorf("stored %v, taken back %v: a row that failed must not stay", d.stored, d.removed)
				}
				if a.bytes != 0 {
					t.Errorf("%d bytes are still counted", a.bytes)
				}
			})
		})
	}
}

// All of a batch that has to be stored one by one has one timeout.
func TestTimeoutAmongSingles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{latency: 2 * time.Second, refuse: map[string]bool{"0002": true}}, &answers{}
		a := New(Options{Store: d})
		appendAll(t, a, s, 0, 1)
		synctest.Wait()
		appendAll(t, a, s, 1, 5)
		time.Sleep(2*time.Second + 5*time.Second)
		synctest.Wait()
		if got := s.String(); got != "0 ok, 1 ok, 2 timeout, 3 timeout, 4 timeout" {
			t.Errorf("got %s", got)
		}
		closed(t, a)
	})
}

func TestStoreComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{down: true}, &answers{}
		a := New(Options{Store: d})
		appendAll(t, a, s, 0, 2)
		synctest.Wait()
		d.mu.Lock()
		d.down = false
		d.mu.Unlock()
		appendAll(t, a, s, 2, 3)
		closed(t, a)
		if got := s.String(); got != "0 error, 1 error, 2 ok" {
			t.Errorf("got %s", got)
		}
	})
}

// A store goes away between a commit and its answer, and is away for long: what
// the senders were told becomes true when it is back.
func TestTakesBackWhatIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s, reg := &disk{doubt: true}, &answers{}, prometheus.NewRegistry()
		a := New(Options{Store: d, MaxBytes: 4096, Registerer: reg})
		appendAll(t, a, s, 0, 2)
		time.Sleep(time.Hour)
		if got := s.String(); got != "0 timeout, 1 timeout" {
			t.Errorf("answers are %q", got)
		}
		d.mu.Lock()
		d.doubt = false
		d.mu.Unlock()
		time.Sleep(regretLast)
		appendAll(t, a, s, 2, 3)
		closed(t, a)
		if fmt.Sprint(d.stored) != "[0002]" {
			t.Errorf("%v is stored, want what came later alone", d.stored)
		}
	})
}

// While the store is away, no more is remembered than has room, and closing
// does not wait for it.
func TestDoubtIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s, reg := &disk{doubt: true}, &answers{}, prometheus.NewRegistry()
		a := New(Options{Store: d, MaxBytes: 1000, Registerer: reg})
		for i := range 5 { // each of 266 bytes
			appendAll(t, a, s, i, i+1)
			time.Sleep(time.Second)
		}
		if got := failures(t, reg); !strings.Contains(got, "in_doubt 2") {
			t.Errorf("counted %s, want in_doubt 2", got)
		}
		closed(t, a)
		if got := failures(t, reg); !strings.Contains(got, "in_doubt 5") {
			t.Errorf("counted %s, want in_doubt 5", got)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{latency: time.Second}, &answers{}
		reg := prometheus.NewPedanticRegistry()
		size := rowBytes + len(row(0).Stanza)
		a := New(Options{Store: d, MaxBytes: 3 * size, Registerer: reg})
		appendAll(t, a, s, 0, 3)
		called := false
		if err := a.Append(row(3), func(error) { called = true }); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
		time.Sleep(3 * time.Second) // room again
		appendAll(t, a, s, 4, 5)
		closed(t, a)
		if err := a.Append(row(5), func(error) { called = true }); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		if called {
			t.Error("done was called for a refused row")
		}
		if got := s.String(); got != "0 ok, 1 ok, 2 ok, 4 ok" {
			t.Errorf("got %s", got)
		}
		if got := failures(t, reg); got != "busy 1, closed 1, error 0, in_doubt 0, timeout 0" {
			t.Errorf("counted %s", got)
		}
	})
}

func TestDeleteWaitsForWhatWasAppended(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(*testing.T, *Archive, *answers)
	}{
		{"nothing", func(*testing.T, *Archive, *answers) {}},
		{"one in flight", func(t *testing.T, a *Archive, s *answers) { appendAll(t, a, s, 0, 1) }},
		{"some wait", func(t *testing.T, a *Archive, s *answers) {
			appendAll(t, a, s, 0, 1)
			synctest.Wait()
			appendAll(t, a, s, 1, 3)
		}},
		{"more than a batch", func(t *testing.T, a *Archive, s *answers) {
			appendAll(t, a, s, 0, 1)
			synctest.Wait()
			appendAll(t, a, s, 1, 2*maxBatch)
			time.Sleep(1500 * time.Millisecond)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, s := &disk{latency: time.Second}, &answers{}
				a := New(Options{Store: d})
				test.before(t, a, s)
				if err := a.Delete(t.Context(), room); err != nil {
					t.Error(err)
				}
				if !d.deleted || len(d.stored) != 0 {
					t.Errorf("deleted: %t, %d rows were stored after the deletion", d.deleted, len(d.stored))
				}
				closed(t, a)
			})
		})
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{latency: 4 * time.Second}, &answers{}
		a := New(Options{Store: d})
		appendAll(t, a, s, 0, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Delete(ctx, room); !errors.Is(err, context.DeadlineExceeded) || d.deleted {
			t.Errorf("Delete: %v, deleted: %t", err, d.deleted)
		}
		if err := a.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		closed(t, a)
		if got := s.String(); got != "0 ok" {
			t.Errorf("got %q: Close commits what is queued", got)
		}
	})
}

// failures reads the counter by reason.
func failures(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, f := range families {
		if f.GetName() != "muster_archive_failures_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			words = append(words, fmt.Sprint(m.GetLabel()[0].GetValue(), " ", m.GetCounter().GetValue()))
		}
	}
	return strings.Join(words, ", ")
}

// nowhere takes everything at once.
type nowhere struct{ Store }

func (nowhere) AppendArchive(context.Context, []store.ArchiveRow) error { return nil }

func BenchmarkAppend(b *testing.B) {
	a := New(Options{Store: nowhere{}, MaxBytes: 1 << 30})
	r := row(0)
	var wg sync.WaitGroup
	done := func(error) { wg.Done() }
	b.ReportAllocs()
	for b.Loop() {
		wg.Add(32)
		for range 32 {
			if err := a.Append(r, done); err != nil {
				b.Fatal(err)
			}
		}
		wg.Wait()
	}
	if err := a.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// TestAppendAllocations: what waits for a commit costs no allocation of its own.
func TestAppendAllocations(t *testing.T) {
	const rows = 200
	a := New(Options{Store: nowhere{}, MaxBytes: 1 << 30})
	r := row(0)
	var wg sync.WaitGroup
	done := func(error) { wg.Done() }
	burst := func() {
		wg.Add(rows)
		for range rows {
			if err := a.Append(r, done); err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
	}
	burst()
	least := math.Inf(1)
	for range 30 {
		least = min(least, testing.AllocsPerRun(1, burst))
	}
	t.Logf("%v allocations for %d rows", least, rows)
	if least > rows/2 { // each batch has some
		t.Errorf("%v allocations for %d rows", least, rows)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
