package roomfeatures

import "github.com/muster-im/muster/muc"

// publicList says whether people outside a public room may see who is inside
// (XEP-0045 §6.5). Members see it always.
type publicList struct{}

func (publicList) Register(h *muc.Hooks) {
	on := muc.NewBoolField(h, muc.FieldSpec{
		Var: "public_list", Section: muc.SectionPermissions, Order: 80, Label: "Everybody may see who is in the room",
	}, true)
	h.MaySeeOccupants.Add("public-list", 0, func(q *muc.OccupantsQuestion) (bool, bool) {
		return q.Affiliation >= muc.Member, !on.Get(q.Room)
	})
}
