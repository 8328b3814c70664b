package store

import (
	"time"

	"github.com/muster-im/muster/jid"
)

// RoomSearch asks for stored rooms of a service, ordered by local part in byte
// order.
type RoomSearch struct {
	Service string // its domain
	After   string // local part behind which the rooms are; "" from the first
	Limit   int    // at most so many
	// Each of these, if it is set, leaves rooms out.
	Contains   string    // in the local part or the name, whatever the case of ASCII letters
	UsedBefore time.Time // not used since then
	Local      string    // the room with this local part
	Of         jid.JID   // rooms in which this bare address has an affiliation
}

// FoundRoom is a stored room that was asked for.
type FoundRoom struct {
	JID           jid.JID
	Name          string
	Public        bool
	Created, Used time.Time
	Affiliation   string // of RoomSearch.Of
}

// AffiliationSearch asks for entries of a stored room, ordered by address in
// byte order.
type AffiliationSearch struct {
	Affiliation string // "": all but none
	After       string // address behind which they are
	Limit       int
}
