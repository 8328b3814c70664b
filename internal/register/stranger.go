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
	if err := s.mayRegister(settings, addr, secure); err != nil {
		return s.fail(ctx, iq, err), false
	}
	return s.answer(ctx, s.stranger(settings, host, addr), iq)
}

// applicant is somebody who wants an account.
type applicant struct {
	host     string
	addr     net.Addr
	settings *Settings
	name     string                     // the only one that he may have; "" any
	limited  bool                       // by the rate of his address
	allows   func(account jid.JID) bool // nil: any
	create   func(ctx context.Context, account jid.JID, password string) error
}

// stranger is who has shown no invitation.
func (s *Service) stranger(settings *Settings, host string, addr net.Addr) *applicant {
	return &applicant{
		host: host, addr: addr, settings: settings, limited: true, allows: settings.Allows, create: s.opts.Accounts.Create,
	}
}

// answer answers a request of somebody who may register.
func (s *Service) answer(ctx context.Context, a *applicant, iq *stanza.Stanza) (answer stanza.Stanza, made bool) {
	if iq.Type == stanza.TypeGet {
		return iq.Result(fields(a.name)), false
	}
	account, err := s.register(ctx, a, iq.Payload())
	if err != nil {
		return s.fail(ctx, iq, err), false
	}
	s.done(ctx, account, registered, slog.String("remote", a.addr.String()))
	s.welcome(a.settings, account, a.addr)
	return iq.Result(nil), true
}

// mayRegister refuses those who may not register, whatever they say.
func (s *Service) mayRegister(settings *Settings, addr net.Addr, secure bool) error {
	switch {
	case settings.Closed: // §3.1
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
	}
	return s.mayAsk(settings, addr, secure)
}

// mayAsk refuses those who may not even show an invitation.
func (s *Service) mayAsk(settings *Settings, addr net.Addr, secure bool) error {
	switch {
	case !s.channelAllowed(secure): // as §3.3 has it for passwords
		return stanza.NewError(stanza.Modify, stanza.NotAuthorized, "Use TLS first: others could read the password.")
	case !settings.admits(addr):
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "Accounts cannot be made from your address.")
	}
	return nil
}

// register makes an account.
func (s *Service) register(ctx context.Context, a *applicant, q *stanza.Element) (jid.JID, error) {
	r, err := parseQuery(q)
	switch {
	case err != nil:
		return jid.JID{}, err
	case r.remove: // §3.2
		return jid.JID{}, stanza.NewError(stanza.Wait, stanza.UnexpectedRequest, "Log in to remove an account.")
	case r.username == "": // §3.1
		return jid.JID{}, stanza.NewError(stanza.Modify, stanza.NotAcceptable, "A username is required.")
	}
	account, err := jid.New(r.username, a.host, "")
	if err != nil {
		return jid.JID{}, stanza.NewError(stanza.Modify, stanza.JIDMalformed, "This cannot be a username.")
	}
	if a.name != "" && account.Local() != a.name {
		return jid.JID{}, stanza.NewError(stanza.Modify, stanza.NotAcceptable, "You are invited as "+a.name+".")
	}
	if err := checkPassword(r.password, a.settings.PasswordBits); err != nil {
		return jid.JID{}, err
	}
	if a.allows != nil && !a.allows(account) {
		return jid.JID{}, stanza.NewError(stanza.Auth, stanza.Forbidden, "This username cannot be registered.")
	}
	if a.limited && !s.limit.Try(a.addr) {
		return jid.JID{}, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "An account has been made from your address already. Try again later.")
	}
	if err := s.create(ctx, a, account, r.password); err != nil {
		if a.limited {
			s.limit.Return(a.addr) // only accounts count
		}
		return jid.JID{}, err
	}
	return account, nil
}

func (s *Service) create(ctx context.Context, a *applicant, account jid.JID, password string) error {
	// Asked first, so that nobody hashes for names that are taken.
	there, err := s.opts.Accounts.Exists(ctx, account)
	if err == nil && !there {
		err = a.create(ctx, account, password)
	}
	switch {
	case there || errors.Is(err, store.ErrConflict): // §3.1
		return stanza.NewError(stanza.Cancel, stanza.Conflict, "The username is taken.")
	case errors.Is(err, sasl.ErrPassword):
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "This cannot be a password.")
	case errors.Is(err, store.ErrInvitation):
		return noInvitation()
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
