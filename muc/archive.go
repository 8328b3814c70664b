package muc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"github.com/muster-im/muster/jid"
)

// ErrNoMessage says that an archive has no such message.
var ErrNoMessage = errors.New("no such message")

// Archive keeps the messages of rooms. It is safe for concurrent use.
type Archive interface {
	// Append queues m for the next commit and never waits. done is called
	// exactly once, from any goroutine, after the commit or its failure, for
	// the messages of one room in order of Append; it must not block. An error
	// says that m was not queued and done will not be called.
	Append(m ArchivedMessage, done func(error)) error
	// Page returns the committed messages that q selects, in order.
	Page(ctx context.Context, q ArchiveQuery) ([]ArchivedMessage, error)
	// Messages returns those of a room's committed messages that have one of
	// ids, in order.
	Messages(ctx context.Context, room jid.JID, ids []string) ([]ArchivedMessage, error)
	// Count returns how many committed messages q selects, or most if there are
	// more; q.Limit does not count.
	Count(ctx context.Context, q ArchiveQuery, most int) (int, error)
	// ReplaceArchived puts another stanza in the place of one whose Append came
	// before, committed or not. The message keeps its ID, time and sender.
	// ErrNoMessage says that the room has none with that ID.
	ReplaceArchived(ctx context.Context, room jid.JID, id string, stanza []byte) error
	// Delete removes all messages of a room.
	Delete(ctx context.Context, room jid.JID) error
}

// ArchivedMessage is a groupchat message with its place in a room's order.
type ArchivedMessage struct {
	ID       string // the StanzaID; of one room they rise in byte order
	Room     jid.JID
	Time     time.Time // in whole milliseconds; never earlier than that of a message before
	From     jid.JID   // occupant JID, or the room
	RealJID  jid.JID   // bare; zero: the room itself
	Resource string    // of the client that sent it; "" if it is not known
	Subject  bool      // a subject change
	Stanza   []byte    // XML of the message as broadcast, without to
}

// ArchiveQuery selects messages of one room; without bounds it is the oldest
// page. Pages are in order, those of Newest too. AfterID and BeforeID need not
// exist.
type ArchiveQuery struct {
	Room       jid.JID
	Start, End time.Time // inclusive; zero: open
	With       jid.JID   // only from this occupant JID, or from this real address or, if it is bare, from all its clients; zero: all
	AfterID    string    // messages behind this one, exclusive; "" from the oldest
	BeforeID   string    // messages before this one, exclusive; "" up to the newest
	Newest     bool      // the last Limit messages of the selection, not the first
	Subjects   bool      // only subject changes
	Skip       int       // so many messages at that end are passed over
	Limit      int       // at most so many; 0 is an error
}

// ByID returns q with what its times mean for the IDs, by which an archive finds
// messages at once: an ID begins with the time of its message. Times count in
// milliseconds, as clients see them.
func (q ArchiveQuery) ByID() ArchiveQuery {
	const ms = time.Millisecond
	if !q.Start.IsZero() {
		q.Start = q.Start.Add(ms - 1).Truncate(ms)
		if v := idValue(q.Start); v > 0 {
			q.AfterID = max(q.AfterID, encodeID(v-1)+idEnd)
		}
	}
	if !q.End.IsZero() {
		q.End = q.End.Truncate(ms).Add(ms - time.Microsecond)
		before := encodeID(idValue(q.End.Add(time.Microsecond)))
		if q.BeforeID == "" || before < q.BeforeID {
			q.BeforeID = before
		}
	}
	return q
}

// idAlphabet is Crockford's base32 in lower case, whose byte order is the
// order of its values.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

const (
	idDigits = 13  // that say where a message stands
	idRandom = 8   // that nobody can guess (XEP-0313 §3)
	idEnd    = "~" // sorts behind every digit
)

// stanzaIDs makes the StanzaIDs of one room. They rise in byte order: 13 digits
// are the time in microseconds and a counter of 8 bits, the rest is random. The
// room's time stands still while the clock of the machine has been put back: no
// message is from before the last one, or from before the room. So times are in
// the order of the messages, and whoever asks for those since a time misses
// none.
type stanzaIDs struct{ last uint64 }

// time is the room's time.
func (s *stanzaIDs) time(now time.Time) time.Time {
	if last := time.UnixMicro(int64(s.last >> 8)).UTC(); now.Before(last) { //nolint:gosec // 56 bits
		return last
	}
	return now
}

// begin makes the room's time begin no earlier than at t.
func (s *stanzaIDs) begin(t time.Time) { s.last = max(s.last, idValue(t)) }

func (s *stanzaIDs) next(now time.Time) string {
	s.last = max(s.last+1, idValue(now))
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	suffix := encodeID(binary.BigEndian.Uint64(random[:]))
	return encodeID(s.last) + suffix[idDigits-idRandom:]
}

// idValue is the least value of the IDs of a time.
func idValue(t time.Time) uint64 {
	return uint64(min(max(t.UnixMicro(), 0), 1<<56-1)) << 8
}

func encodeID(v uint64) string {
	var b [idDigits]byte
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
	if len(id) < idDigits {
		return
	}
	for i := range idDigits {
		d := decodeDigit(id[i])
		if d < 0 {
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
