// Package register lets people make accounts with their clients, change their
// passwords and remove themselves (XEP-0077). It has no goroutines; its methods
// wait for the account store and, where a password is hashed, for their turn.
package register

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/shaper"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Accounts is what registration needs of the account service. Errors wrap
// store.ErrNotFound, store.ErrConflict and sasl.ErrPassword where that applies.
type Accounts interface {
	Exists(ctx context.Context, account jid.JID) (bool, error)
	Create(ctx context.Context, account jid.JID, password string) error
	SetPassword(ctx context.Context, account jid.JID, password string) error
	// DeleteLater removes an account and calls done before anything of it ends.
	DeleteLater(ctx context.Context, account jid.JID, done func()) error
}

// Router sends without waiting.
type Router interface {
	Send(st stanza.Stanza)
}

// Options configure a Service. Accounts, Router and Secure are required.
type Options struct {
	Accounts Accounts
	Router   Router
	// Invitations let people in where registration is closed; nil: there are none.
	Invitations Invitations
	// Secure reports whether nobody else can read what a session says.
	Secure func(full jid.JID) bool
	// AllowInsecure permits passwords that others could read, for tests.
	AllowInsecure bool
	// LimitLoopback applies the limit per address to loopback, too.
	LimitLoopback bool
	Settings      Settings

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Settings are what may change while the server runs.
type Settings struct {
	// Closed says that nobody may make an account.
	Closed bool
	// Allows reports whether an account of that name may be made; nil: any.
	Allows func(account jid.JID) bool
	// Networks say from where accounts may be made: the first that has the
	// address counts, and from elsewhere they may.
	Networks []Network
	// Every is the time between two accounts from the same address; 0: any.
	Every time.Duration
	// PasswordBits is the least entropy of a password.
	PasswordBits int
	// WelcomeSubject and WelcomeBody are a message to those who are new; none
	// if both are empty.
	WelcomeSubject, WelcomeBody string
	// Watchers get a message about every new account.
	Watchers []jid.JID
}

// Network is a set of addresses that may register, or may not.
type Network struct {
	Prefix netip.Prefix
	Allow  bool
}

// admits reports whether somebody may register from an address. What has no
// address in a network is this process itself.
func (s *Settings) admits(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return true
	}
	ip := ap.Addr().Unmap().WithZone("")
	for _, n := range s.Networks {
		if n.Prefix.Contains(ip) {
			return n.Allow
		}
	}
	return true
}

// Service answers. It is safe for concurrent use.
type Service struct {
	// Set at construction.
	opts    Options
	log     *slog.Logger
	limit   *shaper.Addresses
	changes *prometheus.CounterVec
	refused *prometheus.CounterVec

	settings atomic.Pointer[Settings]
}

// What has been done, for metrics.
const (
	registered = "registered"
	changed    = "password"
	removed    = "removed"
)

// New returns a service.
func New(o Options) *Service {
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "muster_register_" + name, Help: help}, []string{label})
	}
	s := &Service{
		opts: o, log: o.Logger, limit: shaper.NewAddresses(1, o.Settings.Every, o.LimitLoopback),
		changes: vec("changes_total", "Accounts made, changed and removed by clients.", "change"),
		refused: vec("refused_total", "Requests about accounts that were refused, by condition.", "reason"),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(s.changes, s.refused)
	}
	s.settings.Store(&o.Settings)
	return s
}

// SetSettings replaces the settings. Who has just made an account waits as long
// as the new ones say.
func (s *Service) SetSettings(next Settings) {
	s.limit.SetEvery(next.Every)
	s.settings.Store(&next)
}

// channelAllowed reports whether a password may be sent over a channel.
func (s *Service) channelAllowed(secure bool) bool { return secure || s.opts.AllowInsecure }

// Offered reports whether somebody who comes from an address may make an
// account; secure says that others cannot read what he says.
func (s *Service) Offered(addr net.Addr, secure bool) bool {
	settings := s.settings.Load()
	return !settings.Closed && s.channelAllowed(secure) && settings.admits(addr)
}

// fail counts and logs a refusal and returns the answer. Requests about accounts
// hold passwords, so an error does not repeat them (XEP-0077 §3.3).
func (s *Service) fail(ctx context.Context, iq *stanza.Stanza, err error) stanza.Stanza {
	se := stanza.AsError(err)
	if se == nil {
		se = stanza.NewError(stanza.Wait, stanza.InternalServerError, "")
		s.log.LogAttrs(ctx, slog.LevelError, "registration in trouble", slog.String("jid", iq.From.String()), slog.Any("err", err))
	}
	s.refused.WithLabelValues(string(se.Condition)).Inc()
	coded := *se
	coded.Code = se.Condition.LegacyCode() // still to be sent here (XEP-0077 §9)
	return iq.Reply(stanza.TypeError).With(coded.Element())
}

// done counts and logs what a client has done to an account.
func (s *Service) done(ctx context.Context, account jid.JID, change string, attrs ...slog.Attr) {
	s.changes.WithLabelValues(change).Inc()
	s.log.LogAttrs(ctx, slog.LevelInfo, "account changed by its client",
		append(attrs, slog.String("jid", account.String()), slog.String("change", change))...)
}
