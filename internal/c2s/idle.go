package c2s

import (
	"crypto/rand"
	"time"

	"github.com/muster-im/muster/stanza"
)

// sign looks after a connection whose read deadline has passed, and reports
// whether it is alive. If nothing has come for a while, the client is asked for
// a sign of life: for an acknowledgement, or with a ping (XEP-0199 §4.1). One
// that gives none in time is gone. White space counts (RFC 6120 §4.6.1).
func (s *Session) sign(k *link) bool {
	reads := k.stream.Reads()
	quiet := reads == s.reads
	s.reads = reads
	asked := s.awaitsAck()
	switch {
	case quiet && (asked || s.probing):
		return false
	case asked:
		k.setReadDeadline(time.Now().Add(s.srv.opts.AckTimeout))
		return true
	case !quiet || s.srv.opts.PingAfter < 0:
		s.probing = false
		k.watch()
		return true
	}
	s.probing = true
	k.setReadDeadline(time.Now().Add(s.srv.opts.AckTimeout))
	if s.sm != nil {
		s.raw(stanza.NewElement(nsSM, "r"))
		return true
	}
	ping := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: rand.Text(), From: s.jid.DomainOnly(), To: s.jid}
	ping = ping.With(stanza.NewElement(stanza.NSPing, "ping"))
	s.send(&ping)
	return true
}

// watch begins to wait for signs of life.
func (k *link) watch() {
	if k.srv.opts.PingAfter > 0 {
		k.setReadDeadline(time.Now().Add(k.srv.opts.PingAfter))
	} else {
		k.setReadDeadline(time.Time{})
	}
}

// awaitsAck reports whether an <r/> has not been answered.
func (s *Session) awaitsAck() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sm != nil && s.sm.asked
}
