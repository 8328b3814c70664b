package roomadmin

import (
	"time"

	"github.com/muster-im/muster/jid"
)

// Room is a room in a list.
type Room struct {
	JID        jid.JID    `json:"jid"`
	Title      string     `json:"title"`
	Public     bool       `json:"public"`
	Persistent bool       `json:"persistent"`
	Awake      bool       `json:"awake"` // in memory
	Occupants  int        `json:"occupants"`
	Created    time.Time  `json:"created"`
	Used       *time.Time `json:"used,omitempty"` // when somebody was last inside, to the hour; only of persistent rooms
	// Affiliation is that of the account whose rooms were asked for.
	Affiliation string `json:"affiliation,omitempty"`
	// Nicks are those under which he is inside.
	Nicks []string `json:"nicks,omitempty"`
}

// RoomPage is one page of a list; Next asks for the following page, "" says that
// there is none.
type RoomPage struct {
	Rooms []Room `json:"rooms"`
	Next  string `json:"next,omitempty"`
}

// ListQuery selects rooms.
type ListQuery struct {
	Host   string  // "": the first
	After  string  // Next of the page before
	Limit  int     // 0 is 100, 1000 at most
	Search string  // only rooms with this in their name or title
	Of     jid.JID // only rooms in which this account has an affiliation
	// As shows what somebody would see: public rooms, and those to which he
	// belongs. Zero: all.
	As jid.JID
}

// Details are a room with everything that is set in it.
type Details struct {
	Room
	Locked  bool     `json:"locked,omitempty"` // until its creator has configured it
	Subject *Subject `json:"subject,omitempty"`
	Config  Config   `json:"config"`
}

// Subject is a room's subject line.
type Subject struct {
	Text string    `json:"text"`
	Nick string    `json:"nick,omitempty"` // who has set it; "": the room
	Time time.Time `json:"time"`
}

// NewRoom asks for a room.
type NewRoom struct {
	JID          jid.JID       `json:"jid"`
	Owner        jid.JID       `json:"owner,omitzero"`
	Config       Config        `json:"config,omitempty"` // what is not given is as in default_room
	Subject      string        `json:"subject,omitempty"`
	Affiliations []Affiliation `json:"affiliations,omitempty"`
}

// Affiliation is somebody's long-lived right in a room.
type Affiliation struct {
	JID         jid.JID `json:"jid"`
	Affiliation string  `json:"affiliation"` // owner, admin, member, none, outcast
	// Nick is reserved for him. In a change nil leaves it as it is, "" releases it.
	Nick   *string `json:"nick,omitempty"`
	Reason string  `json:"reason,omitempty"`
}

// AffiliationPage is one page of a list.
type AffiliationPage struct {
	Affiliations []Affiliation `json:"affiliations"`
	Next         string        `json:"next,omitempty"`
}

// AffiliationQuery selects entries of a room.
type AffiliationQuery struct {
	Affiliation string // "": all
	After       string
	Limit       int     // 0 is 100, 1000 at most
	As          jid.JID // with the rights of somebody; zero: all
}

// Occupant is somebody in a room.
type Occupant struct {
	Nick        string    `json:"nick"`
	Role        string    `json:"role"`
	Affiliation string    `json:"affiliation"`
	JID         jid.JID   `json:"jid,omitzero"`       // bare; missing if the one who asks may not see it
	Sessions    []jid.JID `json:"sessions,omitempty"` // his clients
}

// Message is what is to be said in a room.
type Message struct {
	// From is who says it, who must be inside: an account, or one of its
	// clients. Zero: the room itself.
	From    jid.JID `json:"from,omitzero"`
	To      string  `json:"to,omitempty"` // the nickname of whom it is for; "": everybody
	Body    string  `json:"body,omitempty"`
	Subject *string `json:"subject,omitempty"` // the new subject line, "" to remove it; not together with a body
}

// Said is a message that has been said.
type Said struct {
	ID string `json:"id,omitempty"` // in the archive, if the room has one
}

// Invitation is for people who are to come to a room.
type Invitation struct {
	To     []jid.JID `json:"to"`
	From   jid.JID   `json:"from,omitzero"` // who invites; zero: the room itself
	Reason string    `json:"reason,omitempty"`
	// Direct lets the invitation come from the inviter himself and not through
	// the room.
	Direct bool `json:"direct,omitempty"`
}

// HistoryQuery selects archived messages.
type HistoryQuery struct {
	Before, After string // ids between which they are
	Start, End    time.Time
	With          jid.JID // only from this account or occupant
	Limit         int     // 0 is 50, 500 at most; without After the newest
	As            jid.JID // with the rights of somebody; zero: all
}

// Past is an archived message.
type Past struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	Nick    string    `json:"nick,omitempty"` // "": the room itself
	JID     jid.JID   `json:"jid,omitzero"`   // missing if the one who asks may not see it
	Body    string    `json:"body,omitempty"`
	Subject *string   `json:"subject,omitempty"`
	Stanza  string    `json:"stanza"` // as it was passed on
}

// HistoryPage is one page of messages, the oldest first. Before and After ask
// for the pages around it; "" says that there is none.
type HistoryPage struct {
	Messages []Past `json:"messages"`
	Before   string `json:"before,omitempty"`
	After    string `json:"after,omitempty"`
}

// Destruction says how a room ends.
type Destruction struct {
	Reason      string  `json:"reason,omitempty"`
	Alternative jid.JID `json:"alternative,omitzero"` // where people go instead
}

// UnusedQuery selects rooms that nobody has used for a while.
type UnusedQuery struct {
	Host   string        // "": the first
	Idle   time.Duration // for how long; at least an hour
	After  string
	Limit  int  // 0 is 100, 1000 at most
	DryRun bool // of destroying: only say what would be destroyed
	Reason string
}
