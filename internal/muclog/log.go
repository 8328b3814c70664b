// Package muclog writes what happens in rooms to files, one per room and day, as
// plain text or as HTML.
//
// A Log owns one goroutine, its writer, and everything below its directory. Rooms
// hand it events and never wait: these collect in a queue that is bounded in
// number and bytes, which the writer empties once a second, a file at a time.
// Between two writes no file is open, so that files and directories may be moved
// or removed at any time. What cannot be written is lost and counted. The writer
// may block on the file system, and nobody on the writer but Close.
package muclog

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/jid"
)

const (
	flushEvery = time.Second
	maxQueue   = 20_000   // events
	maxBytes   = 16 << 20 // of their texts
)

// The reasons for which events are lost.
const (
	lostQueueFull = "queue_full"
	lostWrite     = "write"
	lostClosed    = "closed"
)

// Options say where and how logs are written.
type Options struct {
	Dir        string // made when first written to
	Plain      bool   // ROOM/YYYY-MM-DD instead of ROOM/YYYY/MM/DD
	LocalPart  bool   // ROOM is the local part instead of the whole address
	HTML       bool   // instead of plain text
	CSS        string // address of a style sheet; "": a built-in one
	TopTarget  string // address of the link at the top of each page
	TopText    string // its text
	NoFollow   bool   // links in messages have rel="nofollow"
	Location   *time.Location
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Log writes the logs of all rooms of a server.
type Log struct {
	// Set at construction.
	opts    Options
	log     *slog.Logger
	lost    *prometheus.CounterVec
	written prometheus.Counter
	wake    chan struct{} // there is something to write
	hurry   chan struct{} // the queue is half full
	closing chan struct{}
	ended   chan struct{}

	// Guarded by mu.
	mu     sync.Mutex
	queue  []entry
	bytes  int
	closed bool

	// Owned by the writer.
	failing bool // the last write failed
}

// entry is one event. The texts are as people wrote them.
type entry struct {
	kind    kind
	room    jid.JID
	name    string // of the room
	subject string // of the room
	at      time.Time
	nick    string
	text    string // body, subject, new nickname or reason
	about   *about // the room, where a page may begin or the room has changed; nil elsewhere
}

func (e *entry) size() int {
	return 64 + len(e.name) + len(e.subject) + len(e.nick) + len(e.text) + e.about.size()
}

// New starts the writer of o.Dir, which Close ends.
func New(o Options) *Log {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	l := &Log{
		opts: o, log: o.Logger,
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_muclog_lost_lines_total", Help: "Lines of room logs that were not written, by reason.",
		}, []string{"reason"}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_muclog_written_lines_total", Help: "Lines of room logs that were written.",
		}),
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(l.lost, l.written)
	}
	go l.run()
	return l
}

// Close writes what waits and ends the writer. It returns early with ctx, and
// what the file system then keeps waiting is lost.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
	select {
	case <-l.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// add queues an event and never waits.
func (l *Log) add(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		l.lost.WithLabelValues(lostClosed).Inc()
		return
	case len(l.queue) == maxQueue || l.bytes+e.size() > maxBytes:
		l.lost.WithLabelValues(lostQueueFull).Inc()
		return
	}
	l.queue = append(l.queue, e)
	l.bytes += e.size()
	signal(l.wake)
	if len(l.queue) > maxQueue/2 || l.bytes > maxBytes/2 {
		signal(l.hurry)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run is the writer.
func (l *Log) run() {
	defer close(l.ended)
	for {
		select {
		case <-l.wake:
		case <-l.closing:
			l.flush()
			return
		}
		collect := time.NewTimer(flushEvery)
		select {
		case <-collect.C:
		case <-l.hurry:
		case <-l.closing:
		}
		collect.Stop()
		l.flush()
	}
}

// flush writes what waits.
func (l *Log) flush() {
	l.mu.Lock()
	queue := l.queue
	l.queue, l.bytes = nil, 0
	l.mu.Unlock()
	if len(queue) == 0 {
		return
	}
	lost, err := l.write(queue)
	l.written.Add(float64(len(queue) - lost))
	l.lost.WithLabelValues(lostWrite).Add(float64(lost))
	switch {
	case err != nil && !l.failing:
		l.log.LogAttrs(context.Background(), slog.LevelError, "write room logs", slog.Int("lost", lost), slog.Any("err", err))
	case err == nil && l.failing:
		l.log.LogAttrs(context.Background(), slog.LevelInfo, "room logs are written again")
	}
	l.failing = err != nil
}
