package muc

import (
	"errors"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/internal/lately"
	"github.com/muster-im/muster/stanza"
)

// bounceCommand is an error that comes back from an occupant's client. If it
// answers what the room has sent lately, some conditions mean that nobody is there
// any more (XEP-0045 §11.1). That of a private message goes to its sender, who
// learns no address from it; of what was said to everybody he has got his copy.
type bounceCommand struct {
	request
	ghost     *Session
	recipient *Occupant // nil: it was for the room
	out       stanza.Stanza
	ev        RoomMessageEvent
}

func (c *bounceCommand) decide(r *Room) error {
	s, toRoom := r.sessions[c.st.From], c.st.To.IsBare()
	if s == nil {
		if toRoom {
			return c.fromOutside(r)
		}
		return nil
	}
	known, toAll := true, false // without an id: as the subject is sent to everybody who enters
	if c.st.ID != "" {
		known, toAll = r.said.Find(r.svc.seed, c.st.ID)
	}
	if !toRoom && !toAll {
		c.decideRecipient(r, s)
	}
	if known && lately.Undeliverable(&c.st, toAll) {
		c.ghost = s
	}
	return nil
}

// remember keeps the id of a message that goes out, by which one that comes back
// is known.
func (r *Room) remember(it *outItem) {
	if enc := it.enc[0]; enc != nil && enc.Stanza.Kind == stanza.Message && enc.Stanza.Type != stanza.TypeError && enc.Stanza.ID != "" {
		r.said.Add(r.svc.seed, enc.Stanza.ID, it.only == nil, r.svc.agenda.Now())
	}
}

// decideRecipient finds out who has sent what comes back, if he may be told.
func (c *bounceCommand) decideRecipient(r *Room, s *Session) {
	to := r.Occupant(c.st.To.Resource())
	if to == nil {
		return
	}
	out, err := r.private(&c.request, s.occupant, to)
	if err != nil { // errors are not answered
		return
	}
	out.Children = stanza.WithErrorBy(out.Children, s.addr, s.occupant.jid)
	c.recipient, c.out = to, out
}

// fromOutside lets features see what has become of messages that they have sent.
func (c *bounceCommand) fromOutside(r *Room) error {
	c.ev = RoomMessageEvent{Event: Event{Room: r, req: &c.request}, Stanza: &c.st, RealJID: c.st.From}
	err := r.svc.hooks.RoomMessage.Run(&r.watch, &c.ev)
	if errors.Is(err, hook.Handled) {
		return nil
	}
	return err
}

func (c *bounceCommand) apply(r *Room) {
	if c.recipient != nil {
		r.sayToAll(c.recipient, c.out)
	}
	if c.ghost != nil {
		r.dropGhost(c.ghost, &c.st)
	}
}
