package roomfeatures

import (
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// subject says who may change the subject line (XEP-0045 §8.1), and sends it to
// those who enter, as the last thing they get (§7.2.15).
type subject struct{}

func (subject) Register(h *muc.Hooks) {
	free := muc.NewBoolField(h, muc.FieldSpec{
		Var: "muc#roomconfig_changesubject", Section: muc.SectionPermissions, Order: 50, Label: "Participants may change the subject",
	}, true)
	h.BeforeMessage.Add("subject", 20, func(ev *muc.MessageEvent) error {
		if !ev.SubjectChange || ev.Sender == nil {
			return nil
		}
		if role := ev.Sender.Role(); role == muc.Moderator || role == muc.Participant && free.Get(ev.Room) {
			return nil
		}
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "You may not change the subject of this room.").Because(muc.ReasonSubject)
	})
	h.SessionJoined.Add("subject", -100, func(ev *muc.JoinedEvent) {
		s := ev.Room.Subject()
		st := stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat, From: s.Author, Lang: s.Lang}
		if st.From.IsZero() || st.From.Bare() != ev.Room.JID() {
			st.From = ev.Room.JID()
		}
		st = st.With(stanza.NewElement(stanza.NSClient, "subject").AddText(s.Text))
		for _, other := range s.More {
			e := stanza.NewElement(stanza.NSClient, "subject").AddText(other.Text)
			if other.Lang != s.Lang {
				e.SetLang(other.Lang)
			}
			st = st.With(e)
		}
		if !s.Time.IsZero() {
			st = st.With(stanza.Delay(ev.Room.JID(), s.Time))
		}
		ev.Room.SendTo(ev.Session, ev.Room.Attribute(st, s.RealJID))
	})
	h.Disco.Add("subject", 0, func(ev *muc.DiscoEvent) {
		for _, variable := range []string{"muc#roominfo_subjectmod", free.Key()} {
			ev.Field(variable, either(free.Get(ev.Room), "1", "0"))
		}
	})
}
