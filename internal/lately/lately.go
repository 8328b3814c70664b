// Package lately knows what an error means that comes back of what was sent: it
// remembers which ids that had, so that it can be told from one that answers
// nothing. It holds no locks and does not block: an IDs belongs to its room.
package lately

import (
	"hash/maphash"
	"slices"
	"time"

	"github.com/muster-im/muster/stanza"
)

const (
	// keep is how long an id is worth remembering: a server that cannot be reached
	// is given up after minutes.
	keep = 10 * time.Minute
	// most bounds what is remembered, and few is what is kept of a long silence.
	most = 1024
	few  = 16
)

// IDs are the ids sent lately, the oldest of which give way. Its zero value is
// empty and takes no memory.
type IDs struct {
	ring []sent
	next int // the oldest, once the ring is full
}

type sent struct {
	hash uint64
	at   time.Duration
	all  bool
}

// Add remembers an id that is sent now, to everybody or not. The time counts from
// whenever.
func (s *IDs) Add(seed maphash.Seed, id string, all bool, now time.Duration) {
	v := sent{maphash.String(seed, id), now, all}
	full := len(s.ring) == cap(s.ring)
	switch {
	case full && len(s.ring) < most && (len(s.ring) == 0 || now-s.ring[s.next].at < keep): // and all are needed yet
		s.ring = slices.Grow(s.inOrder(), max(few, len(s.ring)))
		s.ring, s.next = append(s.ring, v), 0
	case full:
		s.ring[s.next] = v
		s.next = (s.next + 1) % len(s.ring)
	default:
		s.ring = append(s.ring, v)
	}
}

// Find reports whether an id was sent lately, and whether to everybody.
func (s *IDs) Find(seed maphash.Seed, id string) (known, all bool) {
	hash := maphash.String(seed, id)
	for i := range s.ring {
		if s.ring[i].hash == hash {
			known, all = true, all || s.ring[i].all
		}
	}
	return known, all
}

// Compact keeps the last few: nothing more is to be sent for long.
func (s *IDs) Compact() {
	list := s.inOrder()
	s.ring, s.next = slices.Clip(slices.Clone(list[max(len(list)-few, 0):])), 0
}

// inOrder returns a copy of the ring, oldest first.
func (s *IDs) inOrder() []sent { return slices.Concat(s.ring[s.next:], s.ring[:s.next]) }

// Undeliverable reports whether an error that answers a message means that it has
// reached nobody (XEP-0045 §18.1.2). One to everybody is refused with
// service-unavailable where nobody is (RFC 6121 §8.5.3.2.1); a private one may be
// by somebody's client as well.
func Undeliverable(st *stanza.Stanza, toAll bool) bool {
	e := st.ParseError()
	if e == nil {
		return false
	}
	switch e.Condition {
	case stanza.Gone, stanza.ItemNotFound, stanza.RecipientUnavailable, stanza.Redirect,
		stanza.RemoteServerNotFound, stanza.RemoteServerTimeout, stanza.JIDMalformed:
		return true
	case stanza.ServiceUnavailable:
		return toAll
	}
	return false
}
