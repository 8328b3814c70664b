// Package userdata keeps what people store with their account: the vCard
// (XEP-0054), which everybody may read, and private XML (XEP-0049), which
// nobody else may. It holds nothing in memory and has no goroutines; its
// methods wait for the store.
package userdata

import (
	"context"
	"errors"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Store keeps the data of accounts, and forgets it with them. It is safe for
// concurrent use; every method is one transaction.
type Store interface {
	// VCard returns a vCard as XML, store.ErrNotFound if there is none.
	VCard(ctx context.Context, account jid.JID) ([]byte, error)
	// PutVCard replaces a vCard, removes it if vcard is empty;
	// store.ErrNotFound without the account.
	PutVCard(ctx context.Context, account jid.JID, vcard []byte) error
	// PrivateData returns what is stored under a name, nil if that is nothing.
	PrivateData(ctx context.Context, account jid.JID, space, name string) ([]byte, error)
	// PutPrivateData replaces what is stored under the names in list, all of it
	// or nothing; store.ErrFull beyond limits, store.ErrNotFound without the
	// account.
	PutPrivateData(ctx context.Context, account jid.JID, list []store.PrivateData, limits store.PrivateLimits) error
	// BookmarksGiven returns who has been given a bookmark of a room, ordered by
	// address: of these people, or, if there are none, of all.
	BookmarksGiven(ctx context.Context, room jid.JID, people []jid.JID) ([]jid.JID, error)
	// EditBookmarks changes the bookmarks of people, and what they have been given
	// of a room, in one transaction; edit may be called again for one. Who has no
	// account is left out. If limits have no room for somebody's new bookmarks the
	// old ones stay.
	EditBookmarks(ctx context.Context, room jid.JID, people []jid.JID, limits store.PrivateLimits, edit func(*store.Bookmarks)) error
}

// Options configure a Service. Store is required.
type Options struct {
	Store           Store
	MaxVCard        int // bytes of a vCard; 0 is 128 KiB
	MaxPrivateSpace int // bytes that an account stores for itself in one namespace; 0 is 128 KiB
	MaxPrivate      int // bytes that an account stores for itself; 0 is 1 MiB
	MaxPrivateNames int // names under which it does; 0 is 1000
}

// Service answers requests for what people have stored. It is safe for
// concurrent use.
type Service struct {
	store    Store
	maxVCard int
	limits   store.PrivateLimits
}

// New returns the service.
func New(o Options) *Service {
	for _, limit := range []struct {
		value *int
		def   int
	}{
		{&o.MaxVCard, 128 << 10}, {&o.MaxPrivateSpace, 128 << 10}, {&o.MaxPrivate, 1 << 20}, {&o.MaxPrivateNames, 1000},
	} {
		if *limit.value == 0 {
			*limit.value = limit.def
		}
	}
	return &Service{
		store: o.Store, maxVCard: o.MaxVCard,
		limits: store.PrivateLimits{Space: o.MaxPrivateSpace, Total: o.MaxPrivate, Names: o.MaxPrivateNames},
	}
}

// isOwn reports whether a request is about the account that it comes from.
func isOwn(iq *stanza.Stanza) bool { return iq.From.Bare() == iq.To.Bare() }

func forbidden(text string) error { return stanza.NewError(stanza.Auth, stanza.Forbidden, text) }

func badRequest(text string) error { return stanza.NewError(stanza.Modify, stanza.BadRequest, text) }

// notAcceptable refuses what a limit or a rule of ours does not allow (RFC 6120
// §8.3.3.9).
func notAcceptable(text string) error {
	return stanza.NewError(stanza.Modify, stanza.NotAcceptable, text)
}

// unavailable is the answer where there is nothing, or no such account: nobody
// can tell the two apart (XEP-0054 §3.3, RFC 6121 §8.5.1).
func unavailable() error { return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "") }

// orUnavailable is what storing for an account that was deleted meanwhile comes
// to.
func orUnavailable(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return unavailable()
	}
	return err
}
