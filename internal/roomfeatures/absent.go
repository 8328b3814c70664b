package roomfeatures

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// absent tells people who are not inside that they have an affiliation now, or
// have lost one (XEP-0045 §18.1, status 101), out of courtesy. To somebody new on
// the list of a room for members only that is an invitation, too (§9.5). Bans
// are nobody's business: who is banned learns nothing of hidden rooms.
type absent struct{ invitations *invitations }

const (
	statusAffiliationChanged = 101
	// maxAbsent bounds the people whom a room tells at once, as maxInvites does
	// those whom a message invites; absentPause is how long it takes until
	// another one may be told.
	maxAbsent   = maxInvites
	absentPause = time.Second
)

// told is how far a room's courtesy is used up: the time at which all may be told
// again.
type told struct{ until time.Time }

func (f *absent) Register(h *muc.Hooks) {
	slot := muc.NewSlot[told](h)
	h.AffiliationSet.Add("absent", 0, func(ev *muc.AffiliationEvent) {
		if concernsAbsent(ev) && slot.In(ev.Room).spend(ev.Time()) {
			ev.Send(f.notice(ev))
		}
	})
}

// concernsAbsent reports whether a change gives somebody outside a right or
// takes it, and he has not wanted that himself.
func concernsAbsent(ev *muc.AffiliationEvent) bool {
	switch {
	case ev.From == ev.To, ev.From == muc.Outcast, ev.To == muc.Outcast:
		return false
	case ev.Told, ev.JID.Local() == "", ev.JID.DomainOnly() == ev.Room.JID().DomainOnly():
		return false
	}
	return ev.Actor.JID().Bare() != ev.JID
}

// spend reports whether one more may be told.
func (t *told) spend(now time.Time) bool {
	if t.until.Before(now) {
		t.until = now
	}
	if t.until.Sub(now) > (maxAbsent-1)*absentPause {
		return false
	}
	t.until = t.until.Add(absentPause)
	return true
}

// notice is what somebody outside is told.
func (f *absent) notice(ev *muc.AffiliationEvent) stanza.Stanza {
	r, id := ev.Room, rand.Text()
	item := stanza.NewElement(stanza.NSMUCUser, "item", "affiliation", ev.To.String(), "role", muc.RoleNone.String(), "jid", ev.JID.String())
	if ev.Reason != "" {
		item.AddTextElement("reason", ev.Reason)
	}
	text := fmt.Sprintf("Your affiliation with the room %s is %s now.", r.JID(), ev.To)
	x := stanza.NewElement(stanza.NSMUCUser, "x")
	children := []*stanza.Element{nil, x}
	if ev.From == muc.None && ev.To == muc.Member && f.invitations.members.on.Get(r) {
		by := f.invitations.from(r, ev.Actor.JID())
		direct := f.invitations.fill(r, x, by, ev.Reason, nil)
		children = append(children, direct)
		text = fmt.Sprintf("You are a member of the room %s now, and invited.", r.JID())
		if !ev.Actor.JID().IsZero() {
			f.invitations.slot.In(r).add([]invitation{{who: ev.JID, by: ev.Actor.JID(), shown: by, id: id}})
		}
	}
	x.Add(item, stanza.NewElement(stanza.NSMUCUser, "status", "code", fmt.Sprint(statusAffiliationChanged)))
	if ev.Reason != "" {
		text += " " + ev.Reason
	}
	children[0] = stanza.NewElement(stanza.NSClient, "body").AddText(text)
	return stanza.Stanza{Kind: stanza.Message, ID: id, To: ev.JID}.With(children...)
}

// from is the address that an invitation shows of who sends it, which is the
// room's if nobody does.
func (f *invitations) from(r *muc.Room, by jid.JID) jid.JID {
	if by.IsZero() {
		return r.JID()
	}
	var sender *muc.Occupant
	if s := r.Session(by); s != nil {
		sender = s.Occupant()
	}
	return inviter(r, by, sender)
}
