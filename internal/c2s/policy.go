package c2s

import (
	"context"
	"log/slog"
	"time"

	"github.com/muster-im/muster/internal/shaper"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
)

// Policy says who may use a listener and how fast. It may change while the
// server runs; nil functions permit everything.
type Policy struct {
	// Allows reports whether somebody may log in. He is asked for with his bare
	// JID when he has authenticated and, because rules may look at resources,
	// with his full one when he binds it. Of a bare JID the answer is true if
	// that depends on the resource.
	Allows func(who jid.JID) bool
	// Rate is the bytes in a second that are read from a connection, 0 for no
	// limit. who is the zero JID before authentication, and full later.
	Rate func(who jid.JID) int
}

// policy is the listener's policy as it is now.
func (l *Listener) policy() Policy {
	if l.opts.Policy == nil {
		return Policy{}
	}
	return l.opts.Policy()
}

// allows reports whether somebody may use the listener.
func (l *Listener) allows(who jid.JID) bool {
	p := l.policy()
	return p.Allows == nil || p.Allows(who)
}

// shape gives the connection the rate that holds for somebody. What it has read
// already counts, unless the rate is another one.
func (k *link) shape(who jid.JID) {
	rate := 0
	if p := k.listener.policy(); p.Rate != nil {
		rate = p.Rate(who)
	}
	switch b := k.bucket.Load(); {
	case rate == 0:
		k.bucket.Store(nil)
	case b == nil || b.Rate() != rate:
		k.bucket.Store(shaper.NewBucket(rate, time.Now()))
	}
}

// paceStep is the longest wait after which a changed rate is noticed.
const paceStep = time.Second

// Pace is called by the reader after n bytes, before it reads more: it waits
// until the rate allows that, while the network holds the sender back. A stanza
// of any size gets through in its time.
func (k *link) Pace(n int) {
	b := k.bucket.Load()
	if b == nil {
		return
	}
	start := time.Now()
	b.Take(n, start)
	for !k.ended() {
		b = k.bucket.Load()
		if b == nil {
			break
		}
		wait := b.Wait(time.Now())
		if wait == 0 {
			break
		}
		timer := time.NewTimer(min(wait, paceStep))
		select {
		case <-timer.C:
		case <-k.done:
			timer.Stop()
		}
	}
	k.srv.metrics.paced.Add(time.Since(start).Seconds())
}

// ApplyPolicies makes connections follow policies that have changed: their
// rates, and who may be there at all. Sessions that wait to be resumed follow
// that of the listener where they were.
func (s *Server) ApplyPolicies(ctx context.Context) {
	type user struct {
		*link
		who jid.JID
	}
	s.mu.Lock()
	users := make([]user, 0, len(s.links))
	for k := range s.links {
		who := k.account
		if !k.full.IsZero() {
			who = k.full
		}
		users = append(users, user{k, who})
	}
	var sessions []*Session
	for _, a := range s.accounts {
		sessions = append(sessions, a.sessions...)
	}
	s.mu.Unlock()
	for _, session := range sessions {
		session.applyPolicy(ctx)
	}
	for _, u := range users {
		u.shape(u.who)
		if u.who.IsZero() || u.listener.allows(u.who) {
			continue
		}
		s.metrics.refuse(refusedAccess)
		u.log(ctx, slog.LevelInfo, "session ended by the access rule", slog.String("jid", u.who.String()))
		u.end(reasonAccess, &stream.Error{Condition: stream.PolicyViolation, Text: textAccess})
	}
}

// applyPolicy ends a session that waits to be resumed and may not be.
func (s *Session) applyPolicy(ctx context.Context) {
	s.mu.Lock()
	waits, listener := s.link == nil, s.listener
	s.mu.Unlock()
	if !waits || listener.allows(s.jid) {
		return
	}
	s.srv.metrics.refuse(refusedAccess)
	s.log(ctx, slog.LevelInfo, "session ended by the access rule")
	s.end(reasonAccess, nil)
}

// textAccess tells people that their password is not what is wrong.
const textAccess = "This account may not log in here."
