// Package shaper has token buckets: one that says how long a reader must wait
// to keep to a rate, and one per network address that says whether something
// may be done again already. It has no goroutines and blocks on nothing.
package shaper

import "time"

// Bucket holds one reader to a rate. It is full at the beginning and holds what
// flows in one second, so that what is sent now and then is never held back.
// Taking is always granted and may leave a debt. One goroutine uses it.
type Bucket struct {
	// Set at construction.
	rate int

	// Owned by the user.
	level float64 // less than 0: debt
	at    time.Time
}

// NewBucket returns a full bucket; rate is in units per second and positive.
func NewBucket(rate int, now time.Time) *Bucket {
	return &Bucket{rate: rate, level: float64(rate), at: now}
}

// Rate returns what the bucket was made with.
func (b *Bucket) Rate() int { return b.rate }

// Take takes n units out, whether they are there or not.
func (b *Bucket) Take(n int, now time.Time) {
	b.fill(now)
	b.level -= float64(n)
}

// Wait returns how long it takes until no debt is left.
func (b *Bucket) Wait(now time.Time) time.Duration {
	b.fill(now)
	if b.level >= 0 {
		return 0
	}
	return time.Duration(-b.level/float64(b.rate)*float64(time.Second)) + 1 // rounded up
}

func (b *Bucket) fill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.level = min(float64(b.rate), b.level+d.Seconds()*float64(b.rate))
	}
	b.at = now
}

// Full reports whether the bucket is as good as new.
func (b *Bucket) Full(now time.Time) bool {
	b.fill(now)
	return b.level >= float64(b.rate)
}
