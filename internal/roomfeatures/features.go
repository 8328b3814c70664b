// Package roomfeatures holds the built-in features of rooms, one file each.
// They use only what package muc exports, exactly as an operator's extension
// would. A feature has no goroutines; what it keeps of a room lies in a slot of
// that room.
package roomfeatures

import "github.com/muster-im/muster/muc"

// Options choose between the variants that a service can offer.
type Options struct {
	// HistorySize bounds the messages that a newcomer gets; 0: none.
	HistorySize int
}

// All returns every built-in feature.
func All(o Options) []muc.Extension {
	return []muc.Extension{
		membersOnly{},
		password{},
		voice{},
		subject{},
		privateMessages{},
		history{size: o.HistorySize},
		archive{},
		memberList{},
		queries{},
		publicList{},
	}
}
