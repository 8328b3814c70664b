package router

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// PresenceState is what routing keeps of a session: what its presence traffic
// leaves behind, which the roster service changes, and whether it wants carbons.
// Sessions own one by value, and it ends with them.
type PresenceState struct {
	mu         sync.Mutex
	last       stanza.Stanza
	encoded    *stanza.Encoded // last, once somebody has asked for it
	priority   int8
	available  bool
	interested bool
	directed   map[jid.JID]struct{}

	carbons carbonState               // guards itself
	blocks  atomic.Pointer[BlockList] // set by the session before it is bound
	follows atomic.Bool               // the session has asked for the block list
}

// BlockList returns whom the session's account has blocked; nil, which blocks
// nobody, until there is a list.
func (p *PresenceState) BlockList() *BlockList { return p.blocks.Load() }

// SetBlockList gives the session its account's block list.
func (p *PresenceState) SetBlockList(l *BlockList) { p.blocks.Store(l) }

// keepBlockList lets the session's list stay as it is now. A session that is
// not bound any more is not among those that whoever is blocked sees go: it
// still has to tell everybody who has seen it (RFC 6121 §4.5.2).
func (p *PresenceState) keepBlockList() {
	if l := p.blocks.Load(); l != nil {
		p.blocks.Store(l.Clone())
	}
}

// FollowsBlocks reports whether the session has asked for its block list
// (XEP-0191 §3.3).
func (p *PresenceState) FollowsBlocks() bool { return p.follows.Load() }

// SetFollowsBlocks records that the session has asked for its block list.
func (p *PresenceState) SetFollowsBlocks() { p.follows.Store(true) }

// Presence returns the last broadcast presence; ok is false until there is one
// and after unavailable.
func (p *PresenceState) Presence() (last stanza.Stanza, priority int8, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.priority, p.available
}

// Encoded returns the last broadcast presence for delivery, nil if there is none or
// it is unavailable.
func (p *PresenceState) Encoded() *stanza.Encoded {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.available && p.encoded == nil {
		p.encoded = stanza.Encode(p.last)
	}
	return p.encoded
}

// SetPresence records a broadcast presence and returns whether the session was
// available before.
func (p *PresenceState) SetPresence(st stanza.Stanza, priority int8, available bool) (was bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was = p.available
	st.Receipt = nil // it is kept longer than it is worked on
	p.last, p.encoded, p.priority, p.available = st, nil, priority, available
	return was
}

// Interested reports whether the session has asked for its roster.
func (p *PresenceState) Interested() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.interested
}

// SetInterested records that the session has asked for its roster.
func (p *PresenceState) SetInterested() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interested = true
}

// Directed records that the session has sent available presence to j, or
// (available false) taken it back (RFC 6121 §4.6). It returns false, and
// records nothing, if that would be more than limit addresses.
func (p *PresenceState) Directed(j jid.JID, available bool, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !available {
		delete(p.directed, j)
		return true
	}
	if _, again := p.directed[j]; !again && len(p.directed) >= limit {
		return false
	}
	if p.directed == nil {
		p.directed = make(map[jid.JID]struct{})
	}
	p.directed[j] = struct{}{}
	return true
}

// HasDirected reports whether j has the session's directed presence.
func (p *PresenceState) HasDirected(j jid.JID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.directed[j]
	return ok
}

// directedIn returns the addresses with a bare address that have the session's
// directed presence: its nicknames in a room.
func (p *PresenceState) directedIn(bare jid.JID) []jid.JID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []jid.JID
	for j := range p.directed {
		if j.Bare() == bare {
			list = append(list, j)
		}
	}
	return list
}

// ListDirected returns everybody with directed presence.
func (p *PresenceState) ListDirected() []jid.JID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.directed))
}

// TakeDirected returns everybody with directed presence and forgets them.
func (p *PresenceState) TakeDirected() []jid.JID {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]jid.JID, 0, len(p.directed))
	for j := range p.directed {
		list = append(list, j)
	}
	p.directed = nil
	return list
}
