package c2s

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// errEnded is what a reader gets whose connection is to end.
var errEnded = errors.New("connection is to end")

// Session is a bound client session. One connection after the other may carry
// it (XEP-0198 §5); the goroutine that reads the connection is its reader, and
// between two of them it has none.
type Session struct {
	// Set at construction.
	srv  *Server
	jid  jid.JID
	to   string        // jid, escaped for an attribute
	gone chan struct{} // closed when the session has been taken leave of

	since time.Time // when it was bound

	// Owned by the reader.
	lang    string // of the client's stream (RFC 6120 §8.1.5)
	reads   uint64 // stream.Reads, when the connection was looked at last
	probing bool   // nothing had come then, and the client was asked for a sign of life

	state router.PresenceState

	mu sync.Mutex
	// Guarded by mu; link and sm are set by the reader, who may read them without.
	link      *link       // what carries the session; nil while nothing does
	listener  *Listener   // of link, or of the last one
	sm        *management // nil until enabled
	unacked   []sent      // not acknowledged or, without management, not taken by a stream that has broken
	owed      int         // those of unacked that count towards the bound
	owedBytes int
	final     reason // why the session is not to be resumed any more; "": it may
	leaving   bool   // finish runs, or is about to
	finished  bool   // finish has begun
	over      bool   // nothing more is taken
	quiet     bool   // what can wait is held back
	held      []*stanza.Encoded
	detached  time.Time // since when it waits to be resumed
}

// JID returns the full JID.
func (s *Session) JID() jid.JID { return s.jid }

// State returns the presence state.
func (s *Session) State() *router.PresenceState { return &s.state }

// Replace ends the session because another one binds its resource
// (RFC 6120 §7.7.2.2).
func (s *Session) Replace() {
	s.end(reasonReplaced, &stream.Error{Condition: stream.Conflict, Text: "The resource is bound by a newer session."})
}

// end ends the session for good, with a stream error if e is not nil. The first
// call counts; it may come from any goroutine.
func (s *Session) end(why reason, e *stream.Error) {
	s.mu.Lock()
	if s.final == "" {
		s.final = why
	}
	k := s.link
	if k == nil {
		s.abandon()
	}
	s.mu.Unlock()
	if k != nil {
		k.end(why, e)
	}
}

// abandon takes leave of a session that waits to be resumed and has no reader
// who would. The mutex is held.
func (s *Session) abandon() {
	if s.leaving {
		return
	}
	s.leaving = true
	s.sm.timer.Stop()
	s.srv.metrics.detached.Dec()
	go s.finish(context.Background()) // the server waits for it
}

// Deliver queues stanzas for the client, but those of people whom it has
// blocked.
func (s *Session) Deliver(batch []*stanza.Encoded) {
	if batch = s.screen(batch); len(batch) > 0 {
		s.take(batch)
	}
}

// Gather implements router.Gatherer.
func (s *Session) Gather() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return func() {}
	}
	return s.link.stream.Gather()
}

// screen returns what is not of people whom the client has blocked.
func (s *Session) screen(batch []*stanza.Encoded) []*stanza.Encoded {
	if s.state.BlockList().Empty() {
		return batch
	}
	return s.srv.opts.Blocks.Screen(s, batch)
}

// take queues stanzas for the client.
func (s *Session) take(batch []*stanza.Encoded) {
	s.mu.Lock()
	over := s.over
	switch {
	case over:
	case s.quiet:
		s.hold(batch)
	default:
		s.write(batch)
	}
	s.mu.Unlock()
	if over {
		s.missed(batch)
	}
}

// missed finds another way for what comes after the session's end. What a room
// says to everybody, and presence, is not for anybody else.
func (s *Session) missed(batch []*stanza.Encoded) {
	s.srv.metrics.missed.Add(float64(len(batch)))
	for _, e := range batch {
		if e.Stanza.Kind == stanza.Presence || e.Stanza.Type == stanza.TypeGroupchat {
			continue
		}
		if st, ok := e.Missed(s.jid); ok {
			s.srv.opts.Router.Send(st)
		}
	}
}

// write records stanzas as far as they may have to be sent again, and hands
// them to the stream. The mutex is held.
func (s *Session) write(batch []*stanza.Encoded) {
	if s.sm != nil || s.link == nil {
		s.record(batch, false)
	}
	if s.link == nil {
		s.limitUnacked()
		return
	}
	if err := s.link.stream.Deliver(batch, s.to); err != nil {
		if s.sm == nil {
			s.record(batch, false) // it has taken nothing of it
		}
		s.broken(err)
		return
	}
	if s.sm != nil {
		s.limitUnacked()
		s.ask()
	}
}

// limitUnacked ends a session that acknowledges too little. The mutex is held.
func (s *Session) limitUnacked() {
	if s.owedBytes <= s.srv.opts.UnackedBytes && s.owed <= s.srv.opts.MaxUnacked || s.final != "" || s.leaving {
		return
	}
	s.final = reasonUnacked
	s.srv.metrics.refuse(refusedUnacked)
	if s.link != nil {
		s.link.end(reasonUnacked, &stream.Error{Condition: stream.ResourceConstraint, Text: "Too many stanzas have not been acknowledged."})
		return
	}
	s.abandon()
}

// broken ends the connection because its stream takes nothing more. The mutex
// is held.
func (s *Session) broken(err error) {
	if errors.Is(err, stream.ErrSlowConsumer) {
		s.link.end(reasonSlow, nil)
		return
	}
	s.link.end(reasonLost, nil)
}

// Take is Deliver for what is kept elsewhere until the session has taken it: it
// waits until the client has been sent all of it, or, with stream management,
// until the session answers for it. After an error some of it may not have been
// sent, and the session will not find another way for it.
func (s *Session) Take(batch []*stanza.Encoded) error {
	if batch = s.screen(batch); len(batch) == 0 {
		return nil
	}
	k, managed, err := s.takeKept(batch)
	if k == nil || err != nil {
		return err
	}
	k.stream.Flush() // the client sets the pace
	switch {
	case managed:
		return nil
	case k.ended():
		return errEnded
	}
	return k.stream.Err()
}

// takeKept hands a batch on. It returns the connection that has it, nil if there
// is none, and whether the session answers for it.
func (s *Session) takeKept(batch []*stanza.Encoded) (k *link, managed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unhold() // what came before
	switch {
	case s.over, s.sm == nil && s.link == nil:
		return nil, false, errEnded
	case s.sm != nil:
		s.record(batch, true)
		if s.link == nil {
			return nil, true, nil
		}
	}
	k, managed = s.link, s.sm != nil
	if err = k.stream.Deliver(batch, s.to); err != nil {
		s.broken(err)
	}
	if managed {
		s.ask()
		err = nil // it comes again
	}
	return k, managed, err
}

// send queues a stanza for the client. For the reader.
func (s *Session) send(st *stanza.Stanza) {
	s.take([]*stanza.Encoded{stanza.EncodeAddressed(*st)})
}

// begin makes a new session known and tells the client of it with result, in
// that order: who hears of the session from its client must find it. What
// others send meanwhile waits for the mutex, and comes after result.
func (s *Session) begin(ctx context.Context, result *stanza.Stanza) {
	s.srv.metrics.sessions.Inc()
	if err := s.openBlocks(ctx); err != nil { // without it nobody could be kept away
		s.log(ctx, slog.LevelError, "open block list", slog.Any("err", err))
		s.end(reasonStore, &stream.Error{Condition: stream.InternalServerError})
		return
	}
	ok := s.guard(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.srv.opts.Router.Bind(s)
		if err := s.link.stream.SendStanza(result); err != nil {
			s.broken(err) // the session ends before it has begun
		}
	})
	if !ok {
		s.end(reasonPanic, &stream.Error{Condition: stream.InternalServerError})
	}
}

// openBlocks gets the account's block list, before anybody can send anything
// to the session.
func (s *Session) openBlocks(ctx context.Context) error {
	if s.srv.opts.Blocks == nil {
		return nil
	}
	l, err := s.srv.opts.Blocks.Open(ctx, s.jid.Bare())
	if err == nil {
		s.state.SetBlockList(l)
	}
	return err
}

// run reads stanzas from a connection until it ends. Then the session waits to
// be resumed, or is taken leave of.
func (s *Session) run(ctx context.Context, k *link) {
	for !k.ended() {
		e, err := k.stream.Next()
		switch {
		case k.ended():
		case err == nil:
			if err := s.handle(ctx, e); err != nil {
				k.endBy(err)
			}
			k.breathe()
		case errors.Is(err, os.ErrDeadlineExceeded) && s.sign(k):
		default:
			k.endBy(err)
		}
	}
	if !s.detach(ctx, k) {
		s.finish(ctx)
	}
}

// finish tells everybody that the session is gone, and hands back what the
// client has not got.
func (s *Session) finish(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	s.mu.Lock()
	again := s.finished
	s.finished = true
	s.mu.Unlock()
	if again {
		s.log(ctx, slog.LevelError, "session ended twice") // a mistake of ours, which must not cost more
		return
	}
	s.guard(ctx, func() { s.srv.opts.Router.Unbind(s) })
	s.redeliver(ctx, false)
	s.guard(ctx, func() { s.srv.opts.Contacts.Ended(ctx, s) })
	s.redeliver(ctx, true) // what was under way to it when it was unbound
	if s.srv.opts.Blocks != nil {
		s.guard(ctx, func() { s.srv.opts.Blocks.Close(s.state.BlockList()) })
	}
	s.srv.metrics.sessions.Dec()
	s.mu.Lock()
	why := s.final
	s.mu.Unlock()
	s.log(ctx, slog.LevelDebug, "session ended", slog.String("reason", string(why)))
	s.srv.remove(s)
}

// guard runs f and reports whether it came to its end; a panic in it costs no
// more than what f would have done.
func (s *Session) guard(ctx context.Context, f func()) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			s.srv.panicked(ctx, v, slog.String("jid", s.jid.String()))
		}
	}()
	f()
	return true
}

func (s *Session) log(ctx context.Context, level slog.Level, message string, attrs ...slog.Attr) {
	s.srv.log.LogAttrs(ctx, level, message, append(attrs, slog.String("jid", s.jid.String()))...) //nolint:sloglint // callers give constants
}
