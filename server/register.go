package server

import (
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/access"
	"github.com/muster-im/muster/internal/c2s"
	"github.com/muster-im/muster/internal/register"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// buildRegistration makes registration by clients, if modules.mod_register is
// there; with modules.mod_invites alone, for those who are invited.
func (s *Server) buildRegistration(cfg *config.Config) {
	if cfg.Modules.Register == nil && s.invites == nil {
		return
	}
	var invitations register.Invitations
	if s.invites != nil {
		invitations = s.invites
	}
	s.registration = register.New(register.Options{
		Accounts: s.accounts, Router: s.router, Secure: s.secure, Invitations: invitations,
		AllowInsecure: cfg.Auth.AllowPlainWithoutTLS, LimitLoopback: cfg.General.LimitLoopback,
		Settings: registerSettings(cfg, s.policies.Load().rules),
		Logger:   s.logger("register"), Registerer: s.registry,
	})
	if cfg.Modules.Register == nil {
		return
	}
	for _, t := range []stanza.Type{stanza.TypeGet, stanza.TypeSet} {
		s.router.HandleHost(stanza.NSRegister, t, s.registration.HandleIQ)
		s.router.HandleAccount(stanza.NSRegister, t, s.registration.HandleIQ)
	}
}

// beforeLogin is what client streams get to see of registration.
func (s *Server) beforeLogin() c2s.Registration {
	if s.registration == nil {
		return nil // an interface without a value
	}
	return beforeLogin{s.registration}
}

// secure reports whether others cannot read what a session says.
func (s *Server) secure(full jid.JID) bool {
	session, ok := s.router.Session(full).(interface{ Secure() bool })
	return ok && session.Secure()
}

// registerSettings are the settings of registration, which are valid.
func registerSettings(cfg *config.Config, rules *access.Rules) register.Settings {
	m := cfg.Modules.Register
	if m == nil {
		return register.Settings{Closed: true, Every: time.Duration(cfg.General.RegistrationTimeout) * time.Second}
	}
	settings := register.Settings{
		Closed: m.Access == access.None,
		Allows: func(account jid.JID) bool { return rules.Allows(m.Access, account.Domain(), account) },
		Every:  time.Duration(cfg.General.RegistrationTimeout) * time.Second, PasswordBits: int(m.PasswordStrength),
		WelcomeSubject: m.WelcomeMessage.Subject, WelcomeBody: m.WelcomeMessage.Body,
	}
	for i := range m.IPAccess {
		if prefix, err := m.IPAccess[i].Prefix(); err == nil {
			settings.Networks = append(settings.Networks, register.Network{Prefix: prefix, Allow: m.IPAccess[i].Policy == "allow"})
		}
	}
	for _, w := range m.RegistrationWatchers {
		if j, err := jid.Parse(w); err == nil {
			settings.Watchers = append(settings.Watchers, j)
		}
	}
	return settings
}
