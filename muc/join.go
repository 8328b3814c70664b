package muc

import (
	"cmp"

	"github.com/muster-im/muster/internal/lately"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// presenceCommand is presence to room@service/nick, or to the room itself. What
// it means depends on whether the sender is inside.
type presenceCommand struct {
	request
	then func(r *Room) // what decide has found out is to be done
}

func (c *presenceCommand) stranger() {}

func (c *presenceCommand) apply(r *Room) { c.then(r) }

func (c *presenceCommand) decide(r *Room) error {
	s := r.sessions[c.st.From]
	switch c.st.Type {
	case "":
		if s == nil {
			return c.decideEntering(r)
		}
		return c.decideInside(r, s)
	case stanza.TypeUnavailable:
		c.then = func(r *Room) {
			if s != nil {
				r.leave(s, &c.st)
			}
		}
		return nil
	case stanza.TypeError: // its presence does not reach the client any more
		c.then = func(r *Room) {
			if s != nil && (lately.Undeliverable(&c.st, true) || c.st.ParseError() == nil) {
				r.dropGhost(s, &c.st)
			}
		}
		return nil
	case stanza.TypeProbe:
		return c.decideProbe(r, s)
	}
	return stanza.NewError(stanza.Modify, stanza.BadRequest, "Rooms have no presence subscriptions.")
}

// decideProbe answers a probe by an occupant (XEP-0045 §17.3).
func (c *presenceCommand) decideProbe(r *Room, s *Session) error {
	if s == nil {
		return stanza.NewError(stanza.Cancel, stanza.NotAcceptable, "You are not in the room.").Because(ReasonOutside)
	}
	o := r.Occupant(c.st.To.Resource())
	if c.st.To.IsBare() { // whether he is still inside
		o = s.occupant
	}
	switch o {
	case nil:
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Nobody in the room has this nickname.")
	case s.occupant: // as his presence is always shown to him (§7.2.2)
		c.then = func(r *Room) { r.announceToSelf(o, []*Session{s}, &showing{}) }
		return nil
	}
	c.then = func(r *Room) {
		r.outbox = append(r.outbox, outItem{only: s, many: []*stanza.Encoded{r.shownTo(o, s.show)}})
	}
	return nil
}

// noNickname refuses presence to whom nobody can enter (XEP-0045 §7.2.1).
func noNickname() *stanza.Error {
	return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "Address the presence to room@service/nickname.")
}

// nickOf prepares the nickname that a presence asks for, or refuses it.
func nickOf(to jid.JID) (nick, key string, err error) {
	nick = to.Resource()
	if nick == "" {
		return "", "", noNickname()
	}
	if key, err = jid.NickKey(nick); err != nil {
		return "", "", stanza.NewError(stanza.Modify, stanza.JIDMalformed, "This nickname cannot be used.")
	}
	return nick, key, nil
}

// decideEntering handles available presence from somebody outside.
func (c *presenceCommand) decideEntering(r *Room) error {
	if c.st.Child(stanza.NSMUC, "x") == nil {
		c.then = func(r *Room) { r.reply(kickOutsider(&c.st)) }
		return nil
	}
	if c.kept != nil { // time has passed since it was asked
		if err := r.svc.checkUse(c.st.From); err != nil {
			return err
		}
	}
	nick, key, err := nickOf(c.st.To)
	if err != nil {
		return err
	}
	if _, err := stanza.ParseHistoryRequest(&c.st); err != nil {
		return err
	}
	ev := &JoinEvent{
		Event: Event{Room: r, req: &c.request}, Stanza: &c.st, RealJID: c.st.From, Nick: nick, New: !r.exists,
	}
	if ev.New {
		if r.buried() && !r.svc.isAdmin(ev.RealJID) { // only they may use the name again
			if gone := r.destroyed(ev.RealJID); gone != nil {
				return gone
			}
			return bannedFrom()
		}
		err = r.decideCreation(ev)
	} else {
		err = r.decideJoin(ev, key)
	}
	if err != nil {
		return err
	}
	if err := r.svc.hooks.BeforeJoin.Run(&r.watch, ev); err != nil {
		return err
	}
	if ev.Nick != nick {
		if _, err := c.st.To.Bare().WithResource(ev.Nick); err != nil {
			return err
		}
	}
	c.then = func(r *Room) { r.join(ev, ev.Nick != nick) }
	return nil
}

// decideCreation checks what there is to check before a room exists.
func (r *Room) decideCreation(ev *JoinEvent) error {
	opts := &r.svc.opts
	if opts.MayCreate != nil && !opts.MayCreate(ev.RealJID) {
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "You may not create rooms here.").Because(ReasonAccessCreate)
	}
	if opts.MaxRoomID != 0 && len(r.jid.Local()) > opts.MaxRoomID {
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "The room's address is too long.").Because(ReasonMaxRoomID)
	}
	ev.Affiliation, ev.Role = Owner, Moderator
	return r.svc.hooks.BeforeCreate.Run(&r.watch, ev)
}

// decideJoin finds out who enters an existing room, and as what.
func (r *Room) decideJoin(ev *JoinEvent, key string) error {
	ev.Affiliation = r.Affiliation(ev.RealJID.Bare())
	if r.locked && ev.Affiliation < Owner { // XEP-0045 §7.2.10
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The room is locked until its owner has configured it.").Because(ReasonLocked)
	}
	ev.Occupant = r.occupants[key]
	ev.Role = r.DefaultRole(ev.RealJID, ev.Affiliation)
	return nil
}

// registerEntryChecks adds this package's own entry checks to the chain that
// bannedFrom is the answer to somebody who may not enter (XEP-0045 §7.2.7).
func bannedFrom() error {
	return stanza.NewError(stanza.Auth, stanza.Forbidden, "You are banned from this room.").Because(ReasonBanned)
}

// features and extensions share.
func registerEntryChecks(h *Hooks) {
	h.BeforeJoin.Add("banned", PriorityBanned, func(ev *JoinEvent) error {
		if ev.Affiliation == Outcast { // XEP-0045 §7.2.7
			return bannedFrom()
		}
		return nil
	})
	h.BeforeJoin.Add("capacity", PriorityCapacity, func(ev *JoinEvent) error {
		return ev.Room.checkCapacity(ev)
	})
	h.BeforeJoin.Add("nickname", PriorityNick, func(ev *JoinEvent) error {
		return ev.Room.checkNick(ev.RealJID, ev.Nick)
	})
}

// checkCapacity refuses an entry over the room's limit; owners and admins get
// some room beyond it (XEP-0045 §7.2.9).
func (r *Room) checkCapacity(ev *JoinEvent) error {
	limit := r.svc.core.maxUsers.Get(r)
	if r.svc.isAdmin(ev.RealJID) || limit == 0 {
		return nil
	}
	if ev.Affiliation >= Admin {
		limit += r.svc.opts.AdminSeats
	}
	if len(r.sessions) >= limit {
		return stanza.NewError(stanza.Wait, stanza.ServiceUnavailable, "The room is full.").Because(ReasonMaxUsers)
	}
	return nil
}

// join lets a session in (XEP-0045 §7.2): the others' presence to him, his to
// the others, his own to himself, then history and subject by the features.
func (r *Room) join(ev *JoinEvent, renamed bool) {
	if ev.New {
		r.create(ev)
	}
	key, err := jid.NickKey(ev.Nick)
	if err != nil {
		panic(err) // decide has prepared it
	}
	s := &Session{addr: ev.RealJID, target: r.svc.opts.Router.Target(ev.RealJID), presence: r.presencePayload(ev.Stanza)}
	o := r.occupants[key]
	first := o == nil
	if first {
		occupantJID, err := r.jid.WithResource(ev.Nick)
		if err != nil {
			panic(err) // likewise
		}
		o = &Occupant{nick: ev.Nick, key: key, jid: occupantJID, bare: ev.RealJID.Bare(), role: ev.Role}
		r.svc.occupantEntered()
	}
	r.enter(o, s)
	if first {
		o.viewers = r.askViewers(o)
	}
	r.used()
	kind := joinSession
	if ev.New {
		kind = joinCreated
	} else if first {
		kind = joinEntered
	}
	r.svc.metrics.joined(kind)
	r.sendOccupants(s)
	r.announceToOthers(o, &showing{})
	r.announceToSelf(o, []*Session{s}, &showing{codes: r.entryCodes(ev.New, renamed)})
	if ev.New {
		r.notify(r.svc.hooks.RoomCreated.Run(&r.watch, &RoomEvent{r}))
		r.notify(r.svc.hooks.Locked.Run(&r.watch, &RoomEvent{r}))
	}
	joined := JoinedEvent{Room: r, Session: s, Stanza: ev.Stanza}
	if first {
		r.notify(r.svc.hooks.Joined.Run(&r.watch, &joined))
	}
	r.notify(r.svc.hooks.SessionJoined.Run(&r.watch, &joined))
}

// entryCodes are the status codes of one's own presence on entering.
func (r *Room) entryCodes(created, renamed bool) []int {
	var codes []int
	if r.NonAnonymous() {
		codes = append(codes, statusNonAnonymousNow)
	}
	if r.Recorded() {
		codes = append(codes, statusLoggedNow)
	}
	if created {
		codes = append(codes, statusCreated)
	}
	if renamed {
		codes = append(codes, statusNickChanged)
	}
	return codes
}

// create makes the room exist with its creator as owner, locked until he has
// configured it (XEP-0045 §10.1).
func (r *Room) create(ev *JoinEvent) {
	r.begin(r.svc.now())
	r.locked = true
	for _, rec := range r.svc.opts.Affiliations {
		r.setRecord(rec)
	}
	r.setRecord(AffiliationRecord{JID: ev.RealJID.Bare(), Affiliation: Owner})
	if text := r.svc.opts.Subject.Text; text != "" {
		r.subject = Subject{Text: text, Author: r.svc.opts.subjectAuthor(r.jid), Time: r.created}
	}
}

// decideInside handles available presence from a session that is inside.
func (c *presenceCommand) decideInside(r *Room, s *Session) error {
	if c.st.To.Resource() == "" { // to the room: taken as to the own nickname
		return c.decideUpdate(r, s)
	}
	nick, key, err := nickOf(c.st.To)
	if _, bad := stanza.ParseHistoryRequest(&c.st); err != nil || bad != nil {
		return cmp.Or(err, bad)
	}
	enters := c.st.Child(stanza.NSMUC, "x") != nil
	c.then = func(*Room) {}
	if key != s.occupant.key || nick != s.occupant.nick {
		err = c.decideNick(r, s, nick, key)
	} else if !enters {
		return c.decideUpdate(r, s)
	}
	if change := c.then; enters { // XEP-0045 §17.3: it believes that it is outside
		c.then = func(r *Room) {
			change(r)
			r.enterAgain(s, &c.st)
		}
	}
	return err
}

func (c *presenceCommand) decideUpdate(r *Room, s *Session) error {
	ev := &PresenceEvent{Event: Event{Room: r, req: &c.request}, Stanza: &c.st, Session: s}
	if err := r.svc.hooks.BeforePresence.Run(&r.watch, ev); err != nil {
		return err
	}
	c.then = func(r *Room) { // XEP-0045 §7.7
		s.presence = r.presencePayload(ev.Stanza)
		s.occupant.promote(s)
		s.occupant.forget()
		r.announce(s.occupant, &showing{})
	}
	return nil
}

// promote makes s the primary session: the latest presence is the one shown.
func (o *Occupant) promote(s *Session) {
	sessions := []*Session{s}
	for _, other := range o.sessions {
		if other != s {
			sessions = append(sessions, other)
		}
	}
	o.sessions = sessions
}

// enterAgain serves a client that believes it is outside: it gets everything
// anew, and the others its presence.
func (r *Room) enterAgain(s *Session, st *stanza.Stanza) {
	s.presence = r.presencePayload(st)
	s.occupant.forget()
	r.svc.metrics.joined(joinAgain)
	r.sendOccupants(s)
	r.announceToOthers(s.occupant, &showing{})
	r.announceToSelf(s.occupant, []*Session{s}, &showing{codes: r.entryCodes(false, false)})
	r.notify(r.svc.hooks.SessionJoined.Run(&r.watch, &JoinedEvent{Room: r, Session: s, Stanza: st, Again: true}))
}

// kickOutsider answers presence without the join element from somebody who is
// not inside (XEP-0045 §7.2.18).
func kickOutsider(st *stanza.Stanza) stanza.Stanza {
	item := stanza.NewElement(stanza.NSMUCUser, "item", "affiliation", None.String(), "role", RoleNone.String())
	item.AddTextElement("reason", "You are not in the room.")
	x := stanza.NewElement(stanza.NSMUCUser, "x").Add(item, statusElement(statusSelf), statusElement(statusKicked), statusElement(statusGhost))
	return st.Reply(stanza.TypeUnavailable).With(x)
}
