package c2s

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxAddresses bounds the addresses that a limiter remembers.
const maxAddresses = 1 << 16

// limiter allows so many failed logins per address at once and one more every
// so often. Attempts that are under way when an address runs dry are counted
// as well, and put it into debt. It is safe for concurrent use.
type limiter struct {
	// Set at construction.
	burst    float64
	every    time.Duration
	loopback bool // is limited, too

	mu sync.Mutex
	// Guarded by mu.
	buckets map[netip.Prefix]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newLimiter(burst int, every time.Duration, loopback bool) *limiter {
	return &limiter{burst: float64(burst), every: every, loopback: loopback, buckets: make(map[netip.Prefix]bucket)}
}

// allowed reports whether an address may try.
func (l *limiter) allowed(addr net.Addr) bool {
	p, ok := l.prefix(addr)
	if !ok {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[p]
	return !ok || l.level(b, time.Now()) >= 1
}

// failed takes a token from an address.
func (l *limiter) failed(addr net.Addr) {
	p, ok := l.prefix(addr)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	level := l.burst
	if b, ok := l.buckets[p]; ok {
		level = l.level(b, now)
	} else if len(l.buckets) >= maxAddresses {
		l.sweepLocked(now)
	}
	l.buckets[p] = bucket{tokens: level - 1, at: now}
}

func (l *limiter) level(b bucket, now time.Time) float64 {
	return min(l.burst, b.tokens+float64(now.Sub(b.at))/float64(l.every))
}

// sweepLocked forgets the addresses that are as good as new, and if that does
// not make room some others.
func (l *limiter) sweepLocked(now time.Time) {
	for p, b := range l.buckets {
		if l.level(b, now) >= l.burst {
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

// prefix is what is limited together: an IPv4 address, or the /64 that one
// IPv6 customer has. Other networks are not limited, nor is loopback unless
// it is asked for.
func (l *limiter) prefix(addr net.Addr) (netip.Prefix, bool) {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}, false
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.IsLoopback() && !l.loopback {
		return netip.Prefix{}, false
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}
