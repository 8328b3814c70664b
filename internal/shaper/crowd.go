package shaper

import (
	"net"
	"net/netip"
	"sync"
)

// Crowd bounds how many a network address may have of something at a time. It is
// safe for concurrent use.
type Crowd struct {
	// Set at construction.
	limit    int
	loopback bool // is limited, too

	mu sync.Mutex
	// Guarded by mu.
	counts map[netip.Prefix]int // none is 0
}

// NewCrowd returns a limiter of so many. loopback says whether loopback is
// limited, too.
func NewCrowd(limit int, loopback bool) *Crowd {
	return &Crowd{limit: limit, loopback: loopback, counts: make(map[netip.Prefix]int)}
}

// Enter counts one more of an address, unless it has as many as it may have.
// leave must be called once, when it is no more.
func (c *Crowd) Enter(addr net.Addr) (leave func(), ok bool) {
	p, limited := prefixOf(addr, c.loopback)
	if !limited {
		return func() {}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[p] >= c.limit {
		return nil, false
	}
	c.counts[p]++
	return func() { c.leave(p) }, true
}

func (c *Crowd) leave(p netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[p]--; c.counts[p] == 0 {
		delete(c.counts, p)
	}
}
