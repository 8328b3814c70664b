// Package roster holds the contact lists of accounts and what follows from
// them: pushes, subscriptions and presence (RFC 6121 §2–§4). It has no
// goroutines; its methods wait for the store and, while an account takes what
// was stored for it, for that account's own client.
//
// Two kinds of lock order what happens. An account's lock covers its roster
// and who is told of its presence: what is decided under it is also handed to
// sessions under it, so that nobody gets news in the wrong order. A pair's lock
// covers what stands between two people while a subscription stanza takes
// effect on both sides. A pair's lock is taken before an account's; two of the
// same kind are never held at once but by lockBoth. Under an account's lock nothing is called
// that could come back here: only the store, sessions, and services of other
// domains, which never wait.
package roster

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Store keeps rosters. It is safe for concurrent use; every method is one
// transaction.
type Store interface {
	// Roster returns all items but tombstones, and the roster's version.
	Roster(ctx context.Context, owner jid.JID) ([]store.RosterItem, int64, error)
	// RosterItem returns one item, store.ErrNotFound if there is none.
	RosterItem(ctx context.Context, owner, contact jid.JID) (store.RosterItem, error)
	// RosterSize returns how many contacts there are, and how many requests of
	// others that wait.
	RosterSize(ctx context.Context, owner jid.JID) (contacts, waiting int, err error)
	// RosterBytes returns how many bytes the names and groups of all contacts but
	// one have.
	RosterBytes(ctx context.Context, owner, except jid.JID) (int, error)
	// PutRosterItem stores an item with the roster's next version.
	PutRosterItem(ctx context.Context, owner jid.JID, item store.RosterItem) (int64, error)
	// NoteRosterItem stores what a roster does not show of an item; versions
	// stay.
	NoteRosterItem(ctx context.Context, owner jid.JID, item store.RosterItem) error
	// NoteRosterPair is NoteRosterItem of two people's items for each other, at once.
	NoteRosterPair(ctx context.Context, one, other store.RosterItem) error
	// RosterChanges returns what has changed after a version, tombstones too,
	// without what has never been InRoster; store.ErrNotFound if that is not
	// known any more.
	RosterChanges(ctx context.Context, owner jid.JID, since int64) ([]store.RosterItem, int64, error)
	// RosterGrants returns the accounts whose presence who may see.
	RosterGrants(ctx context.Context, who jid.JID) ([]jid.JID, error)
	// RosterOwners returns whose rosters have a contact, or his request.
	RosterOwners(ctx context.Context, contact jid.JID) ([]jid.JID, error)
}

// Router is what rosters need of routing.
type Router interface {
	Route(ctx context.Context, st stanza.Stanza) (busy <-chan struct{})
	Send(st stanza.Stanza)
	Sessions(bare jid.JID) []router.Session
	Session(full jid.JID) router.Session
	IsHost(domain string) bool
	Exists(ctx context.Context, account jid.JID) (bool, error)
}

// Offline delivers the messages that wait for an account.
type Offline interface {
	Deliver(ctx context.Context, to, host jid.JID, target stanza.Target) error
}

// Blocks tells whom accounts have blocked (XEP-0191).
type Blocks interface {
	Read(ctx context.Context, account jid.JID) (*router.BlockList, error)
}

// Options configure a Service. Store and Router are required.
type Options struct {
	Store       Store
	Router      Router
	Offline     Offline       // nil: none
	Blocks      Blocks        // nil: nobody is blocked
	Groups      ContactSource // nil: none
	MaxItems    int           // contacts of one account; 0 is 5000
	MaxWaiting  int           // requests of strangers that wait for one account; 0 is 500
	MaxGroups   int           // groups of one contact; 0 is 50
	MaxName     int           // bytes of a contact's or a group's name; 0 is 1023
	MaxBytes    int           // bytes of all names and groups of a roster; 0 is 2 MiB
	MaxPresence int           // bytes of what presence holds, which is kept for each session and in each room; 0 is 32 KiB
	MaxDirected int           // addresses that have directed presence of one session; 0 is 10000
	MaxKept     int           // contacts of people with sessions that are kept in memory; 0 is 500000
	// Invited makes two accounts contacts with the token of an invitation, if it is
	// good for that; see Befriend. nil: there are no invitations.
	Invited func(ctx context.Context, inviter, who jid.JID, token string) (bool, error)
	// Left is told of the last presence of a session that was available, before
	// anybody else is. It must not wait. nil: nobody.
	Left func(account jid.JID, p stanza.Stanza)

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	for _, limit := range []struct {
		value *int
		def   int
	}{
		{&o.MaxItems, 5000},
		{&o.MaxWaiting, 500},
		{&o.MaxGroups, 50},
		{&o.MaxName, 1023},
		{&o.MaxBytes, 2 << 20},
		{&o.MaxPresence, 32 << 10},
		{&o.MaxDirected, 10_000},
		{&o.MaxKept, 500_000},
	} {
		if *limit.value == 0 {
			*limit.value = limit.def
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

const lockCount = 512

// Service is the roster service.
type Service struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics
	seed    maphash.Seed
	shards  [lockCount]shard      // by account
	pairs   [lockCount]sync.Mutex // by two people
	kept    atomic.Int64          // contacts in books

	online online        // what groups say to accounts with sessions
	pushed atomic.Uint64 // for the ids of pushes
}

// New returns the service.
func New(o Options) *Service {
	o = o.withDefaults()
	return &Service{opts: o, log: o.Logger, metrics: newMetrics(o.Registerer), seed: maphash.MakeSeed()}
}

// Features are the stream features that rosters bring: versions (RFC 6121
// §2.6.1) and pre-approval (§3.4.1).
func (s *Service) Features() []*stanza.Element {
	return []*stanza.Element{
		stanza.NewElement(stanza.NSRosterVer, "ver"),
		stanza.NewElement("urn:xmpp:features:pre-approval", "sub"),
	}
}

// lock makes the caller the only one who changes an account's roster or tells
// others of its presence.
func (s *Service) lock(account jid.JID) (unlock func()) {
	l := s.shard(account)
	l.Lock()
	return l.Unlock
}

func (s *Service) shard(account jid.JID) *shard {
	return &s.shards[s.place(account)]
}

// place is where an account is among the shards.
func (s *Service) place(account jid.JID) uint64 {
	return maphash.Comparable(s.seed, account) % lockCount
}

// lockBoth is lock of two accounts.
func (s *Service) lockBoth(a, b jid.JID) (unlock func()) {
	first, second := s.place(a), s.place(b)
	if first == second {
		return s.lock(a)
	}
	if first > second { // so that two who do this never wait for each other
		first, second = second, first
	}
	s.shards[first].Lock()
	s.shards[second].Lock()
	return func() {
		s.shards[second].Unlock()
		s.shards[first].Unlock()
	}
}

// lockPair makes the caller the only one who changes what stands between two
// people.
func (s *Service) lockPair(a, b jid.JID) (unlock func()) {
	l := &s.pairs[(maphash.Comparable(s.seed, a)^maphash.Comparable(s.seed, b))%lockCount]
	l.Lock()
	return l.Unlock
}

// isLocal reports whether an address may be that of an account here.
func (s *Service) isLocal(j jid.JID) bool { return j.Local() != "" && s.opts.Router.IsHost(j.Domain()) }

// load returns everything that an account's roster holds. All that needs a
// whole roster goes through here.
func (s *Service) load(ctx context.Context, owner jid.JID) ([]store.RosterItem, int64, error) {
	items, version, err := s.opts.Store.Roster(ctx, owner)
	if err != nil {
		return nil, 0, fmt.Errorf("load roster of %s: %w", owner, err)
	}
	return items, version, nil
}

// item returns an account's item for a contact, a new one if there is none.
// All that needs one contact goes through here.
func (s *Service) item(ctx context.Context, owner, contact jid.JID) (store.RosterItem, error) {
	item, err := s.opts.Store.RosterItem(ctx, owner, contact)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.RosterItem{Contact: contact, Subscription: store.SubNone}, nil
	case err != nil:
		return item, fmt.Errorf("load contact %s of %s: %w", contact, owner, err)
	}
	return item, nil
}

// put stores an item that was another before. The account is locked.
func (s *Service) put(ctx context.Context, owner jid.JID, before, item *store.RosterItem) error {
	item.Removed = isEmpty(item)
	version, err := s.opts.Store.PutRosterItem(ctx, owner, *item)
	if err == nil {
		item.Version = version
	}
	s.stored(owner, before, item, version, err)
	if err != nil {
		return fmt.Errorf("store contact %s of %s: %w", item.Contact, owner, err)
	}
	return nil
}

// stored brings what is in memory up to an item that was another before, or says that
// nobody knows (err). The account is locked.
func (s *Service) stored(owner jid.JID, before, item *store.RosterItem, version int64, err error) {
	then, was := s.sharing(owner).contact(item.Contact)
	s.noted(owner, item, err)
	if err != nil {
		return
	}
	now, is := s.sharing(owner).contact(item.Contact)
	old, shown := merge(before, &then, was), merge(item, &now, is)
	s.moved(owner, version, &old, &shown, was, is)
}

// note stores what clients are not shown of an item: a request that waits. The
// account is locked.
func (s *Service) note(ctx context.Context, owner jid.JID, item *store.RosterItem) error {
	item.Removed = isEmpty(item)
	err := s.opts.Store.NoteRosterItem(ctx, owner, *item)
	s.noted(owner, item, err)
	if err != nil {
		return fmt.Errorf("note contact %s of %s: %w", item.Contact, owner, err)
	}
	return nil
}

// checkSize refuses a contact too many.
func (s *Service) checkSize(ctx context.Context, owner jid.JID) error {
	contacts, _, err := s.opts.Store.RosterSize(ctx, owner)
	if err != nil {
		return fmt.Errorf("count contacts of %s: %w", owner, err)
	}
	if contacts >= s.opts.MaxItems {
		text := fmt.Sprintf("The roster is full: it takes %d contacts.", s.opts.MaxItems)
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, text)
	}
	return nil
}

// smallItem is the size of names and groups that is not looked at: as many of
// them as a roster may have are no burden.
const smallItem = 256

// checkBytes refuses names and groups that would make the roster too large:
// whoever asks for it gets all of it.
func (s *Service) checkBytes(ctx context.Context, owner jid.JID, item *store.RosterItem) error {
	size := len(item.Name)
	for _, g := range item.Groups {
		size += len(g)
	}
	if size <= smallItem {
		return nil
	}
	others, err := s.opts.Store.RosterBytes(ctx, owner, item.Contact)
	if err != nil {
		return fmt.Errorf("measure roster of %s: %w", owner, err)
	}
	if others+size > s.opts.MaxBytes {
		text := fmt.Sprintf("The roster is full: its names and groups have %d bytes at most.", s.opts.MaxBytes)
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, text)
	}
	return nil
}

// Sees reports whether who gets the account's presence.
func (s *Service) Sees(ctx context.Context, who, account jid.JID) (bool, error) {
	who, account = who.Bare(), account.Bare()
	if who == account {
		return true, nil
	}
	granted, err := s.grantsHimself(ctx, who, account)
	if err != nil || granted {
		return granted, err
	}
	return s.seesThroughGroups(ctx, who, account)
}

// grantsHimself reports whether the account has let who see its presence.
func (s *Service) grantsHimself(ctx context.Context, who, account jid.JID) (bool, error) {
	defer s.lock(account)()
	if len(s.opts.Router.Sessions(account)) > 0 {
		contacts, err := s.contacts(ctx, account)
		return standing(contacts, who)&from != 0, err
	}
	item, err := s.item(ctx, account, who)
	return err == nil && stateOf(&item)&from != 0, err
}

// AccountDeleted tells the contacts of an account that is no more, as if it had
// removed them: their rosters show no subscription to it, and none from it
// (XEP-0077 §3.2). The account's own roster is still there, and its sessions are
// not. It may be called again after an error.
func (s *Service) AccountDeleted(ctx context.Context, account jid.JID) error {
	account = account.Bare()
	owners, err := s.opts.Store.RosterOwners(ctx, account)
	if err != nil {
		return err
	}
	items, _, err := s.load(ctx, account)
	if err != nil {
		return err
	}
	var errs []error
	for _, owner := range owners {
		errs = append(errs, s.leave(ctx, account, owner))
	}
	for i := range items {
		if contact := items[i].Contact; !s.isLocal(contact) {
			s.part(ctx, account, contact, stateOf(&items[i]))
		}
	}
	defer s.lock(account)()
	s.forget(account) // the name's next owner is somebody else
	s.release(account)
	return errors.Join(errs...)
}

// leave takes a deleted account's subscriptions out of a contact's roster.
func (s *Service) leave(ctx context.Context, account, contact jid.JID) error {
	defer s.lockPair(account, contact)()
	for _, t := range []stanza.Type{stanza.TypeUnsubscribe, stanza.TypeUnsubscribed} {
		if _, err := s.receive(ctx, subscription(t, account, contact)); err != nil {
			return fmt.Errorf("tell %s: %w", contact, err)
		}
	}
	return s.unmake(ctx, contact, account)
}

// unmake forgets what an account has made of a contact from groups: the name's
// next owner is somebody else.
func (s *Service) unmake(ctx context.Context, owner, contact jid.JID) error {
	defer s.lock(owner)()
	item, err := s.item(ctx, owner, contact)
	if err != nil || item.InRoster || item.Hidden == 0 && item.Ended == 0 && item.Name == "" && len(item.Groups)+len(item.LeftOut) == 0 {
		return err
	}
	before := item
	item.Name, item.Groups, item.LeftOut, item.Hidden, item.Ended = "", nil, nil, 0, 0
	return s.put(ctx, owner, &before, &item)
}

func (s *Service) logError(ctx context.Context, doing string, account jid.JID, err error) {
	s.log.LogAttrs(ctx, slog.LevelError, "roster service in trouble", slog.String("doing", doing),
		slog.String("jid", account.String()), slog.Any("err", err))
}
