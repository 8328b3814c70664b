package muc

import (
	"maps"
	"slices"

	"github.com/muster-im/muster/jid"
)

// EachSession shows visit every session that is in a room, by the address in the
// room and the real one. Rooms call it in turn, from goroutines of their own and
// later than EachSession returns, so visit must neither wait nor call into a
// room. Who enters meanwhile may be left out.
func (s *Service) EachSession(visit func(occupant, real jid.JID)) {
	s.mu.RLock()
	rooms := slices.Collect(maps.Values(s.rooms))
	s.mu.RUnlock()
	for _, r := range rooms {
		r.tellInTurn(visitNote{visit})
	}
}

// visitNote shows a room's sessions to somebody.
type visitNote struct {
	visit func(occupant, real jid.JID)
}

func (n visitNote) take(r *Room) {
	for _, s := range r.audience {
		n.visit(s.occupant.jid, s.addr)
	}
}
