package roomfeatures

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const (
	// maxInvites bounds the people whom one message invites.
	maxInvites = 20
	// maxInvited bounds the invitations whose answers a room waits for.
	maxInvited = 256
	// nsConference is how clients that know only direct invitations want them
	// (XEP-0249).
	nsConference = "jabber:x:conference"
)

// invitations are those that the room passes on (XEP-0045 §7.8.2), also to
// turn a conversation of two into one of many (§7.9). In a room for members
// only, whoever is invited becomes a member.
type invitations struct {
	password *password
	members  *membersOnly
	allowed  *muc.Field[bool]
	slot     *muc.Slot[invited]
}

// invitation is one that may still be declined or come back.
type invitation struct {
	who   jid.JID // bare
	by    jid.JID // full
	shown jid.JID // by's address as who has seen it
	id    string  // of the message
}

// invited are the open invitations of a room, oldest first.
type invited struct{ open []invitation }

func (f *invitations) Register(h *muc.Hooks) {
	f.allowed = muc.NewBoolField(h, muc.FieldSpec{
		Var: "muc#roomconfig_allowinvites", Section: muc.SectionAccess, Order: 45,
		Label: "Everybody who may speak may invite; in a room for members only, its members",
	}, true)
	f.slot = muc.NewSlot[invited](h)
	h.RoomMessage.Add("invitations", 0, func(ev *muc.RoomMessageEvent) error {
		x := ev.Stanza.Child(stanza.NSMUCUser, "x")
		switch {
		case ev.Stanza.Type == stanza.TypeError:
			return f.bounced(ev)
		case x == nil:
			return nil
		case x.Child(stanza.NSMUCUser, "invite") != nil:
			return f.invite(ev, x)
		case x.Child(stanza.NSMUCUser, "decline") != nil:
			return f.decline(ev, x.Child(stanza.NSMUCUser, "decline"))
		}
		return nil
	})
	h.Disco.Add("invitations", 0, func(ev *muc.DiscoEvent) {
		ev.Field(f.allowed.Key(), either(f.allowed.Get(ev.Room), "1", "0"))
	})
}

// invite passes invitations on: all of a message or none.
func (f *invitations) invite(ev *muc.RoomMessageEvent, x *stanza.Element) error {
	if err := f.mayInvite(ev); err != nil {
		return err
	}
	var sent []invitation
	for invite := range x.Elements() {
		if !invite.Is(stanza.NSMUCUser, "invite") {
			continue
		}
		if len(sent) == maxInvites {
			return stanza.NewError(stanza.Modify, stanza.NotAcceptable, fmt.Sprintf("Invite at most %d people at once.", maxInvites))
		}
		one, err := f.inviteOne(ev, invite)
		if err != nil {
			return err
		}
		sent = append(sent, one)
	}
	if !ev.BySystem() { // whom nobody could tell what has become of it
		f.slot.In(ev.Room).add(sent)
	}
	return hook.Handled
}

// mayInvite: moderators always; others if the room lets them, who are members
// where only members enter, or may speak where everybody does. It does not
// matter whether they are inside.
func (f *invitations) mayInvite(ev *muc.RoomMessageEvent) error {
	r := ev.Room
	rank := r.Affiliation(ev.RealJID)
	role := r.DefaultRole(ev.RealJID, rank)
	if ev.Sender != nil {
		role = ev.Sender.Role()
	}
	switch {
	case ev.BySystem():
		return nil
	case ev.Sender == nil && rank < muc.Member:
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Enter the room before you invite others.").Because(muc.ReasonOutside)
	case role == muc.Moderator, rank >= muc.Admin:
		return nil
	case f.allowed.Get(r) && (f.members.on.Get(r) && rank >= muc.Member || !f.members.on.Get(r) && role >= muc.Participant):
		return nil
	}
	return stanza.NewError(stanza.Auth, stanza.Forbidden, "You may not invite people into this room.").Because(muc.ReasonInvitations)
}

func (f *invitations) inviteOne(ev *muc.RoomMessageEvent, invite *stanza.Element) (sent invitation, err error) {
	r := ev.Room
	to, err := jid.Parse(invite.Attr("to"))
	if err != nil {
		return sent, stanza.NewError(stanza.Modify, stanza.JIDMalformed, fmt.Sprintf("The address %q is malformed.", invite.Attr("to")))
	}
	switch rank := r.Affiliation(to); {
	case rank == muc.Outcast:
		return sent, stanza.NewError(stanza.Cancel, stanza.NotAllowed, to.Bare().String()+" is banned from this room.").Because(muc.ReasonBanned)
	case rank == muc.None && f.members.on.Get(r):
		if err := r.SetAffiliation(muc.System, to, muc.Member, muc.AffiliationOptions{Reason: "Invited.", Told: true}); err != nil {
			return sent, err
		}
	}
	reason := invite.ChildText(stanza.NSMUCUser, "reason")
	by := inviter(r, ev.RealJID, ev.Sender)
	x := stanza.NewElement(stanza.NSMUCUser, "x")
	direct := f.fill(r, x, by, reason, invite.Child(stanza.NSMUCUser, "continue"))
	text := fmt.Sprintf("%s invites you to the room %s.", by, r.JID())
	if reason != "" {
		text += " " + reason
	}
	err = ev.BeforeInvite(to, stanza.Stanza{Kind: stanza.Message, ID: ev.Stanza.ID, Lang: ev.Stanza.Lang}.
		With(stanza.NewElement(stanza.NSClient, "body").AddText(text), x, direct))
	return invitation{who: to.Bare(), by: ev.RealJID, shown: by, id: ev.Stanza.ID}, err
}

// fill makes x an invitation into r, and returns the same for clients that know
// only direct ones.
func (f *invitations) fill(r *muc.Room, x *stanza.Element, by jid.JID, reason string, continued *stanza.Element) (direct *stanza.Element) {
	passed := stanza.NewElement(stanza.NSMUCUser, "invite", "from", by.String())
	direct = stanza.NewElement(nsConference, "x", "jid", r.JID().String())
	if reason != "" {
		passed.AddTextElement("reason", reason)
		direct.SetAttr("reason", reason)
	}
	passed.Add(continued)
	x.Add(passed)
	if secret := f.password.of(r); secret != "" {
		x.AddTextElement("password", secret)
		direct.SetAttr("password", secret)
	}
	return direct
}

// inviter is the address that an invitation shows of who sends it. Where only
// moderators see real addresses that is his nickname's, or nothing but the
// room's if he is not inside and has none reserved.
func inviter(r *muc.Room, who jid.JID, sender *muc.Occupant) jid.JID {
	switch {
	case r.NonAnonymous():
		return who.Bare()
	case sender != nil:
		return sender.JID()
	}
	if nick := r.Entry(who).Nick; nick != "" {
		if j, err := r.JID().WithResource(nick); err == nil {
			return j
		}
	}
	return r.JID()
}

// decline tells those who have invited somebody that he does not want to come:
// the one to whom he says so, by the address that he has seen or by his own; if
// it was nobody's among them, all. Else everybody could use the room to write to
// anybody.
func (f *invitations) decline(ev *muc.RoomMessageEvent, decline *stanza.Element) error {
	to, err := jid.Parse(decline.Attr("to"))
	if err != nil {
		return stanza.NewError(stanza.Modify, stanza.JIDMalformed, "The address to decline to is malformed.")
	}
	who, open := ev.RealJID.Bare(), f.slot.In(ev.Room)
	declined := open.take(func(i *invitation) bool { return i.who == who && (to == i.shown || to.Bare() == i.by.Bare()) })
	if len(declined) == 0 {
		declined = open.take(func(i *invitation) bool { return i.who == who })
	}
	if len(declined) == 0 {
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "There is no invitation that you could decline.")
	}
	passed := stanza.NewElement(stanza.NSMUCUser, "decline", "from", who.String())
	if reason := decline.ChildText(stanza.NSMUCUser, "reason"); reason != "" {
		passed.AddTextElement("reason", reason)
	}
	out := stanza.Stanza{Kind: stanza.Message, ID: ev.Stanza.ID, Lang: ev.Stanza.Lang}.
		With(stanza.NewElement(stanza.NSMUCUser, "x").Add(passed))
	for _, i := range declined {
		if err := ev.BeforeDecline(reachable(ev.Room, i.by), out); err != nil {
			return err
		}
	}
	return hook.Handled
}

// bounced tells who has invited somebody that the invitation has not arrived:
// that one, by its id.
func (f *invitations) bounced(ev *muc.RoomMessageEvent) error {
	who := ev.RealJID.Bare()
	lost := f.slot.In(ev.Room).take(func(i *invitation) bool { return i.who == who && i.id == ev.Stanza.ID })
	if len(lost) == 0 {
		return nil
	}
	why := cmp.Or(ev.Stanza.ParseError(), stanza.NewError(stanza.Cancel, stanza.ItemNotFound, ""))
	if why.Condition == stanza.ServiceUnavailable { // what servers say of accounts that do not exist
		why = stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "")
	}
	why.Text = "The invitation did not reach " + who.String() + "."
	for _, i := range lost {
		original := stanza.Stanza{Kind: stanza.Message, ID: i.id, From: reachable(ev.Room, i.by), To: ev.Room.JID()}.
			With(stanza.NewElement(stanza.NSMUCUser, "x").Add(stanza.NewElement(stanza.NSMUCUser, "invite", "to", who.String())))
		if reply, ok := original.ErrorReply(why); ok {
			ev.Send(reply)
		}
	}
	return hook.Handled
}

// reachable is somebody's address as long as he is inside with it, else that of
// his account.
func reachable(r *muc.Room, full jid.JID) jid.JID {
	if r.Session(full) != nil {
		return full
	}
	return full.Bare()
}

// add makes invitations open, each in the place of a former one of the same by
// the same.
func (v *invited) add(sent []invitation) {
	for _, s := range sent {
		v.take(func(i *invitation) bool { return i.who == s.who && i.by.Bare() == s.by.Bare() })
		v.open = append(v.open, s)
	}
	v.open = v.open[max(0, len(v.open)-maxInvited):]
}

// take returns those that are wanted, which are open no longer.
func (v *invited) take(wanted func(*invitation) bool) (taken []invitation) {
	v.open = slices.DeleteFunc(v.open, func(i invitation) bool {
		if !wanted(&i) {
			return false
		}
		taken = append(taken, i)
		return true
	})
	return taken
}
