package shared

import (
	"iter"
	"slices"

	"github.com/muster-im/muster/jid"
)

// Label is a roster group that a contact is shown in because of a group.
type Label struct {
	Group Key
	Text  string
}

// Contact is somebody whom groups make a contact of an account.
type Contact struct {
	JID    jid.JID // bare
	To     bool    // the account sees his presence
	From   bool    // he sees the account's
	Name   string  // that a group has for him; "" none
	Labels []Label // of the groups that both are in; must not be changed
	Meets  bool    // he sees the account's presence though it is no contact of his
	Since  int64   // when the last reason began: the revision of a group

	Together bool // both are members of a group
	// Past is when the last of the times began that both were members of a permanent
	// group that they are not in together now; 0 there is none. It is no reason yet,
	// see Recall.
	Past int64
}

// Recall makes what permanent groups have left a reason, if it began at a revision
// or later; else there is no Past.
func (c *Contact) Recall(from int64) {
	if c.Past < from {
		c.Past = 0
	}
	if c.Past != 0 {
		c.To, c.From, c.Since = true, true, max(c.Since, c.Past)
	}
}

// View is what groups say of one account at one moment. It never changes.
type View struct {
	account jid.JID
	groups  []viewed
}

// viewed is a group and the account's entry in it, nil for an outsider of a
// public group.
type viewed struct {
	*Snapshot
	self *Entry
	at   int // where self is, or would be
}

// add adds what the group says of e to a contact, and reports whether it says
// anything.
func (g *viewed) add(c *Contact, e *Entry) bool {
	to, from, together, since := g.between(e)
	if !to && !from {
		past, met := g.past(e)
		if met {
			c.Past = max(c.Past, past)
		}
		return met
	}
	c.Together = c.Together || together && g.self != nil
	c.To, c.From, c.Since = c.To || to, c.From || from, max(c.Since, since)
	c.Meets = c.Meets || g.meeting && from && (g.self == nil || !g.self.current())
	if !to {
		return true
	}
	if e.Name != "" {
		c.Name = e.Name
	}
	switch {
	case !together:
	case len(c.Labels) == 0:
		c.Labels = g.labels
	default:
		c.Labels = append(slices.Clip(c.Labels), g.labels...)
	}
	return true
}

// between returns who of the account and e sees the other, whether both are in
// the group now, and since when.
func (g *viewed) between(e *Entry) (to, from, together bool, since int64) {
	together = g.self != nil && g.self.current() && e.current()
	switch {
	case g.self == nil:
		visible := g.public && e.current()
		return visible, visible && g.meeting, visible, e.Joined
	case together:
		return true, true, true, max(g.self.Joined, e.Joined)
	case g.public && e.current():
		return true, g.meeting, true, e.Joined
	case g.public && g.self.current():
		return false, true, false, g.self.Joined
	}
	return false, false, false, 0
}

// past returns when the last time began that the account and e, who are not both in
// the group now, were members together, if that still means something.
func (g *viewed) past(e *Entry) (since int64, met bool) {
	if g.self == nil || g.contract == Overlay {
		return 0, false
	}
	return g.self.met(e)
}

// Contact returns what groups say of somebody; ok is false if they say nothing.
func (v *View) Contact(j jid.JID) (c Contact, ok bool) {
	if v == nil || j == v.account {
		return c, false
	}
	c.JID = j
	for i := range v.groups {
		if e := v.groups[i].entry(j); e != nil {
			ok = v.groups[i].add(&c, e) || ok
		}
	}
	return c, ok
}

// Groups iterates over the groups that say something, and whether the account has an
// entry in each: it is not an outsider.
func (v *View) Groups() iter.Seq2[Key, bool] {
	return func(yield func(Key, bool) bool) {
		if v == nil {
			return
		}
		for i := range v.groups {
			if !yield(v.groups[i].key, v.groups[i].self != nil) {
				return
			}
		}
	}
}

// SameGroups reports whether an earlier view has the same groups, and the account an
// entry in the same of them.
func (v *View) SameGroups(old *View) bool {
	return slices.EqualFunc(v.groups, old.groups, func(a, b viewed) bool { return a.key == b.key && (a.self == nil) == (b.self == nil) })
}

// Cursor finds contacts in a view, fastest those that follow the one before.
type Cursor struct {
	view *View
	next []int // by group: where to look first
}

// Cursor returns a cursor at the view's beginning.
func (v *View) Cursor() Cursor {
	c := Cursor{view: v}
	if v != nil {
		c.next = make([]int, len(v.groups))
	}
	return c
}

// Contact is View.Contact.
func (c *Cursor) Contact(j jid.JID) (contact Contact, ok bool) {
	if c.view == nil || j == c.view.account {
		return contact, false
	}
	contact.JID = j
	for i := range c.view.groups {
		g := &c.view.groups[i]
		at, found := g.near(j, c.next[i])
		if found {
			ok = g.add(&contact, &g.entries[at]) || ok
			at++
		}
		c.next[i] = at
	}
	return contact, ok
}

// Most is not less than how many Contacts there are.
func (v *View) Most() (n int) {
	if v != nil {
		for i := range v.groups {
			n += len(v.groups[i].entries)
		}
	}
	return n
}

// Contacts iterates over everybody of whom groups say something, ordered by
// address.
func (v *View) Contacts() iter.Seq[Contact] {
	return func(yield func(Contact) bool) {
		if v == nil {
			return
		}
		for w := v.walk(); len(w.queue) > 0; {
			if c, ok := w.next(); ok && !yield(c) {
				return
			}
		}
	}
}

// walk goes through the entries of several groups in the order of their addresses.
type walk struct {
	*View
	rest  [][]Entry // by group
	queue []int     // groups with a rest, a heap: the first has the first address
}

func (v *View) walk() *walk {
	w := &walk{v, make([][]Entry, len(v.groups)), make([]int, 0, len(v.groups))}
	for i := range v.groups {
		if w.rest[i] = v.groups[i].entries; len(w.rest[i]) > 0 {
			w.queue = append(w.queue, i)
		}
	}
	for i := len(w.queue)/2 - 1; i >= 0; i-- {
		w.down(i)
	}
	return w
}

// before reports whether group a is to be looked at before group b.
func (w *walk) before(a, b int) bool {
	order := compare(w.rest[a][0].JID, w.rest[b][0].JID)
	return order < 0 || order == 0 && a < b
}

// down brings a group to its place in the queue.
func (w *walk) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(w.queue) {
			return
		}
		if child+1 < len(w.queue) && w.before(w.queue[child+1], w.queue[child]) {
			child++
		}
		if w.before(w.queue[i], w.queue[child]) {
			return
		}
		w.queue[i], w.queue[child] = w.queue[child], w.queue[i]
		i = child
	}
}

// next takes the first address off the rests and returns what groups say of it.
func (w *walk) next() (c Contact, ok bool) {
	c.JID = w.rest[w.queue[0]][0].JID
	for len(w.queue) > 0 {
		i := w.queue[0]
		e := &w.rest[i][0]
		if e.JID != c.JID {
			break
		}
		if c.JID != w.account {
			ok = w.groups[i].add(&c, e) || ok
		}
		if w.rest[i] = w.rest[i][1:]; len(w.rest[i]) == 0 {
			last := len(w.queue) - 1
			w.queue[0] = w.queue[last]
			w.queue = w.queue[:last]
		}
		w.down(0)
	}
	return c, ok
}

// SeenByAll reports whether the account is in a public group: everybody sees
// its presence, and Contacts does not name them.
func (v *View) SeenByAll() bool {
	return v != nil && slices.ContainsFunc(v.groups, func(g viewed) bool {
		return g.public && g.self != nil && g.self.current()
	})
}

// Changed returns, ordered by address, of whom groups may say something else
// than in an earlier view of the same account.
func (v *View) Changed(old *View) []jid.JID {
	var list []jid.JID
	reordered := v.reordered(old)
	for i := range v.groups {
		if reordered { // another group may decide what somebody is called
			list = addresses(list, v.groups[i].entries)
		}
		list = v.groups[i].changed(old.group(v.groups[i].key), list)
	}
	if old != nil {
		for i := range old.groups {
			if v.group(old.groups[i].key) == nil {
				list = addresses(list, old.groups[i].entries)
			}
		}
	}
	slices.SortFunc(list, compare)
	return slices.DeleteFunc(slices.Compact(list), func(j jid.JID) bool { return j == v.account })
}

// reordered reports whether groups that there were stand in another order.
func (v *View) reordered(old *View) bool {
	if old == nil {
		return false
	}
	last := -1
	for i := range v.groups {
		at := slices.IndexFunc(old.groups, func(g viewed) bool { return g.key == v.groups[i].key })
		if at >= 0 && at < last {
			return true
		}
		last = max(last, at)
	}
	return false
}

func (v *View) group(key Key) *viewed {
	if v == nil {
		return nil
	}
	for i := range v.groups {
		if v.groups[i].key == key {
			return &v.groups[i]
		}
	}
	return nil
}

// changed appends of whom the group may say something else than it did.
func (g *viewed) changed(old *viewed, list []jid.JID) []jid.JID {
	switch {
	case old == nil:
		return addresses(list, g.entries)
	case old.Snapshot == g.Snapshot:
		return list
	case old.label != g.label || old.contract != g.contract || old.public != g.public || old.meeting != g.meeting || !sameSelf(old.self, g.self):
		return different(list, old.entries, g.entries, true)
	case g.Snapshot.changed != nil && g.before == old.revision:
		return append(list, g.Snapshot.changed...)
	}
	return different(list, old.entries, g.entries, false)
}

func sameSelf(a, b *Entry) bool { return a == b || a != nil && b != nil && a.equal(b) }

// addresses appends everybody's address.
func addresses(list []jid.JID, entries []Entry) []jid.JID {
	list = slices.Grow(list, len(entries))
	for i := range entries {
		list = append(list, entries[i].JID)
	}
	return list
}

// different appends, ordered by address, whose entries differ; with all everybody
// who has one.
func different(list []jid.JID, a, b []Entry, all bool) []jid.JID {
	if all {
		list = slices.Grow(list, max(len(a), len(b)))
	}
	for len(a) > 0 || len(b) > 0 {
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = compare(a[0].JID, b[0].JID)
		}
		switch {
		case order < 0:
			list, a = append(list, a[0].JID), a[1:]
		case order > 0:
			list, b = append(list, b[0].JID), b[1:]
		default:
			if all || !a[0].equal(&b[0]) {
				list = append(list, a[0].JID)
			}
			a, b = a[1:], b[1:]
		}
	}
	return list
}
