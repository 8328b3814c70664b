package stream

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/muster-im/muster/stanza"
)

// ErrSlowConsumer ends a stream whose peer takes less than it is sent.
var ErrSlowConsumer = errors.New("peer reads too slowly")

// errClosed is what sends get on a stream that has been closed.
var errClosed = errors.New("stream is closed")

// maxPooled bounds the buffers that are kept for reuse.
const maxPooled = 64 << 10

// writePart is how much a peer must at least take within the write timeout.
const writePart = 64 << 10

// buffers are shared by the queues of all streams.
var buffers = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // scratch memory, not state

// writeQueue is what waits to be written. Putting something in never waits: a
// goroutine exists while there is something to write, and takes all that has
// come together at once. The queue is bounded in bytes, counting what is in
// flight.
type writeQueue struct {
	max     int
	timeout time.Duration
	wg      *sync.WaitGroup
	metrics *Metrics
	onError func(error)                         // called once, without the mutex
	trace   func(direction string, data []byte) // may be nil

	mu sync.Mutex
	// Guarded by mu.
	conn    net.Conn
	raw     syscall.RawConn // of conn, nil unless it is plain TCP
	buf     *[]byte         // what waits; nil: nothing
	flying  int             // bytes that are being written
	extra   int             // bytes of buf and flying beyond the bound, until all is written
	running bool            // flush runs
	holds   int             // who has more to come, see hold
	ending  bool            // nothing more is taken; close after what waits
	err     error           // broken
	idle    chan struct{}   // closed when everything is written; nil unless somebody waits
	eased   chan struct{}   // closed when a quarter of the bound is left at most; nil unless somebody waits
}

// deliver appends stanzas addressed to to, escaped already.
func (q *writeQueue) deliver(batch []*stanza.Encoded, to string) error {
	n := 0
	for _, e := range batch {
		n += e.Size() + len(to)
	}
	q.mu.Lock()
	buf, err := q.room(n)
	if err == nil {
		for _, e := range batch {
			*buf = e.AppendTo(*buf, to)
		}
	}
	return q.put(err)
}

// replay is deliver without the bound, which is wider by as much until
// everything has been written.
func (q *writeQueue) replay(batch []*stanza.Encoded, to string) error {
	q.mu.Lock()
	buf, err := q.room(0)
	if err == nil {
		before := len(*buf)
		for _, e := range batch {
			*buf = e.AppendTo(*buf, to)
		}
		q.extra += len(*buf) - before
	}
	return q.put(err)
}

// append appends what add appends, about n bytes.
func (q *writeQueue) append(n int, add func([]byte) []byte) error {
	q.mu.Lock()
	buf, err := q.room(n)
	if err == nil {
		*buf = add(*buf)
	}
	return q.put(err)
}

// room returns the buffer to append n bytes to. The mutex is held.
func (q *writeQueue) room(n int) (*[]byte, error) {
	switch {
	case q.err != nil:
		return nil, q.err
	case q.ending:
		return nil, errClosed
	}
	if q.buf == nil {
		q.buf = buffers.Get().(*[]byte) //nolint:errcheck,forcetypeassert // only []byte are in it
	}
	used := q.usedLocked()
	if used+n > q.max+q.extra && q.extra == 0 && used <= q.max/2 {
		q.extra = n // one thing may be as large as it is: a long roster, the history of a room
	}
	if used+n > q.max+q.extra {
		q.metrics.slowConsumers.Inc()
		q.breakLocked(ErrSlowConsumer)
		return nil, q.err
	}
	*q.buf = slices.Grow(*q.buf, n)
	return q.buf, nil
}

// put starts the flush if need be and unlocks the mutex.
func (q *writeQueue) put(err error) error {
	broken := err != nil && errors.Is(err, ErrSlowConsumer) && q.onError != nil
	var tell func(error)
	if broken {
		tell, q.onError = q.onError, nil
	}
	if err == nil && (q.holds == 0 || len(*q.buf) >= writePart) {
		q.startLocked()
	}
	q.mu.Unlock()
	if tell != nil {
		tell(err)
	}
	return err
}

// startLocked makes sure that flush runs.
func (q *writeQueue) startLocked() {
	if !q.running {
		q.running = true
		q.wg.Go(q.flush)
	}
}

// hold lets what comes wait for more, up to a part, until release.
func (q *writeQueue) hold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.holds++
}

// release ends a hold.
func (q *writeQueue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.holds--; q.holds == 0 && q.buf != nil {
		q.startLocked()
	}
}

// breakLocked makes the queue useless: the stream is over.
func (q *writeQueue) breakLocked(err error) {
	if q.err == nil {
		q.err = err
	}
	q.dropLocked()
	q.easeLocked()
}

func (q *writeQueue) dropLocked() {
	if q.buf != nil {
		giveBack(q.buf)
		q.buf = nil
	}
}

func giveBack(buf *[]byte) {
	if cap(*buf) > maxPooled {
		return
	}
	*buf = (*buf)[:0]
	buffers.Put(buf)
}

// flush writes until nothing waits.
func (q *writeQueue) flush() {
	for {
		q.mu.Lock()
		buf := q.buf
		if buf == nil || q.err != nil {
			q.finishLocked()
			return
		}
		q.buf, q.flying = nil, len(*buf)
		conn, raw := q.conn, q.raw
		q.mu.Unlock()

		if q.trace != nil {
			q.trace(Sent, *buf)
		}
		err := write(conn, raw, *buf, q.timeout)
		q.metrics.written.Add(float64(len(*buf)))
		giveBack(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			q.metrics.slowConsumers.Inc()
			err = fmt.Errorf("%w: %w", ErrSlowConsumer, err)
		}
		if err != nil {
			q.fail(err)
		}
		q.mu.Lock()
		q.flying = 0
		q.easeLocked()
		q.mu.Unlock()
	}
}

// finishLocked ends flush and unlocks the mutex.
func (q *writeQueue) finishLocked() {
	q.running, q.extra = false, 0
	q.dropLocked()
	idle := q.idle
	q.idle = nil
	conn, ending, err := q.conn, q.ending, q.err
	q.mu.Unlock()
	if idle != nil {
		close(idle)
	}
	if ending && err == nil {
		closeWrite(conn)
	}
}

// fail breaks the queue and says so once.
func (q *writeQueue) fail(err error) {
	q.mu.Lock()
	q.breakLocked(err)
	tell := q.onError
	q.onError = nil
	q.mu.Unlock()
	if tell != nil {
		tell(err)
	}
}

// end takes nothing more and closes the connection's sending side once
// everything is written.
func (q *writeQueue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ending = true
	q.startLocked()
}

// pressure returns nil while less than half of the bound is taken, else a
// channel that closes when things have eased, or the queue is broken.
func (q *writeQueue) pressure() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.usedLocked() <= q.max/2 || q.err != nil {
		return nil
	}
	if q.eased == nil {
		q.eased = make(chan struct{})
	}
	return q.eased
}

func (q *writeQueue) usedLocked() int {
	if q.buf == nil {
		return q.flying
	}
	return len(*q.buf) + q.flying
}

// easeLocked tells who waits for pressure to end, if it has.
func (q *writeQueue) easeLocked() {
	if q.eased != nil && (q.usedLocked() <= q.max/4 || q.err != nil) {
		close(q.eased)
		q.eased = nil
	}
}

// drain returns a channel that closes when everything is written or never will
// be.
func (q *writeQueue) drain() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.buf != nil {
		q.startLocked()
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	idle := q.idle
	if !q.running {
		close(idle)
		q.idle = nil
	}
	return idle
}

// swap replaces the connection, with nothing waiting.
func (q *writeQueue) swap(conn net.Conn, raw syscall.RawConn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.conn, q.raw = conn, raw
}

// write writes all of data. On plain TCP it tries without a deadline first,
// which costs a timer and is needed only when the peer's window is full.
func write(conn net.Conn, raw syscall.RawConn, data []byte, timeout time.Duration) error {
	if raw != nil {
		n := 0
		var werr error
		err := raw.Write(func(fd uintptr) bool {
			n, werr = syscall.Write(int(fd), data)
			return true
		})
		switch {
		case err != nil:
			return err
		case werr == nil && n == len(data):
			return nil
		case werr != nil && !errors.Is(werr, syscall.EAGAIN) && !errors.Is(werr, syscall.EINTR):
			return werr
		}
		data = data[max(n, 0):]
	}
	for len(data) > 0 { // the deadline is for a part: much may take its time
		n := min(len(data), writePart)
		if err := conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if _, err := conn.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	if raw == nil {
		return nil // the next write sets its own
	}
	return conn.SetWriteDeadline(time.Time{}) // once past, it would refuse the next try
}

// closeWrite tells the peer that nothing more comes.
func closeWrite(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // the connection is closed soon in any case
	}
}
