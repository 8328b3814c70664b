package bench

import (
	"math/bits"
	"time"
)

const (
	subBits = 5 // 32 buckets for each power of two: 3 % precise
	buckets = (64 - subBits + 1) << subBits
)

// histogram counts durations. Its owner is one goroutine.
type histogram struct {
	counts [buckets]uint32
	total  int64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// merge adds what other counted.
func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// quantile returns a duration that the share q of all does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(q * float64(h.total))
	for i, n := range h.counts {
		if rank -= int64(n); rank < 0 {
			return min(upperBound(i), h.max)
		}
	}
	return h.max
}

// bucketOf maps small values to themselves and larger ones to their leading
// bits.
func bucketOf(v uint64) int {
	shift := bits.Len64(v) - subBits - 1
	if shift <= 0 {
		return int(v) // below 2^(subBits+1)
	}
	return shift<<subBits + int(v>>shift)
}

func upperBound(bucket int) time.Duration {
	shift := bucket>>subBits - 1
	if shift <= 0 {
		return time.Duration(bucket)
	}
	mantissa := uint64(bucket - shift<<subBits)
	return time.Duration((mantissa+1)<<shift - 1)
}
