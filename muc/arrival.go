package muc

import (
	"errors"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Arrivals are the filters of what comes to rooms and their occupants, by kind:
// what clients send, and what Handle.Send sends for somebody. They run first of
// all, before the room looks whether the sender is inside and may do what he
// wants; but not for those who must not know that the room exists. Each function
// may let ev.Stanza pass, change it, refuse it with a *stanza.Error, which its
// sender gets, or swallow it with hook.Handled: the room takes no notice of it
// then, and the answer, if there is to be one, is the function's to Send. A
// stanza that has passed all functions of its kind does not come to them again
// when something later lets it wait.
//
// Errors and the answers to requests that occupants make of each other are of
// none of these kinds.
type Arrivals struct {
	// Presence is presence of every type: an entry, another nickname, an update,
	// a leave (ev.Stanza.Type), which the room knows nothing of if it is swallowed.
	// It also runs for an entry that would create the room (ev.New). A newer
	// presence of the session takes the place of one that waits after ev.Delay.
	Presence hook.Filter[Arrival]
	// Groupchat is a message to everybody, changes of the subject among them. Who
	// sends it need not be inside.
	Groupchat hook.Filter[Arrival]
	// PrivateMessage is a message to an occupant.
	PrivateMessage hook.Filter[Arrival]
	// Invitation is a mediated invitation, and Decline its rejection (XEP-0045
	// §7.8.2).
	Invitation, Decline hook.Filter[Arrival]
	// VoiceRequest is a visitor's request for voice (§7.13), and VoiceAnswer what a
	// moderator says to it (§8.6).
	VoiceRequest, VoiceAnswer hook.Filter[Arrival]
	// RoomMessage is any other message to the room itself.
	RoomMessage hook.Filter[Arrival]

	requests map[string]*hook.Filter[Arrival]
	any      bool // there is at least one function
	sealed   bool
}

// Request is the filter of IQ requests with a payload of that namespace, to the
// room (ev.Occupant is nil) or to an occupant: jabber:iq:register for
// registration, stanza.NSMUCAdmin for the queries of admins and
// stanza.NSMUCOwner for those of owners. That of namespace "" runs before, for
// all of them. Payload and type cannot be changed into those of another request.
func (a *Arrivals) Request(namespace string) *hook.Filter[Arrival] {
	f := a.requests[namespace]
	if f == nil {
		if a.sealed {
			panic("muc: a filter of requests added after the service has started; add it in Register")
		}
		f = &hook.Filter[Arrival]{}
		if a.requests == nil {
			a.requests = make(map[string]*hook.Filter[Arrival])
		}
		a.requests[namespace] = f
	}
	return f
}

// Seal refuses further functions.
func (a *Arrivals) Seal() {
	a.sealed = true
	fixed := []*hook.Filter[Arrival]{
		&a.Presence, &a.Groupchat, &a.PrivateMessage, &a.Invitation, &a.Decline, &a.VoiceRequest, &a.VoiceAnswer, &a.RoomMessage,
	}
	for _, f := range a.requests {
		fixed = append(fixed, f)
	}
	for _, f := range fixed {
		f.Seal()
		a.any = a.any || f.Len() > 0
	}
}

// Arrival is a stanza that has come to a room or an occupant.
type Arrival struct {
	Event
	// Stanza may be replaced or changed in place, but for its kind, type, id and
	// addresses. It must not be kept.
	Stanza   *stanza.Stanza
	Session  *Session  // who sends it; nil: he is not inside
	Occupant *Occupant // to whom it is; nil: to the room, or to a nickname that nobody has
	New      bool      // it would create the room
}

// wanted reports whether somebody wants to see requests of that namespace.
func (a *Arrivals) wanted(namespace string) bool {
	return a.any && (a.requests[""] != nil || a.requests[namespace] != nil)
}

// arrive lets the filters see a stanza, once.
func (r *Room) arrive(c command) error {
	before, q := &r.svc.hooks.Before, c.base()
	if !before.any || q.arrived || q.st.Kind == 0 || r.exists && q.done == nil && r.unknownTo(q.st.From) {
		return nil
	}
	all, own := before.of(c)
	if all == nil && own == nil {
		return nil
	}
	r.came = q.st
	ev := &r.arrival
	*ev = Arrival{Event: Event{Room: r, req: q}, Stanza: &r.came, Session: r.sessions[q.st.From], New: !r.exists}
	if nick := q.st.To.Resource(); nick != "" && r.exists {
		ev.Occupant = r.Occupant(nick)
	}
	var err error
	if all != nil {
		err = all.Run(&r.watch, ev)
	}
	if err == nil && own != nil {
		err = own.Run(&r.watch, ev)
	}
	q.swallowed = errors.Is(err, hook.Handled)
	if q.arrived = err == nil || q.swallowed; q.arrived {
		came := ev.Stanza
		came.Kind, came.Type, came.ID, came.From, came.To = q.st.Kind, q.st.Type, q.st.ID, q.st.From, q.st.To
		q.st, err = *came, nil
	}
	*ev, r.came = Arrival{}, stanza.Stanza{}
	return err
}

// unknownTo reports whether somebody must not know of the room: it is not
// configured yet (XEP-0045 §10.1), or he is banned from a hidden one.
func (r *Room) unknownTo(who jid.JID) bool {
	return r.locked && r.Affiliation(who) < Owner || r.deniesItself(who)
}

// of returns the filters that a command's stanza passes, in order; nil for none.
func (a *Arrivals) of(c command) (all, own *hook.Filter[Arrival]) {
	st := &c.base().st
	switch c.(type) {
	case *presenceCommand:
		return nil, &a.Presence
	case *messageCommand:
		return nil, &a.Groupchat
	case *privateCommand:
		return nil, &a.PrivateMessage
	case *roomMessageCommand:
		return nil, a.ofRoomMessage(st)
	}
	if st.Kind == stanza.IQ && st.IsRequest() {
		return a.requests[""], a.requests[st.Payload().Name.Space]
	}
	return nil, nil
}

func (a *Arrivals) ofRoomMessage(st *stanza.Stanza) *hook.Filter[Arrival] {
	x := st.Child(stanza.NSMUCUser, "x")
	switch {
	case x.Child(stanza.NSMUCUser, "invite") != nil:
		return &a.Invitation
	case x.Child(stanza.NSMUCUser, "decline") != nil:
		return &a.Decline
	}
	form, err := stanza.ParseForm(st.Child(stanza.NSData, "x"))
	switch {
	case err != nil || form.FormType() != voiceRequest:
		return &a.RoomMessage
	case form.Type == stanza.FormSubmit && form.Field("muc#request_allow") == nil:
		return &a.VoiceRequest
	}
	return &a.VoiceAnswer
}

// voiceRequest is the FORM_TYPE of requests for voice and the answers to them
// (XEP-0045 §15.5.2).
const voiceRequest = "http://jabber.org/protocol/muc#request"

// unknownCommand is a request that nobody answers but filters want to see.
type unknownCommand struct{ request }

func (c *unknownCommand) decide(*Room) error { return unknownRequest() }

func (c *unknownCommand) apply(*Room) {}

func unknownRequest() *stanza.Error {
	return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "The room does not know this request.")
}
