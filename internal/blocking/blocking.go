package blocking

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Store keeps block lists. It is safe for concurrent use; every method is one
// transaction.
type Store interface {
	// Blocked returns whom an account has blocked.
	Blocked(ctx context.Context, owner jid.JID) ([]jid.JID, error)
	// Block adds addresses; store.ErrFull if there would be more than limit.
	Block(ctx context.Context, owner jid.JID, list []jid.JID, limit int) error
	// Unblock takes addresses out.
	Unblock(ctx context.Context, owner jid.JID, list []jid.JID) error
	// UnblockAll takes out everything.
	UnblockAll(ctx context.Context, owner jid.JID) error
}

// Router is what blocking needs of routing.
type Router interface {
	Send(st stanza.Stanza)
	Sessions(bare jid.JID) []router.Session
	Session(full jid.JID) router.Session
}

// Presence shows people gone and back.
type Presence interface {
	// BlocksChanged is called when an account has blocked or unblocked
	// addresses. was is its list before, now the list as it is.
	BlocksChanged(ctx context.Context, account jid.JID, changed []jid.JID, was, now *router.BlockList)
}

// Options configure a Service. Store and Router are required.
type Options struct {
	Store      Store
	Router     Router
	MaxItems   int // addresses that one account may block; 0 is 1000
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

const (
	defaultMaxItems = 1000
	lockCount       = 256
)

// Service is the blocking service.
type Service struct {
	// Set before start.
	opts     Options
	log      *slog.Logger
	metrics  *metrics
	presence Presence // nil: none
	seed     maphash.Seed

	pushes atomic.Uint64         // sent so far: their ids
	locks  [lockCount]sync.Mutex // by account: one change, or load for sessions, at a time; held during store calls

	mu sync.Mutex
	// Guarded by mu.
	open map[jid.JID]*openList // of accounts with sessions
}

type openList struct {
	list     *router.BlockList
	sessions int
}

// New returns the service.
func New(o Options) *Service {
	if o.MaxItems == 0 {
		o.MaxItems = defaultMaxItems
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{
		opts: o, log: o.Logger, metrics: newMetrics(o.Registerer), seed: maphash.MakeSeed(),
		open: make(map[jid.JID]*openList),
	}
}

// SetPresence connects the roster service. Before start.
func (s *Service) SetPresence(p Presence) { s.presence = p }

// lock makes the caller the only one who changes an account's list.
func (s *Service) lock(account jid.JID) (unlock func()) {
	l := &s.locks[maphash.Comparable(s.seed, account)%lockCount]
	l.Lock()
	return l.Unlock
}

// Open returns the list that all sessions of an account share and that follows
// what they change. It is kept in memory until each Open had its Close.
func (s *Service) Open(ctx context.Context, account jid.JID) (*router.BlockList, error) {
	account = account.Bare()
	defer s.lock(account)()
	if l := s.opened(account, 1); l != nil {
		return l, nil
	}
	l, err := s.load(ctx, account)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[account] = &openList{list: l, sessions: 1}
	return l, nil
}

// opened returns the list of an account with sessions, nil if it has none, and
// counts more sessions.
func (s *Service) opened(account jid.JID, more int) *router.BlockList {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.open[account]
	if o == nil {
		return nil
	}
	o.sessions += more
	return o.list
}

func (s *Service) load(ctx context.Context, account jid.JID) (*router.BlockList, error) {
	items, err := s.opts.Store.Blocked(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("load block list of %s: %w", account, err)
	}
	return router.NewBlockList(account, items), nil
}

// Close gives back what Open has returned, or a copy of it. Close of a nil list
// does nothing.
func (s *Service) Close(l *router.BlockList) {
	if l == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.open[l.Owner()]
	if o == nil {
		return
	}
	if o.sessions--; o.sessions == 0 {
		delete(s.open, l.Owner())
	}
}

// Read returns the list of an account that may have no session.
func (s *Service) Read(ctx context.Context, account jid.JID) (*router.BlockList, error) {
	account = account.Bare()
	for _, session := range s.opts.Router.Sessions(account) {
		if l := session.State().BlockList(); l != nil {
			return l, nil
		}
	}
	if l := s.opened(account, 0); l != nil {
		return l, nil
	}
	return s.load(ctx, account)
}

// AccountDeleted forgets whom an account that is no more had blocked.
func (s *Service) AccountDeleted(ctx context.Context, account jid.JID) error {
	account = account.Bare()
	defer s.lock(account)()
	if err := s.opts.Store.UnblockAll(ctx, account); err != nil {
		return err
	}
	if l := s.opened(account, 0); l != nil {
		l.Clear()
	}
	return nil
}
