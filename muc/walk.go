package muc

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// roomsPage is how many rooms Rooms asks the store for at a time.
const roomsPage = 500

// LiveRooms iterates over the rooms that are in memory at its beginning, ordered
// by address. It wakes none; one that has gone meanwhile answers ErrNoRoom, or
// is woken by what its handle is asked to do.
func (s *Service) LiveRooms() iter.Seq[*Handle] {
	return func(yield func(*Handle) bool) {
		for _, j := range s.awake(func(*Room) bool { return true }) {
			if !yield(&Handle{s, j}) {
				return
			}
		}
	}
}

// awake returns the addresses of those rooms in memory which are wanted, in order.
func (s *Service) awake(wanted func(*Room) bool) (list []jid.JID) {
	s.mu.RLock()
	for j, r := range s.rooms {
		if wanted(r) {
			list = append(list, j)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(list, compareJIDs)
	return list
}

// Rooms iterates over the rooms that are stored, and those that are listed
// without being stored, ordered by local part. They are read by pages and none
// is loaded; a caller may do with each what it likes meanwhile. An error ends
// it.
func (s *Service) Rooms(ctx context.Context) iter.Seq2[RoomDescriptor, error] {
	return func(yield func(RoomDescriptor, error) bool) {
		q := RoomsQuery{Service: s.domain.String(), Limit: roomsPage}
		for {
			var page []RoomDescriptor
			err := s.mayWait()
			if err == nil {
				page, err = s.roomsBetween(ctx, q)
			}
			if err != nil {
				yield(RoomDescriptor{}, fmt.Errorf("rooms of %s: %w", s.domain, err))
				return
			}
			for _, d := range page {
				if !yield(d, nil) {
					return
				}
			}
			if len(page) < q.Limit {
				return
			}
			q.After = page[len(page)-1].JID.Local()
		}
	}
}

// Broadcast sends something to all sessions of those occupants whom to names,
// nil: of everybody, with the room as sender unless st.From says otherwise. No
// hook sees it and nothing keeps it; see Post for what the room says.
func (r *Room) Broadcast(st stanza.Stanza, to func(o *Occupant) bool) {
	st = r.signed(st)
	if to == nil {
		r.say(st, nil)
		return
	}
	var audience []*Session
	for _, s := range r.audience {
		if to(s.occupant) {
			audience = append(audience, s)
		}
	}
	if len(audience) > 0 {
		enc := stanza.Encode(st)
		r.outbox = append(r.outbox, outItem{enc: [2]*stanza.Encoded{enc, enc}, to: audience})
	}
}

// SendToOccupant sends something to all clients of an occupant, as Broadcast
// does.
func (r *Room) SendToOccupant(o *Occupant, st stanza.Stanza) {
	r.sayToAll(o, r.signed(st))
}

// OccupantInfo is an occupant as Handle.Occupants has seen him.
type OccupantInfo struct {
	Nick        string
	JID         jid.JID // occupant JID, room@service/nick
	RealJID     jid.JID // bare
	Role        Role
	Affiliation Affiliation
	ID          string    // see Room.OccupantID
	Sessions    []jid.JID // full, the primary one first
}

// Occupants iterates over everybody who is in the room when it is called, ordered
// by nickname: a snapshot, so that the caller may do with the room what it likes
// meanwhile.
func (h *Handle) Occupants(ctx context.Context) (iter.Seq[OccupantInfo], error) {
	var list []OccupantInfo
	err := h.Do(ctx, func(r *Room) error {
		for _, o := range r.occupants {
			m := OccupantInfo{Nick: o.nick, JID: o.jid, RealJID: o.bare, Role: o.role, Affiliation: r.Affiliation(o.bare), ID: r.OccupantID(o.bare)}
			for _, s := range o.sessions {
				m.Sessions = append(m.Sessions, s.addr)
			}
			list = append(list, m)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b OccupantInfo) int { return cmp.Compare(a.Nick, b.Nick) })
	return slices.Values(list), err
}

// Affiliations iterates over all entries that there are when it is called,
// ordered by address: a snapshot as that of Occupants.
func (h *Handle) Affiliations(ctx context.Context) (iter.Seq[AffiliationRecord], error) {
	var list []AffiliationRecord
	err := h.Do(ctx, func(r *Room) error {
		list = slices.Collect(r.Affiliations())
		return nil
	})
	slices.SortFunc(list, func(a, b AffiliationRecord) int { return compareJIDs(a.JID, b.JID) })
	return slices.Values(list), err
}

// SetRole changes the role of who has that nickname; see Room.SetRole.
func (h *Handle) SetRole(ctx context.Context, actor Actor, nick string, role Role, reason string) error {
	return h.Do(ctx, func(r *Room) error {
		o := r.Occupant(nick)
		if o == nil {
			return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Nobody in the room is called "+nick+".")
		}
		return r.SetRole(actor, o, role, reason)
	})
}
