// Package stanzaid makes the ids by which a room's archived messages are known
// (XEP-0359): they rise with time and cannot be guessed. It starts no goroutines
// and does not block.
package stanzaid

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// alphabet is Crockford's base32 in lower case, whose byte order is the
// order of its values.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

const (
	digits = 13  // that say where a message stands
	random = 8   // that nobody can guess (XEP-0313 §3)
	end    = "~" // sorts behind every digit
)

// Maker makes the StanzaIDs of one room. They rise in byte order: 13 digits
// are the time in microseconds and a counter of 8 bits, the rest is random. The
// room's time stands still while the clock of the machine has been put back: no
// message is from before the last one, or from before the room. So times are in
// the order of the messages, and whoever asks for those since a time misses
// none.
type Maker struct{ last uint64 }

// Time is the room's time.
func (s *Maker) Time(now time.Time) time.Time {
	if last := time.UnixMicro(int64(s.last >> 8)).UTC(); now.Before(last) { //nolint:gosec // 56 bits
		return last
	}
	return now
}

// Begin makes the room's time begin no earlier than at t.
func (s *Maker) Begin(t time.Time) { s.last = max(s.last, value(t)) }

// Next returns the id of a message of now.
func (s *Maker) Next(now time.Time) string {
	s.last = max(s.last+1, value(now))
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	suffix := encode(binary.BigEndian.Uint64(b[:]))
	return encode(s.last) + suffix[digits-random:]
}

// From is where the ids of a time and later begin.
func From(t time.Time) string { return encode(value(t)) }

// Before is behind all ids from before a time; "" if there are none.
func Before(t time.Time) string {
	if v := value(t); v > 0 {
		return encode(v-1) + end
	}
	return ""
}

// value is the least value of the IDs of a time.
func value(t time.Time) uint64 {
	return uint64(min(max(t.UnixMicro(), 0), 1<<56-1)) << 8
}

func encode(v uint64) string {
	var b [digits]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = alphabet[v&31]
		v >>= 5
	}
	return string(b[:])
}

// Resume makes all further ids rise above id, which Next has made before the
// room was last put away. An id of other making is passed over.
func (s *Maker) Resume(id string) {
	var v uint64
	if len(id) < digits {
		return
	}
	for i := range digits {
		d := decodeDigit(id[i])
		if d < 0 {
			return
		}
		v = v<<5 | uint64(d)
	}
	s.last = max(s.last, v)
}

func decodeDigit(c byte) int {
	for i := range len(alphabet) {
		if alphabet[i] == c {
			return i
		}
	}
	return -1
}
