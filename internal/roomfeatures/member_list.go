package roomfeatures

import (
	"strings"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// memberList says which roles may read the room's lists besides those whom the
// XEP entitles (muc#roomconfig_getmemberlist).
type memberList struct{}

func (memberList) Register(h *muc.Hooks) {
	who := muc.NewChoicesField(h, muc.FieldSpec{
		Var: "muc#roomconfig_getmemberlist", Section: muc.SectionPermissions, Order: 70, Label: "Who may read the member list",
		Choices: []stanza.Option{
			{Label: "Moderators", Value: "moderator"}, {Label: "Participants", Value: "participant"}, {Label: "Visitors", Value: "visitor"},
		},
	}, "")
	h.MayList.Add("member-list", 0, func(q *muc.ListQuestion) (bool, bool) {
		if q.OfRoles || q.List != muc.Member { // the others would show who is who
			return false, false
		}
		for word := range strings.FieldsSeq(who.Get(q.Room)) {
			if q.Role.String() == word {
				return true, true
			}
		}
		return false, false
	})
}
