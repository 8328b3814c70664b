package router

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/muster-im/muster/jid"
)

const tableShards = 64

// sessionTable holds the bound sessions by account. To find the session of a
// full JID is one read of a map, and a look at the account's few sessions.
type sessionTable struct {
	seed   maphash.Seed
	shards [tableShards]sessionShard
}

type sessionShard struct {
	mu sync.RWMutex
	// Guarded by mu. The lists are replaced, never changed.
	accounts map[jid.JID][]Session
}

// shard is chosen by the local part alone, which is what accounts differ in:
// hashing all of an address took 5 % of what a one-to-one message costs.
func (t *sessionTable) shard(bare jid.JID) *sessionShard {
	return &t.shards[maphash.String(t.seed, bare.Local())%tableShards]
}

// of returns an account's sessions; the list must not be changed.
func (t *sessionTable) of(bare jid.JID) []Session {
	s := t.shard(bare)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.accounts[bare]
}

// get returns the session with a full JID, nil if there is none.
func (t *sessionTable) get(full jid.JID) Session {
	if full.IsBare() {
		return nil
	}
	for _, s := range t.of(full.Bare()) {
		if s.JID() == full {
			return s
		}
	}
	return nil
}

// add puts a session in and returns the one whose place it takes, if any.
func (t *sessionTable) add(s Session) (replaced Session) {
	bare := s.JID().Bare()
	shard := t.shard(bare)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.accounts == nil {
		shard.accounts = make(map[jid.JID][]Session)
	}
	list := slices.Clone(shard.accounts[bare])
	for i, old := range list {
		if old.JID() == s.JID() {
			list[i] = s
			shard.accounts[bare] = list
			return old
		}
	}
	shard.accounts[bare] = append(list, s)
	return nil
}

// remove takes a session out and reports whether it was in.
func (t *sessionTable) remove(s Session) bool {
	bare := s.JID().Bare()
	shard := t.shard(bare)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	list := shard.accounts[bare]
	i := slices.IndexFunc(list, func(x Session) bool { return x == s })
	switch {
	case i < 0:
		return false
	case len(list) == 1:
		delete(shard.accounts, bare)
	default:
		shard.accounts[bare] = append(slices.Clone(list[:i]), list[i+1:]...)
	}
	return true
}

// Bind makes s the session of its full JID. A session that has it is replaced
// (RFC 6120 §7.7.2.2).
func (r *Router) Bind(s Session) {
	if old := r.sessions.add(s); old != nil {
		old.Replace()
	} else {
		r.metrics.sessions.Inc()
	}
}

// Unbind takes a session out, unless another one has taken its place.
func (r *Router) Unbind(s Session) {
	s.State().keepBlockList() // earlier than it is out: rather twice gone than never
	if r.sessions.remove(s) {
		r.metrics.sessions.Dec()
	}
}

// Sessions returns an account's bound sessions. The list must not be changed.
func (r *Router) Sessions(bare jid.JID) []Session { return r.sessions.of(bare) }

// Session returns the session with a full JID, nil if there is none.
func (r *Router) Session(full jid.JID) Session { return r.sessions.get(full) }
