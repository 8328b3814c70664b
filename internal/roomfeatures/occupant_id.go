package roomfeatures

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// occupantID marks what an account says and shows in a room with an id that
// stays the same there, whatever nickname it uses (XEP-0421). Who does not have
// the key learns from it neither the account nor its ids in other rooms.
type occupantID struct{ key []byte }

// occupantIDs are the ids of those who are in a room, which every message of
// theirs needs.
type occupantIDs struct{ elements map[jid.JID]*stanza.Element }

func (f *occupantID) Register(h *muc.Hooks) {
	slot := muc.NewSlot[occupantIDs](h)
	h.Joined.Add("occupant-id", 0, func(ev *muc.JoinedEvent) {
		ids, who := slot.In(ev.Room), ev.Session.RealJID().Bare()
		if ids.elements == nil {
			ids.elements = make(map[jid.JID]*stanza.Element)
		}
		if ids.elements[who] == nil {
			ids.elements[who] = f.element(ev.Room.JID(), who)
		}
	})
	h.Left.Add("occupant-id", 0, func(ev *muc.LeftEvent) { delete(slot.In(ev.Room).elements, ev.Occupant.RealJID()) })
	h.Hibernating.Add("occupant-id", 0, func(ev *muc.RoomEvent) {
		if len(slot.In(ev.Room).elements) == 0 {
			slot.Drop(ev.Room)
		}
	})
	of := func(r *muc.Room, who jid.JID) *stanza.Element {
		if e := slot.In(r).elements[who.Bare()]; e != nil {
			return e
		}
		return f.element(r.JID(), who)
	}
	h.BuildPresence.Add("occupant-id", 0, func(ev *muc.BuildPresenceEvent) { ev.Add(of(ev.Room, ev.Occupant.RealJID())) })
	h.BuildMessage.Add("occupant-id", 0, func(ev *muc.BuildMessageEvent) { ev.Add(of(ev.Room, ev.RealJID)) })
	h.Disco.Add("occupant-id", 0, func(ev *muc.DiscoEvent) { ev.Feature(stanza.NSOccupantID) })
	h.ServiceDisco.Add("occupant-id", 0, func(ev *muc.ServiceDiscoEvent) { ev.Feature(stanza.NSOccupantID) }) // §4: all rooms have it
}

// element is the <occupant-id/> of an account in a room.
func (f *occupantID) element(room, real jid.JID) *stanza.Element {
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(room.String() + "\x00" + real.Bare().String())) // §4.1; NUL is in no address
	return stanza.NewElement(stanza.NSOccupantID, "occupant-id", "id", hex.EncodeToString(mac.Sum(nil)))
}
