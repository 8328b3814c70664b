package muc

import (
	"context"
	"errors"
	"time"

	"github.com/muster-im/muster/internal/stanzaid"
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
		q.AfterID = max(q.AfterID, stanzaid.Before(q.Start))
	}
	if !q.End.IsZero() {
		q.End = q.End.Truncate(ms).Add(ms - time.Microsecond)
		before := stanzaid.From(q.End.Add(time.Microsecond))
		if q.BeforeID == "" || before < q.BeforeID {
			q.BeforeID = before
		}
	}
	return q
}
