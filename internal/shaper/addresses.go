package shaper

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxAddresses bounds the addresses that a limiter remembers.
const maxAddresses = 1 << 16

// Addresses allows each network address so many goes at something at once and
// one more every so often. Goes that are under way when an address runs dry are
// counted as well, and put it into debt. It is safe for concurrent use.
type Addresses struct {
	// Set at construction.
	loopback bool // is limited, too

	mu sync.Mutex
	// Guarded by mu.
	burst   float64
	every   time.Duration // 0: unlimited
	buckets map[netip.Prefix]level
}

// level is how many goes an address had left at a time.
type level struct {
	tokens float64
	at     time.Time
}

// NewAddresses returns a limiter of so many goes at once, and one more in each
// every, 0 being no limit. loopback says whether loopback is limited, too.
func NewAddresses(burst int, every time.Duration, loopback bool) *Addresses {
	return &Addresses{burst: float64(burst), every: every, loopback: loopback, buckets: make(map[netip.Prefix]level)}
}

// SetEvery changes how often one more go is allowed. What an address has left
// stays.
func (l *Addresses) SetEvery(every time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for p, b := range l.buckets {
		l.buckets[p] = level{l.tokens(b, now), now}
	}
	l.every = every
}

// Allowed reports whether an address may have a go.
func (l *Addresses) Allowed(addr net.Addr) bool {
	p, ok := prefixOf(addr, l.loopback)
	if !ok {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[p]
	return !ok || l.every == 0 || l.tokens(b, time.Now()) >= 1
}

// Try is Allowed, and Take if so.
func (l *Addresses) Try(addr net.Addr) bool {
	p, ok := prefixOf(addr, l.loopback)
	if !ok {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[p]; ok && l.every != 0 && l.tokens(b, time.Now()) < 1 {
		return false
	}
	l.addLocked(p, -1)
	return true
}

// Take records a go of an address.
func (l *Addresses) Take(addr net.Addr) { l.add(addr, -1) }

// Return takes back what Take has recorded.
func (l *Addresses) Return(addr net.Addr) { l.add(addr, 1) }

func (l *Addresses) add(addr net.Addr, n float64) {
	p, ok := prefixOf(addr, l.loopback)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addLocked(p, n)
}

func (l *Addresses) addLocked(p netip.Prefix, n float64) {
	now := time.Now()
	tokens := l.burst
	if b, ok := l.buckets[p]; ok {
		tokens = l.tokens(b, now)
	} else if len(l.buckets) >= maxAddresses {
		l.sweepLocked(now)
	}
	l.buckets[p] = level{tokens: min(l.burst, tokens+n), at: now}
}

func (l *Addresses) tokens(b level, now time.Time) float64 {
	if l.every == 0 {
		return l.burst
	}
	return min(l.burst, b.tokens+float64(now.Sub(b.at))/float64(l.every))
}

// sweepLocked forgets the addresses that are as good as new, and if that does
// not make room some others.
func (l *Addresses) sweepLocked(now time.Time) {
	for p, b := range l.buckets {
		if l.tokens(b, now) >= l.burst {
			delete(l.buckets, p)
		}
	}
	for p := range l.buckets {
		if len(l.buckets) < maxAddresses*3/4 {
			return
		}
		delete(l.buckets, p)
	}
}

// prefixOf is what is limited together: an IPv4 address, or the /64 that one
// IPv6 customer has. Other networks are not limited, nor is loopback unless
// it is asked for.
func prefixOf(addr net.Addr, loopback bool) (netip.Prefix, bool) {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}, false
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.IsLoopback() && !loopback {
		return netip.Prefix{}, false
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}
