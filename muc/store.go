package muc

import (
	"context"
	"errors"
	"time"

	"github.com/muster-im/muster/jid"
)

// Errors of stores and handles, to be tested with errors.Is.
var (
	// ErrNoRoom says that there is no such room.
	ErrNoRoom = errors.New("no such room")
	// ErrStaleEpoch says that a write came from a node that no longer owns the
	// room.
	ErrStaleEpoch = errors.New("room is owned by somebody else")
)

// Store keeps rooms that survive a restart. Implementations are safe for
// concurrent use; every method is one transaction and may block until ctx
// ends. Each write carries the epoch of its writer and is refused with
// ErrStaleEpoch if the stored one is higher.
type Store interface {
	// Room returns a stored room, or what is left of a destroyed one;
	// ErrNoRoom if there is neither.
	Room(ctx context.Context, room jid.JID) (*RoomRecord, error)
	// RoomData returns what features keep of a room, by key; nothing if it is not
	// stored.
	RoomData(ctx context.Context, room jid.JID) (map[string][]byte, error)
	// Rooms returns the part of a service's rooms that q asks for, ordered by
	// local part in byte order.
	Rooms(ctx context.Context, q RoomsQuery) ([]RoomDescriptor, error)
	// CountRooms returns how many rooms q describes, its limit aside.
	CountRooms(ctx context.Context, q RoomsQuery) (int, error)
	// ApplyRoomChange creates the room if it is not stored, and applies all of
	// change or nothing. Without change.Created it creates nothing: ErrNoRoom.
	// A room takes the place of its tombstone.
	ApplyRoomChange(ctx context.Context, room jid.JID, epoch int64, change RoomChange) error
	// NoteUse remembers when stored rooms were used; others are passed over.
	NoteUse(ctx context.Context, list []RoomUse) error
	// DeleteRoom removes the room with its affiliations and leaves a tombstone
	// in its place, if there is to be one; a room that is not stored is no
	// error.
	DeleteRoom(ctx context.Context, room jid.JID, epoch int64, t *Tombstone) error
}

// RoomsQuery asks for rooms of a service.
type RoomsQuery struct {
	Service       string // its domain
	Public        bool   // only rooms that are listed
	After, Before string // local parts between which the rooms are; "" is no bound
	Last          bool   // the last Limit rooms between them, instead of the first
	Limit         int
}

// Tombstone is what is left of a room that was destroyed (XEP-0045 §10.9).
type Tombstone struct {
	Reason      string
	Alternative jid.JID   // where to go instead; zero: nowhere
	Until       time.Time // when it is forgotten
	// Denied are the people and domains that were banned from the room while it
	// was hidden, in order: for them there has never been one.
	Denied []jid.JID
}

// RoomRecord is a room as it is stored.
type RoomRecord struct {
	// Tombstone, if not nil, is all that there is: the room was destroyed.
	Tombstone *Tombstone

	JID      jid.JID
	Created  time.Time
	Settings map[string][]string // setting key → values
	Subject  Subject
	// SubjectID is the StanzaID of the archived message that set Subject, ""
	// if it was not archived. Later subject changes in the archive win.
	SubjectID    string
	Affiliations []AffiliationRecord // ordered by JID; with None only if they have Data
}

// AffiliationRecord is one person's long-lived relation to a room.
type AffiliationRecord struct {
	JID         jid.JID // bare, or a domain
	Affiliation Affiliation
	Nick        string // reserved nickname, "" if none
	Reason      string // given with the last change
	// Data is of extensions. A change replaces the keys it names, "" removing
	// one, and keeps the others.
	Data map[string]string
}

// RoomDescriptor is what a listing shows of a room without loading it.
type RoomDescriptor struct {
	JID    jid.JID
	Name   string
	Public bool
}

// RoomChange is what one event changes in a stored room; nil parts stay.
type RoomChange struct {
	Created      time.Time           // of the room; zero: it must be stored already
	Descriptor   *RoomDescriptor     // name and publicity as listed
	Settings     map[string][]string // replaces all settings
	Subject      *Subject
	SubjectID    string              // with Subject
	Data         map[string][]byte   // replaces what is kept under these keys; empty removes
	Affiliations []AffiliationRecord // replaces these JIDs' entries; None without Data removes
}

// Subject is a room's subject line.
type Subject struct {
	Text   string
	Lang   string        // of Text; "": nobody has said
	More   []SubjectText // the same in other languages
	Author jid.JID       // occupant JID of then; zero: never set
	// RealJID is the bare address of who has set it; zero: the room, or nobody
	// knows.
	RealJID jid.JID
	Time    time.Time
}

// SubjectText is a subject line in one language.
type SubjectText struct{ Lang, Text string }
