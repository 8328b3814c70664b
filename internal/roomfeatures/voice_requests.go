package roomfeatures

import (
	"crypto/rand"
	"time"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const (
	// voiceRequest is the FORM_TYPE of requests for voice (XEP-0045 §15.5.2).
	voiceRequest = "http://jabber.org/protocol/muc#request"
	// voicePause is the time before a visitor may ask again.
	voicePause = time.Minute
)

// voiceRequests lets visitors ask the moderators for voice (XEP-0045 §7.13), and
// moderators grant it (§8.6).
type voiceRequests struct{}

// asked is when visitors have asked last.
type asked struct{ at map[*muc.Occupant]time.Time }

func (f voiceRequests) Register(h *muc.Hooks) {
	slot := muc.NewSlot[asked](h)
	h.RoomMessage.Add("voice-requests", 0, func(ev *muc.RoomMessageEvent) error {
		x := ev.Stanza.Child(stanza.NSData, "x")
		if x == nil || ev.Stanza.Type == stanza.TypeError {
			return nil
		}
		form, err := stanza.ParseForm(x)
		if err != nil {
			return stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error())
		}
		switch {
		case form.FormType() != voiceRequest:
			return nil
		case ev.Sender == nil:
			return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "You are not in the room.").Because(muc.ReasonOutside)
		case form.Type == stanza.FormCancel: // §8.6: a moderator skips the request
			return hook.Handled
		case form.Type != stanza.FormSubmit:
			return stanza.NewError(stanza.Modify, stanza.BadRequest, "Submit or cancel the form.")
		case form.Field("muc#request_allow") != nil:
			return f.decide(ev, form)
		}
		return f.ask(ev, form, slot.In(ev.Room))
	})
	h.Left.Add("voice-requests", 0, func(ev *muc.LeftEvent) { delete(slot.In(ev.Room).at, ev.Occupant) })
	h.Disco.Add("voice-requests", 0, func(ev *muc.DiscoEvent) { ev.Feature(voiceRequest) })
}

// ask shows a request to the moderators.
func (voiceRequests) ask(ev *muc.RoomMessageEvent, form *stanza.Form, before *asked) error {
	role, err := muc.ParseRole(form.Value("muc#role"))
	switch {
	case err != nil:
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "muc#role: "+err.Error())
	case role != muc.Participant:
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "muc#role: one can ask to become a participant.")
	case ev.Sender.Role() >= muc.Participant:
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "You have voice already.")
	case time.Since(before.at[ev.Sender]) < voicePause:
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "You have just asked. Ask again later.").Because(muc.ReasonPace)
	}
	if err := (&muc.VoiceEvent{Event: ev.Event, Visitor: ev.Sender, Role: role}).Run(); err != nil {
		return err
	}
	address := ev.RealJID
	approval := stanza.NewForm(stanza.FormForm, voiceRequest)
	approval.Title = "Request for voice"
	approval.Instructions = []string{"Grant voice to this person, or cancel to skip the request."}
	approval.Add(
		stanza.Field{Var: "muc#role", Type: stanza.FieldTextSingle, Label: "Requested role", Values: []string{role.String()}},
		stanza.Field{Var: "muc#jid", Type: stanza.FieldJIDSingle, Label: "Address", Values: []string{address.String()}},
		stanza.Field{Var: "muc#roomnick", Type: stanza.FieldTextSingle, Label: "Nickname", Values: []string{ev.Sender.Nick()}},
		stanza.Field{Var: "muc#request_allow", Type: stanza.FieldBoolean, Label: "Grant voice?", Values: []string{"0"}},
	)
	moderators := 0
	for o := range ev.Room.Occupants() {
		if o.Role() != muc.Moderator {
			continue
		}
		for s := range o.Sessions() {
			moderators++
			ev.Send(stanza.Stanza{Kind: stanza.Message, ID: rand.Text(), To: s.RealJID()}.With(approval.Element()))
		}
	}
	if moderators == 0 {
		return stanza.NewError(stanza.Wait, stanza.RecipientUnavailable, "No moderator is in the room.")
	}
	if before.at == nil {
		before.at = make(map[*muc.Occupant]time.Time)
	}
	before.at[ev.Sender] = time.Now()
	return hook.Handled
}

// decide takes a moderator's answer. That one does not want to grant voice needs
// no more than that.
func (voiceRequests) decide(ev *muc.RoomMessageEvent, form *stanza.Form) error {
	if ev.Sender.Role() != muc.Moderator {
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Only moderators may grant voice.").Because(muc.ReasonRank)
	}
	grant, err := form.Field("muc#request_allow").Bool()
	if err != nil {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "muc#request_allow: want a boolean.")
	}
	o := ev.Room.Occupant(form.Value("muc#roomnick"))
	switch there := o != nil && isAddressOf(o, form.Value("muc#jid")); {
	case !there && !grant:
		return hook.Handled
	case !there:
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Who has asked is not in the room any more.")
	case o.Role() >= muc.Participant:
		return hook.Handled // another moderator was quicker
	}
	answer := &muc.VoiceEvent{Event: ev.Event, Visitor: o, Moderator: ev.Sender, Role: muc.Participant, Grant: grant}
	if err := answer.Run(); err != nil {
		return err
	}
	if !answer.Grant {
		return hook.Handled
	}
	if err := ev.Room.SetRole(muc.By(ev.RealJID), o, muc.Participant, "Voice was granted."); err != nil {
		return err
	}
	return hook.Handled
}

// isAddressOf reports whether address, if it is given, is a session's of o, or
// his account's.
func isAddressOf(o *muc.Occupant, address string) bool {
	if address == "" || address == o.RealJID().String() {
		return true
	}
	for s := range o.Sessions() {
		if s.RealJID().String() == address {
			return true
		}
	}
	return false
}
