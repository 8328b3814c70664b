package roomfeatures

import (
	"sync"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// RoomsPerUser counts in how many rooms people are, over all services that
// share it. It is safe for concurrent use.
type RoomsPerUser struct {
	mu sync.Mutex
	// Guarded by mu.
	rooms map[jid.JID]int // by bare JID
}

// NewRoomsPerUser returns the count for any number of services.
func NewRoomsPerUser() *RoomsPerUser { return &RoomsPerUser{rooms: make(map[jid.JID]int)} }

// LimitedRooms are the rooms of people, for a service that lets nobody in who
// would be in more than some number of them.
type LimitedRooms struct {
	*RoomsPerUser
	limit int
}

// Limited returns the count for a service with that limit.
func (u *RoomsPerUser) Limited(limit int) *LimitedRooms { return &LimitedRooms{u, limit} }

// full reports whether somebody may enter no further room.
func (u *LimitedRooms) full(bare jid.JID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rooms[bare] >= u.limit
}

// enter counts one more room, unless that is too many.
func (u *LimitedRooms) enter(bare jid.JID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.rooms[bare] >= u.limit {
		return false
	}
	u.rooms[bare]++
	return true
}

// leave counts one room less.
func (u *RoomsPerUser) leave(bare jid.JID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.rooms[bare]--; u.rooms[bare] <= 0 {
		delete(u.rooms, bare)
	}
}

// persons are those whom a room counts, with the occupants that they are. One
// who has passed all checks is counted, though he is none yet.
type persons struct{ occupants map[jid.JID]int }

// roomsPerUser refuses people who are in too many rooms. Further sessions of
// somebody who is inside count nothing.
type roomsPerUser struct{ users *LimitedRooms }

// priorityCounted is behind all checks: whoever gets so far enters.
const priorityCounted = -1_000_000

func (f roomsPerUser) Register(h *muc.Hooks) {
	if f.users == nil {
		return
	}
	slot := muc.NewSlot[persons](h)
	tooMany := func() error {
		return stanza.NewError(stanza.Wait, stanza.ServiceUnavailable, "You are in too many rooms.").Because(muc.ReasonMaxUserConferences)
	}
	h.BeforeJoin.Add("rooms-per-user", muc.PriorityRoomsPerUser, func(ev *muc.JoinEvent) error {
		bare := ev.RealJID.Bare()
		if _, inside := slot.In(ev.Room).occupants[bare]; !inside && f.users.full(bare) {
			return tooMany()
		}
		return nil
	})
	h.BeforeJoin.Add("rooms-per-user counted", priorityCounted, func(ev *muc.JoinEvent) error {
		bare, p := ev.RealJID.Bare(), slot.In(ev.Room)
		if _, inside := p.occupants[bare]; inside {
			return nil
		}
		if !f.users.enter(bare) { // he has entered another one meanwhile
			return tooMany()
		}
		if p.occupants == nil {
			p.occupants = make(map[jid.JID]int)
		}
		p.occupants[bare] = 0
		return nil
	})
	h.Joined.Add("rooms-per-user", 0, func(ev *muc.JoinedEvent) { slot.In(ev.Room).occupants[ev.Session.RealJID().Bare()]++ })
	h.Hibernating.Add("rooms-per-user", 0, func(ev *muc.RoomEvent) {
		if len(slot.In(ev.Room).occupants) == 0 {
			slot.Drop(ev.Room)
		}
	})
	h.Left.Add("rooms-per-user", 0, func(ev *muc.LeftEvent) {
		bare, p := ev.Occupant.RealJID(), slot.In(ev.Room)
		if p.occupants[bare]--; p.occupants[bare] <= 0 {
			delete(p.occupants, bare)
			f.users.leave(bare)
		}
	})
}
