package muc

import (
	"errors"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// InviteEvent is an invitation, or what somebody says to one, that is about to be
// passed on.
type InviteEvent struct {
	Event
	From jid.JID // who sends it, full; zero: the program
	To   jid.JID // whom it is for
	Out  *stanza.Stanza
}

// BeforeInvite runs the hook of that name and sends what it leaves.
func (ev *RoomMessageEvent) BeforeInvite(to jid.JID, out stanza.Stanza) error {
	return ev.passOn(&ev.Room.svc.hooks.BeforeInvite, to, out)
}

// BeforeDecline runs the hook of that name and sends what it leaves.
func (ev *RoomMessageEvent) BeforeDecline(to jid.JID, out stanza.Stanza) error {
	return ev.passOn(&ev.Room.svc.hooks.BeforeDecline, to, out)
}

func (ev *RoomMessageEvent) passOn(before *hook.Filter[InviteEvent], to jid.JID, out stanza.Stanza) error {
	r := ev.Room
	out.To = to
	switch err := before.Run(&r.watch, &InviteEvent{Event: ev.Event, From: ev.RealJID, To: to, Out: &out}); {
	case errors.Is(err, hook.Handled):
		return nil
	case err != nil:
		return err
	}
	ev.Send(out)
	return nil
}

// VoiceEvent is a visitor's request for voice, or a moderator's answer to it.
type VoiceEvent struct {
	Event
	Visitor   *Occupant // who asks
	Moderator *Occupant // who answers; nil: it is the request
	Role      Role      // that he asks for
	Grant     bool      // what the moderator says; may be changed
}

// Run runs the hook for it. It is for the feature that has read the stanza.
func (ev *VoiceEvent) Run() error {
	h := ev.Room.svc.hooks
	if ev.Moderator == nil {
		return h.BeforeVoiceRequest.Run(&ev.Room.watch, ev)
	}
	return h.BeforeVoiceAnswer.Run(&ev.Room.watch, ev)
}

// RegistrationEvent is somebody's registration with a room, the form for it, its
// end, or an admin's answer to the wish to register.
type RegistrationEvent struct {
	Event
	RealJID  jid.JID      // bare, who registers
	Admin    jid.JID      // who answers, full; zero: it is the registration
	Nick     string       // prepared, and free for him; may be changed. "": it is declined, or ends
	Form     *stanza.Form // as it came, or as it is to be shown; nil: there is none
	Remove   bool         // it ends
	Approval bool         // an admin is to be asked; may be changed
	Grant    bool         // what the admin says; may be changed if there is a nickname
}

// Run runs the hook for it. It is for the feature that has read the stanza.
func (ev *RegistrationEvent) Run() error {
	h := ev.Room.svc.hooks
	switch {
	case ev.Form != nil && ev.Form.Type == stanza.FormForm:
		return h.RegistrationForm.Run(&ev.Room.watch, ev)
	case ev.Admin.IsZero():
		return h.BeforeRegistration.Run(&ev.Room.watch, ev)
	}
	return h.BeforeRegistrationAnswer.Run(&ev.Room.watch, ev)
}
