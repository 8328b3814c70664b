package router

import (
	"context"
	"time"

	"github.com/muster-im/muster/stanza"
)

// few is how many sessions of an account are handled without an allocation.
const few = 8

// deliver hands a stanza to a session as it is addressed.
func (r *Router) deliver(s Session, st stanza.Stanza) {
	if st.Kind == stanza.Message {
		r.deliverMessage(st, s)
		return
	}
	s.Deliver([]*stanza.Encoded{stanza.EncodeAddressed(st)})
}

// deliverAvailable hands a message to all available sessions with a priority
// that is not negative, and reports whether there are any.
func (r *Router) deliverAvailable(st stanza.Stanza) bool { return r.deliverMessage(st, nil) }

// takesMessages reports whether a session takes messages to its account.
func takesMessages(s Session) bool {
	_, priority, ok := s.State().Presence()
	return ok && priority >= 0
}

// deliverMessage hands a message to one of its account's sessions, or (nil) to
// all that take such, and copies to the others that want them (XEP-0280 §7). It
// reports whether any has got it. The one has been found in the table and may be
// out of it by now: it is given the message all the same, and hands it back.
func (r *Router) deliverMessage(st stanza.Stanza, only Session) bool {
	var takersBuf, othersBuf [few]Session
	takers, others := takersBuf[:0], othersBuf[:0]
	if only != nil {
		takers = append(takers, only)
	}
	for _, s := range r.sessions.of(st.To.Bare()) {
		switch {
		case s == only:
		case only == nil && takesMessages(s):
			takers = append(takers, s)
		case s.State().Carbons() && s.JID() != st.From:
			others = append(others, s)
		}
	}
	if len(takers) == 0 {
		return false
	}
	others = r.receiving(others, &st)
	message := stanza.EncodeAddressed(st)
	message.SharedBy(len(takers) + len(others))
	batch := []*stanza.Encoded{message}
	for _, s := range takers {
		s.Deliver(batch)
	}
	r.deliverCopies(others, &st, directionAt(&st), message)
	return true
}

// copyStored gives copies of a message that is stored to those who want them:
// they are connected, though not available.
func (r *Router) copyStored(st *stanza.Stanza) {
	var buf [few]Session
	others := buf[:0]
	for _, s := range r.sessions.of(st.To.Bare()) {
		if s.State().Carbons() && s.JID() != st.From {
			others = append(others, s)
		}
	}
	r.deliverCopies(r.receiving(others, st), st, directionAt(st), nil)
}

// receiving returns those of an account's sessions that are given a copy of a
// message to it. A private one of an occupant the room has given to all who are
// in there (XEP-0280 §6.1).
func (r *Router) receiving(sessions []Session, st *stanza.Stanza) []Session {
	if len(sessions) == 0 || r.isPrivateFromRoom(st) {
		return nil
	}
	return r.eligible(sessions, st, st.From)
}

// Redeliver finds another way for a stanza that was delivered to a session which
// has ended without acknowledging it: stanza.Encoded.Lost gives it, and says
// whether anybody else of the account has it. The session must be out of the
// table (Unbind). A message goes where it would have gone without the session:
// to the account's other sessions, to those who want carbons, to offline storage
// with the time since when it has been waiting, or back as an error; a request
// is refused; what else there is has lost its point. It may wait for storage;
// what a session is given after its end goes to Send instead.
func (r *Router) Redeliver(ctx context.Context, st stanza.Stanza) {
	defer r.recoverFor(ctx, &st)
	r.metrics.returned.Inc()
	switch st.Kind {
	case stanza.Message:
		if !r.stopped(ctx, &st) { // blocked since
			r.redeliverMessage(ctx, st)
		}
	case stanza.IQ:
		r.refuse(ctx, &st, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
	case stanza.Presence: // the session's own has told everybody that it is gone
		r.metrics.presence.Inc()
	}
}

func (r *Router) redeliverMessage(ctx context.Context, st stanza.Stanza) {
	since := waitingSince(&st)
	switch s := r.sessions.get(st.To); {
	case st.Type == stanza.TypeGroupchat: // the session has left its rooms
		r.metrics.groupchat.Inc()
	case st.To.IsBare():
		r.messageToAccount(ctx, st, since)
	case s != nil: // a new one with the same name
		r.deliver(s, st)
	default:
		r.toAbsentResource(ctx, st, since)
	}
}

// waitingSince reads the time that stanza.Encoded.Lost puts last. Earlier ones
// are what the sender says.
func waitingSince(st *stanza.Stanza) time.Time {
	if len(st.Children) == 0 {
		return time.Time{}
	}
	last := st.Children[len(st.Children)-1].Element
	if !last.Is(stanza.NSDelay, "delay") {
		return time.Time{}
	}
	since, err := stanza.ParseTime(last.Attr("stamp"))
	if err != nil {
		return time.Time{}
	}
	return since
}
