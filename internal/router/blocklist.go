package router

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/muster-im/muster/jid"
)

// BlockList is whom an account has blocked (XEP-0191). All sessions of the
// account share one; the blocking service is the one that changes it. It is
// safe for concurrent use and never waits. A nil list blocks nobody.
type BlockList struct {
	owner   jid.JID                              // bare
	blocked atomic.Pointer[map[jid.JID]struct{}] // nil: nobody; a map is replaced, never changed
}

// NewBlockList returns the list of an account.
func NewBlockList(owner jid.JID, blocked []jid.JID) *BlockList {
	l := &BlockList{owner: owner.Bare()}
	l.Block(blocked)
	return l
}

// Owner returns the account.
func (l *BlockList) Owner() jid.JID { return l.owner }

// Empty reports whether nobody is blocked.
func (l *BlockList) Empty() bool { return l == nil || l.blocked.Load() == nil }

// Len returns how many addresses are blocked.
func (l *BlockList) Len() int { return len(l.items()) }

// Items returns what is blocked, in no order.
func (l *BlockList) Items() []jid.JID { return slices.Collect(maps.Keys(l.items())) }

func (l *BlockList) items() map[jid.JID]struct{} {
	if l == nil {
		return nil
	}
	if p := l.blocked.Load(); p != nil {
		return *p
	}
	return nil
}

// Blocks reports whether the account has blocked an address. XEP-0191 §6: the
// address itself is looked for, then its bare form, then its domain, which
// blocks everybody there. Neither the account's own resources (XEP-0191 §5) nor
// its server, which speaks for the account, can be blocked.
func (l *BlockList) Blocks(j jid.JID) bool {
	if l.Empty() || j.IsZero() {
		return false
	}
	if j.Domain() == l.owner.Domain() && (j.Local() == "" || j.Local() == l.owner.Local()) {
		return false
	}
	items := l.items()
	for _, form := range [...]jid.JID{j, j.Bare(), j.DomainOnly()} {
		if _, ok := items[form]; ok {
			return true
		}
	}
	return false
}

// Has reports whether the list has exactly this entry.
func (l *BlockList) Has(j jid.JID) bool {
	_, ok := l.items()[j]
	return ok
}

// Clone returns a list that does not follow further changes.
func (l *BlockList) Clone() *BlockList {
	c := &BlockList{owner: l.owner}
	c.blocked.Store(l.blocked.Load())
	return c
}

// Block adds addresses. Only one goroutine at a time may change a list.
func (l *BlockList) Block(list []jid.JID) {
	items := make(map[jid.JID]struct{}, l.Len()+len(list))
	maps.Copy(items, l.items())
	for _, j := range list {
		items[j] = struct{}{}
	}
	l.set(items)
}

// Unblock takes addresses out. Only one goroutine at a time may change a list.
func (l *BlockList) Unblock(list []jid.JID) {
	items := maps.Clone(l.items())
	for _, j := range list {
		delete(items, j)
	}
	l.set(items)
}

// Clear takes everything out.
func (l *BlockList) Clear() { l.set(nil) }

func (l *BlockList) set(items map[jid.JID]struct{}) {
	if len(items) == 0 {
		l.blocked.Store(nil)
		return
	}
	l.blocked.Store(&items)
}
