package muc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/muster-im/muster/internal/settings"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// roomConfig is the FORM_TYPE of the configuration form (XEP-0045 §15.5.3).
const roomConfig = "http://jabber.org/protocol/muc#roomconfig"

// ownerCommand is an IQ with a muc#owner query: the configuration form, its
// submission, or the end of the room (XEP-0045 §10).
type ownerCommand struct {
	request
	answer *stanza.Element
	close  bool // a locked room whose configuration is cancelled ends
}

func (c *ownerCommand) decide(r *Room) error {
	actor := By(c.st.From)
	if r.Affiliation(c.st.From) != Owner {
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Only owners may configure the room.").Because(ReasonRank)
	}
	query := c.st.Payload()
	if c.st.Type == stanza.TypeGet {
		if query.FirstElement() != nil {
			return stanza.NewError(stanza.Modify, stanza.BadRequest, "Ask for lists with muc#admin.")
		}
		c.answer = stanza.NewElement(stanza.NSMUCOwner, "query").Add(r.form(actor).Element())
		return nil
	}
	if several(query) { // §10.1.3, §10.9
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "The query has more than one form or <destroy/>.")
	}
	if d := query.Child(stanza.NSMUCOwner, "destroy"); d != nil {
		return r.decideDestroy(actor, d)
	}
	x := query.Child(stanza.NSData, "x")
	if x == nil {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "The query has neither a form nor <destroy/>.")
	}
	form, err := stanza.ParseForm(x)
	if err != nil {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error())
	}
	switch form.Type {
	case stanza.FormCancel:
		c.close = r.locked // XEP-0045 §10.1.3
		return nil
	case stanza.FormSubmit:
		return r.decideForm(actor, form, &c.request)
	}
	return stanza.NewError(stanza.Modify, stanza.BadRequest, "Submit or cancel the form.")
}

// several reports whether an element has more than one child.
func several(e *stanza.Element) bool {
	n := 0
	for range e.Elements() {
		n++
	}
	return n > 1
}

func (c *ownerCommand) apply(r *Room) {
	r.reply(c.st.Result(c.answer))
	if c.close {
		r.evictAll(notConfigured(&showing{}), 0)
		r.end()
	}
}

// form is the configuration form as actor may see it.
func (r *Room) form(actor Actor) *stanza.Form {
	form := stanza.NewForm(stanza.FormForm, roomConfig)
	form.Title = "Configuration of " + r.jid.String()
	section := Section(-1)
	for _, f := range r.svc.formOrder {
		if f.spec.Label == "" || f.spec.Allowed != nil && !f.spec.Allowed(r, actor) {
			continue
		}
		if f.spec.Section != section {
			section = f.spec.Section
			form.Add(stanza.Field{Type: stanza.FieldFixed, Values: []string{sectionNames[section]}})
		}
		field := stanza.Field{Var: f.spec.Var, Type: f.kind, Label: f.spec.Label, Options: f.spec.Choices}
		if f.computed != nil {
			field.Values = f.computed.Get(r)
		} else {
			field.Values = f.Format(r.value(f))
		}
		form.Add(field)
	}
	return form
}

// formOrder sorts fields by section and order.
func formOrder(fields []*fieldCore) []*fieldCore {
	return slices.SortedStableFunc(slices.Values(fields), func(a, b *fieldCore) int {
		return cmp.Or(cmp.Compare(a.spec.Section, b.spec.Section), cmp.Compare(a.spec.Order, b.spec.Order))
	})
}

// decideForm validates a submitted form whole and stages what it says. Unknown
// variables are passed over; a wrong value names its field and refuses
// everything.
func (r *Room) decideForm(actor Actor, form *stanza.Form, q *request) error {
	if t := form.FormType(); t != "" && t != roomConfig {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "The form's FORM_TYPE must be "+roomConfig+".")
	}
	var refused *FieldError
	for _, f := range r.svc.formOrder {
		values, ok, err := f.spec.Alias.Submitted(form, f.spec.Var)
		if !ok || f.spec.Label == "" {
			continue
		}
		wrong := r.stageField(actor, f, values)
		if err != nil {
			wrong = refuseField(f.spec.Alias.Var, settings.Refusal(err))
		}
		switch {
		case wrong == nil:
		case refused == nil:
			refused = wrong
		default:
			refused.More = append(refused.More, wrong)
		}
	}
	if refused != nil {
		return refused
	}
	ev := &ConfigureEvent{
		Event: Event{Room: r, req: q}, Actor: actor, First: r.locked,
		Submitted: func(variable string) bool { return form.Field(variable) != nil },
	}
	if err := r.svc.hooks.BeforeConfigure.Run(&r.watch, ev); err != nil {
		return err
	}
	r.staged.unlock = r.locked
	return r.checkOwnerRemains()
}

func (r *Room) stageField(actor Actor, f *fieldCore, values []string) *FieldError {
	if f.spec.Allowed != nil && !f.spec.Allowed(r, actor) {
		refused := stanza.NewError(stanza.Modify, stanza.NotAcceptable, "You may not set "+f.spec.Var+".").Because(ReasonField)
		if f.spec.Var == FieldPersistent {
			refused.Reason = ReasonAccessPersistent
		}
		return &FieldError{Var: f.spec.Var, Text: "you may not set this", Err: refused}
	}
	if err := r.stageValue(actor, f, values); err != nil {
		return refuseField(f.spec.Var, err)
	}
	return nil
}

func (r *Room) stageValue(actor Actor, f *fieldCore, values []string) error {
	if f.computed != nil {
		return f.computed.Set(r, actor, values)
	}
	if f.kind == stanza.FieldTextSingle && slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "\r\n") }) {
		return settings.Refusal(errors.New("want one line of text")) // XEP-0004 §3.3
	}
	v, err := f.Parse(values)
	if err != nil {
		return settings.Refusal(err)
	}
	if f.spec.Check != nil && !actor.system {
		if err := f.spec.Check(values); err != nil {
			return err
		}
	}
	r.setValue(f, v)
	return nil
}

// decideDestroy checks an owner's wish to end the room (XEP-0045 §10.9).
func (r *Room) decideDestroy(actor Actor, d *stanza.Element) error {
	ev := &DestroyEvent{
		Event: Event{Room: r, req: &request{detached: true}}, Actor: actor,
		Reason: d.ChildText(stanza.NSMUCOwner, "reason"), Password: d.ChildText(stanza.NSMUCOwner, "password"),
	}
	if address := d.Attr("jid"); address != "" {
		j, err := jid.Parse(address)
		if err != nil {
			return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "The alternative room's address is malformed.")
		}
		ev.Alternative = j
	}
	if err := r.svc.hooks.BeforeDestroy.Run(&r.watch, ev); err != nil {
		return err
	}
	r.staged.destroy = ev
	return nil
}

// applyDestroy ends the room: everybody gets one unavailable presence that says
// so.
func (r *Room) applyDestroy(ev *DestroyEvent) {
	r.evictAll(roomEnds(&showing{}, destruction(ev)), 0)
	ev.Room = r
	r.notify(r.svc.hooks.Destroyed.Run(&r.watch, ev))
	stone := r.tombstoneFor(ev)
	r.end()
	if r.svc.opts.Store != nil { // who comes later learns it from there
		r.tombstone = stone
	}
}

// destruction is the <destroy/> that occupants get.
func destruction(ev *DestroyEvent) *stanza.Element {
	destroy := stanza.NewElement(stanza.NSMUCUser, "destroy")
	if !ev.Alternative.IsZero() {
		destroy.SetAttr("jid", ev.Alternative.String())
	}
	if ev.Password != "" {
		destroy.AddTextElement("password", ev.Password)
	}
	if ev.Reason != "" {
		destroy.AddTextElement("reason", ev.Reason)
	}
	return destroy
}

// roomEnds is sh of an occupant with whose stay the room ends.
func roomEnds(sh *showing, destroy *stanza.Element) *showing {
	none, out := None, *sh
	out.unavailable, out.affiliation, out.destroy = true, &none, destroy
	return &out
}

// notConfigured is sh of the owner who leaves a room without having unlocked it
// (XEP-0045 §10.1.3).
func notConfigured(sh *showing) *showing {
	return roomEnds(sh, destruction(&DestroyEvent{Reason: "The room was not configured."}))
}

// tombstoneFor is what is to be left of the room that is destroyed so; nil: nothing.
func (r *Room) tombstoneFor(ev *DestroyEvent) *Tombstone {
	if ev == nil || r.svc.opts.TombstoneExpiry <= 0 {
		return nil
	}
	t := &Tombstone{Reason: ev.Reason, Alternative: ev.Alternative, Until: r.svc.now().Add(r.svc.opts.TombstoneExpiry)}
	if r.Public() {
		return t
	}
	for j, rec := range r.affiliations {
		if rec.Affiliation == Outcast {
			t.Denied = append(t.Denied, j)
		}
	}
	slices.SortFunc(t.Denied, compareJIDs)
	return t
}

// denies reports whether somebody, or his domain, was banned from the room while
// it was hidden.
func (t *Tombstone) denies(who jid.JID) bool {
	if len(t.Denied) == 0 {
		return false
	}
	domain, err := jid.New("", who.Domain(), "")
	has := func(j jid.JID) bool {
		_, found := slices.BinarySearchFunc(t.Denied, j, compareJIDs)
		return found
	}
	return has(who.Bare()) || err == nil && has(domain)
}

// err is what everybody is told who asks for a room that was destroyed
// (RFC 6120 §8.3.3.5).
func (t *Tombstone) err() *stanza.Error {
	e := stanza.NewError(stanza.Cancel, stanza.Gone, t.Reason)
	if e.Text == "" {
		e.Text = "The room was destroyed."
	}
	if !t.Alternative.IsZero() {
		e.Address = "xmpp:" + t.Alternative.String() + "?join"
	}
	return e
}

// keepStored stores a change of a room. A fresh one begins without an archive:
// there is one if the server died before that of another room of that name was
// deleted.
func (s *Service) keepStored(ctx context.Context, room jid.JID, c RoomChange, fresh bool) error {
	if fresh && s.opts.Archive != nil {
		if err := s.opts.Archive.Delete(ctx, room); err != nil {
			return fmt.Errorf("delete former archive: %w", err)
		}
	}
	return s.opts.Store.ApplyRoomChange(ctx, room, s.opts.Epoch, c)
}

// forgetStored removes a room and its archive for good.
func (s *Service) forgetStored(ctx context.Context, room jid.JID, t *Tombstone) error {
	if err := s.opts.Store.DeleteRoom(ctx, room, s.opts.Epoch, t); err != nil {
		return err
	}
	if s.opts.Archive == nil {
		return nil
	}
	if err := s.opts.Archive.Delete(ctx, room); err != nil { // the room is gone all the same
		s.log.LogAttrs(ctx, slog.LevelError, "delete archive", slog.String("room", room.String()), slog.Any("err", err))
	}
	return nil
}
