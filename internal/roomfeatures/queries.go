package roomfeatures

import (
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// queries says whether occupants may ask each other's clients (XEP-0045
// §17.4).
type queries struct{}

func (queries) Register(h *muc.Hooks) {
	on := muc.NewBoolField(h, muc.FieldSpec{
		Var: "allow_query_users", Section: muc.SectionPermissions, Order: 70, Label: "Occupants may send requests to each other's clients",
	}, true)
	h.BeforePrivateIQ.Add("queries", 0, func(ev *muc.PrivateIQEvent) error {
		if !on.Get(ev.Room) {
			return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Requests to other occupants are not passed on in this room.").Because(muc.ReasonQueries)
		}
		return nil
	})
}
