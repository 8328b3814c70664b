package groups

import (
	"context"

	"github.com/muster-im/muster/jid"
)

// Chats makes rooms what groups want them to be. Every method may be called
// again with the same arguments after an error or a crash, and then succeeds. An
// error that wraps ErrRefused says that it never will.
type Chats interface {
	// Serves reports whether groups have their chats at a domain now. Of a room of
	// another one nothing is asked.
	Serves(domain string) bool
	// Create makes a room with the members that it has, or makes one that there
	// is what it should be. Members are invited, and the chat comes into their
	// bookmarks.
	Create(ctx context.Context, c GroupChat) error
	// Restore brings a room, and bookmarks, back to what the group says. A room that
	// is gone stays so.
	Restore(ctx context.Context, c GroupChat) error
	// Rename gives a room another name and announces that. A room that is gone
	// stays so.
	Rename(ctx context.Context, room jid.JID, name string) error
	// Affiliate brings members to what they are in the group: who joins is
	// invited, once, and has the chat among his bookmarks; who leaves is put out. A
	// room that is gone stays so.
	Affiliate(ctx context.Context, room jid.JID, changes []Affiliation) error
	// Destroy deletes a room, if it is there, and the bookmarks of it.
	Destroy(ctx context.Context, room jid.JID, reason string) error
	// State returns what has become of a room of a group.
	State(ctx context.Context, room jid.JID, group ID) (ChatState, error)
}

// GroupChat is what a group's room should be: hidden, persistent, for members
// only, who see who the others are, and owned by the group.
type GroupChat struct {
	Room    jid.JID
	Name    string
	Group   Info
	Members []Affiliation
}

// Affiliation is what somebody is to be in a room.
type Affiliation struct {
	User jid.JID
	Role Role // "": nothing
}

// ChatState is what has become of a room.
type ChatState struct {
	Exists bool   // and it is the group's, or nobody's
	Name   string // "" none
	// Foreign says that there is a room which is not the group's: another one's,
	// or one that people own.
	Foreign bool
}
