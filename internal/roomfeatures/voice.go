package roomfeatures

import (
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// voice is about who may speak: in a moderated room visitors may not (XEP-0045
// §7.4), and it decides who enters as a visitor (§5.1.3).
type voice struct{}

func (voice) Register(h *muc.Hooks) {
	moderated := muc.NewBoolField(h, muc.FieldSpec{
		Var: "muc#roomconfig_moderatedroom", Section: muc.SectionPermissions, Order: 20, Label: "Visitors may not speak",
	}, false)
	byDefault := muc.NewBoolField(h, muc.FieldSpec{
		Var: "members_by_default", Section: muc.SectionPermissions, Order: 30, Label: "Newcomers may speak at once",
	}, true)
	visitorNick := muc.NewBoolField(h, muc.FieldSpec{
		Var: "muc#roomconfig_allowvisitornickchange", Section: muc.SectionPermissions, Order: 40, Label: "Visitors may change their nickname",
	}, true)
	visitorStatus := muc.NewBoolField(h, muc.FieldSpec{
		Var: "muc#roomconfig_allowvisitorstatus", Section: muc.SectionPermissions, Order: 41, Label: "Visitors may show a status text",
	}, true)
	// The XEP lets newcomers into a moderated room as visitors. A client that
	// knows only the XEP's field gets that.
	h.BeforeConfigure.Add("voice", 0, func(ev *muc.ConfigureEvent) error {
		if ev.Submitted(moderated.Key()) && !ev.Submitted(byDefault.Key()) {
			byDefault.Set(ev.Room, !moderated.Get(ev.Room))
		}
		return nil
	})
	h.DefaultRole.Add("voice", 10, func(q *muc.RoleQuestion) (muc.Role, bool) {
		return muc.Visitor, q.Affiliation == muc.None && !byDefault.Get(q.Room)
	})
	h.BeforeMessage.Add("voice", 50, func(ev *muc.MessageEvent) error {
		if ev.Sender != nil && ev.Sender.Role() == muc.Visitor && moderated.Get(ev.Room) {
			return stanza.NewError(stanza.Auth, stanza.Forbidden, "Visitors may not speak in this room.").Because(muc.ReasonVoice)
		}
		return nil
	})
	h.BeforeNickChange.Add("voice", 50, func(ev *muc.NickEvent) error {
		if ev.Occupant.Role() == muc.Visitor && !visitorNick.Get(ev.Room) {
			return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Visitors may not change their nickname in this room.").Because(muc.ReasonVoice)
		}
		return nil
	})
	h.BuildPresence.Add("voice", 50, func(ev *muc.BuildPresenceEvent) {
		if ev.Occupant.Role() == muc.Visitor && !visitorStatus.Get(ev.Room) {
			ev.Omit(stanza.Name{Space: stanza.NSClient, Local: "status"})
		}
	})
	h.Configured.Add("voice", 0, func(ev *muc.ConfiguredEvent) {
		if !ev.Changed(visitorStatus.Key()) {
			return
		}
		for o := range ev.Room.Occupants() {
			if o.Role() == muc.Visitor {
				ev.Room.Announce(o)
			}
		}
	})
	h.Disco.Add("voice", 0, func(ev *muc.DiscoEvent) {
		ev.Feature(either(moderated.Get(ev.Room), "muc_moderated", "muc_unmoderated"))
	})
}
