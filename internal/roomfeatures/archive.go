package roomfeatures

import "github.com/muster-im/muster/muc"

// archive says whether a room's messages are kept: those of persistent rooms
// are, unless their owner switches it off; those of temporary ones are not.
type archive struct {
	logs bool // rooms are logged, too, and the usual field is about that
}

func (a archive) Register(h *muc.Hooks) {
	var on *muc.Field[bool]
	variable := "muc#roomconfig_enablelogging"
	if a.logs {
		variable = "muc#roomconfig_enablearchiving"
	}
	on = muc.NewBoolField(h, muc.FieldSpec{
		Var: variable, Stored: "muc#roomconfig_enablelogging", Section: muc.SectionOther, Order: 20, Label: "Keep the messages (persistent rooms only)",
		Announce: func(r *muc.Room) int {
			switch {
			case on.Get(r):
				return muc.StatusLoggingOn
			case r.Recorded(): // in a log
				return muc.StatusConfigChanged
			}
			return muc.StatusLoggingOff
		},
	}, true)
	h.Archived.Add("archive", 0, func(ev *muc.RoomEvent) (bool, bool) {
		return on.Get(ev.Room) && ev.Room.Persistent() && !ev.Room.Locked(), true
	})
}
