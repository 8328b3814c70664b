package c2s

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

const (
	// maxDetached bounds the sessions of one account that wait to be resumed.
	maxDetached = 10
	// maxStale bounds what is remembered of sessions that are over.
	maxStale = 10_000
	// settleTime bounds how long a resumption waits for stanzas that the former
	// connection has brought and that are still worked on.
	settleTime = 10 * time.Second
)

// errOver says that a session cannot be resumed any more.
var errOver = errors.New("session is over")

// detach lets go of a connection that has ended. It reports whether the session
// waits to be resumed (XEP-0198 §5, §7).
func (s *Session) detach(ctx context.Context, k *link) bool {
	why := k.reason()
	s.mu.Lock()
	s.link = nil
	waits := s.final == "" && s.sm != nil && s.sm.id != "" && why.resumable()
	if waits {
		s.detached = time.Now()
		s.quiet = true // presence that nobody reads is coalesced
		s.sm.asked = false
		s.sm.timer = time.AfterFunc(s.sm.timeout, s.expire)
	} else {
		s.leaving = true
		if s.final == "" {
			s.final = why
		}
	}
	s.mu.Unlock()
	if !waits {
		return false
	}
	s.srv.metrics.detached.Inc()
	s.log(ctx, slog.LevelDebug, "session waits to be resumed", slog.String("reason", string(why)), slog.Duration("timeout", s.sm.timeout))
	s.srv.limitDetached(s.jid.Bare())
	return true
}

// expire ends a session that has not been resumed in time.
func (s *Session) expire() {
	s.giveUp(func() bool { return time.Since(s.detached) >= s.sm.timeout })
}

// giveUp ends the session if it still waits to be resumed, and if that is due,
// which is asked with the mutex held. It reports whether it has.
func (s *Session) giveUp(due func() bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil || s.leaving || s.final != "" || !due() {
		return false
	}
	s.final = reasonExpired
	s.abandon()
	return true
}

// attach gives the session a new connection, whose client has handled h stanzas.
// One that still carries it is ended, and what that has brought is worked off
// first, so that the client learns what it must not send again.
func (s *Session) attach(ctx context.Context, k *link, h uint32) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		s.mu.Lock()
		if s.final != "" || s.leaving {
			s.mu.Unlock()
			return errOver
		}
		busy := s.sm.arrivals.wait()
		old := s.link
		if old == nil && (busy == nil || ctx.Err() != nil) {
			break
		}
		s.mu.Unlock()
		if old != nil {
			old.end(reasonResumed, &stream.Error{Condition: stream.Conflict, Text: "The session is resumed by another connection."})
			busy = old.gone
		}
		select {
		case <-busy:
		case <-k.done:
			return errEnded
		case <-ctx.Done():
			if old != nil {
				return ctx.Err()
			}
		}
	}
	defer s.mu.Unlock()
	return s.carryOn(k, h)
}

// carryOn continues on a new connection. The mutex is held.
func (s *Session) carryOn(k *link, h uint32) error {
	if err := s.trim(h); err != nil {
		return err
	}
	s.unhold() // not sent yet: it counts from here on
	if s.leaving {
		return errOver // that was more than may be unacknowledged
	}
	s.sm.timer.Stop()
	s.srv.metrics.detached.Dec()
	s.quiet = false
	s.link, s.listener = k, k.listener
	s.rawLocked(stanza.NewElement(nsSM, "resumed", "previd", s.sm.id,
		"h", strconv.FormatUint(uint64(s.sm.arrivals.count()), 10)))
	again := make([]*stanza.Encoded, len(s.unacked))
	for i := range s.unacked {
		again[i] = s.unacked[i].encoded
	}
	if err := k.stream.Replay(again, s.to); err != nil {
		s.broken(err)
		return nil // it waits to be resumed once more
	}
	s.ask()
	return nil
}

// resume continues a former session on this connection (XEP-0198 §5). The
// session is nil if that is refused: the client may bind a resource instead.
func (n *negotiation) resume(ctx context.Context, e *stanza.Element) (*Session, error) {
	h, ok := parseCount(e.Attr("h"))
	previd := e.Attr("previd")
	if !ok || previd == "" {
		return nil, n.stream.Send(failed(stanza.BadRequest))
	}
	s, former := n.srv.resumable(n.account, previd)
	err := errOver
	switch {
	case s == nil:
	case !n.listener.allows(s.jid):
		n.srv.metrics.refuse(refusedAccess)
		return nil, n.stream.Send(failed(stanza.NotAllowed))
	default:
		err = s.attach(ctx, n.link, h)
	}
	switch {
	case err == nil:
	case errors.Is(err, errOver):
		n.srv.metrics.resumed(resumeUnknown)
		refusal := failed(stanza.ItemNotFound)
		if former != nil { // what it has handled need not be sent again
			refusal.SetAttr("h", strconv.FormatUint(uint64(former.count()), 10))
		}
		return nil, n.stream.Send(refusal)
	default:
		n.srv.metrics.resumed(resumeFailed)
		return nil, err
	}
	n.srv.metrics.resumed(resumeDone)
	s.lang, s.reads, s.probing = n.lang, n.stream.Reads(), false
	n.watch()
	n.srv.carries(n.link, s)
	n.shape(s.jid)
	s.log(ctx, slog.LevelInfo, "session resumed", slog.String("session", n.streamID), slog.String("remote", n.conn.RemoteAddr().String()))
	return s, nil
}

// stale is what remains known of a session that could have been resumed.
type stale struct {
	account  jid.JID
	arrivals *arrivals
}

// allowResume lets a session be resumed under an id.
func (s *Server) allowResume(session *Session, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resumables[id] = session
}

// resumable returns the session with an id, or how much a former one has
// handled. It must be of the account that asks.
func (s *Server) resumable(account jid.JID, id string) (*Session, *arrivals) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session := s.resumables[id]; session != nil && session.jid.Bare() == account {
		return session, session.management().arrivals
	}
	if former, ok := s.stale[id]; ok && former.account == account {
		return nil, former.arrivals
	}
	return nil, nil
}

// retireLocked remembers how much a session has handled that is over.
func (s *Server) retireLocked(session *Session) {
	sm := session.management()
	if sm == nil || sm.id == "" {
		return
	}
	sm.arrivals.forget()
	id := sm.id
	delete(s.resumables, id)
	s.stale[id] = stale{session.jid.Bare(), sm.arrivals}
	s.staleOrder = append(s.staleOrder, id)
	if len(s.staleOrder) > maxStale {
		delete(s.stale, s.staleOrder[0])
		s.staleOrder = s.staleOrder[1:]
	}
}

// limitDetached ends the session of an account that has waited longest, if too
// many wait.
func (s *Server) limitDetached(account jid.JID) {
	s.mu.Lock()
	oldest, n := s.oldestDetachedLocked(account)
	s.mu.Unlock()
	if n > maxDetached {
		oldest.giveUp(always)
	}
}

func always() bool { return true }

// oldestDetachedLocked returns the session of an account that has waited longest
// to be resumed, and how many wait.
func (s *Server) oldestDetachedLocked(account jid.JID) (oldest *Session, n int) {
	a := s.accounts[account]
	if a == nil {
		return nil, 0
	}
	var since time.Time
	for _, session := range a.sessions {
		at, ok := session.waitsSince()
		if !ok {
			continue
		}
		if n++; oldest == nil || at.Before(since) {
			oldest, since = session, at
		}
	}
	return oldest, n
}

// management returns the state of stream management, nil if it is not enabled.
func (s *Session) management() *management {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sm
}

// waitsSince returns since when the session has waited to be resumed, if it
// does.
func (s *Session) waitsSince() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.detached, s.link == nil && !s.leaving && s.sm != nil && s.sm.timer != nil
}
