package roster

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// contact is what presence needs to know of somebody.
type contact struct {
	jid   jid.JID
	state state // what is stored; in lists from everybody, groups are in it

	groups state // from everybody: what groups bring
}

// book is an account's contacts, kept in memory while it has sessions: who sees
// its presence, and whose it sees, is asked at every step, also at one that the
// database is away for. It is what the store has, unless stale.
type book struct {
	contacts []contact // ordered by address; replaced, never changed
	stale    bool      // nobody knows whether a change has been stored
}

// shard is a lock and what it covers.
type shard struct {
	sync.Mutex
	// Guarded by Mutex.
	books map[jid.JID]*book
}

func compare(c contact, j jid.JID) int {
	return cmp.Or(cmp.Compare(c.jid.Domain(), j.Domain()), cmp.Compare(c.jid.Local(), j.Local()))
}

// find returns where somebody is among contacts, and whether he is.
func find(contacts []contact, j jid.JID) (int, bool) {
	return slices.BinarySearchFunc(contacts, j, compare)
}

// standing returns the state that somebody is in.
func standing(contacts []contact, j jid.JID) state {
	if i, ok := find(contacts, j); ok {
		return contacts[i].state
	}
	return none
}

// with returns the contacts with one of them in a state, or without him.
func with(contacts []contact, j jid.JID, st state, removed bool) []contact {
	i, ok := find(contacts, j)
	switch {
	case ok && !removed && contacts[i].state == st, !ok && removed:
		return contacts
	case !ok:
		return slices.Insert(slices.Clone(contacts), i, contact{jid: j, state: st})
	case removed:
		return slices.Delete(slices.Clone(contacts), i, i+1)
	}
	contacts = slices.Clone(contacts)
	contacts[i].state = st
	return contacts
}

// contactsOf makes a book of a roster.
func contactsOf(items []store.RosterItem) []contact {
	contacts := make([]contact, 0, len(items))
	for i := range items {
		contacts = append(contacts, contact{jid: items[i].Contact, state: stateOf(&items[i])})
	}
	slices.SortFunc(contacts, func(a, b contact) int { return compare(a, b.jid) })
	return contacts
}

// contacts returns an account's contacts. What they were last known to be is
// better than nothing while the store cannot be read. The account is locked.
func (s *Service) contacts(ctx context.Context, account jid.JID) ([]contact, error) {
	b := s.shard(account).books[account]
	if b != nil && !b.stale {
		return b.contacts, nil
	}
	items, _, err := s.load(ctx, account)
	switch {
	case err == nil:
		contacts := contactsOf(items)
		s.keep(account, contacts)
		return contacts, nil
	case b != nil:
		s.logError(ctx, "read contacts again", account, err)
		return b.contacts, nil
	}
	return nil, err
}

// keep makes contacts the book of an account, if it has sessions and there is
// room. The account is locked.
func (s *Service) keep(account jid.JID, contacts []contact) {
	s.forget(account)
	if len(s.opts.Router.Sessions(account)) == 0 {
		return
	}
	if n := int64(len(contacts)); s.kept.Add(n) > int64(s.opts.MaxKept) {
		s.kept.Add(-n)
		s.metrics.unkept.Inc()
		return
	}
	s.metrics.kept.Add(float64(len(contacts)))
	shard := s.shard(account)
	if shard.books == nil {
		shard.books = make(map[jid.JID]*book)
	}
	shard.books[account] = &book{contacts: contacts}
}

// forget drops the book of an account. The account is locked.
func (s *Service) forget(account jid.JID) {
	shard := s.shard(account)
	b := shard.books[account]
	if b == nil {
		return
	}
	delete(shard.books, account)
	s.kept.Add(-int64(len(b.contacts)))
	s.metrics.kept.Sub(float64(len(b.contacts)))
}

// noted brings an account's book up to what has been stored of an item, or says
// that nobody knows (err). The account is locked.
func (s *Service) noted(account jid.JID, item *store.RosterItem, err error) {
	s.remember(account, item, err)
	b := s.shard(account).books[account]
	switch {
	case b == nil:
	case err != nil:
		b.stale = true
	case !b.stale:
		s.keep(account, with(b.contacts, item.Contact, stateOf(item), item.Removed))
	}
}
