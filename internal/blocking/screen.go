package blocking

import (
	"context"
	"slices"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Stops reports whether a message or IQ comes from somebody whom the account
// that it is addressed to has blocked. XEP-0191 §3.3: it is answered with
// service-unavailable then, as if there were no such account, unless it is an
// error or a result.
func (s *Service) Stops(ctx context.Context, st stanza.Stanza) (bool, error) {
	l, err := s.Read(ctx, st.To)
	if err != nil || l.Empty() {
		return false, err
	}
	switch {
	case l.Blocks(st.From):
		s.refuse(&st)
		return true, nil
	case l.Blocks(inviter(&st)):
		s.count(stoppedInvite)
		return true, nil
	}
	return false, nil
}

// refuse answers a message or request from somebody who is blocked.
func (s *Service) refuse(st *stanza.Stanza) {
	reply, ok := st.ErrorReply(stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
	if !ok {
		s.count(stoppedAnswer)
		return
	}
	s.count(stoppedRefused)
	s.opts.Router.Send(reply)
}

func (s *Service) count(why string) { s.metrics.stopped[why].Inc() }

// inviter returns who invites with a message of a room (XEP-0045 §7.8.2); the
// zero JID if that is no invitation. Whoever is blocked cannot get around that
// by asking a room to speak for him.
func inviter(st *stanza.Stanza) jid.JID {
	if st.Kind != stanza.Message {
		return jid.JID{}
	}
	x := st.Child(stanza.NSMUCUser, "x")
	if x == nil {
		return jid.JID{}
	}
	from, err := jid.Parse(x.Child(stanza.NSMUCUser, "invite").Attr("from"))
	if err != nil {
		return jid.JID{}
	}
	return from
}

// Screen returns what of batch a session may be given. It is the last gate:
// what Stops lets pass goes through, but rooms speak to sessions directly. batch
// is not changed. It never waits.
func (s *Service) Screen(session router.Session, batch []*stanza.Encoded) []*stanza.Encoded {
	l := session.State().BlockList()
	if l.Empty() || !slices.ContainsFunc(batch, func(e *stanza.Encoded) bool { return stops(l, &e.Stanza) }) {
		return batch
	}
	kept := make([]*stanza.Encoded, 0, len(batch))
	for _, e := range batch {
		if stops(l, &e.Stanza) {
			e = s.stop(session, l, e)
		}
		if e != nil {
			kept = append(kept, e)
		}
	}
	return kept
}

// stops reports whether the list forbids a stanza.
func stops(l *router.BlockList, st *stanza.Stanza) bool {
	return l.Blocks(st.From) || l.Blocks(inviter(st))
}

// stop handles one forbidden stanza to a session, and returns what the session
// gets instead; nil is nothing. What a room says of the session's own presence
// is for the session, whoever has the nickname; and the subject, without which
// no client takes itself to have entered (XEP-0045 §7.2.1), is the room's, even
// if somebody blocked has set it. A room that got an error for a groupchat
// message would take the session for dead.
func (s *Service) stop(session router.Session, l *router.BlockList, e *stanza.Encoded) *stanza.Encoded {
	st := e.Stanza
	room := st.From.Bare()
	switch {
	case st.Kind == stanza.Presence && isSelfPresence(&st):
		return e
	case st.Kind == stanza.Presence:
		s.count(stoppedPresence)
	case !l.Blocks(st.From):
		s.count(stoppedInvite)
	case st.Type == stanza.TypeGroupchat && isSubject(&st) && !l.Blocks(room):
		st.From = room
		return stanza.Encode(st)
	case st.Type == stanza.TypeGroupchat:
		s.count(stoppedRoom)
	case st.Kind == stanza.Message && isStored(&st, l.Owner().DomainOnly()):
		s.count(stoppedStored)
	default:
		if st.To.IsZero() {
			st.To = session.JID()
		}
		s.refuse(&st)
	}
	return nil
}

// isSelfPresence reports whether a room tells somebody of his own presence
// (XEP-0045 §7.2.2, §7.14).
func isSelfPresence(st *stanza.Stanza) bool {
	for e := range st.Child(stanza.NSMUCUser, "x").Elements() {
		if e.Is(stanza.NSMUCUser, "status") && e.Attr("code") == "110" {
			return true
		}
	}
	return false
}

// isStored reports whether a message has been waiting here for its recipient
// (XEP-0160): an error at the moment when he comes would tell somebody who is
// blocked that he has come.
func isStored(st *stanza.Stanza, host jid.JID) bool {
	for e := range st.Elements() {
		if e.Is(stanza.NSDelay, "delay") && e.Attr("from") == host.String() {
			return true
		}
	}
	return false
}

// isSubject reports whether a message sets a room's subject (XEP-0045 §8.1).
func isSubject(st *stanza.Stanza) bool {
	return st.Child(stanza.NSClient, "subject") != nil && st.Child(stanza.NSClient, "body") == nil
}
