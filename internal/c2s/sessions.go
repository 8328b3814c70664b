package c2s

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
)

// account is who is connected under one bare JID.
type account struct {
	links    []*link    // authenticated, with a session or without
	sessions []*Session // bound, with a connection or without
}

// login records whose connection k is.
func (s *Server) login(k *link, owner jid.JID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.account = owner
	a := s.accounts[owner]
	if a == nil {
		a = &account{}
		s.accounts[owner] = a
	}
	a.links = append(a.links, k)
}

// logout takes back what login has recorded.
func (s *Server) logout(k *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[k.account]
	if a == nil {
		return
	}
	a.links = slices.DeleteFunc(a.links, func(o *link) bool { return o == k })
	s.tidyLocked(k.account, a)
	k.account, k.full = jid.JID{}, jid.JID{}
}

// carries records that k carries a session that was resumed.
func (s *Server) carries(k *link, session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.full = session.jid
}

// tidyLocked forgets an account that nobody is connected as.
func (s *Server) tidyLocked(owner jid.JID, a *account) {
	if len(a.links) == 0 && len(a.sessions) == 0 {
		delete(s.accounts, owner)
	}
}

// claim makes a session of a full JID, carried by k. If another one must go
// first, because it has the address or there are too many, that is returned;
// neither if there are too many connected.
func (s *Server) claim(k *link, full jid.JID) (own, other *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[k.account]
	for _, o := range a.sessions {
		if o.jid == full {
			return nil, o
		}
	}
	if len(a.sessions) >= s.opts.MaxResources {
		oldest, _ := s.oldestDetachedLocked(k.account)
		return nil, oldest
	}
	own = &Session{srv: s, jid: full, to: stream.StanzaTo(full), gone: make(chan struct{}), since: time.Now(), link: k, listener: k.listener}
	a.sessions = append(a.sessions, own)
	k.full = full
	s.sessions++
	s.wg.Add(1)
	return own, nil
}

// remove forgets a session that is over: its resource is free.
func (s *Server) remove(session *Session) {
	s.mu.Lock()
	owner := session.jid.Bare()
	if a := s.accounts[owner]; a != nil {
		a.sessions = slices.DeleteFunc(a.sessions, func(o *Session) bool { return o == session })
		s.tidyLocked(owner, a)
	}
	s.sessions--
	s.retireLocked(session)
	s.mu.Unlock()
	close(session.gone)
	s.wg.Done()
}

// Sessions returns the number of bound sessions, those that wait to be resumed
// included.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// SessionInfo is what an administrator is told of a session.
type SessionInfo struct {
	JID    jid.JID // full
	Since  time.Time
	Remote net.Addr // nil while the session waits to be resumed
	TLS    bool     // the connection is encrypted
	State  *router.PresenceState
}

// SessionsOf returns the sessions of an account, in the order of their
// resources.
func (s *Server) SessionsOf(owner jid.JID) []SessionInfo {
	var sessions []*Session
	s.mu.Lock()
	if a := s.accounts[owner.Bare()]; a != nil {
		sessions = slices.Clone(a.sessions)
	}
	s.mu.Unlock()
	list := make([]SessionInfo, len(sessions))
	for i, o := range sessions {
		o.mu.Lock()
		k := o.link
		o.mu.Unlock()
		list[i] = SessionInfo{JID: o.jid, Since: o.since, State: &o.state}
		if k != nil {
			list[i].Remote, list[i].TLS = k.conn.RemoteAddr(), k.stream.TLS() != nil
		}
	}
	slices.SortFunc(list, func(a, b SessionInfo) int { return strings.Compare(a.JID.Resource(), b.JID.Resource()) })
	return list
}

// EndSessions ends the session of a full JID, or all of a bare one, because an
// administrator wants it: they cannot be resumed, the account may log in again.
// It returns how many there were, once they are over or have had their time.
func (s *Server) EndSessions(ctx context.Context, who jid.JID) int {
	ctx, cancel := context.WithTimeout(ctx, endWait)
	defer cancel()
	var sessions []*Session
	s.mu.Lock()
	if a := s.accounts[who.Bare()]; a != nil {
		sessions = slices.Clone(a.sessions)
	}
	s.mu.Unlock()
	if !who.IsBare() {
		sessions = slices.DeleteFunc(sessions, func(o *Session) bool { return o.jid != who })
	}
	over := make([]<-chan struct{}, len(sessions))
	for i, o := range sessions {
		// RFC 6120 §4.9.3.16: the client is to authenticate anew.
		o.end(reasonAdministrator, &stream.Error{Condition: stream.Reset, Text: "An administrator has ended the session."})
		over[i] = o.gone
	}
	awaitAll(ctx, over)
	return len(sessions)
}

// awaitAll waits until all channels are closed, or ctx ends.
func awaitAll(ctx context.Context, list []<-chan struct{}) {
	for _, c := range list {
		select {
		case <-c:
		case <-ctx.Done():
			return
		}
	}
}

// EndAccount ends all streams and sessions of an account that is no more
// (RFC 6120 §4.9.3.12). It returns when they are over, or have had their time.
func (s *Server) EndAccount(ctx context.Context, owner jid.JID) {
	ctx, cancel := context.WithTimeout(ctx, endWait)
	defer cancel()
	var links []*link
	var sessions []*Session
	s.mu.Lock()
	if a := s.accounts[owner.Bare()]; a != nil {
		links, sessions = slices.Clone(a.links), slices.Clone(a.sessions)
	}
	s.mu.Unlock()
	removed := &stream.Error{Condition: stream.NotAuthorized, Text: "The account has been removed."}
	var over []<-chan struct{}
	for _, session := range sessions {
		session.end(reasonAccount, removed)
		over = append(over, session.gone)
	}
	for _, k := range links {
		k.end(reasonAccount, removed)
		over = append(over, k.gone)
	}
	awaitAll(ctx, over)
}
