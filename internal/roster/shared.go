package roster

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// ContactSource knows the contacts that people have through groups.
type ContactSource interface {
	// View returns what groups say of an account now; with keep it is asked for
	// again and again until Release.
	View(ctx context.Context, account jid.JID, keep bool) (*shared.View, error)
	// Later returns what they say now of an account with an earlier view that is
	// kept.
	Later(ctx context.Context, earlier *shared.View) (*shared.View, error)
	Release(account jid.JID)
}

// sharing is what an account with sessions has of groups. It never changes; the
// account's lock covers which one it is, and anybody may look at it.
//
// Who sees whom is decided by the sharing of the one who sees. It is replaced
// after the pushes have gone out and before presence is fetched, and whoever
// speaks asks for it under his own lock: so presence comes neither before the
// push nor never.
type sharing struct {
	view    *shared.View
	marks   map[jid.JID]marks // by contact
	version int64             // of what is stored of the roster
	digest  uint64            // of the items that groups have a part in
	exact   bool              // version and digest are known
}

// contact returns what groups say of somebody, and whether the roster shows
// that: the account may have removed him.
func (sh *sharing) contact(j jid.JID) (c shared.Contact, shown bool) {
	if sh == nil {
		return c, false
	}
	c, ok := sh.view.Contact(j)
	return c, ok && sh.shows(&c)
}

// shows reports whether the roster shows what groups say of somebody. c has then
// also what they have left.
func (sh *sharing) shows(c *shared.Contact) bool {
	var m marks
	if len(sh.marks) > 0 {
		m = sh.marks[c.JID]
	}
	c.Recall(m.ended)
	return c.To && m.shows(c)
}

// sharing returns what an account has of groups, nil if it has no sessions.
func (s *Service) sharing(account jid.JID) *sharing { return s.online.get(account) }

// open makes sure that there is a sharing of an account that has sessions. items
// are its roster, nil to read it. The account is locked.
func (s *Service) open(ctx context.Context, account jid.JID, items []store.RosterItem, version int64) (*sharing, error) {
	if sh := s.sharing(account); sh != nil || s.opts.Groups == nil {
		return sh, nil
	}
	if items == nil {
		var err error
		if items, version, err = s.load(ctx, account); err != nil {
			return nil, err
		}
	}
	bound := len(s.opts.Router.Sessions(account)) > 0
	view, err := s.opts.Groups.View(ctx, account, bound)
	if err != nil {
		return nil, err
	}
	sh := &sharing{view: view, version: version}
	for i := range items {
		sh.mark(&items[i])
	}
	if bound {
		s.online.put(account, sh)
	}
	return sh, nil
}

// mark notes what of groups does not count for a contact. For whoever makes the
// sharing.
func (sh *sharing) mark(item *store.RosterItem) {
	switch m := marksOf(item); {
	case m.equal(marks{}):
		delete(sh.marks, item.Contact)
	case sh.marks == nil:
		sh.marks = map[jid.JID]marks{item.Contact: m}
	default:
		sh.marks[item.Contact] = m
	}
}

// release forgets what an account without sessions has of groups. The account
// is locked.
func (s *Service) release(account jid.JID) {
	if s.opts.Groups == nil {
		return
	}
	s.online.remove(account)
	s.opts.Groups.Release(account)
}

// sharedContact returns what groups say of a contact. The account is locked.
func (s *Service) sharedContact(ctx context.Context, account, who jid.JID) (c shared.Contact, shown bool, err error) {
	sh, err := s.open(ctx, account, nil, 0)
	if err != nil {
		return c, false, err
	}
	c, shown = sh.contact(who)
	return c, shown, nil
}

// bits are the subscriptions that groups bring.
func bits(c *shared.Contact) (st state) {
	if c.To {
		st |= to
	}
	if c.From {
		st |= from
	}
	return st
}

// join returns the state that somebody is in who has subscriptions of his own
// and others through groups.
func (s state) join(groups state) state {
	s |= groups
	if s&to != 0 {
		s &^= pendOut
	}
	if s&from != 0 {
		s &^= pendIn
	}
	return s
}

// merge returns an item as clients are shown it: what is stored, and what groups
// say if that is shown. The owner's own name and groups win.
func merge(item *store.RosterItem, c *shared.Contact, shown bool) store.RosterItem {
	m := *item
	if shown {
		mergeIn(nil, &m, c)
	}
	return m
}

// mergeIn makes a stored item what clients are shown with what groups say. Its
// groups are in scratch, which it returns.
func mergeIn(scratch []string, m *store.RosterItem, c *shared.Contact) []string {
	stateOf(m).join(bits(c)).set(m)
	m.InRoster, m.Removed = true, false
	m.Approved = m.Approved && m.Subscription == store.SubTo
	if m.Name == "" {
		m.Name = c.Name
	}
	m.Groups = appendGroups(scratch, m, c.Labels)
	return m.Groups
}

// appendGroups appends an item's groups with the labels that its owner has not
// taken off, each once.
func appendGroups(groups []string, item *store.RosterItem, labels []shared.Label) []string {
	groups = append(groups, item.Groups...)
	for _, l := range labels {
		if leftOut := item.Hidden == 0 && slices.Contains(item.LeftOut, string(l.Group)); !leftOut && !slices.Contains(groups, l.Text) {
			groups = append(groups, l.Text)
		}
	}
	return groups
}

// edit makes an item what its owner wishes. Of a contact from groups only what
// is the owner's own is kept, so that it follows the groups in all else and
// leaves with them. What groups say, too, is the owner's own if it was before:
// else his client repeats what it has been shown.
func edit(item, wish *store.RosterItem, c *shared.Contact, known bool) {
	before := *item
	item.Name, item.Groups, item.LeftOut, item.Hidden = wish.Name, wish.Groups, nil, 0
	if !known {
		item.InRoster = true
		return
	}
	if item.Name == c.Name && item.Name != before.Name {
		item.Name = ""
	}
	own := slices.Clone(wish.Groups)
	for _, l := range c.Labels {
		if !slices.Contains(wish.Groups, l.Text) {
			item.LeftOut = append(item.LeftOut, string(l.Group))
		}
		own = slices.DeleteFunc(own, func(g string) bool { return g == l.Text && !slices.Contains(before.Groups, g) })
	}
	item.Groups = own
}

// moved brings the version of an account's roster up to an item that looks
// different now; shared tells whether groups had or have a part in it. The
// account is locked.
func (s *Service) moved(account jid.JID, version int64, before, after *store.RosterItem, was, is bool) {
	sh := s.sharing(account)
	if sh == nil {
		return
	}
	next := *sh
	next.version = max(version, sh.version)
	if was {
		next.digest -= digestOf(appendItem(nil, before))
	}
	if is {
		next.digest += digestOf(appendItem(nil, after))
	}
	s.online.put(account, &next)
}

// remember brings an account's sharing up to what has been stored of an item, or
// says that nobody knows (err). The account is locked.
func (s *Service) remember(account jid.JID, item *store.RosterItem, err error) {
	sh := s.sharing(account)
	if sh == nil || err == nil && sh.marks[item.Contact].equal(marksOf(item)) {
		return
	}
	next := *sh
	next.exact = next.exact && err == nil
	next.marks = maps.Clone(sh.marks)
	next.mark(item)
	s.online.put(account, &next)
}

// counted notes what an account's roster has been found to be. The account is
// locked.
func (s *Service) counted(account jid.JID, version int64, digest uint64) *sharing {
	sh := s.sharing(account)
	if sh == nil || sh.exact && sh.version == version && sh.digest == digest {
		return sh
	}
	next := *sh
	next.version, next.digest, next.exact = version, digest, true
	s.online.put(account, &next)
	return &next
}

// everybody returns an account's contacts, with those from groups who have
// sessions. Whom the account's presence goes to is said by the recipient's
// sharing. Who sees it is always among them; with all so is whom it sees: his
// sharing may still have to follow the account's. The account is locked.
func (s *Service) everybody(ctx context.Context, account jid.JID, personal []contact, all bool) []contact {
	own := s.sharing(account)
	if own == nil {
		return personal
	}
	now, err := s.opts.Groups.View(ctx, account, false)
	if err != nil {
		s.logError(ctx, "find who is in the same groups", account, err)
		now = own.view
	}
	var there []contact
	note := func(j jid.JID, other *sharing) {
		c := contact{jid: j}
		theirs, shown := other.contact(account)
		mine, shows := own.contact(j)
		if shown || shows && mine.Meets {
			c.groups |= from
		}
		if shows || shown && theirs.Meets {
			c.groups |= to
		}
		there = append(there, c)
	}
	if all {
		for c := range now.Contacts() {
			if other := s.sharing(c.JID); other != nil {
				note(c.JID, other)
			}
		}
	}
	noted := func(j jid.JID) bool {
		_, ok := now.Contact(j)
		return ok
	}
	for _, j := range s.online.in(now, own.view) { // a group may have ended whose others have still to follow
		if j == account || all && noted(j) {
			continue
		}
		if other := s.sharing(j); other != nil {
			note(j, other)
		}
	}
	if now.SeenByAll() {
		for j, other := range s.online.all {
			if j != account && !noted(j) {
				note(j, other)
			}
		}
	}
	return joinContacts(personal, there)
}

// joinContacts adds what groups say of people, each once, to contacts.
func joinContacts(personal, there []contact) []contact {
	if len(there) == 0 {
		return personal
	}
	all := append(make([]contact, 0, len(personal)+len(there)), personal...)
	for _, c := range there {
		i, known := find(all[:len(personal)], c.jid)
		if !known {
			i, all = len(all), append(all, c)
		}
		all[i].groups |= c.groups
		all[i].state = all[i].state.join(all[i].groups)
	}
	return all
}

// seesThroughGroups reports whether groups let somebody see an account.
func (s *Service) seesThroughGroups(ctx context.Context, who, account jid.JID) (bool, error) {
	if s.opts.Groups == nil || !s.isLocal(who) {
		return false, nil
	}
	view, err := s.opts.Groups.View(ctx, who, false)
	if err != nil {
		return false, err
	}
	c, _ := view.Contact(account)
	if c.To {
		return true, nil
	}
	if c.Past != 0 {
		item, err := s.item(ctx, who, account)
		if err != nil || c.Past >= item.Ended {
			return err == nil, err
		}
	}
	if view, err = s.opts.Groups.View(ctx, account, false); err != nil {
		return false, err
	}
	c, _ = view.Contact(who)
	return c.Meets, nil
}

// looksAt reports whether an account that has sessions sees somebody through
// groups.
func (s *Service) looksAt(account, somebody jid.JID) bool {
	if _, shown := s.sharing(account).contact(somebody); shown {
		return true
	}
	c, shown := s.sharing(somebody).contact(account)
	return shown && c.Meets
}

// GroupsChanged brings accounts with sessions to what groups say now: their
// clients get one push for each item that looks different, then the presence of
// whom they see from now on. It may be called again and in any order. nil are
// all accounts.
func (s *Service) GroupsChanged(ctx context.Context, accounts []jid.JID) {
	if s.opts.Groups == nil {
		return
	}
	if accounts == nil {
		for account := range s.online.all {
			accounts = append(accounts, account)
		}
	}
	for _, account := range accounts {
		if s.sharing(account) != nil { // or it reads what is new when it comes
			s.groupsChanged(ctx, account)
		}
	}
}

// groupsChanged is GroupsChanged for one account.
func (s *Service) groupsChanged(ctx context.Context, account jid.JID) {
	seen, err := s.follow(ctx, account)
	defer seen.release()
	if err != nil {
		s.logError(ctx, "follow a change of groups", account, err)
		return
	}
	s.showChange(ctx, account, &seen)
}

// showChange shows an account and others what they see of each other from now on.
func (s *Service) showChange(ctx context.Context, account jid.JID, seen *sights) {
	s.reveal(account, seen.begun...)
	for _, contact := range seen.ended {
		s.conceal(ctx, account, contact, true)
	}
	for _, contact := range s.online.of(seen.removed) { // or there is nothing to be seen, and no place to see it
		s.conceal(ctx, account, contact, true)
	}
	for _, contact := range seen.met {
		s.reveal(contact, account)
	}
	for _, contact := range seen.parted {
		s.conceal(ctx, contact, account, false)
	}
}

// sights are whom an account begins or ceases to see, the latter with those who are
// no contacts any more apart, and who begins or ceases to see it without having it
// among his contacts.
type sights struct {
	release                            func() // what lets out what the account is told
	most                               int    // of whom something may become
	begun, ended, removed, met, parted []jid.JID
}

// add adds somebody to one of the lists.
func (l *sights) add(list *[]jid.JID, j jid.JID) {
	if *list == nil {
		*list = make([]jid.JID, 0, l.most)
	}
	*list = append(*list, j)
}

// note notes what becomes of a contact: how he looked, and how he looks now.
func (l *sights) note(before, after *store.RosterItem, met, meets bool) {
	j := after.Contact
	saw, sees := stateOf(before)&to != 0, stateOf(after)&to != 0
	switch {
	case sees && !saw:
		l.add(&l.begun, j)
	case saw && !sees && after.InRoster:
		l.add(&l.ended, j)
	case saw && !sees:
		l.add(&l.removed, j)
	}
	switch {
	case meets && !met:
		l.add(&l.met, j)
	case met && !meets:
		l.add(&l.parted, j)
	}
}

// follow brings one account's roster to what groups say now, and returns who sees
// whom because of it, and who does not any more.
func (s *Service) follow(ctx context.Context, account jid.JID) (seen sights, err error) {
	seen.release = func() {}
	defer s.lock(account)()
	sh := s.sharing(account)
	if sh == nil {
		return seen, nil
	}
	next := *sh
	if next.view, err = s.opts.Groups.Later(ctx, sh.view); err != nil {
		return seen, err
	}
	changed := next.view.Changed(sh.view)
	own, err := s.items(ctx, account, changed)
	if err != nil {
		return seen, err
	}
	seen.most = len(changed)
	s.tellChange(account, sh, &next, changed, own, &seen)
	s.online.put(account, &next)
	return seen, nil
}

// items returns what is stored of those contacts of an account of whom something is.
// The account is locked.
func (s *Service) items(ctx context.Context, account jid.JID, people []jid.JID) (map[jid.JID]store.RosterItem, error) {
	contacts, err := s.contacts(ctx, account)
	if err != nil || len(contacts) == 0 {
		return nil, err
	}
	own := make(map[jid.JID]store.RosterItem)
	for _, j := range people {
		if _, stored := find(contacts, j); stored {
			if own[j], err = s.item(ctx, account, j); err != nil {
				return nil, err
			}
		}
	}
	return own, nil
}

// tellChange sends an account's sessions what is different with the sharing next of
// the contacts changed, of whom own is stored, and notes in seen who sees whom. The
// account is locked.
func (s *Service) tellChange(account jid.JID, sh, next *sharing, changed []jid.JID, own map[jid.JID]store.RosterItem, seen *sights) {
	sessions := s.interested(account)
	var told pushes
	if len(sessions) > 0 {
		told = newPushes(account, len(changed))
	}
	earlier, later := sh.view.Cursor(), next.view.Cursor()
	var old, wire []byte
	for _, j := range changed {
		item, stored := own[j]
		if !stored {
			item = store.RosterItem{Contact: j, Subscription: store.SubNone}
		}
		then, was := earlier.Contact(j)
		was = was && sh.shows(&then)
		before := merge(&item, &then, was)
		now, is := later.Contact(j)
		is = is && next.shows(&now)
		after := merge(&item, &now, is)
		seen.note(&before, &after, was && then.Meets, is && now.Meets)
		old, wire = appendShown(old[:0], &before), appendShown(wire[:0], &after)
		if was {
			next.digest -= digestOf(old)
		}
		if is {
			next.digest += digestOf(wire)
		}
		if len(sessions) == 0 || bytes.Equal(old, wire) {
			continue
		}
		if !after.InRoster {
			wire = appendItem(wire, &after)
		}
		told.add(s, wire, next.ver(next.version))
	}
	if s.online.any(seen.begun) {
		seen.release = router.Gather(sessions) // presence follows
	}
	s.deliver(sessions, &told) // at once: a session takes one thing, however much it is
}

// reveal shows an account's available sessions the presence of people, ordered by
// address, whom it sees through groups.
func (s *Service) reveal(account jid.JID, contacts ...jid.JID) {
	viewers := s.opts.Router.Sessions(account)
	for _, contact := range s.online.of(contacts) { // whoever comes now tells the viewers himself
		for _, viewer := range viewers {
			if isAvailable(viewer) && !viewer.State().BlockList().Blocks(contact) {
				s.lookAtShared(contact, viewer)
			}
		}
	}
}

// lookAtShared delivers the presence of an account that a session sees through
// groups, if it still does.
func (s *Service) lookAtShared(account jid.JID, viewer router.Session) {
	if len(s.opts.Router.Sessions(account)) == 0 {
		return
	}
	defer s.lock(account)()
	if s.looksAt(viewer.JID().Bare(), account) {
		s.lookAtLocked(account, viewer)
	}
}

// conceal shows an account somebody as gone whom it does not see any more. kept
// tells that he is still among its contacts.
func (s *Service) conceal(ctx context.Context, account, contact jid.JID, kept bool) {
	if !s.isLocal(contact) {
		return
	}
	defer s.lock(contact)()
	if s.looksAt(account, contact) {
		return
	}
	contacts, err := s.contacts(ctx, contact)
	if err != nil {
		s.logError(ctx, "find who sees presence", contact, err)
	}
	if standing(contacts, account)&from != 0 {
		return
	}
	shown := false
	for _, session := range s.opts.Router.Sessions(contact) {
		if isAvailable(session) {
			shown = true
			s.give(ctx, session.State().BlockList(), unavailable(session.JID(), account))
		}
	}
	if _, known := find(contacts, account); !shown && (kept || known) { // he may have gone meanwhile
		s.give(ctx, nil, unavailable(contact, account))
	}
}
