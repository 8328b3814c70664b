// Package entries finds people in the list of those who have some standing in a
// room, of whom there may be a hundred thousand. It holds no locks and does not
// block: an index belongs to its room.
package entries

import (
	"cmp"
	"slices"

	"github.com/muster-im/muster/jid"
)

// Ranks is how many standings there are.
const Ranks = 5

// Index is who has which rank, and who has reserved which nickname. Its zero
// value is empty.
type Index struct {
	lists [Ranks][]jid.JID   // each in the order of Compare
	Nicks map[string]jid.JID // who has reserved a nickname, by its key; read only
	Looks jid.NickIndex      // of Nicks
}

// Of returns who has the rank, in order.
func (x *Index) Of(rank int) []jid.JID { return x.lists[rank] }

// Compare orders bare addresses by local part, then by domain.
func Compare(a, b jid.JID) int {
	return cmp.Or(cmp.Compare(a.Local(), b.Local()), cmp.Compare(a.Domain(), b.Domain()))
}

// List gives somebody who has no rank one.
func (x *Index) List(j jid.JID, rank int) {
	list := &x.lists[rank]
	if n := len(*list); n == 0 || Compare((*list)[n-1], j) < 0 { // as they come from the store
		*list = append(*list, j)
	} else if i, there := slices.BinarySearchFunc(*list, j, Compare); !there {
		*list = slices.Insert(*list, i, j)
	}
}

// Unlist takes somebody's rank away.
func (x *Index) Unlist(j jid.JID, rank int) {
	list := &x.lists[rank]
	if i, there := slices.BinarySearchFunc(*list, j, Compare); there {
		*list = slices.Delete(*list, i, i+1)
	}
}

// Relist gives many people at once the ranks that they have now.
func (x *Index) Relist(changed map[jid.JID]bool, now func(jid.JID) (rank int, ok bool)) {
	var added [Ranks][]jid.JID
	for j := range changed {
		if rank, ok := now(j); ok {
			added[rank] = append(added[rank], j)
		}
	}
	for i, list := range x.lists {
		slices.SortFunc(added[i], Compare)
		merged, next := make([]jid.JID, 0, len(list)+len(added[i])), added[i]
		for _, j := range list {
			if changed[j] {
				continue
			}
			for len(next) > 0 && Compare(next[0], j) < 0 {
				merged, next = append(merged, next[0]), next[1:]
			}
			merged = append(merged, j)
		}
		x.lists[i] = append(merged, next...)
	}
}

// Reserve keeps a nickname for somebody, unless it is "" or kept for another.
func (x *Index) Reserve(j jid.JID, nick string) {
	if nick == "" {
		return
	}
	key, err := jid.NickKey(nick)
	if err != nil { // nothing is reserved
		return
	}
	if _, taken := x.Nicks[key]; taken {
		return
	}
	if x.Nicks == nil {
		x.Nicks = make(map[string]jid.JID)
	}
	x.Nicks[key] = j
	x.Looks.Add(key)
}

// Release ends that.
func (x *Index) Release(j jid.JID, nick string) {
	if nick == "" {
		return
	}
	if key, err := jid.NickKey(nick); err == nil && x.Nicks[key] == j {
		delete(x.Nicks, key)
		x.Looks.Remove(key)
	}
}
