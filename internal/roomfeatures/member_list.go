package roomfeatures

import (
	"strings"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// memberList says which roles and affiliations may read the room's lists besides
// those whom the XEP entitles (muc#roomconfig_getmemberlist): all of affiliations,
// banned people too, and of roles, as with MongooseIM. People of an affiliation need
// not be inside.
type memberList struct{}

// nobodyElse stands for an empty list, as in forms of MongooseIM. The role and the
// affiliation of strangers have the same name.
const nobodyElse = "none"

func (memberList) Register(h *muc.Hooks) {
	who := muc.NewChoicesField(h, muc.FieldSpec{
		Var: "muc#roomconfig_getmemberlist", Section: muc.SectionPermissions, Order: 70, Label: "Who may read the lists of members and roles",
		Choices: []stanza.Option{
			{Label: "Moderators", Value: "moderator"},
			{Label: "Participants", Value: "participant"},
			{Label: "Visitors", Value: "visitor"},
			{Label: "Members", Value: "member"},
			{Label: "Admins", Value: "admin"},
			{Label: "Owners", Value: "owner"},
			{Label: "Nobody else", Value: nobodyElse},
		},
	}, "")
	h.MayList.Add("member-list", 0, func(q *muc.ListQuestion) (bool, bool) {
		if !q.OfRoles && q.List == muc.None && !q.Room.NonAnonymous() {
			return false, false // the occupants with their addresses: who is who
		}
		role := q.Role
		if role == muc.RoleNone && q.Room.DefaultRole(q.RealJID, q.Affiliation) != muc.RoleNone {
			role = muc.Visitor // as with MongooseIM, but for those whom the room does not let in
		}
		for word := range strings.FieldsSeq(who.Get(q.Room)) {
			if word != nobodyElse && (role.String() == word || q.Affiliation.String() == word) {
				return true, true
			}
		}
		return false, false
	})
}
