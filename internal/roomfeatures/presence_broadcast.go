package roomfeatures

import (
	"slices"
	"strings"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// presenceBroadcast says whose presence the others are told of: by role
// (XEP-0045 §7.2.2), and in big rooms by their size: of a visitor who enters a
// room with more occupants than its limit, moderators alone are told. Everybody
// sees himself, and who speaks is seen by what he says.
type presenceBroadcast struct{}

// presenceLimit is the size from which on visitors are many and listeners.
const presenceLimit = 1000

func (presenceBroadcast) Register(h *muc.Hooks) {
	roles := muc.NewChoicesField(h, muc.FieldSpec{
		Var: "muc#roomconfig_presencebroadcast", Section: muc.SectionPermissions, Order: 82, Label: "Whose presence the others are told of",
		Choices: []stanza.Option{
			{Label: "Moderators", Value: "moderator"}, {Label: "Participants", Value: "participant"}, {Label: "Visitors", Value: "visitor"},
		},
	}, "moderator participant visitor")
	limit := muc.NewIntField(h, muc.FieldSpec{
		Var: "presence_limit", Section: muc.SectionPermissions, Order: 84, Max: 1_000_000,
		Label: "Occupants above which visitors are shown to moderators alone (0: however many)",
	}, presenceLimit)
	h.ShownTo.Add("presence-broadcast", 0, func(q *muc.ViewersQuestion) (muc.Viewers, bool) {
		role, most := q.Occupant.Role(), limit.Get(q.Room)
		switch {
		case !slices.Contains(strings.Fields(roles.Get(q.Room)), role.String()):
			return muc.ToNobody, true
		case role == muc.Visitor && most > 0 && q.Room.NumOccupants() > most:
			return muc.ToModerators, true
		}
		return muc.ToEverybody, false
	})
}
