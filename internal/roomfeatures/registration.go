package roomfeatures

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const (
	// registerForm is the FORM_TYPE of registration (XEP-0045 §15.5.1).
	registerForm = "http://jabber.org/protocol/muc#register"
	registerNick = "muc#register_roomnick"
	// maxRegisterText bounds each thing that somebody tells of himself, in bytes.
	maxRegisterText = 1000
	// priorityRegisteredNick lets a newcomer have his registered nickname before
	// that is checked.
	priorityRegisteredNick = muc.PriorityNick + 5
)

// Who may register with a room.
const (
	registerNobody     = "nobody"
	registerAffiliated = "affiliated"
	registerApproved   = "approval"
	registerEverybody  = "everybody"
)

// registration lets people reserve a nickname in a room, and become its members
// by that, at once or if an admin says so (XEP-0045 §7.10, §9.9).
type registration struct {
	who    *muc.Field[string]
	strict *muc.Field[bool]
	asked  *muc.Slot[requests]
}

func (f *registration) Register(h *muc.Hooks) {
	f.asked = muc.NewSlot[requests](h)
	f.who = muc.NewChoiceField(h, muc.FieldSpec{
		Var: "allow_unaffiliated_register", Section: muc.SectionAccess, Order: 40, Label: "Who may register",
		Choices: []stanza.Option{
			{Label: "Nobody", Value: registerNobody},
			{Label: "Those who have an affiliation", Value: registerAffiliated},
			{Label: "Everybody whom an admin admits", Value: registerApproved},
			{Label: "Everybody", Value: registerEverybody},
		},
	}, registerApproved)
	f.strict = muc.NewBoolField(h, muc.FieldSpec{
		Var: "enforce_registered_nickname", Section: muc.SectionAccess, Order: 50, Label: "People must use the nickname that they have registered",
	}, false)
	query := stanza.Name{Space: stanza.NSRegister, Local: "query"}
	h.OnRequest("registration", stanza.TypeGet, query, f.get)
	h.OnRequest("registration", stanza.TypeSet, query, f.set)
	h.RoomMessage.Add("registration", 0, f.answered)
	h.BeforeJoin.Add("registration", priorityRegisteredNick, f.rename)
	h.BeforeNickChange.Add("registration", 0, f.keep)
	h.Disco.Add("registration", 0, func(ev *muc.DiscoEvent) {
		if f.who.Get(ev.Room) != registerNobody {
			ev.Feature(stanza.NSRegister)
			ev.Feature(registerForm)
		}
	})
}

// rename lets somebody enter by the nickname that he has registered, if the room
// wants that (XEP-0045 §7.10: instead of an error).
func (f *registration) rename(ev *muc.JoinEvent) error {
	if nick := ev.Room.Entry(ev.RealJID).Nick; nick != "" && f.strict.Get(ev.Room) {
		ev.Nick, ev.Occupant = nick, ev.Room.Occupant(nick)
	}
	return nil
}

// keep refuses a change from the registered nickname to another one.
func (f *registration) keep(ev *muc.NickEvent) error {
	nick := ev.Room.Entry(ev.Occupant.RealJID()).Nick
	if nick == "" || !f.strict.Get(ev.Room) || sameNick(nick, ev.Nick) {
		return nil
	}
	return stanza.NewError(stanza.Cancel, stanza.NotAcceptable, "In this room you must use the nickname that you have registered.").Because(muc.ReasonNickReserved)
}

func sameNick(a, b string) bool {
	x, err := jid.NickKey(a)
	if err != nil {
		return false
	}
	y, err := jid.NickKey(b)
	return err == nil && x == y
}

// may refuses who may not register.
func (f *registration) may(ev *muc.RequestEvent) error {
	who := f.who.Get(ev.Room)
	switch {
	case who == registerNobody:
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "One cannot register with this room.")
	case ev.Room.Locked():
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Configure the room first.").Because(muc.ReasonLocked)
	case ev.Affiliation == muc.Outcast:
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "You are banned from this room.").Because(muc.ReasonBanned)
	case ev.Affiliation == muc.None && who == registerAffiliated:
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Only those may register whom the room's admins have given an affiliation.").Because(muc.ReasonRank)
	}
	return nil
}

// get tells somebody what he has registered, or what he is to fill in.
func (f *registration) get(ev *muc.RequestEvent) error {
	if err := f.may(ev); err != nil {
		return err
	}
	query := stanza.NewElement(stanza.NSRegister, "query")
	if nick := ev.Room.Entry(ev.Stanza.From).Nick; nick != "" {
		ev.Answer(query.AddTextElement("registered", "").AddTextElement("username", nick))
		return nil
	}
	form, err := f.form(ev)
	if err != nil {
		return err
	}
	ev.Answer(query.AddTextElement("instructions", form.Instructions[0]).Add(form.Element()))
	return nil
}

// form is what somebody is to fill in, with what extensions want to know.
func (f *registration) form(ev *muc.RequestEvent) (*stanza.Form, error) {
	form := stanza.NewForm(stanza.FormForm, registerForm)
	form.Title = "Registration with " + ev.Room.JID().String()
	form.Instructions = []string{"Choose the nickname that is to be yours in this room."}
	asks := f.asks(ev)
	if asks {
		form.Instructions[0] += " An admin of the room will see what you write, and decide."
		form.Add(personFields()...)
	} else {
		form.Add(nickField())
	}
	shown := &muc.RegistrationEvent{Event: ev.Event, RealJID: ev.Stanza.From.Bare(), Form: form, Approval: asks}
	return form, shown.Run()
}

// asks reports whether a request needs the approval of an admin.
func (f *registration) asks(ev *muc.RequestEvent) bool {
	return ev.Affiliation == muc.None && f.who.Get(ev.Room) == registerApproved
}

// nickField is the one field of the form that must be filled in.
func nickField() stanza.Field {
	return stanza.Field{Var: registerNick, Type: stanza.FieldTextSingle, Label: "Desired nickname", Required: true}
}

// personFields are what somebody may tell of himself (XEP-0045 §15.5.1).
func personFields() []stanza.Field {
	return []stanza.Field{
		{Var: "muc#register_first", Type: stanza.FieldTextSingle, Label: "Given name"},
		{Var: "muc#register_last", Type: stanza.FieldTextSingle, Label: "Family name"},
		nickField(),
		{Var: "muc#register_url", Type: stanza.FieldTextSingle, Label: "Web page"},
		{Var: "muc#register_email", Type: stanza.FieldTextSingle, Label: "Email address"},
		{Var: "muc#register_faqentry", Type: stanza.FieldTextMulti, Label: "About you"},
	}
}

// answers are the fields of a form with what somebody has said in them.
func answers(form, submitted *stanza.Form) []stanza.Field {
	fields := slices.DeleteFunc(slices.Clone(form.Fields), func(field stanza.Field) bool { return field.Var == "FORM_TYPE" })
	for i := range fields {
		fields[i].Required = false
		if given := submitted.Field(fields[i].Var); given != nil {
			fields[i].Values = given.Values
		}
	}
	return fields
}

// set registers somebody, or ends that.
func (f *registration) set(ev *muc.RequestEvent) error {
	if err := f.may(ev); err != nil {
		return err
	}
	query := ev.Stanza.Payload()
	if query.Child(stanza.NSRegister, "remove") != nil {
		return f.remove(ev, query)
	}
	form, err := registrationForm(query, registerForm)
	if err != nil || form.Type == stanza.FormCancel {
		return err
	}
	nick, err := checkedNick(ev.Room, form.Field(registerNick))
	if err != nil {
		return err
	}
	if err := ev.Room.MayReserve(ev.Stanza.From, nick); err != nil {
		return err
	}
	reg := &muc.RegistrationEvent{Event: ev.Event, RealJID: ev.Stanza.From.Bare(), Nick: nick, Form: form, Approval: f.asks(ev)}
	if err := runRegistration(reg); err != nil {
		return unlessHandled(err)
	}
	if reg.Approval {
		return f.ask(ev, form, reg.Nick)
	}
	return admit(ev.Room, muc.System, reg.RealJID, reg.Nick)
}

// runRegistration runs the hook, and checks a nickname that it gives.
func runRegistration(ev *muc.RegistrationEvent) error {
	nick := ev.Nick
	err := ev.Run()
	if err != nil || ev.Nick == nick {
		return err
	}
	if ev.Nick, err = preparedNick(ev.Room.JID(), ev.Nick); err != nil {
		return err
	}
	return ev.Room.MayReserve(ev.RealJID, ev.Nick)
}

// unlessHandled returns what a request is answered with if it is not to be done.
func unlessHandled(err error) error {
	if errors.Is(err, hook.Handled) {
		return nil
	}
	return err
}

// remove ends somebody's registration (XEP-0077 §3.2). A member is one no
// longer; admins and owners lose their nickname only.
func (f *registration) remove(ev *muc.RequestEvent, query *stanza.Element) error {
	if elements(query) != 1 {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "<remove/> must be alone.")
	}
	own := ev.Room.Entry(ev.Stanza.From)
	if own.Nick == "" {
		return stanza.NewError(stanza.Auth, stanza.RegistrationRequired, "You are not registered with this room.")
	}
	if err := (&muc.RegistrationEvent{Event: ev.Event, RealJID: own.JID, Remove: true}).Run(); err != nil {
		return unlessHandled(err)
	}
	if own.Affiliation == muc.Member {
		return ev.Room.SetAffiliation(muc.System, own.JID, muc.None, muc.AffiliationOptions{Told: true})
	}
	return ev.Room.SetAffiliation(muc.System, own.JID, own.Affiliation, muc.AffiliationOptions{ReleaseNick: true, Told: true})
}

func elements(e *stanza.Element) (n int) {
	for range e.Elements() {
		n++
	}
	return n
}

// admit reserves a nickname for somebody, who becomes a member if he has no
// affiliation. What else his entry says stays. Who has one by his domain gets an
// entry of his own that gives him the same.
func admit(r *muc.Room, actor muc.Actor, who jid.JID, nick string) error {
	a := r.Entry(who).Affiliation
	if a == muc.None {
		a = max(muc.Member, r.Entry(who.DomainOnly()).Affiliation)
	}
	return r.SetAffiliation(actor, who, a, muc.AffiliationOptions{Nick: nick, Told: true})
}

// registrationForm returns the form that a query submits or cancels.
func registrationForm(query *stanza.Element, formType string) (*stanza.Form, error) {
	bad := func(text string) error { return stanza.NewError(stanza.Modify, stanza.BadRequest, text) }
	x := query.Child(stanza.NSData, "x")
	if x == nil {
		return nil, bad("The form is missing.")
	}
	form, err := stanza.ParseForm(x)
	switch {
	case err != nil:
		return nil, bad(err.Error())
	case form.Type == stanza.FormCancel:
		return form, nil
	case form.Type != stanza.FormSubmit:
		return nil, bad("Submit or cancel the form.")
	}
	if t := form.FormType(); t != "" && t != formType {
		return nil, bad("The form's FORM_TYPE must be " + formType + ".")
	}
	return form, nil
}

// checkedNick returns the nickname that a field asks for, prepared.
func checkedNick(r *muc.Room, field *stanza.Field) (string, error) {
	if field == nil || len(field.Values) != 1 || field.Value() == "" { // XEP-0077 §3.1.1
		return "", stanza.NewError(stanza.Modify, stanza.NotAcceptable, registerNick+": want one nickname.")
	}
	return preparedNick(r.JID(), field.Value())
}

// preparedNick returns a nickname as it stands in addresses.
func preparedNick(room jid.JID, nick string) (string, error) {
	j, err := room.WithResource(nick)
	if err == nil {
		_, err = jid.NickKey(nick)
	}
	if err != nil {
		return "", stanza.NewError(stanza.Modify, stanza.JIDMalformed, "This nickname cannot be used.")
	}
	return j.Resource(), nil
}

// checkTexts refuses to pass too much on to the admins.
func checkTexts(said []stanza.Field) error {
	for _, field := range said {
		switch {
		case len(field.Values) > 1 && !strings.HasSuffix(string(field.Type), "-multi"):
			return stanza.NewError(stanza.Modify, stanza.NotAcceptable, field.Var+": want one value.")
		case len(strings.Join(field.Values, "\n")) > maxRegisterText:
			return stanza.NewError(stanza.Modify, stanza.NotAcceptable, fmt.Sprintf("%s: at most %d bytes.", field.Var, maxRegisterText))
		}
	}
	return nil
}
