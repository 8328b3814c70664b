package c2s

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/stanza"
)

const nsSM = "urn:xmpp:sm:3"

// management is the state of stream management (XEP-0198) of a session.
type management struct {
	// Set at construction.
	id       string        // for resuming; "" if the client does not want to
	timeout  time.Duration // for which the session waits to be resumed
	arrivals *arrivals

	// Guarded by Session.mu.
	sent    uint32 // stanzas sent since management was enabled
	asked   bool   // an <r/> has not been answered
	askedAt uint32 // sent, when it was asked
	timer   *time.Timer
	acked   chan struct{} // closed when nothing is unacknowledged; nil unless somebody waits
}

// sent is a stanza that the client has not acknowledged.
type sent struct {
	encoded *stanza.Encoded
	at      int64 // microseconds since 1970
	kept    bool  // given by Take: bounded where it was kept, and not by what may be unacknowledged
}

// manage handles the elements of stream management within a session.
func (s *Session) manage(e *stanza.Element) error {
	switch e.Name.Local {
	case "enable":
		s.enable(e)
	case "r":
		if s.sm == nil {
			s.raw(failed(stanza.UnexpectedRequest))
			return nil
		}
		s.sm.arrivals.request()
	case "a":
		return s.acknowledge(e)
	case "resume": // §5: instead of binding, not after it
		s.raw(failed(stanza.UnexpectedRequest))
	default:
		return &stream.Error{Condition: stream.UnsupportedStanzaType}
	}
	return nil
}

// enable begins stream management (§3).
func (s *Session) enable(e *stanza.Element) {
	if s.sm != nil { // a client makes one attempt
		s.raw(failed(stanza.UnexpectedRequest))
		return
	}
	sm := &management{timeout: s.srv.opts.ResumeTimeout, arrivals: &arrivals{answer: s.answered}}
	enabled := stanza.NewElement(nsSM, "enabled")
	if isTrue(e.Attr("resume")) && sm.timeout > 0 {
		if most, err := strconv.ParseUint(e.Attr("max"), 10, 31); err == nil && most > 0 {
			sm.timeout = min(sm.timeout, time.Duration(most)*time.Second)
		}
		sm.id = rand.Text() // 130 random bits
		enabled.SetAttr("id", sm.id)
		enabled.SetAttr("resume", "true")
		enabled.SetAttr("max", strconv.Itoa(int(sm.timeout/time.Second)))
		s.srv.allowResume(s, sm.id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sm = sm
	s.rawLocked(enabled) // what is delivered from here on counts
}

func isTrue(v string) bool { return v == "true" || v == "1" }

// failed is the answer to misuse (§6).
func failed(condition stanza.Condition) *stanza.Element {
	return stanza.NewElement(nsSM, "failed").Add(stanza.NewElement(stanza.NSStanzaError, string(condition)))
}

// parseCount reads an h (§4: unsignedInt).
func parseCount(v string) (h uint32, ok bool) {
	n, err := strconv.ParseUint(v, 10, 32)
	return uint32(n), err == nil
}

// acknowledge takes an <a/> (§4).
func (s *Session) acknowledge(e *stanza.Element) error {
	h, ok := parseCount(e.Attr("h"))
	if !ok {
		return &stream.Error{Condition: stream.BadFormat, Text: "An <a/> needs a number h."}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sm == nil {
		s.rawLocked(failed(stanza.UnexpectedRequest))
		return nil
	}
	if err := s.trim(h); err != nil {
		return err
	}
	s.sm.asked = false
	if s.sm.askedAt != s.sm.sent {
		s.ask()
	}
	return nil
}

// trim forgets what the client has acknowledged. The mutex is held.
func (s *Session) trim(h uint32) error {
	n := h - (s.sm.sent - uint32(len(s.unacked))) //nolint:gosec // serial number arithmetic
	if n > uint32(len(s.unacked)) {               //nolint:gosec // bounded far below
		return &stream.Error{ // §6
			Condition: stream.UndefinedCondition,
			Text:      "More stanzas have been acknowledged than were sent.",
			App: stanza.NewElement(nsSM, "handled-count-too-high", "h", strconv.FormatUint(uint64(h), 10),
				"send-count", strconv.FormatUint(uint64(s.sm.sent), 10)),
		}
	}
	for i := range s.unacked[:n] {
		s.count(&s.unacked[i], -1)
	}
	s.unacked = s.unacked[:copy(s.unacked, s.unacked[n:])]
	clear(s.unacked[len(s.unacked):cap(s.unacked)][:n])
	if len(s.unacked) == 0 {
		if cap(s.unacked) > 64 {
			s.unacked = nil // a burst's memory is given back
		}
		if s.sm.acked != nil {
			close(s.sm.acked)
			s.sm.acked = nil
		}
	}
	return nil
}

// ask requests an acknowledgement unless one is under way. A client that does
// not answer is taken for dead. The mutex is held.
func (s *Session) ask() {
	if s.sm.asked || len(s.unacked) == 0 || s.link == nil {
		return
	}
	s.sm.asked, s.sm.askedAt = true, s.sm.sent
	s.rawLocked(stanza.NewElement(nsSM, "r"))
	s.link.setReadDeadline(time.Now().Add(s.srv.opts.AckTimeout))
}

// answered sends an <a/>.
func (s *Session) answered(h uint32) {
	s.raw(stanza.NewElement(nsSM, "a", "h", strconv.FormatUint(uint64(h), 10)))
}

// raw sends an element that is no stanza.
func (s *Session) raw(e *stanza.Element) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rawLocked(e)
}

func (s *Session) rawLocked(e *stanza.Element) {
	if s.link == nil {
		return
	}
	if err := s.link.stream.Send(e); err != nil {
		s.broken(err)
	}
}

// lastAcks asks for what is not acknowledged and returns a channel that closes
// when it is; nil if there is nothing to wait for.
func (s *Session) lastAcks() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sm == nil || s.link == nil || len(s.unacked) == 0 {
		return nil
	}
	s.sm.asked = false
	s.ask()
	if s.sm.acked == nil {
		s.sm.acked = make(chan struct{})
	}
	return s.sm.acked
}

// record keeps stanzas until they are acknowledged. The mutex is held.
func (s *Session) record(batch []*stanza.Encoded, kept bool) {
	now := time.Now().UnixMicro()
	for _, e := range batch {
		u := sent{e, now, kept}
		s.unacked = append(s.unacked, u)
		s.count(&u, 1)
	}
	if s.sm != nil {
		s.sm.sent += uint32(len(batch)) //nolint:gosec // h wraps
	}
}

// count adds what counts towards the bound, or takes it back. The mutex is held.
func (s *Session) count(u *sent, sign int) {
	if !u.kept {
		s.owed += sign
		s.owedBytes += sign * u.encoded.Size()
	}
}

// redeliver hands back what the client has not acknowledged or not been sent
// (§4): to other sessions, offline storage, or its sender as an error. With
// last, the session takes nothing more.
func (s *Session) redeliver(ctx context.Context, last bool) {
	s.mu.Lock()
	s.unhold()
	list := s.unacked
	s.unacked, s.owed, s.owedBytes, s.over = nil, 0, 0, last
	s.mu.Unlock()
	for _, u := range list {
		if st, ok := u.encoded.Lost(s.jid, time.UnixMicro(u.at)); ok {
			s.guard(ctx, func() { s.srv.opts.Router.Redeliver(ctx, st) })
		}
	}
	s.srv.metrics.redelivered.Add(float64(len(list)))
}
