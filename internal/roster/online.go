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

// in returns who has an entry in one of the groups of a view, each once.
func (o *online) in(view *shared.View) (list []jid.JID) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var known map[jid.JID]struct{} // once there may be somebody twice
	for key := range view.Groups() {
		members := o.groups[key]
		if len(list) > 0 && len(members) > 0 && known == nil {
			known = make(map[jid.JID]struct{}, len(list)+len(members))
			for _, account := range list {
				known[account] = struct{}{}
			}
		}
		list = slices.Grow(list, len(members))
		for account := range members {
			if _, twice := known[account]; twice {
				continue
			}
			if known != nil {
				known[account] = struct{}{}
			}
			list = append(list, account)
		}
	}
	return list
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
