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

func (f *occupantID) Register(h *muc.Hooks) {
	h.BuildPresence.Add("occupant-id", 0, func(ev *muc.BuildPresenceEvent) {
		ev.Add(f.element(ev.Room.JID(), ev.Occupant.RealJID()))
	})
	h.BuildMessage.Add("occupant-id", 0, func(ev *muc.BuildMessageEvent) {
		ev.Add(f.element(ev.Room.JID(), ev.RealJID))
	})
	h.Disco.Add("occupant-id", 0, func(ev *muc.DiscoEvent) { ev.Feature(stanza.NSOccupantID) })
	h.ServiceDisco.Add("occupant-id", 0, func(ev *muc.ServiceDiscoEvent) { ev.Feature(stanza.NSOccupantID) }) // §4: all rooms have it
}

// element is the <occupant-id/> of an account in a room.
func (f *occupantID) element(room, real jid.JID) *stanza.Element {
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(room.String() + "\x00" + real.Bare().String())) // §4.1; NUL is in no address
	return stanza.NewElement(stanza.NSOccupantID, "occupant-id", "id", hex.EncodeToString(mac.Sum(nil)))
}
