package muc

import "github.com/muster-im/muster/jid"

// Actor is who asks for a change: somebody, whose rank decides, or the system,
// which may do everything.
type Actor struct {
	jid    jid.JID
	system bool
}

// System is the actor with full authority.
var System = Actor{system: true} //nolint:gochecknoglobals // a constant of struct type

// By is the person with that address as an actor: a full JID, so that his role
// in the room is known, or a bare one.
func By(j jid.JID) Actor { return Actor{jid: j} }

// JID is the person's address, zero for the system.
func (a Actor) JID() jid.JID { return a.jid }
