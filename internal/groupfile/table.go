package groupfile

import (
	"hash/fnv"
	"slices"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

// table is all groups at one moment. It never changes.
type table struct {
	groups  []held // in the order of the file
	entries int
	leftOut int
	own     map[jid.JID][]*shared.Snapshot // somebody's groups that are not public
	public  []*shared.Snapshot
}

type held struct {
	name     string
	snapshot *shared.Snapshot
}

// follow returns the table of what the file says now. Groups that are as they
// were keep their snapshots, so that nobody looks at them.
func (t *table) follow(f *File, meetOutsiders bool) *table {
	old := make(map[string]*shared.Snapshot, len(t.groups))
	for _, g := range t.groups {
		old[g.name] = g.snapshot
	}
	next := &table{
		groups: make([]held, 0, len(f.Groups)), entries: f.Entries, leftOut: f.LeftOut,
		own: make(map[jid.JID][]*shared.Snapshot, f.Entries),
	}
	for i := range f.Groups {
		g := &f.Groups[i]
		s := shared.NewSnapshot(shared.SnapshotOptions{
			Key: shared.Key("f:" + g.Name), Label: g.Name, Contract: shared.Overlay,
			Public: g.Public, Meeting: g.Public && meetOutsiders, Entries: g.Members,
		})
		if was := old[g.Name]; was != nil && was.Same(s) {
			s = was
		}
		next.groups = append(next.groups, held{g.Name, s})
		if g.Public {
			next.public = append(next.public, s)
			continue
		}
		for _, e := range s.Entries() {
			next.own[e.JID] = append(next.own[e.JID], s)
		}
	}
	return next
}

// of returns the groups that concern an account. Later ones decide what people
// are called, as in Prosody: public ones after those that he is in.
func (t *table) of(account jid.JID) []*shared.Snapshot {
	own := t.own[account]
	return append(slices.Clip(own), t.public...)
}

// concerned returns for whom something may be different than in an earlier table;
// nil are all, and changed is false if it is nobody.
func (t *table) concerned(old *table) (accounts []jid.JID, changed bool) {
	if t.reordered(old) {
		return nil, true
	}
	for _, pair := range [][2]*table{{t, old}, {old, t}} {
		other := pair[1].snapshots()
		for _, g := range pair[0].groups {
			switch {
			case other[g.name] == g.snapshot:
				continue
			case g.snapshot.Public():
				return nil, true
			}
			for _, e := range g.snapshot.Entries() {
				accounts = append(accounts, e.JID)
			}
		}
	}
	slices.SortFunc(accounts, shared.Compare)
	accounts = slices.Compact(accounts)
	return accounts, len(accounts) > 0
}

func (t *table) snapshots() map[string]*shared.Snapshot {
	m := make(map[string]*shared.Snapshot, len(t.groups))
	for _, g := range t.groups {
		m[g.name] = g.snapshot
	}
	return m
}

// reordered reports whether groups that there were stand in another order.
func (t *table) reordered(old *table) bool {
	places := make(map[string]int, len(old.groups))
	for i, g := range old.groups {
		places[g.name] = i
	}
	last := -1
	for _, g := range t.groups {
		i, ok := places[g.name]
		if !ok {
			continue
		}
		if i < last {
			return true
		}
		last = i
	}
	return false
}

// sumOf tells contents from each other.
func sumOf(data []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(data) // never fails
	return h.Sum64()
}
