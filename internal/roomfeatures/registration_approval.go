package roomfeatures

import (
	"cmp"
	"crypto/rand"
	"slices"
	"time"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const (
	registerAllow = "muc#register_allow"
	// registerJID says in a form of approval who has asked.
	registerJID = "muc#jid"
	// registerPause is the time before somebody may ask again, and in which no
	// more than maxRequests people may ask.
	registerPause = time.Minute
	maxRequests   = 20
	// maxApprovers bounds the admins who are asked: those with the first addresses.
	maxApprovers = 50
)

// requests is who has asked a room of late to be registered. What is wanted
// stands in the form that the admins have: an answer is good after a restart.
type requests struct{ at map[jid.JID]time.Time }

// note keeps that somebody asks, unless that comes too soon.
func (q *requests) note(who jid.JID, now time.Time) error {
	for j, at := range q.at {
		if now.Sub(at) >= registerPause {
			delete(q.at, j)
		}
	}
	switch _, asked := q.at[who]; {
	case asked:
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "You have just asked. Wait for the answer.").Because(muc.ReasonPace)
	case len(q.at) >= maxRequests:
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Too many people want to register. Try again later.").Because(muc.ReasonBusy)
	}
	if q.at == nil {
		q.at = make(map[jid.JID]time.Time)
	}
	q.at[who] = now
	return nil
}

// ask puts a request before the room's admins and owners: to those of their
// clients that are inside, else to their accounts (XEP-0045 §9.9).
func (f *registration) ask(ev *muc.RequestEvent, form *stanza.Form, nick string) error {
	shown, err := f.form(ev)
	if err != nil {
		return err
	}
	said := answers(shown, form)
	if err := checkTexts(said); err != nil {
		return err
	}
	who := ev.Stanza.From.Bare()
	approvers := approversOf(ev.Room)
	if len(approvers) == 0 {
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "The room has nobody who could admit you.")
	}
	if err := f.asked.In(ev.Room).note(who, time.Now()); err != nil {
		return err
	}
	text := who.String() + " asks to be registered with " + ev.Room.JID().String() + " as " + nick + "."
	x := approvalForm(who, said, nick).Element()
	for _, to := range approvers {
		ev.Send(stanza.Stanza{Kind: stanza.Message, ID: rand.Text(), To: to}.With(
			stanza.NewElement(stanza.NSClient, "body").AddText(text), x))
	}
	return nil
}

// approversOf returns the addresses of those who may decide.
func approversOf(r *muc.Room) []jid.JID {
	var accounts []jid.JID
	for rec := range r.Affiliations() {
		if rec.Affiliation >= muc.Admin && rec.JID.Local() != "" {
			accounts = append(accounts, rec.JID)
		}
	}
	slices.SortFunc(accounts, func(a, b jid.JID) int { return cmp.Compare(a.String(), b.String()) })
	if len(accounts) > maxApprovers {
		accounts = accounts[:maxApprovers]
	}
	inside := make(map[jid.JID][]jid.JID)
	for o := range r.Occupants() {
		for s := range o.Sessions() {
			inside[o.RealJID()] = append(inside[o.RealJID()], s.RealJID())
		}
	}
	var to []jid.JID
	for _, j := range accounts {
		if len(inside[j]) == 0 {
			to = append(to, j)
		}
		to = append(to, inside[j]...)
	}
	return to
}

func approvalForm(who jid.JID, said []stanza.Field, nick string) *stanza.Form {
	form := stanza.NewForm(stanza.FormForm, registerForm)
	form.Title = "Request for registration"
	form.Instructions = []string{"Say whether this person may register with the room, or cancel to skip the request."}
	form.Add(stanza.Field{Var: registerJID, Type: stanza.FieldJIDSingle, Label: "Address", Values: []string{who.String()}})
	form.Add(said...)
	form.Field(registerNick).Values = []string{nick}
	return form.Add(stanza.Field{
		Var: registerAllow, Type: stanza.FieldBoolean, Label: "Allow this person to register with the room?", Values: []string{"0"},
	})
}

// answered takes what an admin has decided.
func (f *registration) answered(ev *muc.RoomMessageEvent) error {
	x := ev.Stanza.Child(stanza.NSData, "x")
	if x == nil || ev.Stanza.Type == stanza.TypeError {
		return nil
	}
	form, err := stanza.ParseForm(x)
	switch {
	case err != nil:
		return stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error())
	case form.FormType() != registerForm:
		return nil
	case ev.Room.Affiliation(ev.RealJID) < muc.Admin:
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Only admins and owners decide who may register.").Because(muc.ReasonRank)
	case form.Type == stanza.FormCancel:
		return hook.Handled
	case form.Type != stanza.FormSubmit:
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "Submit or cancel the form.")
	}
	allow := false
	if field := form.Field(registerAllow); field != nil {
		if allow, err = field.Bool(); err != nil {
			return stanza.NewError(stanza.Modify, stanza.BadRequest, registerAllow+": want a boolean.")
		}
	}
	who, err := jid.Parse(form.Value(registerJID))
	if err != nil || who.Local() == "" || !who.IsBare() {
		return stanza.NewError(stanza.Modify, stanza.JIDMalformed, registerJID+": want the address of who has asked.")
	}
	if err := f.decide(ev, who, form, allow); err != nil {
		return err
	}
	return hook.Handled
}

// decide admits somebody who has asked, or tells him that he is not. If another
// admin was quicker, or he is banned by now, nothing happens to him.
func (*registration) decide(ev *muc.RoomMessageEvent, who jid.JID, form *stanza.Form, allow bool) error {
	switch own := ev.Room.Entry(who); {
	case own.Affiliation >= muc.Member && own.Nick != "":
		return nil
	case ev.Room.Affiliation(who) == muc.Outcast:
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Who has asked is banned by now.").Because(muc.ReasonBanned)
	}
	answer := &muc.RegistrationEvent{Event: ev.Event, RealJID: who, Admin: ev.RealJID, Form: form, Grant: allow}
	if allow {
		var err error
		if answer.Nick, err = checkedNick(ev.Room, form.Field(registerNick)); err != nil {
			return err
		}
		if err = ev.Room.MayReserve(who, answer.Nick); err != nil {
			return err
		}
	}
	if err := runRegistration(answer); err != nil {
		return err
	}
	verdict := "You are not registered with this room: an admin has declined your request."
	if answer.Grant && answer.Nick != "" {
		if err := admit(ev.Room, muc.By(ev.RealJID), who, answer.Nick); err != nil {
			return err
		}
		verdict = "You are registered with this room as " + answer.Nick + "."
	}
	ev.Send(stanza.Stanza{Kind: stanza.Message, ID: rand.Text(), To: who}.With(stanza.NewElement(stanza.NSClient, "body").AddText(verdict)))
	return nil
}
