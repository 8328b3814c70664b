package register

import (
	"context"
	"errors"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// HandleIQ answers a request of somebody who has logged in, to his host or to
// his own account, about his account: what is on file, a new password, or its
// end (XEP-0077 §3.1–§3.3).
func (s *Service) HandleIQ(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	answer, err := s.handle(ctx, iq)
	switch {
	case err != nil:
		s.opts.Router.Send(s.fail(ctx, iq, err))
	case answer != nil:
		s.opts.Router.Send(*answer)
	}
	return nil, router.ErrAnswered
}

// handle returns the answer, nil if it has been given.
func (s *Service) handle(ctx context.Context, iq *stanza.Stanza) (*stanza.Stanza, error) {
	own := iq.From.Bare()
	if iq.To != own && iq.To.Local() != "" {
		return nil, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "") // somebody else's account
	}
	elsewhere := iq.To.Domain() != own.Domain()
	if iq.Type == stanza.TypeGet {
		if elsewhere {
			return nil, stanza.NewError(stanza.Cancel, stanza.NotAllowed, "You have an account on another host. Log out to make one here.")
		}
		result := iq.Result(current(own.Local()))
		return &result, nil
	}
	r, err := parseQuery(iq.Payload())
	switch {
	case err != nil:
		return nil, err
	case elsewhere && r.remove: // §3.2
		return nil, stanza.NewError(stanza.Auth, stanza.RegistrationRequired, "You have no account on this host.")
	case elsewhere:
		return nil, stanza.NewError(stanza.Cancel, stanza.NotAllowed, "You have an account on another host. Log out to make one here.")
	case r.remove:
		return nil, s.remove(ctx, own, iq)
	}
	if err := s.change(ctx, iq.From, r); err != nil {
		return nil, err
	}
	result := iq.Result(nil)
	return &result, nil
}

// remove ends the account. The result goes out before the sessions end with
// not-authorized (§3.2).
func (s *Service) remove(ctx context.Context, own jid.JID, iq *stanza.Stanza) error {
	err := s.opts.Accounts.DeleteLater(ctx, own, func() { s.opts.Router.Send(iq.Result(nil)) })
	switch {
	case errors.Is(err, store.ErrNotFound):
		return stanza.NewError(stanza.Auth, stanza.RegistrationRequired, "The account has been removed.")
	case err != nil:
		return err
	}
	s.done(ctx, own, removed)
	return nil
}

// change sets a new password (§3.3). All sessions go on.
func (s *Service) change(ctx context.Context, full jid.JID, r query) error {
	own := full.Bare()
	switch {
	case !r.hasUsername || r.username == "":
		return bad("The username is missing.")
	case r.password == "": // it keeps the old one
		return bad("The new password is missing.")
	}
	account, err := jid.New(r.username, own.Domain(), "")
	switch {
	case err != nil || account != own: // §3.1.1: a second identity
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "This is not your username: log out to make another account.")
	case !s.channelAllowed(s.opts.Secure(full)):
		return stanza.NewError(stanza.Modify, stanza.NotAuthorized, "Use TLS: others could read the password.")
	}
	if err := checkPassword(r.password, s.settings.Load().PasswordBits); err != nil {
		return err
	}
	switch err := s.opts.Accounts.SetPassword(ctx, own, r.password); {
	case errors.Is(err, store.ErrNotFound):
		return stanza.NewError(stanza.Auth, stanza.RegistrationRequired, "The account has been removed.")
	case errors.Is(err, sasl.ErrPassword):
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "This cannot be a password.")
	case err != nil:
		return err
	}
	s.done(ctx, own, changed)
	return nil
}
