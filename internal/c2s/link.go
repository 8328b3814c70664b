package c2s

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-im/muster/internal/shaper"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
)

const (
	// lingerTime is how long a peer may take to close after we have.
	lingerTime = 2 * time.Second
	// lingerBytes is how much more it may send meanwhile.
	lingerBytes = 1 << 20
)

// link is one client connection, from the first byte to the last: what there is
// before a session is bound and stays beneath it.
type link struct {
	// Set at construction.
	srv      *Server
	listener *Listener
	conn     net.Conn
	stream   *stream.Stream
	done     chan struct{} // closed when the connection is to end
	gone     chan struct{} // closed when its reader has let go of its session

	bucket atomic.Pointer[shaper.Bucket] // nil: no limit; used by the reader alone

	mu sync.Mutex
	// Guarded by mu.
	why   reason
	freed bool

	// Guarded by srv.mu.
	account jid.JID // zero until authenticated
	full    jid.JID // of the session that it carries, zero until then
}

func newLink(l *Listener, conn net.Conn) *link {
	o := &l.srv.opts
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{ // without it the connection is only noticed later
			Enable: o.KeepAlive > 0, Idle: o.KeepAlive, Interval: o.KeepAlive / 4, Count: 4,
		})
	}
	k := &link{
		srv: l.srv, listener: l, conn: conn,
		stream: stream.New(conn, stream.Options{
			Metrics: o.StreamMetrics, MaxStanza: o.MaxUnauthStanza, QueueBytes: o.QueueBytes, CloseTimeout: lingerTime, From: l.srv.host,
			Trace: l.srv.tracer(conn.RemoteAddr()),
		}),
		done: make(chan struct{}), gone: make(chan struct{}),
	}
	if l.opts.Policy != nil {
		k.stream.SetPacer(k)
		k.shape(jid.JID{})
	}
	return k
}

// end ends the connection, with a stream error if e is not nil. The first call
// counts; it may come from any goroutine and wakes the reader.
func (k *link) end(why reason, e *stream.Error) {
	k.mu.Lock()
	if k.why != "" {
		k.mu.Unlock()
		return
	}
	k.why = why
	close(k.done)
	k.mu.Unlock()
	if e != nil {
		k.stream.Fail(e)
	} else {
		k.stream.Close()
	}
	_ = k.conn.SetReadDeadline(time.Unix(1, 0)) // a closed connection reads nothing either
}

// ended reports whether end has been called.
func (k *link) ended() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

// endBy ends the connection because reading or negotiating has failed with err.
func (k *link) endBy(err error) {
	if e, ok := errors.AsType[*stream.Error](err); ok {
		if e.Remote {
			k.end(reasonPeerError, nil)
		} else {
			k.end(reasonProtocol, e)
		}
		return
	}
	switch {
	case errors.Is(k.stream.Err(), stream.ErrSlowConsumer):
		k.end(reasonSlow, nil) // which has closed the socket
	case errors.Is(err, io.EOF):
		k.end(reasonClosed, nil)
	case errors.Is(err, errTLS):
		_ = k.conn.Close() // RFC 6120 §5.4.3.2: no closing tag after a failed handshake
		k.end(reasonTLS, nil)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		k.end(reasonTimeout, &stream.Error{Condition: stream.ConnectionTimeout})
	default:
		k.end(reasonLost, nil)
	}
}

// breathe waits while the client does not take what it is sent: it gets no more
// answers than it reads, and asks no faster.
func (k *link) breathe() {
	if eased := k.stream.Pressure(); eased != nil {
		select {
		case <-eased:
		case <-k.done:
		}
	}
}

// setReadDeadline sets the deadline unless the connection is to end.
func (k *link) setReadDeadline(t time.Time) {
	_ = k.stream.SetReadDeadline(t) // reading tells what is wrong
	if k.ended() {
		_ = k.conn.SetReadDeadline(time.Unix(1, 0)) // end came between
	}
}

// reason returns why the connection has ended.
func (k *link) reason() reason {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.why
}

// free says that no session hangs on the connection any more.
func (k *link) free() {
	k.mu.Lock()
	freed := k.freed
	k.freed = true
	k.mu.Unlock()
	if !freed {
		k.srv.logout(k)
		close(k.gone)
	}
}

// release closes the connection, once the reader has done with it.
func (k *link) release() {
	k.end(reasonClosed, nil)
	k.free()
	why := k.reason()
	if why.lingers() {
		k.linger()
	}
	k.stream.Release()
	k.srv.metrics.closed(why)
	k.srv.drop(k)
}

// linger reads until the peer has closed, too: closing with unread bytes would
// reset the connection and take our stream error with it.
func (k *link) linger() {
	if k.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, k.conn, lingerBytes) // how it ends is all the same
	}
}

// log writes a line about the connection.
func (k *link) log(ctx context.Context, level slog.Level, message string, attrs ...slog.Attr) {
	if k.srv.log.Enabled(ctx, level) {
		k.srv.log.LogAttrs(ctx, level, message, append(attrs, //nolint:sloglint // callers give constants
			slog.String("remote", k.conn.RemoteAddr().String()))...)
	}
}
