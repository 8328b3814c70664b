// Package archive writes room messages to their archive, many at a time, and
// reads them back. It is what history and XEP-0313 queries rest on.
//
// A room asks for a message to be stored and sends it out when told that it is:
// what was reflected is kept. There is no timer that collects messages: what
// arrives while one commit runs is the next batch, shared by all rooms. Before the
// first, whoever is ready to run goes first.
//
// An Archive has one goroutine while something waits to be stored, and if there
// are limits one that removes what rooms do not keep any longer. Append never waits; what reads,
// replaces and deletes does, and so does Close.
package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// Errors of Append and of what it reports.
var (
	// ErrBusy says that too much waits to be stored already.
	ErrBusy = errors.New("archive is busy")
	// ErrClosed says that the archive was closed.
	ErrClosed = errors.New("archive is closed")
	// ErrTimeout says that a commit took too long.
	ErrTimeout = errors.New("archive did not answer in time")

	errTooManyInDoubt = errors.New("too many messages are in doubt")
)

// Store keeps archived messages. Its methods may block until ctx ends; each is
// one transaction.
type Store interface {
	// AppendArchive stores all rows or none.
	AppendArchive(ctx context.Context, rows []store.ArchiveRow) error
	// ArchivePage returns the rows that q selects.
	ArchivePage(ctx context.Context, q store.ArchiveQuery) ([]store.ArchiveRow, error)
	// ArchivedRows returns those of a room's rows that have one of ids.
	ArchivedRows(ctx context.Context, room jid.JID, ids []string) ([]store.ArchiveRow, error)
	// CountArchive returns how many rows q selects, or most if there are more.
	CountArchive(ctx context.Context, q store.ArchiveQuery, most int) (int, error)
	// ReplaceArchived replaces the stanza of a row; store.ErrNotFound if there
	// is no such row.
	ReplaceArchived(ctx context.Context, room jid.JID, id string, stanza []byte) error
	// DeleteArchiveRows removes those of rows that are stored as they are here.
	DeleteArchiveRows(ctx context.Context, rows []store.ArchiveRow) error
	// DeleteArchive removes all rows of a room.
	DeleteArchive(ctx context.Context, room jid.JID) error
	retained
}

// Defaults of Options.
const (
	defaultMaxBytes = 16 << 20
	defaultTimeout  = 5 * time.Second
)

// maxBatch is how many rows one commit stores at most.
const maxBatch = 256

// rowBytes is what a waiting row costs beside its stanza.
const rowBytes = 256

// Options configure an Archive.
type Options struct {
	Store    Store
	MaxBytes int           // of rows that wait or are being stored; 16 MiB if 0
	Timeout  time.Duration // of a commit; 5 s if 0
	// Limits says what a room keeps, store.ErrNotFound if there is no such room;
	// nil: everything. It may block until ctx ends.
	Limits     func(ctx context.Context, room jid.JID) (store.ArchiveLimits, error)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Archive stores room messages. Its methods are safe for concurrent use.
type Archive struct {
	// Set at construction.
	store    Store
	log      *slog.Logger
	maxBytes int
	timeout  time.Duration
	metrics  *metrics
	limits   func(context.Context, jid.JID) (store.ArchiveLimits, error) // nil: none
	closing  chan struct{}                                               // closed by Close
	wg       sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	waiting queue
	taken   queue  // what batches are cut from, all of it before anything of waiting
	base    queue  // all of what taken was, for its memory
	running bool   // a goroutine stores, or is about to
	flying  *batch // the one being stored, nil if there is none
	bytes   int    // of rows that wait or are being stored
	closed  bool

	regretted int // bytes of rows that are to be taken back
}

// queue is rows in order with the functions that want to know.
type queue struct {
	rows []store.ArchiveRow
	done []func(error)
}

// New returns an archive on o.Store.
func New(o Options) *Archive {
	a := &Archive{
		store: o.Store, log: o.Logger, maxBytes: o.MaxBytes, timeout: o.Timeout, limits: o.Limits,
		closing: make(chan struct{}),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.maxBytes == 0 {
		a.maxBytes = defaultMaxBytes
	}
	if a.timeout == 0 {
		a.timeout = defaultTimeout
	}
	a.metrics = newMetrics(o.Registerer, a.queuedBytes)
	if a.limits != nil {
		a.wg.Go(a.retain)
	}
	return a
}

// Append queues row for the next commit and never waits. Unless it returns an
// error, done is called exactly once, from a goroutine of the archive, after
// the commit or its failure: for the rows of one room in the order of Append.
// It must not block. A row whose done got an error is not in the archive, or
// will soon be removed from it.
func (a *Archive) Append(row store.ArchiveRow, done func(error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	size := rowBytes + len(row.Stanza)
	switch {
	case a.closed:
		a.metrics.closed.Inc()
		return ErrClosed
	case a.bytes+size > a.maxBytes:
		a.metrics.busy.Inc()
		return ErrBusy
	}
	a.bytes += size
	a.waiting.rows = append(a.waiting.rows, row)
	a.waiting.done = append(a.waiting.done, done)
	if !a.running {
		a.running = true
		a.wg.Go(a.work)
	}
	return nil
}

// Page returns the rows that q selects. Rows that are not committed yet are
// not among them.
func (a *Archive) Page(ctx context.Context, q store.ArchiveQuery) ([]store.ArchiveRow, error) {
	return a.store.ArchivePage(ctx, q)
}

// Rows returns those of a room's committed rows that have one of ids, in order.
func (a *Archive) Rows(ctx context.Context, room jid.JID, ids []string) ([]store.ArchiveRow, error) {
	return a.store.ArchivedRows(ctx, room, ids)
}

// Count returns how many committed rows q selects, or most if there are more.
func (a *Archive) Count(ctx context.Context, q store.ArchiveQuery, most int) (int, error) {
	return a.store.CountArchive(ctx, q, most)
}

// ReplaceArchived puts another stanza in the place of one whose Append came
// before. It keeps its ID, time and sender. store.ErrNotFound says that the
// room has no such row.
func (a *Archive) ReplaceArchived(ctx context.Context, room jid.JID, id string, stanza []byte) error {
	select {
	case <-a.settled():
	case <-ctx.Done():
		return fmt.Errorf("replace message %s of %s: %w", id, room, ctx.Err())
	}
	return a.store.ReplaceArchived(ctx, room, id, stanza)
}

// Delete removes all rows of a room, those included whose Append came before.
// Rows that are appended before it returns may be removed or not.
func (a *Archive) Delete(ctx context.Context, room jid.JID) error {
	select {
	case <-a.settled():
	case <-ctx.Done():
		return fmt.Errorf("delete archive of %s: %w", room, ctx.Err())
	}
	return a.store.DeleteArchive(ctx, room)
}

// Close refuses further rows and returns when those that wait are stored, or
// when ctx ends; they are then still being stored.
func (a *Archive) Close(ctx context.Context) error {
	a.mu.Lock()
	if !a.closed {
		close(a.closing)
	}
	a.closed = true
	a.mu.Unlock()
	over := make(chan struct{})
	go func() { // ends with the last commit, which a timeout bounds
		a.wg.Wait()
		close(over)
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close archive: %w", ctx.Err())
	}
}

// settled returns a channel that is closed once all rows that were appended
// before have been answered.
func (a *Archive) settled() <-chan struct{} {
	ch := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	done := a.waiting.done
	if len(done) == 0 {
		done = a.taken.done
	}
	switch {
	case len(done) > 0:
		last := done[len(done)-1]
		done[len(done)-1] = func(err error) {
			last(err)
			close(ch)
		}
	case a.flying != nil:
		a.flying.over = append(a.flying.over, ch)
	default:
		close(ch)
	}
	return ch
}

func (a *Archive) queuedBytes() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return float64(a.bytes)
}
