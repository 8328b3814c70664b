package muc

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// shelf is a store with nothing but descriptors.
type shelf struct {
	Store
	rooms []RoomDescriptor
}

func (s *shelf) between(q RoomsQuery) []RoomDescriptor {
	var found []RoomDescriptor
	for _, d := range s.rooms {
		if local := d.JID.Local(); d.Public && local > q.After && (q.Before == "" || local < q.Before) {
			found = append(found, d)
		}
	}
	return found
}

func (s *shelf) CountRooms(_ context.Context, q RoomsQuery) (int, error) {
	return len(s.between(q)), nil
}

func (s *shelf) Rooms(_ context.Context, q RoomsQuery) ([]RoomDescriptor, error) {
	found := s.between(q)
	if over := len(found) - q.Limit; over > 0 && q.Last {
		return found[over:], nil
	}
	return found[:min(len(found), q.Limit)], nil
}

// TestRoomList: a page of the list of rooms is the same wherever they are: in
// the store or, not stored, in memory (XEP-0059).
func TestRoomList(t *testing.T) {
	s := &Service{domain: jid.MustParse("conf.test"), listed: make(map[jid.JID]RoomDescriptor)}
	stored := &shelf{}
	s.opts.Store = stored
	var rooms []RoomDescriptor
	for i := range 10 {
		d := RoomDescriptor{JID: jid.MustParse(fmt.Sprintf("r%d@conf.test", i)), Public: true}
		rooms = append(rooms, d)
		if i%3 == 0 {
			s.listed[d.JID] = d
		} else {
			stored.rooms = append(stored.rooms, d)
		}
	}
	stored.rooms = append(stored.rooms, RoomDescriptor{JID: jid.MustParse("r4hidden@conf.test")})
	slices.SortFunc(stored.rooms, func(a, b RoomDescriptor) int { return cmp.Compare(a.JID.Local(), b.JID.Local()) })
	tests := []struct {
		name         string
		page         stanza.Page
		first, n, at int
	}{
		{"first page", stanza.Page{Max: 3}, 0, 3, 0},
		{"all", stanza.Page{Max: -1}, 0, 10, 0},
		{"behind one", stanza.Page{Max: 3, After: "r4@conf.test"}, 5, 3, 5},
		{"behind one that is gone", stanza.Page{Max: 3, After: "r4x@conf.test"}, 5, 3, 5},
		{"behind the last", stanza.Page{Max: 3, After: "r9@conf.test"}, 10, 0, -1},
		{"before one", stanza.Page{Max: 3, Before: "r5@conf.test"}, 2, 3, 2},
		{"before the first", stanza.Page{Max: 3, Before: "r0@conf.test"}, 0, 0, -1},
		{"last page", stanza.Page{Max: 4, Last: true}, 6, 4, 6},
		{"count only", stanza.Page{Max: 0}, 0, 0, -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.page.Index == 0 {
				test.page.Index = -1
			}
			part, result, err := s.publicRooms(t.Context(), &test.page)
			if err != nil || len(part) != test.n || result.Index != test.at || result.Count != 10 {
				t.Fatalf("got %d rooms at %d of %d, %v, want %d at %d of 10", len(part), result.Index, result.Count, err, test.n, test.at)
			}
			if test.n > 0 && (part[0].JID != rooms[test.first].JID || result.First != part[0].JID.String() || result.Last != part[test.n-1].JID.String()) {
				t.Errorf("from %s, result %+v, want from %s", part[0].JID, result, rooms[test.first].JID)
			}
		})
	}
	for name, page := range map[string]stanza.Page{
		"by index":          {Max: 3, Index: 4},
		"behind no address": {Max: 3, Index: -1, After: "@"},
		"of another domain": {Max: 3, Index: -1, Before: "r1@example.org"},
	} {
		if _, _, err := s.publicRooms(t.Context(), &page); stanza.AsError(err) == nil {
			t.Errorf("%s: %v, want a stanza error", name, err)
		}
	}
}
