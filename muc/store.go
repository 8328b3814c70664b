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
	// Room returns a stored room, ErrNoRoom if there is none.
	Room(ctx context.Context, room jid.JID) (*RoomRecord, error)
	// Rooms returns at most limit descriptors of the rooms of a service (a
	// domain), ordered by local part in byte order, behind the local part
	// after ("" for the first page).
	Rooms(ctx context.Context, service, after string, limit int) ([]RoomDescriptor, error)
	// ApplyRoomChange creates the room if it is not stored, and applies all of
	// change or nothing. Without change.Created it creates nothing: ErrNoRoom.
	ApplyRoomChange(ctx context.Context, room jid.JID, epoch int64, change RoomChange) error
	// DeleteRoom removes the room with its affiliations; a room that is not
	// stored is no error.
	DeleteRoom(ctx context.Context, room jid.JID, epoch int64) error
}

// RoomRecord is a room as it is stored.
type RoomRecord struct {
	JID      jid.JID
	Created  time.Time
	Settings map[string][]string // setting key → values
	Subject  Subject
	// SubjectID is the StanzaID of the archived message that set Subject, ""
	// if it was not archived. Later subject changes in the archive win.
	SubjectID    string
	Affiliations []AffiliationRecord // ordered by JID; never with None
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
	Affiliations []AffiliationRecord // replaces these JIDs' entries; None removes
}

// Subject is a room's subject line.
type Subject struct {
	Text   string
	Author jid.JID // occupant JID of then; zero: never set
	Time   time.Time
}
