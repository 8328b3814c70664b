// Package shared is what groups of people mean to contact lists: a Snapshot is
// one group at one moment, a View is what all groups say of one account. Both
// never change; a group that changes has another snapshot. So a roster is a
// function of what is stored for its owner and of his view, and what a change
// of groups does to it is the difference of two views. There are no goroutines;
// only a Source may block.
package shared

import (
	"context"
	"slices"
	"strings"

	"github.com/muster-im/muster/jid"
)

// Contract says how long a group makes its members contacts of each other.
type Contract string

// The contracts.
const (
	// Permanent: who have once been members at the same time stay contacts.
	Permanent Contract = "permanent"
	// Overlay: contacts while both are members.
	Overlay Contract = "overlay"
)

// Key is a group's name among all sources; it never becomes another group's.
type Key string

// Span is a membership by the revisions at which it began and ended. Left 0 is
// a member.
type Span struct{ Joined, Left int64 }

// Entry is somebody in a Snapshot: a member, or somebody who has been one and
// whom a permanent group still connects.
type Entry struct {
	JID     jid.JID // bare
	Name    string  // that the group has for him; "" none
	Span            // the latest
	Earlier []Span
}

// current reports whether he is a member.
func (e *Entry) current() bool { return e.Left == 0 }

func (e *Entry) equal(o *Entry) bool {
	return e.JID == o.JID && e.Name == o.Name && e.Span == o.Span && slices.Equal(e.Earlier, o.Earlier)
}

// with returns the latest moment at which both spans had begun, and whether
// they have a moment in common.
func (s Span) with(o Span) (since int64, ok bool) {
	return max(s.Joined, o.Joined), (s.Left == 0 || o.Joined < s.Left) && (o.Left == 0 || s.Joined < o.Left)
}

// met returns when the last of the times began that two were members together.
func (e *Entry) met(o *Entry) (since int64, ok bool) {
	if len(e.Earlier)+len(o.Earlier) == 0 {
		return e.with(o.Span)
	}
	for _, a := range append(slices.Clip(e.Earlier), e.Span) {
		for _, b := range append(slices.Clip(o.Earlier), o.Span) {
			if t, both := a.with(b); both {
				since, ok = max(since, t), true
			}
		}
	}
	return since, ok
}

// SnapshotOptions describe a Snapshot.
type SnapshotOptions struct {
	Key      Key
	Label    string // the roster group that its members are shown in; "" none
	Contract Contract
	Public   bool // everybody sees the members, who see nobody but each other
	Meeting  bool // the members of a public group see the presence of everybody
	Revision int64
	Entries  []Entry // in any order; of two with one address the later counts. The snapshot keeps them
}

// Snapshot is what one group means to rosters at one moment. It never changes.
type Snapshot struct {
	key      Key
	label    string
	labels   []Label
	contract Contract
	public   bool
	meeting  bool
	revision int64
	entries  []Entry // ordered by address

	// What has changed since the snapshot of the revision before, for whoever
	// has that one; changed is nil if it is not known.
	before  int64
	changed []jid.JID
}

// NewSnapshot returns a snapshot.
func NewSnapshot(o SnapshotOptions) *Snapshot {
	s := &Snapshot{key: o.Key, label: o.Label, contract: o.Contract, public: o.Public, meeting: o.Public && o.Meeting, revision: o.Revision}
	s.labels = labelOf(o.Key, o.Label)
	s.entries = inOrder(o.Entries)
	return s
}

// inOrder returns entries as a snapshot has them.
func inOrder(entries []Entry) []Entry {
	ordered := true
	for i := 1; ordered && i < len(entries); i++ {
		ordered = compare(entries[i-1].JID, entries[i].JID) < 0
	}
	if ordered {
		return entries
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return compare(a.JID, b.JID) })
	last := 0
	for i := range entries {
		if i > 0 && entries[last].JID != entries[i].JID {
			last++
		}
		entries[last] = entries[i]
	}
	return entries[:last+1]
}

// Key returns the group's name among all sources.
func (s *Snapshot) Key() Key { return s.key }

// Public reports whether everybody sees the members.
func (s *Snapshot) Public() bool { return s.public }

// Same reports whether two snapshots mean the same to rosters.
func (s *Snapshot) Same(o *Snapshot) bool {
	return s.key == o.key && s.label == o.label && s.contract == o.contract && s.public == o.public && s.meeting == o.meeting &&
		slices.EqualFunc(s.entries, o.entries, func(a, b Entry) bool { return a.equal(&b) })
}

// Member returns what the group calls somebody, and whether he is a member.
func (s *Snapshot) Member(j jid.JID) (name string, ok bool) {
	e := s.entry(j)
	if e == nil || !e.current() {
		return "", false
	}
	return e.Name, true
}

// Entries returns who is in the snapshot, ordered by address. It must not be
// changed.
func (s *Snapshot) Entries() []Entry { return s.entries }

// entry returns somebody's entry, nil if there is none.
func (s *Snapshot) entry(j jid.JID) *Entry {
	e, _ := s.entryNear(j, -1)
	return e
}

// entryNear is entry with a guess as near has it, and where he is.
func (s *Snapshot) entryNear(j jid.JID, guess int) (*Entry, int) {
	at, found := s.near(j, guess)
	if !found {
		return nil, at
	}
	return &s.entries[at], at
}

// find returns where somebody is among entries, and whether he is. It is asked
// for each contact of each member, so entries are not copied on the way.
func find(entries []Entry, j jid.JID) (at int, found bool) {
	from, to := 0, len(entries)
	for from < to {
		middle := int(uint(from+to) / 2) //nolint:gosec // neither is negative
		switch order := compare(j, entries[middle].JID); {
		case order == 0:
			return middle, true
		case order > 0:
			from = middle + 1
		default:
			to = middle
		}
	}
	return from, false
}

// near is find of somebody who probably is where guess says, or next to it.
func (s *Snapshot) near(j jid.JID, guess int) (at int, found bool) {
	for _, i := range [...]int{guess, guess + 1, guess - 1} {
		if i >= 0 && i < len(s.entries) && s.entries[i].JID == j {
			return i, true
		}
	}
	return find(s.entries, j)
}

// Change is what becomes of a group at a revision.
type Change struct {
	Revision int64
	Label    string
	Contract Contract
	Entries  []Entry // that are different now; one without a span goes
}

// With returns what the snapshot becomes by a change.
func (s *Snapshot) With(c Change) *Snapshot {
	next := *s
	next.revision, next.before, next.contract = c.Revision, s.revision, c.Contract
	if c.Label != s.label {
		next.label, next.labels = c.Label, labelOf(s.key, c.Label)
	}
	sorted := slices.SortedFunc(slices.Values(c.Entries), func(a, b Entry) int { return compare(a.JID, b.JID) })
	next.changed = make([]jid.JID, 0, len(sorted))
	next.entries = make([]Entry, 0, len(s.entries)+len(sorted))
	rest := s.entries
	for _, e := range sorted {
		i, found := find(rest, e.JID)
		next.entries = append(next.entries, rest[:i]...)
		if found {
			i++
		}
		rest = rest[i:]
		next.changed = append(next.changed, e.JID)
		if e.Span != (Span{}) {
			next.entries = append(next.entries, e)
		}
	}
	next.entries = append(next.entries, rest...)
	return &next
}

func labelOf(key Key, text string) []Label {
	if text == "" {
		return nil
	}
	return []Label{{Group: key, Text: text}}
}

// Compare orders addresses as Entries are.
func Compare(a, b jid.JID) int { return compare(a, b) }

func compare(a, b jid.JID) int { // local parts first, which differ
	if c := strings.Compare(a.Local(), b.Local()); c != 0 {
		return c
	}
	return strings.Compare(a.Domain(), b.Domain())
}

// Source has groups that bring contacts.
//
// Its owner is given a function that it calls with the accounts for which a
// group has changed, after Snapshots returns what is new; nil are all. Who is
// online then gets what is different.
type Source interface {
	// Snapshots returns the groups that concern an account, as they are now:
	// those in which it has an entry, and public ones. With keep they are asked
	// for again and again until Release: they should be in memory.
	Snapshots(ctx context.Context, account jid.JID, keep bool) ([]*Snapshot, error)
	// Release says that an account is not online any more.
	Release(account jid.JID)
}

// Directory is what all sources say together.
type Directory struct{ sources []Source }

// NewDirectory returns the directory of sources; later ones decide what people
// are called.
func NewDirectory(sources ...Source) *Directory { return &Directory{sources} }

// View returns what groups say of an account now. With keep it is online:
// Release ends that.
func (d *Directory) View(ctx context.Context, account jid.JID, keep bool) (*View, error) {
	return d.view(ctx, &View{account: account}, keep)
}

// Later returns what groups say now of somebody online of whom there is an earlier
// view.
func (d *Directory) Later(ctx context.Context, v *View) (*View, error) { return d.view(ctx, v, true) }

// view is View of an account with a view to begin with: where it was is near where
// it is.
func (d *Directory) view(ctx context.Context, last *View, keep bool) (*View, error) {
	v := &View{account: last.account, groups: make([]viewed, 0, len(last.groups))}
	for _, source := range d.sources {
		snapshots, err := source.Snapshots(ctx, v.account, keep)
		if err != nil {
			return nil, err
		}
		for _, s := range snapshots {
			guess := -1
			if g := last.group(s.key); g != nil {
				guess = g.at
			}
			self, at := s.entryNear(v.account, guess)
			v.groups = append(v.groups, viewed{s, self, at})
		}
	}
	return v, nil
}

// Release says that an account is not online any more.
func (d *Directory) Release(account jid.JID) {
	for _, source := range d.sources {
		source.Release(account)
	}
}
