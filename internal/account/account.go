// Package account keeps the local accounts: their names, and the keys that
// authenticate them. Passwords are turned into keys here and never stored. Who
// else has something of an account is told of its end by an event; see OnDeleted.
// The package has a goroutine for each removal that DeleteLater has begun, until
// Close; its methods block on the store and, where a password is hashed, on their
// turn to do so.
package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// Store keeps accounts.
type Store interface {
	// CreateAccount adds an account, store.ErrConflict if it exists or, as
	// store.ErrReserved, is to be somebody else's, store.ErrRemoving if one of that
	// name is being removed, store.ErrInvitation if its invitation is used up.
	CreateAccount(ctx context.Context, a store.Account) error
	// Account returns an account with its keys, or store.ErrNotFound.
	Account(ctx context.Context, account jid.JID) (store.Account, error)
	// SetAccountKeys replaces all keys, store.ErrNotFound without the account.
	SetAccountKeys(ctx context.Context, account jid.JID, keys []store.SCRAMKeys) error
	// RemoveAccount removes an account and notes that the rest is to be done,
	// or returns store.ErrNotFound.
	RemoveAccount(ctx context.Context, account jid.JID) error
	// AccountRemoved reports whether something of a removed account is left.
	AccountRemoved(ctx context.Context, account jid.JID) (bool, error)
	// RemovedAccounts returns the accounts of which that is so.
	RemovedAccounts(ctx context.Context) ([]jid.JID, error)
	// PurgeAccount removes what is left of a removed account.
	PurgeAccount(ctx context.Context, account jid.JID) error
	// Accounts returns at most limit accounts of domain behind the localpart
	// after, ordered by localpart. Their keys may be missing.
	Accounts(ctx context.Context, domain, after string, limit int) ([]store.Account, error)
}

// Errors that callers test. A missing account is store.ErrNotFound, one that
// exists already store.ErrConflict, an unusable password sasl.ErrPassword.
var (
	// ErrName says that an address cannot be an account's.
	ErrName = errors.New("unusable account name")
	// ErrHost says that a domain has no accounts here.
	ErrHost = errors.New("domain is not served here")
)

// IsInvalid reports whether an error says that what was asked for is at fault:
// a name or a password that cannot be used.
func IsInvalid(err error) bool {
	return errors.Is(err, ErrName) || errors.Is(err, ErrHost) || errors.Is(err, sasl.ErrPassword)
}

// Options configure a Service. Store and Hosts are required.
type Options struct {
	Store      Store
	Hosts      []string // domains that have accounts, prepared
	Hasher     *sasl.Hasher
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Service is the accounts of all hosts. It is safe for concurrent use.
type Service struct {
	// Set at construction.
	opts    Options
	hosts   []string // sorted
	log     *slog.Logger
	changes *prometheus.CounterVec
	removal
}

// New returns a service.
func New(o Options) *Service {
	if o.Hasher == nil {
		o.Hasher = sasl.NewHasher(0, 0)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{opts: o, log: o.Logger, hosts: slices.Sorted(slices.Values(o.Hosts)), removal: newRemoval()}
	s.changes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "muster_account_changes_total", Help: "Accounts created and deleted, and passwords set.",
	}, []string{"change"})
	if o.Registerer != nil {
		o.Registerer.MustRegister(s.changes)
	}
	return s
}

// check accepts the addresses that accounts may have: a localpart at a domain
// that is served.
func (s *Service) check(account jid.JID) error {
	switch {
	case account.Local() == "":
		return fmt.Errorf("%w: %q has no name before the @", ErrName, account)
	case !account.IsBare():
		return fmt.Errorf("%w: %q has a resource", ErrName, account)
	}
	if _, ok := slices.BinarySearch(s.hosts, account.Domain()); !ok {
		return fmt.Errorf("%w: %s", ErrHost, account.Domain())
	}
	return nil
}

// Create adds an account. If one of that name is being removed, that is done
// first.
func (s *Service) Create(ctx context.Context, account jid.JID, password string) error {
	return s.CreateInvited(ctx, account, password, "")
}

// CreateInvited is Create for somebody who uses an invitation, whose id is given;
// both happen or neither. It fails with store.ErrInvitation if that is used up.
func (s *Service) CreateInvited(ctx context.Context, account jid.JID, password, invitation string) error {
	if err := s.check(account); err != nil {
		return err
	}
	keys, err := s.opts.Hasher.Keys(ctx, password)
	if err != nil {
		return err
	}
	a := store.Account{JID: account, Keys: stored(keys), Created: time.Now().UTC(), Invitation: invitation}
	err = s.opts.Store.CreateAccount(ctx, a)
	if errors.Is(err, store.ErrRemoving) {
		if err = s.finish(ctx, account); err == nil {
			err = s.opts.Store.CreateAccount(ctx, a)
		}
	}
	if err != nil {
		return err
	}
	s.changes.WithLabelValues("created").Inc()
	return nil
}

// SetPassword replaces an account's password. Its sessions go on.
func (s *Service) SetPassword(ctx context.Context, account jid.JID, password string) error {
	if err := s.check(account); err != nil {
		return err
	}
	// Asked first, so that nobody hashes for accounts that do not exist.
	if _, err := s.opts.Store.Account(ctx, account); err != nil {
		return err
	}
	keys, err := s.opts.Hasher.Keys(ctx, password)
	if err != nil {
		return err
	}
	if err := s.opts.Store.SetAccountKeys(ctx, account, stored(keys)); err != nil {
		return err
	}
	s.changes.WithLabelValues("password").Inc()
	return nil
}

// Exists reports whether there is such an account; a resource is ignored.
func (s *Service) Exists(ctx context.Context, account jid.JID) (bool, error) {
	account = account.Bare()
	if s.check(account) != nil {
		return false, nil
	}
	_, err := s.opts.Store.Account(ctx, account)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Account returns an account.
func (s *Service) Account(ctx context.Context, account jid.JID) (store.Account, error) {
	if err := s.check(account); err != nil {
		return store.Account{}, err
	}
	return s.opts.Store.Account(ctx, account)
}

// List returns at most limit accounts of a domain, "" for all domains, behind
// the address after ("" for the first page), ordered by domain and localpart.
func (s *Service) List(ctx context.Context, domain, after string, limit int) ([]store.Account, error) {
	hosts, behind := s.hosts, ""
	if domain != "" {
		if _, ok := slices.BinarySearch(s.hosts, domain); !ok {
			return nil, fmt.Errorf("%w: %s", ErrHost, domain)
		}
		hosts = []string{domain}
	}
	if after != "" {
		j, err := jid.Parse(after)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrName, err)
		}
		i, found := slices.BinarySearch(hosts, j.Domain())
		hosts = hosts[i:]
		if found {
			behind = j.Local()
		}
	}
	var list []store.Account
	for _, host := range hosts {
		if len(list) >= limit {
			break
		}
		page, err := s.opts.Store.Accounts(ctx, host, behind, limit-len(list))
		if err != nil {
			return nil, err
		}
		list, behind = append(list, page...), ""
	}
	return list, nil
}

// Keys is the sasl.Lookup of the accounts.
func (s *Service) Keys(ctx context.Context, account jid.JID) ([]sasl.Keys, error) {
	if s.check(account) != nil {
		return nil, sasl.ErrNoAccount
	}
	a, err := s.opts.Store.Account(ctx, account)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, sasl.ErrNoAccount
	case err != nil:
		return nil, err
	}
	keys := make([]sasl.Keys, 0, len(a.Keys))
	for _, k := range a.Keys {
		keys = append(keys, sasl.Keys{
			Hash: sasl.Hash(k.Hash), Salt: k.Salt, Iterations: k.Iterations, StoredKey: k.StoredKey, ServerKey: k.ServerKey,
		})
	}
	return keys, nil
}

func stored(keys []sasl.Keys) []store.SCRAMKeys {
	list := make([]store.SCRAMKeys, 0, len(keys))
	for _, k := range keys {
		list = append(list, store.SCRAMKeys{
			Hash: string(k.Hash), Salt: k.Salt, Iterations: k.Iterations, StoredKey: k.StoredKey, ServerKey: k.ServerKey,
		})
	}
	return list
}
