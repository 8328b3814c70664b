// Package router decides where a stanza goes: to a session of a local account,
// to a local service such as the rooms, to a handler of the server or an
// account itself, or nowhere, which is answered. It owns the session table.
package router

import (
	"context"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Target takes the stanzas of one full JID.
type Target = stanza.Target

// Session is a bound client session as routing sees it.
type Session interface {
	Target
	// JID is the full JID, fixed for the session's life.
	JID() jid.JID
	// State is the session's presence state: sessions own one by value.
	State() *PresenceState
	// Replace ends the session because another one binds its resource
	// (RFC 6120 §7.7.2.2, stream error conflict).
	Replace()
}

// Service is something local that has a whole domain, such as a room service.
type Service interface {
	// Handle takes a stanza with valid addresses. It never waits. A non-nil
	// channel asks the caller to read no more from the sender until it closes.
	Handle(st stanza.Stanza) (busy <-chan struct{})
}

// IQHandler answers one IQ request. The result payload may be nil; an error
// becomes the answer, as internal-server-error if it is no *stanza.Error.
type IQHandler func(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error)
