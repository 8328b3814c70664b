package muc

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// messageCommand is a groupchat message to the room (XEP-0045 §7.4).
type messageCommand struct {
	request
	ev       MessageEvent
	historic bool
	archived bool
}

func (c *messageCommand) decide(r *Room) error {
	c.ev = MessageEvent{Event: Event{Room: r, req: &c.request}, Stanza: &c.st, SubjectChange: isSubjectChange(&c.st)}
	switch s := r.sessions[c.st.From]; {
	case s != nil:
		c.ev.Sender = s.occupant
	case !c.system && !r.svc.isAdmin(c.st.From): // who speaks as the room itself
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "You are not in the room.").Because(ReasonOutside)
	}
	if r.locked {
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Configure the room first.").Because(ReasonLocked)
	}
	if err := r.svc.hooks.BeforeMessage.Run(&r.watch, &c.ev); err != nil {
		return err
	}
	var err error
	c.historic, c.archived, err = r.judge(&c.ev)
	if err != nil {
		return err
	}
	if c.ev.SubjectChange {
		r.stageSubject(&c.ev, c.archived)
	}
	return nil
}

func (c *messageCommand) apply(r *Room) {
	r.svc.metrics.messages.Inc()
	r.publish(&c.request, &c.ev, c.historic, c.archived)
}

// isSubjectChange reports whether a message has a subject and neither body nor
// thread (XEP-0045 §8.1).
func isSubjectChange(st *stanza.Stanza) bool {
	return st.Child(stanza.NSClient, "subject") != nil &&
		st.Child(stanza.NSClient, "body") == nil && st.Child(stanza.NSClient, "thread") == nil
}

// judge decides whether a message belongs into history, and into the archive.
// Its sender has a say in that (XEP-0334 §4), but for the subject, which is the
// room's.
func (r *Room) judge(ev *MessageEvent) (historic, archived bool, err error) {
	hint := func(name string) bool { return !ev.SubjectChange && ev.Stanza.Child(stanza.NSHints, name) != nil }
	otherwise := ev.SubjectChange || ev.Stanza.Child(stanza.NSClient, "body") != nil || hint("store")
	historic, err = r.svc.hooks.Historic.Run(&r.watch, ev, otherwise && !hint("no-store"))
	if err != nil || !historic {
		return false, false, err
	}
	return true, !hint("no-permanent-store") && r.archives(), nil
}

// private reports whether the sender wants a message stored nowhere for long.
func private(ev *MessageEvent) bool {
	return !ev.SubjectChange &&
		(ev.Stanza.Child(stanza.NSHints, "no-store") != nil || ev.Stanza.Child(stanza.NSHints, "no-permanent-store") != nil)
}

// archives reports whether the room keeps its historic messages.
func (r *Room) archives() bool {
	if r.svc.opts.Archive == nil {
		return false
	}
	yes, err := r.svc.hooks.Archived.Run(&r.watch, &RoomEvent{r}, false)
	r.notify(err)
	return yes
}

// Recorded reports whether what is said in the room is kept: archived or
// logged.
func (r *Room) Recorded() bool {
	if r.archives() {
		return true
	}
	yes, err := r.svc.hooks.Logged.Run(&r.watch, &RoomEvent{r}, false)
	r.notify(err)
	return yes
}

// stageSubject makes a subject change part of the event. In an archived room
// the archive's commit is what counts: the room's record follows it (see
// subjectArchived), so that the room need not wait.
func (r *Room) stageSubject(ev *MessageEvent, archived bool) {
	if archived {
		return
	}
	r.SetSubject(r.newSubject(ev), "")
}

func (r *Room) newSubject(ev *MessageEvent) Subject {
	s := subjectOf(ev.Stanza)
	s.Author, s.Time = r.jid, r.now()
	if ev.Sender != nil {
		s.Author, s.RealJID = ev.Sender.jid, ev.Sender.bare
	}
	return s
}

// subjectOf reads what a message says in how many languages (RFC 6121 §5.2.4).
func subjectOf(st *stanza.Stanza) Subject {
	var list []SubjectText
	for e := range st.Elements() {
		if e.Is(stanza.NSClient, "subject") {
			list = append(list, SubjectText{cmp.Or(e.Lang(), st.Lang), e.Text()})
		}
	}
	if len(list) == 0 {
		return Subject{}
	}
	return Subject{Text: list[0].Text, Lang: list[0].Lang, More: slices.Clone(list[1:])}
}

// publish gives a message its place in the room's order: it goes to everybody
// and, if archived, waits for its commit in the outbox.
func (r *Room) publish(q *request, ev *MessageEvent, historic, archive bool) {
	now := r.now()
	m := ArchivedMessage{
		Room: r.jid, ID: r.ids.Next(now), Time: now.Truncate(time.Millisecond), From: r.jid, Subject: ev.SubjectChange,
	}
	if ev.Sender != nil {
		m.From, m.RealJID, m.Resource = ev.Sender.jid, ev.Sender.bare, ev.Stanza.From.Resource()
	}
	r.used()
	out := r.sanitized(ev.Stanza)
	out.From, out.Type = m.From, stanza.TypeGroupchat
	if archive || historic && !r.archives() { // in an archived room an id is a promise that the archive has it
		out = out.With(stanza.NewElement(stanza.NSStanzaID, "stanza-id", "by", r.jid.String(), "id", m.ID))
	}
	out = r.Attribute(out, m.RealJID)
	enc := stanza.Encode(out)
	if historic {
		m.Stanza = enc.AppendWithoutTo(nil)
	}
	before := r.subject
	if ev.SubjectChange && archive {
		r.subject, r.subjectID = r.newSubject(ev), m.ID
	}
	posted := PostedEvent{Room: r, Message: m, Stanza: &out, Historic: historic, Private: private(ev), SubjectChange: ev.SubjectChange}
	r.notify(r.svc.hooks.MessagePosted.Run(&r.watch, &posted))
	it := outItem{enc: [2]*stanza.Encoded{enc, enc}, to: r.audience}
	if it.to == nil {
		it.to = []*Session{}
	}
	if q != nil {
		q.id, q.later = m.ID, archive && q.done != nil
	}
	if archive {
		it.ticket = &ticket{room: r, req: q, message: m, event: posted, before: before}
	}
	r.outbox = append(r.outbox, it)
	if archive {
		r.sendToArchive(it.ticket)
		return
	}
	r.notify(r.svc.hooks.MessageSent.Run(&r.watch, &posted))
}

func (r *Room) sendToArchive(t *ticket) {
	r.svc.tasks.Begin()
	report := func(err error) {
		r.tell(&archived{t, err})
		r.svc.tasks.End()
	}
	if err := r.svc.opts.Archive.Append(t.message, report); err != nil {
		report(err) // not queued: as if the commit had failed, in its turn
	}
}

// sanitized is a client's message without what only the room may say, and
// without its address.
func (r *Room) sanitized(st *stanza.Stanza) stanza.Stanza {
	out := st.Without(func(e *stanza.Element) bool {
		switch e.Name.Space {
		case stanza.NSMUC, stanza.NSMUCUser, stanza.NSMUCAdmin, stanza.NSMUCOwner, stanza.NSOccupantID:
			return true
		case stanza.NSStanzaID:
			return e.Name.Local == "stanza-id" && r.claimsRoom(e.Attr("by"))
		case stanza.NSDelay:
			return r.claimsRoom(e.Attr("from"))
		}
		return false
	})
	out.To = jid.JID{}
	return out
}

// Attribute adds to a message what features say of the account that it comes
// from; nothing if that is zero, the room itself.
func (r *Room) Attribute(st stanza.Stanza, real jid.JID) stanza.Stanza {
	if real.IsZero() {
		return st
	}
	ev := BuildMessageEvent{Room: r, RealJID: real.Bare()}
	r.notify(r.svc.hooks.BuildMessage.Run(&r.watch, &ev))
	return st.With(ev.extra...)
}

// subjectArchived writes an archived subject change into the room's record,
// without waiting: until then the archive knows better (see Service.load).
func (r *Room) subjectArchived(t *ticket) {
	if !r.exists || !r.stored || r.subjectID != t.message.ID {
		return
	}
	r.storeSubject()
}

// wantMessage makes a stanza of no kind a message, and refuses another one.
func wantMessage(st *stanza.Stanza) error {
	if st.Kind != 0 && st.Kind != stanza.Message || len(st.Children) == 0 {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "Rooms say messages with something in them: give one.")
	}
	st.Kind = stanza.Message
	return nil
}

// Post stages something that the room itself says, through hooks and archive
// like everybody's messages; BeforeMessage may refuse it.
func (r *Room) Post(st stanza.Stanza) error {
	if err := wantMessage(&st); err != nil {
		return err
	}
	ev := MessageEvent{Event: r.detached(), Stanza: &st, SubjectChange: isSubjectChange(&st)}
	if err := r.svc.hooks.BeforeMessage.Run(&r.watch, &ev); err != nil {
		return err
	}
	historic, archive, err := r.judge(&ev)
	if err != nil {
		return err
	}
	if ev.SubjectChange {
		r.stageSubject(&ev, archive)
	}
	r.staged.posts = append(r.staged.posts, func(r *Room) { r.publish(nil, &ev, historic, archive) })
	return nil
}

// History returns what a function says that somebody who enters is to be sent of
// what was said before, oldest first; false if nobody says so.
func (r *Room) History(ev *JoinedEvent) (list []stanza.Stanza, ok bool) {
	list, err := r.svc.hooks.History.Run(&r.watch, ev, nil)
	r.notify(err)
	return list, list != nil
}

// SendTo sends something to one session, with the room as sender unless
// st.From says otherwise.
func (r *Room) SendTo(s *Session, st stanza.Stanza) {
	r.sayTo(s, r.signed(st))
}

// signed is a stanza with the room as its sender if it has none.
func (r *Room) signed(st stanza.Stanza) stanza.Stanza {
	if st.From.IsZero() {
		st.From = r.jid
	}
	return st
}

// SendEncoded sends what is encoded already to one session.
func (r *Room) SendEncoded(s *Session, list []*stanza.Encoded) {
	if len(list) > 0 {
		r.outbox = append(r.outbox, outItem{only: s, many: list})
	}
}

// privateCommand is a message to an occupant (XEP-0045 §7.5).
type privateCommand struct {
	request
	recipient *Occupant
	out       stanza.Stanza
}

func (c *privateCommand) decide(r *Room) error {
	s := r.sessions[c.st.From]
	if s == nil && !c.system {
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "You are not in the room.").Because(ReasonOutside)
	}
	if c.st.Type == stanza.TypeGroupchat {
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "Send groupchat messages to the room, not to an occupant.")
	}
	c.recipient = r.Occupant(c.st.To.Resource())
	if c.recipient == nil {
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Nobody in the room has this nickname.")
	}
	if c.system { // the room itself has something to say to one
		c.out = r.sanitized(&c.st)
		c.out.From = r.jid
		return nil
	}
	var err error
	c.out, err = r.private(&c.request, s.occupant, c.recipient)
	return err
}

// private is what an occupant gets of another's message to him, if the room lets
// it pass.
func (r *Room) private(q *request, from, to *Occupant) (stanza.Stanza, error) {
	ev := &PrivateMessageEvent{Event: Event{Room: r, req: q}, Stanza: &q.st, Sender: from, Recipient: to}
	if err := r.svc.hooks.BeforePrivateMessage.Run(&r.watch, ev); err != nil {
		return stanza.Stanza{}, err
	}
	out := r.Attribute(r.sanitized(ev.Stanza), from.bare).With(stanza.NewElement(stanza.NSMUCUser, "x"))
	out.From = from.jid
	return out, nil
}

func (c *privateCommand) apply(r *Room) { r.sayToAll(c.recipient, c.out) }

// sayToAll queues a stanza for all sessions of an occupant.
func (r *Room) sayToAll(o *Occupant, st stanza.Stanza) {
	enc := stanza.Encode(st)
	enc.SharedBy(len(o.sessions))
	for _, s := range o.sessions {
		r.outbox = append(r.outbox, outItem{enc: [2]*stanza.Encoded{enc, enc}, only: s})
	}
}

// roomMessageCommand is a message to the room itself, such as an invitation.
type roomMessageCommand struct {
	request
	ev RoomMessageEvent
}

func (c *roomMessageCommand) decide(r *Room) error {
	c.ev = RoomMessageEvent{Event: Event{Room: r, req: &c.request}, Stanza: &c.st, RealJID: c.st.From}
	if s := r.sessions[c.st.From]; s != nil {
		c.ev.Sender = s.occupant
	}
	err := r.svc.hooks.RoomMessage.Run(&r.watch, &c.ev)
	switch {
	case errors.Is(err, hook.Handled):
		return nil
	case err != nil:
		return err
	case c.ev.Sender == nil:
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "You are not in the room.").Because(ReasonOutside)
	}
	return stanza.NewError(stanza.Modify, stanza.BadRequest, "This kind of message means nothing to the room.")
}

func (c *roomMessageCommand) apply(*Room) {} // all of it is staged
