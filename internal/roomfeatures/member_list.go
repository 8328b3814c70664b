package roomfeatures

import (
	"strings"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// memberList says which roles and affiliations may read the list of members
// besides those whom the XEP entitles (muc#roomconfig_getmemberlist). People of an
// affiliation need not be inside.
type memberList struct{}

// nobodyElse stands for an empty list, as in forms of MongooseIM. The role and the
// affiliation of strangers have the same name.
const nobodyElse = "none"

func (memberList) Register(h *muc.Hooks) {
	who := muc.NewChoicesField(h, muc.FieldSpec{
		Var: "muc#roomconfig_getmemberlist", Section: muc.SectionPermissions, Order: 70, Label: "Who may read the member list",
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
		if q.OfRoles || q.List != muc.Member { // the others would show who is who
			return false, false
		}
		for word := range strings.FieldsSeq(who.Get(q.Room)) {
			if word != nobodyElse && (q.Role.String() == word || q.Affiliation.String() == word) {
				return true, true
			}
		}
		return false, false
	})
}
