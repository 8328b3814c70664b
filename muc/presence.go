package muc

import (
	"cmp"
	"strconv"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// showing says how a presence differs from "is in the room".
type showing struct {
	unavailable bool
	affiliation *Affiliation // instead of the present one
	codes       []int
	nick        string // the new nickname of a 303
	actor       Actor
	reason      string
	destroy     *stanza.Element
	payload     *payload // instead of the primary session's, or nothing of those who are gone
}

// payload is what a client's presence holds for others.
type payload struct {
	lang     string // RFC 6120 §8.1.5
	children []stanza.Node
}

// removed is the showing of somebody who is put out.
func removed(code int, actor Actor, reason string) *showing {
	return &showing{unavailable: true, codes: []int{code}, actor: actor, reason: reason}
}

// plain reports whether sh is nothing but presence in the room, whose encoding
// is worth keeping.
func (sh *showing) plain() bool {
	return !sh.unavailable && len(sh.codes) == 0 && sh.reason == "" && sh.actor == Actor{} && sh.payload == nil
}

// presenceOf builds o's presence (XEP-0045 §7.2.2 and on). full shows real
// addresses; self is for o's own sessions.
func (r *Room) presenceOf(o *Occupant, sh *showing, full, self bool) stanza.Stanza {
	said := &payload{}
	switch {
	case sh.payload != nil:
		said = sh.payload
	case len(o.sessions) > 0 && !sh.unavailable:
		said = o.sessions[0].presence
	}
	st := stanza.Stanza{Kind: stanza.Presence, From: o.jid, Lang: said.lang}
	if sh.unavailable {
		st.Type = stanza.TypeUnavailable
	}
	ev := BuildPresenceEvent{Room: r, Occupant: o}
	r.notify(r.svc.hooks.BuildPresence.Run(&r.watch, &ev))
	st.Children = ev.says(said.children)
	for _, e := range ev.extra {
		st.Children = append(st.Children, stanza.Node{Element: e})
	}
	st.Children = append(st.Children, stanza.Node{Element: r.userElement(o, sh, full, self)})
	return st
}

// userElement is the <x xmlns='…muc#user'/> of a presence.
func (r *Room) userElement(o *Occupant, sh *showing, full, self bool) *stanza.Element {
	affiliation := r.Affiliation(o.bare)
	if sh.affiliation != nil {
		affiliation = *sh.affiliation
	}
	role := o.role
	if sh.unavailable && sh.nick == "" {
		role = RoleNone
	}
	item := stanza.NewElement(stanza.NSMUCUser, "item", "affiliation", affiliation.String(), "role", role.String())
	if full || self {
		if addr := o.address(); !addr.IsZero() {
			item.SetAttr("jid", addr.String())
		}
	}
	if sh.nick != "" {
		item.SetAttr("nick", sh.nick)
	}
	item.Add(r.actorElement(sh.actor, full))
	if sh.reason != "" {
		item.AddTextElement("reason", sh.reason)
	}
	x := stanza.NewElement(stanza.NSMUCUser, "x").Add(item, sh.destroy)
	if self {
		x.Add(statusElement(statusSelf))
	}
	for _, code := range sh.codes {
		x.Add(statusElement(code))
	}
	return x
}

// address is the real address to show: that of the primary session.
func (o *Occupant) address() jid.JID {
	if len(o.sessions) > 0 {
		return o.sessions[0].addr
	}
	return o.bare
}

func statusElement(code int) *stanza.Element {
	return stanza.NewElement(stanza.NSMUCUser, "status", "code", strconv.Itoa(code))
}

// actorElement names who caused a presence (XEP-0045 §8.2): his nickname, and
// his bare address to those who may see addresses.
func (r *Room) actorElement(a Actor, full bool) *stanza.Element {
	if a.jid.IsZero() {
		return nil
	}
	e := stanza.NewElement(stanza.NSMUCUser, "actor")
	if s := r.sessions[a.jid]; s != nil {
		e.SetAttr("nick", s.occupant.nick)
	}
	if full {
		e.SetAttr("jid", a.jid.Bare().String())
	}
	if len(e.Attrs) == 0 {
		return nil
	}
	return e
}

// shownTo returns o's plain presence for those who may see addresses or not,
// encoded once until it changes.
func (r *Room) shownTo(o *Occupant, show bool) *stanza.Encoded {
	i := index(show)
	if o.shown[i] == nil {
		o.shown[i] = stanza.Encode(r.presenceOf(o, &showing{}, show, false))
	}
	return o.shown[i]
}

// announceToOthers tells everybody but o's own sessions.
func (r *Room) announceToOthers(o *Occupant, sh *showing) {
	it := outItem{to: r.viewersOf(o), skip: o.sessions}
	if len(it.to) == 0 {
		return
	}
	if sh.plain() {
		it.enc = [2]*stanza.Encoded{r.shownTo(o, false), r.shownTo(o, true)}
	} else {
		it.enc = [2]*stanza.Encoded{
			stanza.Encode(r.presenceOf(o, sh, false, false)),
			stanza.Encode(r.presenceOf(o, sh, true, false)),
		}
	}
	r.outbox = append(r.outbox, it)
}

// announce tells everybody of o, his own sessions last and with 110.
func (r *Room) announce(o *Occupant, sh *showing) {
	r.announceToOthers(o, sh)
	r.announceToSelf(o, o.sessions, sh)
}

// Announce shows o's presence to everybody anew, because what features say of
// him has changed.
func (r *Room) Announce(o *Occupant) {
	if !o.gone {
		o.forget()
		r.announce(o, &showing{})
	}
}

// announceToSelf tells sessions, which are or were o's own.
func (r *Room) announceToSelf(o *Occupant, sessions []*Session, sh *showing) {
	if len(sessions) == 0 {
		return
	}
	enc := stanza.Encode(r.presenceOf(o, sh, r.seesAddresses(o), true))
	for _, s := range sessions {
		r.outbox = append(r.outbox, outItem{enc: [2]*stanza.Encoded{enc, enc}, only: s})
	}
}

// sendOccupants sends s the presence of everybody else of whom it is told
// (XEP-0045 §7.2.2).
func (r *Room) sendOccupants(s *Session) {
	list := make([]*stanza.Encoded, 0, len(r.occupants))
	for _, o := range r.occupants {
		if o != s.occupant && o.viewers.include(s.occupant.role) {
			list = append(list, r.shownTo(o, s.show))
		}
	}
	if len(list) > 0 {
		r.outbox = append(r.outbox, outItem{only: s, many: list})
	}
}

// presencePayload is what a room passes on of a client's presence: all but
// what only the room may say.
func (r *Room) presencePayload(st *stanza.Stanza) *payload {
	kept := st.Without(func(e *stanza.Element) bool {
		switch e.Name.Space {
		case stanza.NSMUC, stanza.NSMUCUser, stanza.NSMUCAdmin, stanza.NSMUCOwner, stanza.NSOccupantID, stanza.NSStanzaID, nsHats:
			return true
		case stanza.NSDelay:
			return r.claimsRoom(e.Attr("from"))
		}
		return false
	})
	return &payload{st.Lang, kept.Children}
}

const nsHats = "urn:xmpp:hats:0"

// claimsRoom reports whether an address in a client's element pretends to be
// the room or its service.
func (r *Room) claimsRoom(address string) bool {
	j, err := jid.Parse(address)
	return err == nil && (j.Bare() == r.jid || j == r.jid.DomainOnly())
}

// RemoveOccupant puts o out of the room, with one of the status codes of
// XEP-0045 (301, 307, 321, 322, 333); everybody sees it, and why.
func (r *Room) RemoveOccupant(o *Occupant, code int, actor Actor, reason string) {
	r.RemoveOccupants([]*Occupant{o}, code, actor, reason)
}

// RemoveOccupants puts many out at once, as RemoveOccupant does with one: each
// learns it of himself, and those who stay of everybody.
func (r *Room) RemoveOccupants(list []*Occupant, code int, actor Actor, reason string) {
	sh := removed(code, actor, reason)
	var exits []exit
	for _, o := range list {
		if !o.gone {
			exits = append(exits, exit{o, sh, code})
		}
	}
	r.putOut(exits)
}

// exit is the end of an occupant's stay: how he is shown, and the status code
// that says why, 0 if he has left himself.
type exit struct {
	occupant *Occupant
	sh       *showing
	code     int
}

// farewell is how somebody who is put out is shown to himself and to others, and
// the reason of that, or the status with which he leaves.
type farewell struct {
	self, full, anonymous *stanza.Encoded
	said                  string
}

// putOut removes occupants with all sessions and tells everybody. A room that
// nobody is in any more may end with that.
func (r *Room) putOut(list []exit) {
	r.takeAway(list, true)
	if len(list) > 0 && len(r.occupants) == 0 && r.exists {
		r.emptied()
	}
}

// takeAway removes occupants in one step: the room is without all of them before
// anybody hears of one. Those who stay learn of them if they are to be told.
func (r *Room) takeAway(list []exit, told bool) {
	shown := make([]farewell, len(list))
	gone := make([]*Occupant, len(list))
	for i, e := range list {
		gone[i] = e.occupant
		parting := r.presenceOf(e.occupant, e.sh, r.seesAddresses(e.occupant), true)
		shown[i] = farewell{self: stanza.Encode(parting), said: cmp.Or(e.sh.reason, parting.ChildText(stanza.NSClient, "status"))}
		if told {
			shown[i].full = stanza.Encode(r.presenceOf(e.occupant, e.sh, true, false))
			shown[i].anonymous = stanza.Encode(r.presenceOf(e.occupant, e.sh, false, false))
		}
	}
	sessions := r.removeAll(gone)
	for i, o := range gone {
		if to := r.viewersOf(o); told && len(to) > 0 {
			r.outbox = append(r.outbox, outItem{enc: [2]*stanza.Encoded{shown[i].anonymous, shown[i].full}, to: to})
		}
		for _, s := range sessions[i] {
			r.outbox = append(r.outbox, outItem{enc: [2]*stanza.Encoded{shown[i].self, shown[i].self}, only: s})
		}
	}
	for i, e := range list {
		r.svc.occupantLeft()
		r.notify(r.svc.hooks.Left.Run(&r.watch, &LeftEvent{Room: r, Occupant: e.occupant, Code: e.code, Reason: shown[i].said}))
	}
}

// evictAll puts everybody out with one showing, telling each only of himself.
func (r *Room) evictAll(sh *showing, code int) {
	list := make([]exit, 0, len(r.occupants))
	for _, o := range r.occupants {
		list = append(list, exit{o, sh, code})
	}
	r.takeAway(list, false)
}
