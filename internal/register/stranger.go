package register

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Register answers a request that comes before authentication to one of our
// hosts (XEP-0077 §3.1.1). made says that there is a new account.
func (s *Service) Register(ctx context.Context, host string, addr net.Addr, secure bool, iq *stanza.Stanza) (answer stanza.Stanza, made bool) {
	settings := s.settings.Load()
	switch err := s.mayRegister(settings, addr, secure); {
	case err != nil:
		return s.fail(ctx, iq, err), false
	case iq.Type == stanza.TypeGet:
		return iq.Result(fields()), false
	}
	account, err := s.register(ctx, settings, host, addr, iq.Payload())
	if err != nil {
		return s.fail(ctx, iq, err), false
	}
	s.done(ctx, account, registered, slog.String("remote", addr.String()))
	s.welcome(settings, account, addr)
	return iq.Result(nil), true
}

// mayRegister refuses those who may not register, whatever they say.
func (s *Service) mayRegister(settings *Settings, addr net.Addr, secure bool) error {
	switch {
	case settings.Closed: // §3.1
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
	case !s.channelAllowed(secure): // as §3.3 has it for passwords
		return stanza.NewError(stanza.Modify, stanza.NotAuthorized, "Use TLS first: others could read the password.")
	case !settings.admits(addr):
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Accounts cannot be made from your address.")
	}
	return nil
}

// register makes an account.
func (s *Service) register(ctx context.Context, settings *Settings, host string, addr net.Addr, q *stanza.Element) (jid.JID, error) {
	r, err := parseQuery(q)
	switch {
	case err != nil:
		return jid.JID{}, err
	case r.remove: // §3.2
		return jid.JID{}, stanza.NewError(stanza.Wait, stanza.UnexpectedRequest, "Log in to remove an account.")
	case r.username == "": // §3.1
		return jid.JID{}, stanza.NewError(stanza.Modify, stanza.NotAcceptable, "A username is required.")
	}
	account, err := jid.New(r.username, host, "")
	if err != nil {
		return jid.JID{}, stanza.NewError(stanza.Modify, stanza.JIDMalformed, "This cannot be a username.")
	}
	if err := checkPassword(r.password, settings.PasswordBits); err != nil {
		return jid.JID{}, err
	}
	if settings.Allows != nil && !settings.Allows(account) {
		return jid.JID{}, stanza.NewError(stanza.Auth, stanza.Forbidden, "This username cannot be registered.")
	}
	if !s.limit.Try(addr) {
		return jid.JID{}, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "An account has been made from your address already. Try again later.")
	}
	if err := s.create(ctx, account, r.password); err != nil {
		s.limit.Return(addr) // only accounts count
		return jid.JID{}, err
	}
	return account, nil
}

func (s *Service) create(ctx context.Context, account jid.JID, password string) error {
	// Asked first, so that nobody hashes for names that are taken.
	there, err := s.opts.Accounts.Exists(ctx, account)
	if err == nil && !there {
		err = s.opts.Accounts.Create(ctx, account, password)
	}
	switch {
	case there || errors.Is(err, store.ErrConflict): // §3.1
		return stanza.NewError(stanza.Cancel, stanza.Conflict, "The username is taken.")
	case errors.Is(err, sasl.ErrPassword):
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "This cannot be a password.")
	}
	return err
}

// welcome writes to those who are new, and to those who want to know.
func (s *Service) welcome(settings *Settings, account jid.JID, addr net.Addr) {
	host := account.DomainOnly()
	if settings.WelcomeSubject != "" || settings.WelcomeBody != "" {
		s.opts.Router.Send(message(host, account, settings.WelcomeSubject, settings.WelcomeBody))
	}
	for _, w := range settings.Watchers {
		s.opts.Router.Send(message(host, w, "", "The account "+account.String()+" has been registered from "+addr.String()+"."))
	}
}

func message(from, to jid.JID, subject, body string) stanza.Stanza {
	m := stanza.Stanza{Kind: stanza.Message, From: from, To: to}
	if subject != "" {
		m = m.With(stanza.NewElement(stanza.NSClient, "subject").AddText(subject))
	}
	if body != "" {
		m = m.With(stanza.NewElement(stanza.NSClient, "body").AddText(body))
	}
	return m
}
