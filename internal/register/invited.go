package register

import (
	"context"
	"errors"
	"net"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Invitations are what lets people make accounts where others may not.
type Invitations interface {
	// Show returns what a token allows, or store.ErrNotFound: the invitation's id,
	// the only name that can be registered with it ("" any), and whether its uses
	// are counted.
	Show(ctx context.Context, host, token string) (id, name string, bounded bool, err error)
	// Register makes an account and uses an invitation, or does neither. Errors
	// wrap store.ErrInvitation, store.ErrConflict and sasl.ErrPassword.
	Register(ctx context.Context, id string, account jid.JID, password string) error
}

// Invites reports whether somebody who comes from an address may show an
// invitation (XEP-0445 §3).
func (s *Service) Invites(addr net.Addr, secure bool) bool {
	return s.opts.Invitations != nil && s.mayAsk(s.settings.Load(), addr, secure) == nil
}

// noInvitation refuses a token (XEP-0445 §4).
func noInvitation() error {
	return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The provided token is invalid or expired")
}

// Invited answers somebody who shows an invitation before authentication
// (XEP-0445 §4). What makes his account is returned; nil if the invitation is
// not good.
func (s *Service) Invited(ctx context.Context, host string, addr net.Addr, secure bool, iq *stanza.Stanza) (stanza.Stanza, *Invited) {
	token := iq.Payload().Attr("token")
	err := s.mayAsk(s.settings.Load(), addr, secure)
	switch {
	case s.opts.Invitations == nil:
		err = stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
	case err == nil && (iq.Type != stanza.TypeSet || token == ""):
		err = bad("A token is missing.")
	}
	in := &Invited{Service: s}
	if err == nil {
		in.id, in.name, in.bounded, err = s.opts.Invitations.Show(ctx, host, token)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = noInvitation()
	}
	if err != nil {
		return s.fail(ctx, iq, err), nil
	}
	return iq.Result(nil), in
}

// Invited makes accounts for somebody who has shown an invitation: whether others
// may, by whatever name and how often, is not asked. From where is, and so is
// the rate if the invitation can be used without end.
type Invited struct {
	*Service

	id, name string
	bounded  bool
}

// Register answers a request as Service.Register does. The invitation is used
// when there is an account, and its time is not asked for again (XEP-0445 §4).
func (i *Invited) Register(ctx context.Context, host string, addr net.Addr, secure bool, iq *stanza.Stanza) (answer stanza.Stanza, made bool) {
	settings := i.settings.Load()
	if err := i.mayAsk(settings, addr, secure); err != nil {
		return i.fail(ctx, iq, err), false
	}
	return i.answer(ctx, &applicant{
		host: host, addr: addr, settings: settings, name: i.name, limited: !i.bounded,
		create: func(ctx context.Context, account jid.JID, password string) error {
			return i.opts.Invitations.Register(ctx, i.id, account, password)
		},
	}, iq)
}
