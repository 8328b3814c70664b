package roster

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

// online has the sharings of accounts with sessions. The zero online is empty.
type online struct {
	sharings sync.Map // jid.JID to *sharing: they are looked up for each contact
	count    atomic.Int64

	mu sync.RWMutex
	// Guarded by mu, and with it that they are in step with sharings.
	groups map[shared.Key]map[jid.JID]struct{} // whose sharing has an entry of theirs in a group
}

// get returns what an account has of groups, nil if it has no sessions.
func (o *online) get(account jid.JID) *sharing {
	if v, ok := o.sharings.Load(account); ok {
		return v.(*sharing) //nolint:errcheck,forcetypeassert // nothing else is in it
	}
	return nil
}

// put makes it what an account has of groups. The account is locked.
func (o *online) put(account jid.JID, sh *sharing) {
	old := o.get(account)
	if old != nil && sh.view.SameGroups(old.view) {
		o.sharings.Store(account, sh)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leave(account, old)
	o.sharings.Store(account, sh)
	if old == nil {
		o.count.Add(1)
	}
	if o.groups == nil {
		o.groups = make(map[shared.Key]map[jid.JID]struct{})
	}
	for key, in := range sh.view.Groups() {
		switch {
		case !in:
		case o.groups[key] == nil:
			o.groups[key] = map[jid.JID]struct{}{account: {}}
		default:
			o.groups[key][account] = struct{}{}
		}
	}
}

// remove forgets an account. It is locked.
func (o *online) remove(account jid.JID) {
	old := o.get(account)
	if old == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leave(account, old)
	o.sharings.Delete(account)
	o.count.Add(-1)
}

// leave takes an account out of the groups that it had. The mutex is held.
func (o *online) leave(account jid.JID, old *sharing) {
	if old == nil {
		return
	}
	for key := range old.view.Groups() {
		if delete(o.groups[key], account); len(o.groups[key]) == 0 {
			delete(o.groups, key)
		}
	}
}

// all iterates over everybody, in no order.
func (o *online) all(yield func(account jid.JID, sh *sharing) bool) {
	o.sharings.Range(func(key, value any) bool {
		return yield(key.(jid.JID), value.(*sharing)) //nolint:errcheck,forcetypeassert // nothing else is in it
	})
}

// in returns who has an entry in one of the groups of two views of an account, each
// once.
func (o *online) in(view, other *shared.View) []jid.JID {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var found union
	for key := range view.Groups() {
		found.add(o.groups[key])
	}
	if !view.SameGroups(other) {
		for key := range other.Groups() {
			found.add(o.groups[key])
		}
	}
	return found.list
}

// union is everybody of several groups, each once.
type union struct {
	list  []jid.JID
	known map[jid.JID]struct{} // nil while there has been one group
}

func (u *union) add(members map[jid.JID]struct{}) {
	if len(members) == 0 {
		return
	}
	if len(u.list) > 0 && u.known == nil {
		u.known = make(map[jid.JID]struct{}, len(u.list)+len(members))
		for _, account := range u.list {
			u.known[account] = struct{}{}
		}
	}
	u.list = slices.Grow(u.list, len(members))
	for account := range members {
		if _, twice := u.known[account]; twice {
			continue
		}
		if u.known != nil {
			u.known[account] = struct{}{}
		}
		u.list = append(u.list, account)
	}
}

// of returns who of people, ordered by address, is there.
func (o *online) of(people []jid.JID) (list []jid.JID) {
	if int64(len(people)) > 4*o.count.Load() { // it is less to look for them among the people
		for account := range o.all {
			if _, ok := slices.BinarySearchFunc(people, account, shared.Compare); ok {
				list = append(list, account)
			}
		}
		return list
	}
	for _, account := range people {
		if o.get(account) != nil {
			list = append(list, account)
		}
	}
	return list
}

// any reports whether one of some people is there.
func (o *online) any(people []jid.JID) bool {
	return slices.ContainsFunc(people, func(account jid.JID) bool { return o.get(account) != nil })
}
