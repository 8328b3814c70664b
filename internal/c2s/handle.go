package c2s

import (
	"context"
	"slices"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/stanza"
)

// handle takes one element from the client. It returns what ends the stream.
func (s *Session) handle(ctx context.Context, e *stanza.Element) error {
	switch e.Name.Space {
	case nsSM:
		return s.manage(e)
	case nsCSI:
		return s.indicate(e)
	}
	st, ok, malformed := stanza.FromElement(e)
	if !ok {
		return &stream.Error{Condition: stream.UnsupportedStanzaType} // RFC 6120 §4.9.3.24
	}
	s.srv.metrics.stanzas[st.Kind].Inc()
	if s.sm != nil {
		st.Receipt = s.sm.arrivals.take()
		defer st.Receipt.Release()
	}
	if err := s.stamp(&st, e); err != nil {
		return err
	}
	if malformed != nil {
		s.refuse(&st, malformed, refusedAddress)
		return nil
	}
	if err := check(&st); err != nil {
		s.refuse(&st, err, refusedRequest)
		return nil
	}
	if s.state.BlockList().Blocks(st.To) { // XEP-0191 §3.3
		s.refuse(&st, s.srv.opts.Blocks.Refusal(), refusedBlocked)
		return nil
	}
	if busy := s.dispatch(ctx, st); busy != nil {
		select { // who is busy sets the pace
		case <-busy:
		case <-s.link.done:
		}
	}
	return nil
}

// stamp checks and sets who the stanza is from (RFC 6120 §8.1.2.1): the client
// may leave it out or name its own bare or full JID.
func (s *Session) stamp(st *stanza.Stanza, e *stanza.Element) error {
	if _, named := e.LookupAttr("from"); named && st.From != s.jid && st.From != s.jid.Bare() {
		return &stream.Error{Condition: stream.InvalidFrom}
	}
	st.From = s.jid
	if st.Lang == "" && !slices.Contains(st.Attrs, stanza.Attr{Name: stanza.Name{Space: stanza.NSXML, Local: "lang"}}) {
		st.Lang = s.lang // RFC 6120 §8.1.5
	}
	return nil
}

// dispatch brings a stanza to whom it concerns. A panic on the way costs this
// stanza.
func (s *Session) dispatch(ctx context.Context, st stanza.Stanza) (busy <-chan struct{}) {
	defer func() {
		if v := recover(); v != nil {
			s.link.panicked(ctx, v)
			busy = nil
			s.reply(&st, stanza.NewError(stanza.Cancel, stanza.InternalServerError, ""))
		}
	}()
	if st.Kind == stanza.Presence {
		return s.srv.opts.Contacts.Outbound(ctx, s, st)
	}
	if s.answer(&st) {
		return nil
	}
	if st.To.IsZero() {
		st.To = s.jid.Bare() // RFC 6120 §10.3.1, §10.3.3
	}
	return s.srv.opts.Router.Route(ctx, st)
}

// answer handles the requests that concern the session itself.
func (s *Session) answer(st *stanza.Stanza) bool {
	own := st.To.IsZero() || st.To == s.jid.Bare() || st.To == s.jid.DomainOnly()
	if !own || st.Kind != stanza.IQ || st.Type != stanza.TypeSet {
		return false
	}
	switch payload := st.Payload(); {
	case payload.Is(stanza.NSSession, "session"): // RFC 3921 §3: nothing is left to do
		result := st.Result(nil)
		s.send(&result)
	case payload.Is(stanza.NSBind, "bind"): // one stream, one resource
		s.reply(st, stanza.NewError(stanza.Cancel, stanza.NotAllowed, "A resource is bound already."))
	default:
		return false
	}
	return true
}

// refuse answers a stanza with an error and counts why.
func (s *Session) refuse(st *stanza.Stanza, err *stanza.Error, why string) {
	s.srv.metrics.refuse(why)
	s.reply(st, err)
}

// reply answers a stanza with an error, if it may be answered.
func (s *Session) reply(st *stanza.Stanza, err *stanza.Error) {
	if answer, ok := st.ErrorReply(err); ok {
		s.send(&answer)
	}
}

// check applies the rules that hold for a stanza wherever it goes.
func check(st *stanza.Stanza) *stanza.Error {
	switch st.Kind {
	case stanza.IQ:
		return checkIQ(st)
	case stanza.Presence:
		switch st.Type {
		case "", stanza.TypeUnavailable, stanza.TypeSubscribe, stanza.TypeSubscribed, stanza.TypeUnsubscribe,
			stanza.TypeUnsubscribed, stanza.TypeProbe, stanza.TypeError:
		default:
			return stanza.NewError(stanza.Modify, stanza.BadRequest, "There is no such type of presence.") // RFC 6121 §4.7.1
		}
	}
	return nil
}

// checkIQ applies RFC 6120 §8.2.3: an id, one of four types, and in requests
// exactly one child.
func checkIQ(st *stanza.Stanza) *stanza.Error {
	if st.Kind != stanza.IQ {
		return nil
	}
	bad := func(text string) *stanza.Error { return stanza.NewError(stanza.Modify, stanza.BadRequest, text) }
	switch st.Type {
	case stanza.TypeGet, stanza.TypeSet:
	case stanza.TypeResult, stanza.TypeError:
		if st.ID == "" {
			return bad("An IQ needs an id.")
		}
		return nil
	default:
		return bad("An IQ is of type get, set, result or error.")
	}
	n := 0
	for range st.Elements() {
		n++
	}
	switch {
	case st.ID == "":
		return bad("An IQ needs an id.")
	case n != 1:
		return bad("A request has exactly one child element.")
	}
	return nil
}
