package roomfeatures

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const nsModerate = "urn:xmpp:message-moderate:1"

// moderation lets moderators retract what others have said (XEP-0425). The
// archive has forgotten the message before anybody hears of it, and if that
// fails nothing has happened. A room that keeps nothing passes on what it has
// forgotten itself: clients may have it yet.
type moderation struct{ ids *occupantID } // nil: there are none

func (f moderation) Register(h *muc.Hooks) {
	h.OnRequest("moderation", stanza.TypeSet, stanza.Name{Space: nsModerate, Local: "moderate"}, f.moderate)
	h.Disco.Add("moderation", 0, func(ev *muc.DiscoEvent) {
		ev.Feature(nsModerate)
	})
}

func (f moderation) moderate(ev *muc.RequestEvent) error {
	moderate := ev.Stanza.Payload()
	id, reason := moderate.Attr("id"), moderate.ChildText(nsModerate, "reason")
	switch {
	case ev.Session == nil || ev.Session.Occupant().Role() != muc.Moderator: // §3.2
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Only moderators who are in the room may retract what others have said.").Because(muc.ReasonRank)
	case id == "":
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "The request names a message by its stanza id.")
	case moderate.Child(nsRetract, "retract") == nil:
		return stanza.NewError(stanza.Cancel, stanza.FeatureNotImplemented, "Messages can be retracted and nothing else.")
	}
	find, archive, moderated := ev.Room.Message(id), ev.Room.Archive(), f.moderated(ev)
	mark := retracted(time.Now()).Add(moderated)
	addReason(mark, reason)
	then := func(r *muc.Room) error {
		r.Replaced(func(m *muc.ArchivedMessage) bool { return m.ID == id && entomb(m, mark) })
		retract := stanza.NewElement(nsRetract, "retract", "id", id).Add(moderated)
		addReason(retract, reason)
		return r.Post(stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat, ID: rand.Text()}.With(retract))
	}
	if !ev.Room.Archives() {
		return then(ev.Room)
	}
	ev.AnswerLater(func(ctx context.Context) (muc.Answer, error) {
		m, err := find(ctx)
		if errors.Is(err, muc.ErrNoMessage) {
			return muc.Answer{}, noMessage()
		}
		if err != nil {
			return muc.Answer{}, err
		}
		if st, err := stanza.Parse(m.Stanza); err != nil || !mayRetract(&m, &st) { // §5
			return muc.Answer{}, stanza.NewError(stanza.Cancel, stanza.NotAllowed, "This is no message that can be retracted.")
		}
		if err := bury(ctx, archive, m, mark); err != nil {
			return muc.Answer{}, err
		}
		return muc.Answer{Then: then}, nil
	})
	return nil
}

// moderated names the moderator (§3.1).
func (f moderation) moderated(ev *muc.RequestEvent) *stanza.Element {
	o := ev.Session.Occupant()
	e := stanza.NewElement(nsModerate, "moderated", "by", o.JID().String())
	if f.ids != nil {
		e.Add(f.ids.element(ev.Room.JID(), o.RealJID()))
	}
	return e
}

func addReason(e *stanza.Element, reason string) {
	if reason != "" {
		e.AddTextElement("reason", reason)
	}
}

func noMessage() error {
	return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The room has no such message.")
}
