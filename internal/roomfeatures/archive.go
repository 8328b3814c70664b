package roomfeatures

import "github.com/muster-im/muster/muc"

// archive says whether a room's messages are kept: those of persistent rooms
// are, unless their owner switches it off; those of temporary ones are not.
type archive struct{}

func (archive) Register(h *muc.Hooks) {
	var on *muc.Field[bool]
	on = muc.NewBoolField(h, muc.FieldSpec{
		Var: "muc#roomconfig_enablelogging", Section: muc.SectionOther, Order: 20, Label: "Keep the messages (persistent rooms only)",
		Announce: func(r *muc.Room) int {
			if on.Get(r) {
				return muc.StatusLoggingOn
			}
			return muc.StatusLoggingOff
		},
	}, true)
	h.Archived.Add("archive", 0, func(ev *muc.RoomEvent) (bool, bool) {
		return on.Get(ev.Room) && ev.Room.Persistent() && !ev.Room.Locked(), true
	})
}
