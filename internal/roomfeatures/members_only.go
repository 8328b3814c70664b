package roomfeatures

import (
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// membersOnly lets only people with an affiliation into a room that wants it
// (XEP-0045 §7.2.6), and puts the others out when it begins to (§15.6, status 322).
type membersOnly struct{ on *muc.Field[bool] }

const statusMembersOnly = 322

func (f *membersOnly) Register(h *muc.Hooks) {
	on := muc.NewBoolField(h, muc.FieldSpec{
		Var: "muc#roomconfig_membersonly", Section: muc.SectionAccess, Order: 10, Label: "Only members may enter",
	}, false)
	f.on = on
	h.BeforeJoin.Add("members-only", muc.PriorityMembersOnly, func(ev *muc.JoinEvent) error {
		if !ev.New && on.Get(ev.Room) && ev.Affiliation < muc.Member {
			return stanza.NewError(stanza.Auth, stanza.RegistrationRequired, "Only members may enter this room.").Because(muc.ReasonMembersOnly)
		}
		return nil
	})
	h.DefaultRole.Add("members-only", 20, func(q *muc.RoleQuestion) (muc.Role, bool) {
		return muc.RoleNone, on.Get(q.Room) && q.Affiliation < muc.Member
	})
	h.Configured.Add("members-only", 0, func(ev *muc.ConfiguredEvent) {
		if !ev.Changed(on.Key()) || !on.Get(ev.Room) {
			return
		}
		var outsiders []*muc.Occupant
		for o := range ev.Room.Occupants() {
			if ev.Room.Affiliation(o.RealJID()) < muc.Member {
				outsiders = append(outsiders, o)
			}
		}
		ev.Room.RemoveOccupants(outsiders, statusMembersOnly, muc.Actor{}, "The room is for members only now.")
	})
	h.Disco.Add("members-only", 0, func(ev *muc.DiscoEvent) { ev.Feature(either(on.Get(ev.Room), "muc_membersonly", "muc_open")) })
	// XEP-0045 §9.5, §10.5, §10.8: members of a members-only room may know each other,
	// owners and admins too, for whom clients encrypt who are not there, but not
	// the addresses that the room hides (§5.2.1).
	h.MayList.Add("members-only", 0, func(q *muc.ListQuestion) (bool, bool) {
		allowed := on.Get(q.Room) && q.Room.NonAnonymous() && q.Affiliation >= muc.Member && !q.OfRoles && q.List >= muc.Member
		return allowed, allowed
	})
}

func either(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}
