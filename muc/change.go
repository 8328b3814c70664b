package muc

import (
	"maps"
	"slices"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// change is what one event changes in a room: staged while it is decided,
// stored, and then applied as a whole.
type change struct {
	values       map[int]any
	affiliations []affiliationChange
	latest       map[jid.JID]int    // the last of them that is somebody's
	nicks        map[string]jid.JID // for whom they reserve nicknames, by key
	looks        jid.NickIndex      // of nicks
	roles        []roleChange
	posts        []func(r *Room)
	sends        []stanza.Stanza // see Event.Send
	data         map[string][]byte
	notes        map[string]string // by key of the stored setting, "" removes
	subject      *Subject
	subjectID    string
	destroy      *DestroyEvent
	unlock       bool
}

// affiliationChange is one new entry with who wants it.
type affiliationChange struct {
	record AffiliationRecord
	from   Affiliation
	actor  Actor
	data   bool                 // nothing but the record's Data
	datum  AffiliationDataEvent // of data
	told   bool                 // see AffiliationOptions.Told
}

// roleChange is a new role with who wants it.
type roleChange struct {
	occupant *Occupant
	role     Role
	actor    Actor
	reason   string
}

// addAffiliation stages a new entry, which takes the place of a former one.
func (c *change) addAffiliation(a affiliationChange) {
	if c.latest == nil {
		c.latest, c.nicks = make(map[jid.JID]int), make(map[string]jid.JID)
	}
	if key, err := jid.NickKey(a.record.Nick); a.record.Nick != "" && err == nil {
		if _, there := c.nicks[key]; !there {
			c.looks.Add(key)
		}
		c.nicks[key] = a.record.JID
	}
	i, again := c.latest[a.record.JID]
	switch {
	case !again:
		c.latest[a.record.JID] = len(c.affiliations)
		c.affiliations = append(c.affiliations, a)
	case a.data:
		c.affiliations[i].record = a.record
	default: // one step from what was to what is to be
		a.from = c.affiliations[i].from
		c.affiliations[i] = a
	}
}

func (c *change) empty() bool {
	return !c.durable() && len(c.roles) == 0 && len(c.posts) == 0 && len(c.sends) == 0
}

// durable reports whether something of the change has to be stored.
func (c *change) durable() bool {
	return len(c.values) > 0 || len(c.affiliations) > 0 || len(c.data) > 0 || len(c.notes) > 0 || c.subject != nil || c.destroy != nil || c.unlock
}

// persistentAfter reports whether the room is to be stored once ch has taken
// effect.
func (r *Room) persistentAfter(ch *change) bool {
	if r.locked && !ch.unlock || !r.exists {
		return false
	}
	if v, ok := ch.values[r.svc.core.persistent.core.index]; ok {
		return v == true
	}
	return r.values[r.svc.core.persistent.core.index] == true
}

// roomChange is what has to be stored of ch: everything if the room is not
// stored yet.
func (r *Room) roomChange(ch *change) RoomChange {
	c := RoomChange{Created: r.created, Subject: ch.subject, SubjectID: ch.subjectID, Data: r.dataWith(ch)}
	if !r.stored || len(ch.values) > 0 || len(ch.notes) > 0 {
		values := slices.Clone(r.values)
		for i, v := range ch.values {
			values[i] = v
		}
		c.Settings = r.svc.schema.Store(values, r.noted(ch))
		c.Descriptor = r.svc.descriptor(r.jid, values)
	}
	if !r.stored {
		if c.Subject == nil && !r.subject.Time.IsZero() {
			c.Subject, c.SubjectID = &r.subject, r.subjectID
		}
		c.Affiliations = slices.Collect(maps.Values(r.affiliations))
	}
	c.Affiliations = slices.DeleteFunc(c.Affiliations, func(old AffiliationRecord) bool {
		_, staged := ch.latest[old.JID]
		return staged
	})
	for i, a := range ch.affiliations {
		if ch.latest[a.record.JID] == i {
			c.Affiliations = append(c.Affiliations, a.record)
		}
	}
	return c
}

// applyChange makes ch the room's state and tells whom it concerns.
func (r *Room) applyChange(ch *change) {
	if ch.destroy != nil {
		r.applyDestroy(ch.destroy)
		return
	}
	kept := r.dataWith(ch)
	if ch.unlock && r.locked {
		r.locked = false
		r.svc.relist(r)
		r.notify(r.svc.hooks.Unlocked.Run(&r.watch, &RoomEvent{r}))
	}
	if ch.subject != nil {
		r.subject, r.subjectID = *ch.subject, ch.subjectID
	}
	r.unknown = r.noted(ch)
	r.data = nil // of a stored room it is in the store
	if !r.stored {
		r.data = kept
	}
	r.changeRecords(ch.affiliations)
	concerned := r.concerned(ch.affiliations)
	r.takeAway(r.exits(ch, concerned), true)
	for i := range ch.affiliations {
		r.affiliationChanged(&ch.affiliations[i], concerned[i])
	}
	for _, c := range ch.roles {
		r.applyRole(c)
	}
	if r.exists && len(ch.values) > 0 {
		r.applyValues(ch.values, ch.unlock)
	}
	for _, post := range ch.posts {
		if r.exists {
			post(r)
		}
	}
	if r.exists && len(r.occupants) == 0 {
		r.emptied()
	}
}

// applyValues makes new settings valid. Of the first configuration of a room
// only what concerns privacy is announced, to the owner who is inside.
func (r *Room) applyValues(values map[int]any, first bool) {
	if r.shared {
		r.values, r.shared = slices.Clone(r.values), false
	}
	for i, v := range values {
		r.values[i] = v
	}
	for _, o := range r.occupants {
		o.forget()
	}
	for _, o := range r.occupants {
		if r.refreshSight(o) {
			r.resendOccupants(o)
		}
	}
	r.reconsiderAll()
	r.announceConfig(values, first)
	r.svc.relist(r)
	r.notify(r.svc.hooks.Configured.Run(&r.watch, &ConfiguredEvent{Room: r, New: r.making, Changed: func(key string) bool {
		for i := range values {
			if r.svc.hooks.fields[i].spec.Var == key {
				return true
			}
		}
		return false
	}}))
}

// announceConfig sends the status codes of changed settings, each once
// (XEP-0045 §10.2.1).
func (r *Room) announceConfig(values map[int]any, first bool) {
	codes := make(map[int]bool)
	for i := range values {
		code := StatusConfigChanged
		if announce := r.svc.hooks.fields[i].spec.Announce; announce != nil {
			code = announce(r)
		}
		codes[code] = code != StatusConfigChanged || !first
	}
	maps.DeleteFunc(codes, func(_ int, told bool) bool { return !told })
	if len(codes) == 0 {
		return
	}
	x := stanza.NewElement(stanza.NSMUCUser, "x")
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		x.Add(statusElement(code))
	}
	r.say(stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat, From: r.jid}.With(x), nil)
}

// exits are the occupants whom a change puts out, each once and for the first of
// its reasons: a ban, a lost membership (XEP-0045 §9.1, §9.4), a kick (§8.2).
func (r *Room) exits(ch *change, concerned [][]*Occupant) []exit {
	var list []exit
	leaving := make(map[*Occupant]bool)
	add := func(o *Occupant, code int, actor Actor, reason string) {
		if !leaving[o] && !o.gone {
			leaving[o] = true
			list = append(list, exit{o, removed(code, actor, reason), code})
		}
	}
	for i := range ch.affiliations {
		a := &ch.affiliations[i]
		for _, o := range concerned[i] {
			now := r.Affiliation(o.bare)
			switch {
			case a.data:
			case now == Outcast:
				add(o, statusBanned, a.actor, a.record.Reason)
			case r.DefaultRole(o.bare, now) == RoleNone:
				add(o, statusAffiliationLost, a.actor, a.record.Reason)
			}
		}
	}
	for _, c := range ch.roles {
		if c.role == RoleNone {
			add(c.occupant, statusKicked, c.actor, c.reason)
		}
	}
	return list
}

// affiliationChanged brings those of the occupants concerned who stay in line
// with a new entry: a rise or a fall changes the role (XEP-0045 §9).
func (r *Room) affiliationChanged(a *affiliationChange, concerned []*Occupant) {
	for _, o := range concerned {
		switch {
		case o.gone:
		case a.data:
			r.Announce(o)
		default:
			r.adjust(o, a)
		}
	}
	if a.data {
		r.notify(r.svc.hooks.AffiliationDataSet.Run(&r.watch, &a.datum))
		return
	}
	if len(concerned) == 0 && a.from != a.record.Affiliation {
		r.tellOfAbsent(a)
	}
	ev := &AffiliationEvent{
		Event: Event{Room: r}, Actor: a.actor, JID: a.record.JID, From: a.from, To: a.record.Affiliation, Reason: a.record.Reason,
		Told: a.told || len(concerned) > 0,
	}
	r.notify(r.svc.hooks.AffiliationSet.Run(&r.watch, ev))
}

func (r *Room) adjust(o *Occupant, a *affiliationChange) {
	now := r.Affiliation(o.bare)
	role := r.DefaultRole(o.bare, now)
	if role <= o.role && (a.from < Admin || now >= Admin) {
		role = o.role
	}
	r.changeRole(o, role, &showing{actor: a.actor, reason: a.record.Reason})
}

// resendOccupants shows o everybody else again, because what he may see of them
// has changed.
func (r *Room) resendOccupants(o *Occupant) {
	for _, s := range o.sessions {
		r.sendOccupants(s)
	}
}

// tellOfAbsent tells those who may see addresses that somebody's affiliation
// has changed who is not inside (XEP-0045 §9.3 and others).
func (r *Room) tellOfAbsent(a *affiliationChange) {
	item := stanza.NewElement(stanza.NSMUCUser, "item", "affiliation", a.record.Affiliation.String(),
		"role", RoleNone.String(), "jid", a.record.JID.String())
	if a.record.Reason != "" {
		item.AddTextElement("reason", a.record.Reason)
	}
	x := stanza.NewElement(stanza.NSMUCUser, "x").Add(item)
	st := stanza.Stanza{Kind: stanza.Message, From: r.jid}.With(x)
	for _, s := range r.audience {
		if s.show {
			r.sayTo(s, st)
		}
	}
}

// affiliationStaged returns the entry for j as it will be after the event at
// hand.
func (r *Room) affiliationStaged(j jid.JID) AffiliationRecord {
	if i, ok := r.staged.latest[j]; ok {
		return r.staged.affiliations[i].record
	}
	rec, ok := r.affiliations[j]
	if !ok {
		rec = AffiliationRecord{JID: j}
	}
	return rec
}

// AffiliationData returns what an extension keeps of somebody under a key, as
// it will be after the event at hand.
func (r *Room) AffiliationData(j jid.JID, key string) string {
	return r.affiliationStaged(j.Bare()).Data[key]
}

// SetAffiliationData stages what an extension keeps of somebody under a key, ""
// to remove it. It stays when the affiliation changes, and may be of somebody who
// has none. If he is inside, his presence is shown to everybody anew.
func (r *Room) SetAffiliationData(j jid.JID, key, value string) {
	rec := r.affiliationStaged(j.Bare())
	before := rec.Data[key]
	if before == value {
		return
	}
	rec.Data = maps.Clone(rec.Data)
	if rec.Data == nil {
		rec.Data = make(map[string]string, 1)
	}
	rec.Data[key] = value
	datum := AffiliationDataEvent{Event: Event{Room: r}, JID: rec.JID, Key: key, From: before, To: value}
	r.staged.addAffiliation(affiliationChange{record: rec, from: rec.Affiliation, data: true, datum: datum})
}

// SetSubject stages a subject line. It is stored; sending it is the caller's
// matter.
func (r *Room) SetSubject(s Subject, id string) {
	r.staged.subject, r.staged.subjectID = &s, id
}

func (s *Service) now() time.Time { return s.clock() }
