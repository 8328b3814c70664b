package c2s

import (
	"context"
	"errors"
	"log/slog"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// errEnded is what a reader gets whose connection is to end.
var errEnded = errors.New("connection is to end")

// Session is a bound client session.
type Session struct {
	// Set at construction.
	link *link
	srv  *Server
	jid  jid.JID
	to   string // jid, escaped for an attribute
	lang string // of the client's stream (RFC 6120 §8.1.5)

	state router.PresenceState
}

// JID returns the full JID.
func (s *Session) JID() jid.JID { return s.jid }

// State returns the presence state.
func (s *Session) State() *router.PresenceState { return &s.state }

// Replace ends the session because another one binds its resource.
func (s *Session) Replace() { s.link.replace() }

// replace ends the connection for a newer one (RFC 6120 §7.7.2.2).
func (k *link) replace() {
	k.end(reasonReplaced, &stream.Error{Condition: stream.Conflict, Text: "The resource is bound by a newer session."})
}

// Deliver queues stanzas for the client.
func (s *Session) Deliver(batch []*stanza.Encoded) {
	if err := s.link.stream.Deliver(batch, s.to); err != nil {
		s.undelivered(len(batch), err)
	}
}

// Flush waits until everything delivered has been written; an error says that
// some of it may not have been.
func (s *Session) Flush() error {
	s.link.stream.Flush()
	if s.link.ended() {
		return errEnded
	}
	return s.link.stream.Err()
}

// undelivered counts what the stream has not taken, and ends the session.
func (s *Session) undelivered(n int, err error) {
	if errors.Is(err, stream.ErrSlowConsumer) {
		s.srv.metrics.slowDrops.Add(float64(n))
		s.link.end(reasonSlow, nil)
		return
	}
	s.srv.metrics.endedDrops.Add(float64(n))
	s.link.end(reasonLost, nil)
}

// send queues a stanza for the client.
func (s *Session) send(st *stanza.Stanza) {
	if err := s.link.stream.SendStanza(st); err != nil {
		s.undelivered(1, err)
	}
}

// run reads stanzas until the session ends, and takes leave of it.
func (s *Session) run(ctx context.Context) {
	s.srv.metrics.sessions.Inc()
	defer s.finish(ctx)
	if !s.guard(ctx, func() { s.srv.opts.Router.Bind(s) }) {
		s.link.end(reasonPanic, &stream.Error{Condition: stream.InternalServerError})
	}
	for !s.link.ended() {
		e, err := s.link.stream.Next()
		if s.link.ended() {
			return
		}
		if err == nil {
			err = s.handle(ctx, e)
		}
		if err != nil {
			s.link.endBy(err)
		}
	}
}

// finish tells everybody that the session is gone.
func (s *Session) finish(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	s.guard(ctx, func() { s.srv.opts.Router.Unbind(s) })
	s.guard(ctx, func() { s.srv.opts.Contacts.Ended(ctx, s) })
	s.srv.metrics.sessions.Dec()
	s.link.free()
	s.link.mu.Lock()
	why := s.link.why
	s.link.mu.Unlock()
	s.log(ctx, slog.LevelDebug, "session ended", slog.String("reason", string(why)))
}

// guard runs f and reports whether it came to its end; a panic in it costs no
// more than what f would have done.
func (s *Session) guard(ctx context.Context, f func()) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			s.link.panicked(ctx, v)
		}
	}()
	f()
	return true
}

func (s *Session) log(ctx context.Context, level slog.Level, message string, attrs ...slog.Attr) {
	s.link.log(ctx, level, message, append(attrs, slog.String("jid", s.jid.String()))...)
}
