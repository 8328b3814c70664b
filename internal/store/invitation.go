package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/muster-im/muster/jid"
)

var (
	// ErrReserved says that the name of an account is kept for somebody who is
	// invited.
	ErrReserved = fmt.Errorf("kept for somebody who is invited: %w", ErrConflict)
	// ErrInvitation says that an invitation is used up, or revoked.
	ErrInvitation = errors.New("the invitation is used up or revoked")
)

// Unlimited is the number of uses of an invitation without a limit.
const Unlimited = -1

// Invitation is a token that lets people make accounts, or become somebody's
// contacts. The token itself is not stored.
type Invitation struct {
	ID      string
	Hash    []byte
	Host    string         // of the accounts
	Name    string         // the only account that can be made; "" any
	Inviter jid.JID        // becomes a contact of who comes; zero: nobody
	Account bool           // accounts can be made
	Contact bool           // those who have one may use it, too
	Groups  []InvitedGroup // in which the accounts are
	Note    string         // for administrators
	Creator string         // who has made it: an address, or what names him in the log
	Uses    int            // left; Unlimited
	Used    int            // how often it has been used
	Created time.Time
	Expires time.Time
}

// Arrival is what is to be done for somebody who has used an invitation.
type Arrival struct {
	Invitation string // its id
	Account    jid.JID
	Inviter    jid.JID        // zero: nobody
	Groups     []InvitedGroup // of a new account
}

// InvitedGroup is a group of an invitation.
type InvitedGroup struct {
	ID string `json:"id"`
	// Number is the group's for good, as the id is not: there may be another
	// group with that some day. 0: the group was gone before numbers were stored.
	Number int64 `json:"number"`
	Gone   bool  `json:"-"` // not stored
}
