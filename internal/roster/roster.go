// Package roster holds the contact lists of accounts and what follows from
// them: pushes, subscriptions and presence (RFC 6121 §2–§4). It has no
// goroutines; its methods wait for the store and never for a client. Changes
// of one account are made one after the other, under that account's lock; two
// of these locks are never held at once.
package roster

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strconv"
	"sync"

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
	// PutRosterItem stores an item with the roster's next version.
	PutRosterItem(ctx context.Context, owner jid.JID, item store.RosterItem) (int64, error)
	// RosterChanges returns what has changed after a version, tombstones too;
	// store.ErrNotFound if that is not known any more.
	RosterChanges(ctx context.Context, owner jid.JID, since int64) ([]store.RosterItem, int64, error)
	// RosterOwners returns whose rosters have a contact.
	RosterOwners(ctx context.Context, contact jid.JID) ([]jid.JID, error)
}

// Router is what rosters need of routing.
type Router interface {
	Route(ctx context.Context, st stanza.Stanza) (busy <-chan struct{})
	Send(st stanza.Stanza)
	Sessions(bare jid.JID) []router.Session
	Session(full jid.JID) router.Session
	IsHost(domain string) bool
}

// Offline delivers the messages that wait for an account.
type Offline interface {
	Deliver(ctx context.Context, to, host jid.JID, target stanza.Target) error
}

// Options configure a Service. Store and Router are required.
type Options struct {
	Store     Store
	Router    Router
	Offline   Offline // nil: none
	MaxItems  int     // contacts of one account; 0 is 5000
	MaxGroups int     // groups of one contact; 0 is 50
	MaxName   int     // bytes of a contact's or a group's name; 0 is 1023

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

const lockCount = 256

// Service is the roster service.
type Service struct {
	opts   Options
	log    *slog.Logger
	pushes prometheus.Counter
	seed   maphash.Seed
	locks  [lockCount]sync.Mutex // by account
}

// New returns the service.
func New(o Options) *Service {
	if o.MaxItems == 0 {
		o.MaxItems = 5000
	}
	if o.MaxGroups == 0 {
		o.MaxGroups = 50
	}
	if o.MaxName == 0 {
		o.MaxName = 1023
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	pushes := prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_roster_pushes_total", Help: "Roster pushes sent."})
	if o.Registerer != nil {
		o.Registerer.MustRegister(pushes)
	}
	return &Service{opts: o, log: o.Logger, pushes: pushes, seed: maphash.MakeSeed()}
}

// lock makes the caller the only one who changes an account's roster.
func (s *Service) lock(owner jid.JID) (unlock func()) {
	l := &s.locks[maphash.Comparable(s.seed, owner)%lockCount]
	l.Lock()
	return l.Unlock
}

// Get answers a request for the roster (RFC 6121 §2.1.3, §2.6). The result goes
// out before any push of a later change.
func (s *Service) Get(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	owner := iq.From.Bare()
	if iq.To.Bare() != owner {
		return nil, stanza.NewError(stanza.Auth, stanza.Forbidden, "A roster is its owner's.")
	}
	session := s.opts.Router.Session(iq.From)
	if session == nil {
		return nil, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
	}
	defer s.lock(owner)()
	known, versioned := iq.Payload().LookupAttr("ver")
	if since, err := strconv.ParseInt(known, 10, 64); versioned && err == nil {
		changes, _, err := s.opts.Store.RosterChanges(ctx, owner, since)
		if err == nil {
			session.State().SetInterested()
			s.opts.Router.Send(iq.Result(nil))
			for i := range changes {
				if changes[i].InRoster || changes[i].Removed {
					s.pushTo(session, &changes[i], changes[i].Version)
				}
			}
			return nil, router.ErrAnswered
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("roster of %s: %w", owner, err)
		}
	}
	items, version, err := s.opts.Store.Roster(ctx, owner)
	if err != nil {
		return nil, fmt.Errorf("roster of %s: %w", owner, err)
	}
	session.State().SetInterested()
	query := stanza.NewElement(stanza.NSRoster, "query")
	if versioned {
		query.SetAttr("ver", strconv.FormatInt(version, 10))
	}
	for i := range items {
		if items[i].InRoster {
			query.Add(itemElement(&items[i]))
		}
	}
	s.opts.Router.Send(iq.Result(query))
	return nil, router.ErrAnswered
}

// itemElement is an item on the wire (RFC 6121 §2.1.2).
func itemElement(item *store.RosterItem) *stanza.Element {
	e := stanza.NewElement(stanza.NSRoster, "item", "jid", item.Contact.String())
	if item.Removed {
		return e.SetAttr("subscription", "remove")
	}
	if item.Name != "" {
		e.SetAttr("name", item.Name)
	}
	e.SetAttr("subscription", string(item.Subscription))
	if item.PendingOut {
		e.SetAttr("ask", "subscribe")
	}
	if item.Approved {
		e.SetAttr("approved", "true")
	}
	for _, g := range item.Groups {
		e.AddTextElement("group", g)
	}
	return e
}

// Set answers a change of the roster by its owner (RFC 6121 §2.3–§2.5).
func (s *Service) Set(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	owner := iq.From.Bare()
	if iq.To.Bare() != owner {
		return nil, stanza.NewError(stanza.Auth, stanza.Forbidden, "A roster is its owner's.")
	}
	wish, remove, err := s.parseSet(iq.Payload())
	if err != nil {
		return nil, err
	}
	if remove {
		return nil, s.remove(ctx, owner, wish.Contact)
	}
	defer s.lock(owner)()
	item, err := s.item(ctx, owner, wish.Contact)
	if err != nil {
		return nil, err
	}
	if !item.InRoster {
		if err := s.checkRoom(ctx, owner); err != nil {
			return nil, err
		}
	}
	item.Name, item.Groups, item.InRoster = wish.Name, wish.Groups, true
	return nil, s.put(ctx, owner, &item)
}

// parseSet reads a roster set (RFC 6121 §2.1.5, §2.3.3).
func (s *Service) parseSet(query *stanza.Element) (item store.RosterItem, remove bool, err error) {
	bad := func(text string) error { return stanza.NewError(stanza.Modify, stanza.BadRequest, text) }
	var e *stanza.Element
	for c := range query.Elements() {
		if !c.Is(stanza.NSRoster, "item") || e != nil {
			return item, false, bad("A roster set has one item.")
		}
		e = c
	}
	if e == nil {
		return item, false, bad("A roster set has one item.")
	}
	contact, jerr := jid.Parse(e.Attr("jid"))
	if jerr != nil {
		return item, false, stanza.NewError(stanza.Modify, stanza.JIDMalformed, "The contact's address is malformed.")
	}
	item.Contact = contact.Bare()
	if e.Attr("subscription") == "remove" {
		return item, true, nil
	}
	if item.Name = e.Attr("name"); len(item.Name) > s.opts.MaxName {
		return item, false, stanza.NewError(stanza.Modify, stanza.NotAcceptable, "The name is too long.")
	}
	for c := range e.Elements() {
		if !c.Is(stanza.NSRoster, "group") {
			continue
		}
		g := c.Text()
		switch {
		case slices.Contains(item.Groups, g):
			return item, false, bad("A group is named twice.")
		case g == "" || len(g) > s.opts.MaxName:
			return item, false, stanza.NewError(stanza.Modify, stanza.NotAcceptable, "A group's name is empty or too long.")
		case len(item.Groups) == s.opts.MaxGroups:
			return item, false, stanza.NewError(stanza.Modify, stanza.NotAcceptable, "The contact has too many groups.")
		}
		item.Groups = append(item.Groups, g)
	}
	return item, false, nil
}

// checkRoom refuses a contact too many.
func (s *Service) checkRoom(ctx context.Context, owner jid.JID) error {
	items, _, err := s.opts.Store.Roster(ctx, owner)
	if err != nil {
		return fmt.Errorf("roster of %s: %w", owner, err)
	}
	if len(items) >= s.opts.MaxItems {
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "The roster is full.")
	}
	return nil
}

// remove takes a contact out, with the subscriptions both ways (RFC 6121
// §2.5.2).
func (s *Service) remove(ctx context.Context, owner, contact jid.JID) error {
	unlock := s.lock(owner)
	item, err := s.item(ctx, owner, contact)
	if err == nil && !item.InRoster {
		err = stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "There is no such contact.")
	}
	before := item
	if err == nil {
		item = store.RosterItem{Contact: contact, Removed: true, Subscription: store.SubNone}
		err = s.put(ctx, owner, &item)
	}
	unlock()
	if err != nil {
		return err
	}
	if hasTo(before.Subscription) || before.PendingOut {
		s.opts.Router.Route(ctx, subscription(stanza.TypeUnsubscribe, owner, contact))
	}
	if hasFrom(before.Subscription) || before.PendingIn {
		s.opts.Router.Route(ctx, subscription(stanza.TypeUnsubscribed, owner, contact))
		s.withdrawPresence(ctx, owner, contact)
	}
	return nil
}

// item returns an account's item for a contact, a new one if there is none.
func (s *Service) item(ctx context.Context, owner, contact jid.JID) (store.RosterItem, error) {
	item, err := s.opts.Store.RosterItem(ctx, owner, contact)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.RosterItem{Contact: contact, Subscription: store.SubNone}, nil
	case err != nil:
		return item, fmt.Errorf("contact %s of %s: %w", contact, owner, err)
	}
	return item, nil
}

// put stores an item and pushes it to whom it concerns. The account is locked.
func (s *Service) put(ctx context.Context, owner jid.JID, item *store.RosterItem) error {
	version, err := s.opts.Store.PutRosterItem(ctx, owner, *item)
	if err != nil {
		return fmt.Errorf("store contact %s of %s: %w", item.Contact, owner, err)
	}
	if item.InRoster || item.Removed {
		s.push(owner, item, version)
	}
	return nil
}

// push tells every interested session of a changed item (RFC 6121 §2.1.6).
func (s *Service) push(owner jid.JID, item *store.RosterItem, version int64) {
	for _, session := range s.opts.Router.Sessions(owner) {
		if session.State().Interested() {
			s.pushTo(session, item, version)
		}
	}
}

func (s *Service) pushTo(session router.Session, item *store.RosterItem, version int64) {
	s.pushes.Inc()
	v := strconv.FormatInt(version, 10)
	query := stanza.NewElement(stanza.NSRoster, "query", "ver", v).Add(itemElement(item))
	push := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeSet, ID: "push-" + v, From: session.JID().Bare()}.With(query)
	session.Deliver([]*stanza.Encoded{stanza.Encode(push)})
}

func subscription(t stanza.Type, from, to jid.JID) stanza.Stanza {
	return stanza.Stanza{Kind: stanza.Presence, Type: t, From: from.Bare(), To: to.Bare()}
}

func hasTo(s store.Subscription) bool   { return s == store.SubTo || s == store.SubBoth }
func hasFrom(s store.Subscription) bool { return s == store.SubFrom || s == store.SubBoth }

// direction returns the subscription with these two halves.
func direction(to, from bool) store.Subscription {
	switch {
	case to && from:
		return store.SubBoth
	case to:
		return store.SubTo
	case from:
		return store.SubFrom
	}
	return store.SubNone
}

// Sees reports whether who gets the account's presence.
func (s *Service) Sees(ctx context.Context, who, account jid.JID) (bool, error) {
	if who.Bare() == account.Bare() {
		return true, nil
	}
	item, err := s.item(ctx, account.Bare(), who.Bare())
	return hasFrom(item.Subscription), err
}

// AccountDeleted tells the contacts of an account that is no more, as if it had
// removed them: their rosters show no subscription to it, and none from it.
func (s *Service) AccountDeleted(ctx context.Context, account jid.JID) {
	owners, err := s.opts.Store.RosterOwners(ctx, account)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "tell contacts of a deleted account", slog.String("jid", account.String()), slog.Any("err", err))
		return
	}
	for _, owner := range owners {
		s.receiveSubscription(ctx, subscription(stanza.TypeUnsubscribe, account, owner))
		s.receiveSubscription(ctx, subscription(stanza.TypeUnsubscribed, account, owner))
	}
}
