package archive

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"time"

	"github.com/muster-im/muster/internal/store"
)

// batch is the rows of one commit. The goroutine that runs drain stores and
// answers it; if the store holds that goroutine for too long, the watchdog
// answers in its place and lets another goroutine go on with what waits.
type batch struct {
	// Set at construction.
	queue
	bytes int

	// Owned by the goroutine that answers.
	answered int // rows that were answered, from the first

	// Guarded by Archive.mu.
	storing   bool            // inside a call of the store
	late      bool            // the time is up
	abandoned bool            // the watchdog has answered
	over      []chan struct{} // to be closed when all rows are answered
}

// nextLocked makes what waits the flying batch, at most maxBatch rows of it,
// and returns it; nil if nothing waits.
func (a *Archive) nextLocked() *batch {
	if len(a.taken.rows) == 0 {
		// All rows that were cut from base have been answered.
		free := a.base.emptied()
		a.base, a.taken, a.waiting = a.waiting, a.waiting, free
	}
	n := min(len(a.taken.rows), maxBatch)
	if n == 0 {
		a.flying, a.running = nil, false
		return nil
	}
	b := &batch{queue: queue{rows: a.taken.rows[:n:n], done: a.taken.done[:n:n]}}
	a.taken = queue{rows: a.taken.rows[n:], done: a.taken.done[n:]}
	for i := range b.rows {
		b.bytes += rowBytes + len(b.rows[i].Stanza)
	}
	a.flying = b
	return b
}

// emptied returns an empty queue in q's memory, unless that is too much to keep.
func (q queue) emptied() queue {
	if cap(q.rows) > 4*maxBatch {
		return queue{}
	}
	clear(q.rows)
	clear(q.done)
	return queue{rows: q.rows[:0], done: q.done[:0]}
}

// patience is how often a batch lets others go first.
const patience = 8

// work stores what waits until nothing does. Before it begins, whoever is ready to
// run does: several messages mostly come together, and otherwise the first of them
// would have a commit to itself, for which the others wait.
func (a *Archive) work() {
	for n, before := a.waits(), 0; n > before; before, n = n, a.waits() {
		for range patience {
			runtime.Gosched()
		}
	}
	a.mu.Lock()
	b := a.nextLocked()
	a.mu.Unlock()
	a.drain(b)
}

// waits is how many rows wait.
func (a *Archive) waits() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.waiting.rows)
}

// drain stores b and what follows until nothing waits or another goroutine has
// taken over.
func (a *Archive) drain(b *batch) {
	for b != nil {
		a.storeBatch(b)
		b = a.next(b)
	}
}

// next ends b and returns the following batch; nil if there is none or it is
// not the caller's to store.
func (a *Archive) next(b *batch) *batch {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b.abandoned {
		return nil
	}
	return a.endLocked(b)
}

// endLocked ends b, all of whose rows are answered, and returns what follows.
func (a *Archive) endLocked(b *batch) *batch {
	a.bytes -= b.bytes
	for _, ch := range b.over {
		close(ch)
	}
	return a.nextLocked()
}

// storeBatch stores b and answers its rows. If the whole of it fails, each row
// is tried alone, so that a bad one fails alone; all of that has one timeout.
func (a *Archive) storeBatch(b *batch) {
	// The store hears a little earlier than the watchdog that the time is up: it
	// may still be able to undo everything and say so.
	ctx, cancel := context.WithTimeout(context.Background(), a.timeout-a.timeout/20)
	defer cancel()
	watchdog := time.AfterFunc(a.timeout, func() { a.expire(b) })
	defer watchdog.Stop()

	ok, err := a.call(ctx, b, b.rows)
	if !ok {
		return
	}
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrTimeout) || len(b.rows) == 1 {
		a.answer(b, len(b.rows), err)
		return
	}
	a.log.LogAttrs(ctx, slog.LevelWarn, "store messages one by one", slog.Int("rows", len(b.rows)), slog.Any("err", err))
	for i := range b.rows {
		ok, err := a.call(ctx, b, b.rows[i:i+1])
		if !ok {
			return
		}
		a.answer(b, i+1, err)
	}
}

// call lets the store append rows of b. It returns ok if the caller is still
// the one to answer.
func (a *Archive) call(ctx context.Context, b *batch, rows []store.ArchiveRow) (ok bool, err error) {
	a.mu.Lock()
	late := b.late
	b.storing = !late
	a.mu.Unlock()
	if late || ctx.Err() != nil {
		return a.returned(b), ErrTimeout
	}
	start := time.Now()
	err = a.store.AppendArchive(ctx, rows)
	a.metrics.seconds.Observe(time.Since(start).Seconds())
	a.metrics.rows.Observe(float64(len(rows)))
	ok = a.returned(b)
	switch {
	case !ok && err == nil:
		a.takeBack(rows) // their senders were told that they are not stored
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, store.ErrInDoubt):
		// Whether a commit that was cut off took place, nobody knows.
		rows := append([]store.ArchiveRow(nil), rows...) // b's memory is used again
		a.wg.Go(func() { a.takeBack(rows) })
		err = ErrTimeout
	}
	return ok, err
}

// returned notes that the store has given the caller back and reports whether
// b is still his.
func (a *Archive) returned(b *batch) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	b.storing = false
	return !b.abandoned
}

// answer tells the rows of b before row n, those that do not know yet, what
// became of them.
func (a *Archive) answer(b *batch, n int, err error) {
	if err != nil {
		a.failed(n-b.answered, err)
	}
	for _, done := range b.done[b.answered:n] {
		done(err)
	}
	b.answered = n
}

// failed counts and logs rows that are not stored.
func (a *Archive) failed(rows int, err error) {
	counter := a.metrics.failed
	if errors.Is(err, ErrTimeout) {
		counter = a.metrics.timeout
	}
	counter.Add(float64(rows))
	a.log.LogAttrs(context.Background(), slog.LevelError, "store messages", slog.Int("rows", rows), slog.Any("err", err))
}

// expire is the watchdog: if the store still has not come back, the rows of b
// fail and this goroutine goes on with what waits.
func (a *Archive) expire(b *batch) {
	a.mu.Lock()
	b.late = true
	if !b.storing {
		a.mu.Unlock() // drain is between two calls, it will see that b is late
		return
	}
	b.abandoned = true
	a.base = queue{} // the store may look at it for as long as it likes
	a.wg.Add(1)      // while the goroutine of drain still counts
	a.mu.Unlock()
	defer a.wg.Done()
	a.answer(b, len(b.rows), ErrTimeout)

	a.mu.Lock()
	following := a.endLocked(b)
	a.mu.Unlock()
	a.drain(following)
}
