// Package roomfeatures holds the built-in features of rooms, one file each.
// They use only what package muc exports, exactly as an operator's extension
// would. A feature has no goroutines; what it keeps of a room lies in a slot of
// that room.
package roomfeatures

import (
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// Options choose between the variants that a service can offer.
type Options struct {
	// HistorySize bounds the messages that a newcomer gets; 0: none.
	HistorySize int
	// RoomsPerUser limits the rooms that somebody is in; nil does not.
	RoomsPerUser *LimitedRooms
	// Pace says how fast people may send, asked for each stanza; nil: as fast as
	// they like.
	Pace func() Pace
	// OccupantIDKey is the secret behind occupant ids; nil: there are none.
	// With another key everybody has other ids.
	OccupantIDKey []byte
	// DefaultPage and MaxPage bound what an archive query brings; 0 is 50.
	DefaultPage, MaxPage int
	// Keeps says how long and how many messages the service keeps, 0 being without
	// end; nil: without end.
	Keeps func() (age time.Duration, messages int)
	// Nicknames are those that people reserve in all rooms of the service; nil:
	// they cannot.
	Nicknames *Nicknames
	// Passwords decides on the passwords of rooms that need one; nil: the rooms do.
	Passwords *PasswordService
	// MayProtect says which owners may switch whether a room needs a password, asked
	// for each; nil: all.
	MayProtect func(owner jid.JID) bool
	// Logs says that rooms have a switch for logs, muc#roomconfig_enablelogging;
	// that of the archive is muc#roomconfig_enablearchiving then.
	Logs bool
	// The features to be left out.
	NoRetraction, NoModeration, NoHats, NoAvatars, NoAbsent bool
}

// All returns every built-in feature.
func All(o Options) []muc.Extension {
	secret, members := &password{service: o.Passwords, may: o.MayProtect}, &membersOnly{}
	invite := &invitations{password: secret, members: members}
	kept := &retention{service: o.Keeps}
	list := []muc.Extension{
		members,
		secret,
		invite,
		voiceRequests{},
		roomsPerUser{o.RoomsPerUser},
		pace{limits: o.Pace},
		voice{},
		subject{},
		privateMessages{},
		history{size: o.HistorySize, retention: kept},
		archive{logs: o.Logs},
		mam{defaultPage: o.DefaultPage, maxPage: o.MaxPage},
		kept,
		memberList{},
		queries{},
		publicList{},
		presenceBroadcast{},
		content{},
		&registration{},
	}
	var ids *occupantID
	if len(o.OccupantIDKey) > 0 {
		ids = &occupantID{key: o.OccupantIDKey}
		list = append(list, ids)
	}
	if o.Nicknames != nil {
		list = append(list, o.Nicknames)
	}
	if !o.NoRetraction {
		list = append(list, &retraction{})
	}
	if !o.NoModeration {
		list = append(list, moderation{ids: ids})
	}
	if !o.NoAbsent {
		list = append(list, &absent{invitations: invite})
	}
	cmds := &commands{}
	if !o.NoHats {
		list = append(list, &hats{commands: cmds})
	}
	if !o.NoAvatars {
		list = append(list, &avatar{})
	}
	return append(list, cmds)
}
