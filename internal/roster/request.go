package roster

import (
	"context"
	"errors"
	"fmt"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Get answers a request for the roster (RFC 6121 §2.1.3, §2.6). The session
// gets the result before any push of a later change.
func (s *Service) Get(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	owner := iq.From.Bare()
	if err := ownOnly(iq); err != nil {
		return nil, err
	}
	session := s.opts.Router.Session(iq.From)
	if session == nil {
		return nil, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
	}
	known, versioned := iq.Payload().LookupAttr("ver")
	defer s.lock(owner)()
	if since, digest, ok := parseVer(known); versioned && ok {
		if done, err := s.catchUp(ctx, session, iq, since, digest); done || err != nil {
			return nil, err
		}
	}
	items, version, err := s.load(ctx, owner)
	if err != nil {
		return nil, err
	}
	sh, err := s.open(ctx, owner, items, version)
	if err != nil {
		return nil, err
	}
	session.State().SetInterested()
	session.Deliver(s.list(sh, iq, items, version, versioned))
	return nil, router.ErrAnswered
}

// list is the answer to a request for the whole roster. The account is locked.
func (s *Service) list(sh *sharing, iq *stanza.Stanza, items []store.RosterItem, version int64, versioned bool) []*stanza.Encoded {
	most := len(items)
	if sh != nil {
		most += sh.view.Most()
	}
	return listOf(iq, most, func(dst []byte) ([]byte, ver) {
		var digest uint64
		s.eachShown(sh, items, func(item *store.RosterItem, shared bool) {
			from := len(dst)
			if dst = appendItem(dst, item); shared {
				digest += digestOf(dst[from:])
			}
		})
		sh = s.counted(iq.From.Bare(), version, digest)
		if !versioned {
			return dst, ver{}
		}
		return dst, sh.ver(version)
	})
}

// catchUp answers a client that has a version of the roster, if what has
// changed since is known: an empty result, the changes follow as pushes
// (RFC 6121 §2.6.3). Of what groups do, only whether it is the same is known.
func (s *Service) catchUp(ctx context.Context, session router.Session, iq *stanza.Stanza, since int64, digest uint64) (done bool, err error) {
	owner := iq.From.Bare()
	changes, _, err := s.opts.Store.RosterChanges(ctx, owner, since)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("load changes of roster of %s: %w", owner, err)
	}
	sh, err := s.open(ctx, owner, nil, 0)
	if err != nil {
		return false, err
	}
	if sh != nil && !sh.exact {
		items, version, err := s.load(ctx, owner)
		if err != nil {
			return false, err
		}
		sh = s.counted(owner, version, s.digest(sh, items))
	}
	if sh != nil && sh.digest != digest || sh == nil && digest != 0 {
		return false, nil
	}
	session.State().SetInterested()
	session.Deliver([]*stanza.Encoded{stanza.Encode(iq.Result(nil))})
	told := newPushes(owner, len(changes))
	for i := range changes {
		item := s.merged(sh, &changes[i])
		told.add(s, appendItem(nil, &item), sh.ver(item.Version))
	}
	s.deliver([]router.Session{session}, &told)
	return true, router.ErrAnswered
}

// merged returns an item as clients are shown it.
func (s *Service) merged(sh *sharing, item *store.RosterItem) store.RosterItem {
	c, shown := sh.contact(item.Contact)
	return merge(item, &c, shown)
}

// eachShown calls show with everything that clients are shown of a roster and of
// groups, and whether groups have a part in it; the item is show's until it
// returns.
func (s *Service) eachShown(sh *sharing, items []store.RosterItem, show func(item *store.RosterItem, shared bool)) {
	var stored map[jid.JID]int
	if sh != nil {
		stored = make(map[jid.JID]int, len(items))
		for i := range items {
			stored[items[i].Contact] = i
		}
		var item store.RosterItem // one for all
		var groups []string
		for c := range sh.view.Contacts() {
			if !sh.shows(&c) {
				continue
			}
			item = store.RosterItem{Contact: c.JID, Subscription: store.SubNone}
			if i, ok := stored[c.JID]; ok {
				item = items[i]
				stored[c.JID] = -1
			}
			groups = mergeIn(groups[:0], &item, &c)
			show(&item, true)
		}
	}
	for i := range items {
		if items[i].InRoster && stored[items[i].Contact] >= 0 {
			show(&items[i], false)
		}
	}
}

// digest returns that of the items that groups have a part in.
func (s *Service) digest(sh *sharing, items []store.RosterItem) (digest uint64) {
	var scratch []byte
	s.eachShown(sh, items, func(item *store.RosterItem, shared bool) {
		if shared {
			scratch = appendItem(scratch[:0], item)
			digest += digestOf(scratch)
		}
	})
	return digest
}

// ownOnly refuses requests for somebody else's roster (RFC 6121 §2.3.3).
func ownOnly(iq *stanza.Stanza) error {
	if iq.To.Bare() != iq.From.Bare() {
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "A roster is its owner's.")
	}
	return nil
}

// Set answers a change of the roster by its owner (RFC 6121 §2.3–§2.5).
func (s *Service) Set(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	owner := iq.From.Bare()
	if err := ownOnly(iq); err != nil {
		return nil, err
	}
	wish, remove, err := s.parseSet(owner, iq.Payload())
	switch {
	case err != nil:
		return nil, err
	case remove:
		return nil, s.remove(ctx, owner, wish.Contact)
	}
	begun, err := s.putWish(ctx, owner, &wish)
	if err != nil {
		return nil, err
	}
	if begun {
		s.addedAgain(ctx, owner, wish.Contact)
		s.reveal(owner, wish.Contact)
	}
	return nil, nil //nolint:nilnil // an empty result
}

// putWish makes an item what its owner wishes, and reports whether that brings
// back a contact from groups.
func (s *Service) putWish(ctx context.Context, owner jid.JID, wish *store.RosterItem) (begun bool, err error) {
	defer s.lock(owner)()
	item, err := s.item(ctx, owner, wish.Contact)
	if err != nil {
		return false, err
	}
	c, shown, err := s.sharedContact(ctx, owner, wish.Contact)
	if err != nil {
		return false, err
	}
	if !item.InRoster && !c.To {
		if err := s.checkSize(ctx, owner); err != nil {
			return false, err
		}
	}
	if err := s.checkBytes(ctx, owner, wish); err != nil {
		return false, err
	}
	before := item
	edit(&item, wish, &c, c.To)
	if err := s.put(ctx, owner, &before, &item); err != nil {
		return false, err
	}
	s.push(owner, &item)
	return c.To && !shown, nil
}

// parseSet reads a roster set (RFC 6121 §2.1.5, §2.3.3). What a client says of
// subscription states is not its to say (§2.1.2) and is ignored.
func (s *Service) parseSet(owner jid.JID, query *stanza.Element) (item store.RosterItem, remove bool, err error) {
	e, err := onlyItem(query)
	if err != nil {
		return item, false, err
	}
	text, ok := e.LookupAttr("jid")
	if !ok {
		return item, false, stanza.NewError(stanza.Modify, stanza.BadRequest, "The item has no address.")
	}
	contact, malformed := jid.Parse(text)
	if malformed != nil {
		return item, false, stanza.NewError(stanza.Modify, stanza.JIDMalformed, "The contact's address is malformed.")
	}
	item.Contact = contact.Bare()
	if e.Attr("subscription") == "remove" {
		return item, true, nil
	}
	if item.Contact == owner {
		return item, false, stanza.NewError(stanza.Cancel, stanza.NotAllowed, "Nobody is a contact of his own.")
	}
	if item.Name = e.Attr("name"); len(item.Name) > s.opts.MaxName {
		return item, false, s.tooLong("The name")
	}
	item.Groups, err = s.parseGroups(e)
	return item, false, err
}

// onlyItem returns the one item of a roster set.
func onlyItem(query *stanza.Element) (item *stanza.Element, err error) {
	n := 0
	for e := range query.Elements() {
		if e.Is(stanza.NSRoster, "item") {
			item = e
			n++
		}
	}
	if n != 1 {
		return nil, stanza.NewError(stanza.Modify, stanza.BadRequest, "A roster set has one item.")
	}
	return item, nil
}

func (s *Service) tooLong(what string) error {
	return stanza.NewError(stanza.Modify, stanza.NotAcceptable, fmt.Sprintf("%s is longer than %d bytes.", what, s.opts.MaxName))
}

// parseGroups reads an item's groups. Two are the same if they would be the
// same resource of an address (RFC 6121 §2.3.3).
func (s *Service) parseGroups(item *stanza.Element) (groups []string, err error) {
	known := make(map[string]bool)
	for c := range item.Elements() {
		if !c.Is(stanza.NSRoster, "group") {
			continue
		}
		g := c.Text()
		key := g
		if j, err := jid.New("", "group", g); err == nil {
			key = j.Resource()
		}
		switch {
		case g == "":
			return nil, stanza.NewError(stanza.Modify, stanza.NotAcceptable, "A group has no name.")
		case len(g) > s.opts.MaxName:
			return nil, s.tooLong("The name of a group")
		case known[key]:
			return nil, stanza.NewError(stanza.Modify, stanza.BadRequest, "A group is named twice.")
		case len(groups) == s.opts.MaxGroups:
			return nil, stanza.NewError(stanza.Modify, stanza.NotAcceptable, fmt.Sprintf("A contact has %d groups at most.", s.opts.MaxGroups))
		}
		known[key] = true
		groups = append(groups, g)
	}
	return groups, nil
}

// remove takes a contact out, and with him the subscriptions both ways
// (RFC 6121 §2.5.2). One who is in a group together with the owner is not shown any
// more, which is nothing to him while they both are.
func (s *Service) remove(ctx context.Context, owner, contact jid.JID) error {
	defer s.lockPair(owner, contact)()
	if err := s.endPast(ctx, owner, contact, true); err != nil {
		return err
	}
	before, seen, err := s.takeOut(ctx, owner, contact)
	if err != nil {
		return err
	}
	s.part(ctx, owner, contact, before)
	if seen {
		s.conceal(ctx, owner, contact, false)
	}
	return nil
}

// part tells a contact of the end of what was between him and an account, as
// far as there was something (RFC 6121 §2.5.2). The pair is locked, or he is
// elsewhere.
func (s *Service) part(ctx context.Context, owner, contact jid.JID, before state) {
	if before&(to|pendOut) != 0 {
		s.passOwn(ctx, stanza.TypeUnsubscribe, owner, contact)
	}
	if before&(from|pendIn) != 0 {
		s.passOwn(ctx, stanza.TypeUnsubscribed, owner, contact)
	}
}

// takeOut removes an item and returns the state that the contact was in, and
// whether he was seen through groups. If he saw the account he sees it go,
// before he hears why (RFC 6121 §3.2.2).
func (s *Service) takeOut(ctx context.Context, owner, contact jid.JID) (before state, seen bool, err error) {
	defer s.lock(owner)()
	item, err := s.item(ctx, owner, contact)
	if err != nil {
		return none, false, err
	}
	c, shown, err := s.sharedContact(ctx, owner, contact)
	if err != nil {
		return none, false, err
	}
	if !item.InRoster && !shown { // §2.5.3
		return none, false, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "There is no such contact.")
	}
	was := item
	item = store.RosterItem{Contact: contact, Subscription: store.SubNone, Hidden: was.Hidden, Ended: was.Ended}
	item.LeftOut = marksOf(&was).groups
	if c.To {
		item.Hidden, item.LeftOut = c.Since+1, nil
		for _, l := range c.Labels {
			item.LeftOut = append(item.LeftOut, string(l.Group))
		}
	}
	if err := s.put(ctx, owner, &was, &item); err != nil {
		return none, false, err
	}
	s.push(owner, &item)
	before = stateOf(&was)
	if before&from != 0 && !s.looksAt(contact, owner) {
		s.hide(ctx, owner, contact)
	}
	return before, shown, nil
}

// push tells every interested session of a changed item (RFC 6121 §2.1.6). The
// account is locked.
func (s *Service) push(owner jid.JID, item *store.RosterItem) {
	sh := s.sharing(owner)
	if sessions := s.interested(owner); len(sessions) > 0 {
		m := s.merged(sh, item)
		p := newPushes(owner, 1)
		p.add(s, appendItem(nil, &m), sh.ver(item.Version))
		s.deliver(sessions, &p)
	}
}

// interested returns the sessions that are told of changes of a roster: those that
// have asked for it (RFC 6121 §2.1.6).
func (s *Service) interested(owner jid.JID) (list []router.Session) {
	for _, session := range s.opts.Router.Sessions(owner) {
		if session.State().Interested() {
			list = append(list, session)
		}
	}
	return list
}

// deliver hands pushes to sessions.
func (s *Service) deliver(sessions []router.Session, p *pushes) {
	batch := p.written.Batch()
	if len(batch) == 0 {
		return
	}
	for _, session := range sessions {
		s.metrics.pushes.Add(float64(len(batch)))
		session.Deliver(batch)
	}
}
