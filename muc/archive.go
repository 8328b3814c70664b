package muc

import (
	"context"
	"time"

	"github.com/muster-im/muster/jid"
)

// Archive keeps the messages of rooms. It is safe for concurrent use.
type Archive interface {
	// Append queues m for the next commit and never waits. done is called
	// exactly once, from any goroutine, after the commit or its failure, for
	// the messages of one room in order of Append; it must not block. An error
	// says that m was not queued and done will not be called.
	Append(m ArchivedMessage, done func(error)) error
	// Latest returns the newest messages of a room, oldest first.
	Latest(ctx context.Context, room jid.JID, limit int) ([]ArchivedMessage, error)
	// LastSubject returns the newest subject change behind the message with
	// that StanzaID ("" for any), nil if there is none.
	LastSubject(ctx context.Context, room jid.JID, id string) (*ArchivedMessage, error)
	// Delete removes all messages of a room.
	Delete(ctx context.Context, room jid.JID) error
}

// ArchivedMessage is a groupchat message with its place in a room's order.
type ArchivedMessage struct {
	ID      string // the StanzaID; of one room they rise in byte order
	Room    jid.JID
	Time    time.Time
	From    jid.JID // occupant JID, or the room
	RealJID jid.JID // bare; zero: the room itself
	Subject bool    // a subject change
	Stanza  []byte  // XML of the message as broadcast, without to
}

// idAlphabet is Crockford's base32 in lower case, whose byte order is the
// order of its values.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// stanzaIDs makes the StanzaIDs of one room: 13 characters that rise in byte
// order, from the time in microseconds and a counter of 8 bits. The room's time
// stands still while the clock of the machine has been put back: no message is
// from before the last one, or from before the room.
type stanzaIDs struct{ last uint64 }

// time is the room's time.
func (s *stanzaIDs) time(now time.Time) time.Time {
	if last := time.UnixMicro(int64(s.last >> 8)).UTC(); now.Before(last) {
		return last
	}
	return now
}

// begin makes the room's time begin no earlier than at t.
func (s *stanzaIDs) begin(t time.Time) {
	s.last = max(s.last, uint64(max(t.UnixMicro(), 0))<<8)
}

func (s *stanzaIDs) next(now time.Time) string {
	v := uint64(max(now.UnixMicro(), 0)) << 8
	if v <= s.last {
		v = s.last + 1
	}
	s.last = v
	var b [13]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = idAlphabet[v&31]
		v >>= 5
	}
	return string(b[:])
}

// resume makes all further ids rise above id, which next has made before the
// room was last put away. An id of other making is passed over.
func (s *stanzaIDs) resume(id string) {
	var v uint64
	for i := range len(id) {
		d := decodeDigit(id[i])
		if d < 0 || len(id) != 13 {
			return
		}
		v = v<<5 | uint64(d)
	}
	s.last = max(s.last, v)
}

func decodeDigit(c byte) int {
	for i := range len(idAlphabet) {
		if idAlphabet[i] == c {
			return i
		}
	}
	return -1
}
