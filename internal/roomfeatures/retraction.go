package roomfeatures

import (
	"context"
	"errors"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const nsRetract = "urn:xmpp:message-retract:1"

// retraction lets people take back what they have said (XEP-0424): everybody
// gets the retraction, and in archive and history a tombstone takes the place of
// the message. The archive has forgotten the message before anybody hears of it.
type retraction struct {
	// Set by Register.
	allowed *muc.Field[bool]
}

func (f *retraction) Register(h *muc.Hooks) {
	f.allowed = muc.NewBoolField(h, muc.FieldSpec{
		Var: "allow_retraction", Section: muc.SectionPermissions, Order: 65, Label: "People may take back what they have said",
	}, true)
	h.BeforeMessage.Add("retraction", -50, f.before) // when everybody else has agreed: it cannot be undone
	h.MessagePosted.Add("retraction", 0, f.posted)
	h.Disco.Add("retraction", 0, func(ev *muc.DiscoEvent) {
		if !f.allowed.Get(ev.Room) {
			return
		}
		ev.Feature(nsRetract)
		if ev.Room.Archives() {
			ev.Feature(nsRetract + "#tombstone")
		}
	})
}

// before checks a retraction and buries what it is about.
func (f *retraction) before(ev *muc.MessageEvent) error {
	if ev.Sender == nil { // the room itself, see moderation
		return nil
	}
	retract := ev.Stanza.Child(nsRetract, "retract")
	cleaned := withoutClaims(ev.Stanza, retract != nil)
	ev.Stanza = &cleaned
	if retract == nil {
		return nil
	}
	id := retract.Attr("id")
	switch {
	case !f.allowed.Get(ev.Room):
		return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "What was said in this room stays.").Because(muc.ReasonRetraction)
	case id == "":
		return stanza.NewError(stanza.Modify, stanza.BadRequest, "A retraction names a message by its id.")
	case !ev.Room.Archives():
		return nil
	}
	find, archive, sender := ev.Room.Message(id), ev.Room.Archive(), ev.Sender.RealJID()
	mark := retracted(time.Now(), "id", ev.Stanza.ID)
	return ev.Defer(func(ctx context.Context) error {
		m, err := find(ctx)
		switch {
		case errors.Is(err, muc.ErrNoMessage): // forgotten; clients may have it yet
			return nil
		case err != nil:
			return err
		case m.RealJID != sender: // §5
			return stanza.NewError(stanza.Auth, stanza.Forbidden, "You may retract only what you have said yourself.").Because(muc.ReasonRank)
		}
		return bury(ctx, archive, m, mark)
	})
}

// posted brings the room's history in line with a retraction.
func (*retraction) posted(ev *muc.PostedEvent) {
	retract := ev.Stanza.Child(nsRetract, "retract")
	if retract == nil || ev.Message.RealJID.IsZero() {
		return
	}
	id, sender := retract.Attr("id"), ev.Message.RealJID
	mark := retracted(ev.Message.Time, "id", ev.Stanza.ID)
	ev.Room.Replaced(func(m *muc.ArchivedMessage) bool {
		return m.RealJID == sender && m.ID == id && entomb(m, mark)
	})
}

// withoutClaims is a client's message without what only the room may say of
// retractions, and, if it is one, without hints that it should not be kept (§5).
func withoutClaims(st *stanza.Stanza, isRetraction bool) stanza.Stanza {
	out := st.Without(func(e *stanza.Element) bool {
		switch {
		case e.Name.Space == nsModerate, e.Is(nsRetract, "retracted"):
			return true
		case isRetraction:
			return e.Is(stanza.NSHints, "no-store") || e.Is(stanza.NSHints, "no-permanent-store") || e.Is(nsRetract, "retract")
		}
		return false
	})
	if !isRetraction {
		return out
	}
	retract := st.Child(nsRetract, "retract")
	plain := stanza.NewElement(nsRetract, "retract", "id", retract.Attr("id"))
	for e := range retract.Elements() {
		if e.Name.Space != nsModerate {
			plain.Add(e)
		}
	}
	return out.With(plain)
}

// retracted is what stands in place of a message (§4).
func retracted(at time.Time, attrs ...string) *stanza.Element {
	return stanza.NewElement(nsRetract, "retracted", append(attrs, "stamp", stanza.FormatTime(at))...)
}

// bury replaces a message in the archive.
func bury(ctx context.Context, archive muc.Archive, m muc.ArchivedMessage, mark *stanza.Element) error {
	if !entomb(&m, mark) {
		return nil
	}
	err := archive.ReplaceArchived(ctx, m.Room, m.ID, m.Stanza)
	if errors.Is(err, muc.ErrNoMessage) { // it has gone meanwhile
		return nil
	}
	return err
}

// entomb replaces what a message says by mark, and reports whether it does: a
// subject, a retraction and what a moderator has retracted stay.
func entomb(m *muc.ArchivedMessage, mark *stanza.Element) bool {
	st, err := stanza.Parse(m.Stanza)
	if err != nil || !mayRetract(m, &st) {
		return false
	}
	if old := st.Child(nsRetract, "retracted"); old != nil &&
		(old.Child(nsModerate, "moderated") != nil || mark.Child(nsModerate, "moderated") == nil) {
		return false
	}
	st = st.Without(func(e *stanza.Element) bool { return !isMark(e, m.Room) }).With(mark)
	m.Stanza = stanza.Encode(st).AppendWithoutTo(nil)
	return true
}

// mayRetract reports whether a message is one that people read (§5).
func mayRetract(m *muc.ArchivedMessage, st *stanza.Stanza) bool {
	return !m.Subject && st.Child(nsRetract, "retract") == nil
}

// isMark reports whether an element is what the room has added to a message.
func isMark(e *stanza.Element, room jid.JID) bool {
	return e.Is(stanza.NSOccupantID, "occupant-id") || e.Is(stanza.NSStanzaID, "stanza-id") && e.Attr("by") == room.String()
}
