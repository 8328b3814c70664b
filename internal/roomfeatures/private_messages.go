package roomfeatures

import (
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// privateMessages says who may write to single occupants (XEP-0045 §7.5,
// muc#roomconfig_allowpm).
type privateMessages struct{}

func (privateMessages) Register(h *muc.Hooks) {
	who := muc.NewChoiceField(h, muc.FieldSpec{
		Var: "muc#roomconfig_allowpm", Section: muc.SectionPermissions, Order: 60, Label: "Who may send private messages",
		Choices: []stanza.Option{
			{Label: "Everybody", Value: "anyone"},
			{Label: "Participants and moderators", Value: "participants"},
			{Label: "Moderators", Value: "moderators"},
			{Label: "Nobody", Value: "none"},
		},
		Alias: muc.Alias{Var: "allow_private_messages", True: "anyone", False: "none"},
	}, "anyone")
	least := map[string]muc.Role{"anyone": muc.Visitor, "participants": muc.Participant, "moderators": muc.Moderator}
	h.BeforePrivateMessage.Add("private-messages", 0, func(ev *muc.PrivateMessageEvent) error {
		if role, ok := least[who.Get(ev.Room)]; !ok || ev.Sender.Role() < role {
			return stanza.NewError(stanza.Auth, stanza.Forbidden, "You may not send private messages in this room.").Because(muc.ReasonPrivateMessages)
		}
		return nil
	})
	h.Disco.Add("private-messages", 0, func(ev *muc.DiscoEvent) { ev.Field(who.Key(), who.Get(ev.Room)) })
}
