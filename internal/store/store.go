// Package store holds the records and errors that internal services share with
// the storage engines. It has no SQL and no interfaces: each service declares
// the interface it needs.
package store

import (
	"errors"
	"time"

	"github.com/muster-im/muster/jid"
)

// Errors that storage engines return, wrapped.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("already exists")
	// ErrRemoving says that something of that name is being removed.
	ErrRemoving = errors.New("being removed")
	// ErrFull says that a limit of stored things is reached.
	ErrFull = errors.New("full")
	// ErrInDoubt says that the engine went away during a commit and has not come
	// back: all of it was stored, or nothing.
	ErrInDoubt = errors.New("outcome of the commit is unknown")
)

// Account is a local user with the keys that authenticate him. No password is
// stored.
type Account struct {
	JID     jid.JID // bare
	Keys    []SCRAMKeys
	Created time.Time
	// Invitation, of a new account, is the one that it uses.
	Invitation string
}

// SCRAMKeys authenticate one account by one hash (RFC 5802 §3).
type SCRAMKeys struct {
	Hash       string // "SHA-1", "SHA-256"
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// Subscription is a roster item's state (RFC 6121 §2.1.2.5).
type Subscription string

// The subscription states.
const (
	SubNone Subscription = "none"
	SubTo   Subscription = "to"
	SubFrom Subscription = "from"
	SubBoth Subscription = "both"
)

// RosterItem is one contact of one account, or a subscription request that
// waits for an answer and is not shown (PendingIn with InRoster false).
type RosterItem struct {
	Contact      jid.JID // bare
	Name         string
	Groups       []string
	Subscription Subscription
	PendingOut   bool   // ask='subscribe'
	PendingIn    bool   // the contact's request awaits our answer
	Approved     bool   // pre-approved (RFC 6121 §3.4)
	InRoster     bool   // false: known only for PendingIn or Approved state
	Request      []byte // the pending subscribe stanza as XML, with its extensions
	Version      int64  // the roster's version when the item last changed
	Removed      bool   // a tombstone, kept for roster versioning

	// What the owner has made of a contact from groups. If not InRoster, Name and
	// Groups are shown only while groups bring the contact.
	// LeftOut are groups by their keys: whose label he has taken off, or, if he has
	// removed the contact, that he was in with it then.
	LeftOut []string
	// Hidden is not 0 if he has removed the contact. Reasons that began at this
	// revision or later bring it back, and groups that are not LeftOut if any is.
	Hidden int64
	// Ended is the revision before which times together do not count any more once
	// they are over. It is the same in the rosters of both.
	Ended int64
}

// OfflineMessage waits for its recipient.
type OfflineMessage struct {
	ID     int64   // set by the engine; rises in order of arrival
	To     jid.JID // bare
	From   jid.JID // bare; zero where it is read
	Time   time.Time
	Stanza []byte // XML, without delay element
}

// OfflineLimits bound what waits for one recipient: in all, and of one sender,
// so that nobody can fill the place of everybody else.
type OfflineLimits struct {
	All, Sender OfflineQuota
}

// OfflineQuota is a number of messages and their bytes.
type OfflineQuota struct {
	Messages int
	Bytes    int64
}

// ArchiveRow is one archived room message. Rows of a room are ordered by ID in
// byte order; whoever makes the IDs lets them rise within a room.
type ArchiveRow struct {
	ID       string  // the StanzaID, unique in its room
	Room     jid.JID // bare
	Time     time.Time
	From     jid.JID // occupant JID, or the room itself
	RealJID  jid.JID // bare
	Resource string  // of RealJID's client; "" if it is not known
	Subject  bool    // a subject change
	Stanza   []byte  // XML of the message as broadcast, without to
}

// ArchiveQuery selects rows of one room; a query without bounds is the oldest
// page. Pages are in rising order of ID, those of Newest too. AfterID and
// BeforeID need not exist.
type ArchiveQuery struct {
	Room       jid.JID
	Start, End time.Time // inclusive; zero: open
	With       jid.JID   // only rows of this occupant JID, or of this real address or, if it is bare, of all its clients; zero: all
	AfterID    string    // rows behind this one, exclusive; "" from the oldest
	BeforeID   string    // rows before this one, exclusive; "" up to the newest
	Newest     bool      // the last Limit rows of the selection, not the first
	Subjects   bool      // only subject changes
	Skip       int       // so many rows at that end are passed over
	Limit      int       // at most so many rows; 0 is an error
}

// ArchiveRoom is one archive of a room. Another room of that name has another.
type ArchiveRoom struct {
	JID     jid.JID
	Archive int64
}

// ArchiveLimits are what a room's archive keeps: rows that are older or more
// are removed, the oldest first. 0 is without end.
type ArchiveLimits struct {
	Age  time.Duration
	Rows int
}

// PrivateData is what somebody has stored for himself under one name
// (XEP-0049).
type PrivateData struct {
	Space, Name string // of the elements
	XML         []byte // one element or several, one after the other; empty: nothing is stored
}

// Where bookmarks are among the private data of an account (XEP-0048 §3.1 of its
// version 1.0).
const (
	BookmarksSpace = "storage:bookmarks"
	BookmarksName  = "storage"
)

// Bookmarks are somebody's bookmarks, and what he has been given of one room.
type Bookmarks struct {
	Owner     jid.JID
	XML       []byte // as in PrivateData
	Given     bool   // he has been given one, whatever he has made of it
	GivenName string // the name that it had
}

// PrivateLimits bound what one account stores for itself.
type PrivateLimits struct {
	Space int // bytes of names and data within one namespace
	Total int // bytes of names and data
	Names int
}

// LastActivity is when an account's last session went, and what it said then
// (XEP-0012).
type LastActivity struct {
	Account jid.JID // bare
	Time    time.Time
	Status  string
}

// ReservedNick is a nickname that is somebody's in all rooms of a service.
type ReservedNick struct {
	Owner jid.JID // bare
	Nick  string
	Key   string // what nicknames are compared by, see jid.NickKey
}

// Token lets a program administrate the server. Its secret is not stored.
type Token struct {
	ID      string // part of what its owner has, and its key
	Name    string // unique; what people call it
	Hash    []byte // of all that its owner has
	Scopes  []string
	Hosts   []string // that it is good for; empty: all
	Created time.Time
	Expires time.Time // zero: never
	Used    time.Time // last, roughly; zero: never
}

// Expired reports whether the token's time is over.
func (t Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }
