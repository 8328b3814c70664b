package roster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Outbound handles every presence that a client sends. A non-nil channel asks
// to read no more from it until the channel closes.
func (s *Service) Outbound(ctx context.Context, session router.Session, p stanza.Stanza) (busy <-chan struct{}) {
	plain := p.Type == "" || p.Type == stanza.TypeUnavailable
	if weight(p.Children) > s.opts.MaxPresence {
		s.refuse(ctx, &p, p.From, stanza.NewError(stanza.Modify, stanza.NotAcceptable, fmt.Sprintf("Presence holds %d bytes at most.", s.opts.MaxPresence)))
		return nil
	}
	switch {
	case p.To.IsZero() && p.Type == "":
		s.announce(ctx, session, p)
	case p.To.IsZero() && p.Type == stanza.TypeUnavailable:
		s.farewell(ctx, session, p)
	case p.To.IsZero():
		s.refuse(ctx, &p, p.From, stanza.NewError(stanza.Modify, stanza.BadRequest, "Presence of this type needs an address."))
	case isSubscription(p.Type):
		return s.sendSubscription(ctx, p)
	case plain:
		return s.direct(ctx, session, p)
	case p.Type == stanza.TypeProbe || p.Type == stanza.TypeError:
		return s.opts.Router.Route(ctx, p)
	default: // RFC 6121 §4.7.1
		s.refuse(ctx, &p, p.From, stanza.NewError(stanza.Modify, stanza.BadRequest, "There is no presence of this type."))
	}
	return nil
}

// weight is about how many bytes the children of a stanza have.
func weight(nodes []stanza.Node) (n int) {
	for i := range nodes {
		n += len(nodes[i].Text)
		if e := nodes[i].Element; e != nil {
			n += 2*len(e.Name.Local) + len(e.Name.Space) + weight(e.Children)
			for _, a := range e.Attrs {
				n += len(a.Name.Local) + len(a.Value)
			}
		}
	}
	return n
}

// direct sends presence to one address (RFC 6121 §4.6) and remembers it, so
// that its recipient also learns of the end.
func (s *Service) direct(ctx context.Context, session router.Session, p stanza.Stanza) (busy <-chan struct{}) {
	if !session.State().Directed(p.To, p.Type == "", s.opts.MaxDirected) {
		s.refuse(ctx, &p, p.From, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "This session has sent presence to too many addresses."))
		return nil
	}
	busy = s.opts.Router.Route(ctx, p)
	if l := session.State().BlockList(); p.Type == "" && l.Blocks(p.To) { // meanwhile, by another session
		session.State().Directed(p.To, false, 0)
		s.give(ctx, nil, unavailable(p.From, p.To))
	}
	return busy
}

// announce handles presence for everybody (RFC 6121 §4.2, §4.4).
func (s *Service) announce(ctx context.Context, session router.Session, p stanza.Stanza) {
	priority, ok := parsePriority(&p)
	if !ok {
		s.refuse(ctx, &p, p.From, stanza.NewError(stanza.Modify, stanza.BadRequest, "A priority is a number from -128 to 127."))
		return
	}
	_, before, was := session.State().Presence()
	if err := s.come(ctx, session, p, priority, !was); err != nil {
		s.refuse(ctx, &p, p.From, err)
		return
	}
	if takesMessages := priority >= 0 && (!was || before < 0); !takesMessages || s.opts.Offline == nil {
		return
	}
	// XEP-0160 §2 (5).
	account := session.JID().Bare()
	if err := s.opts.Offline.Deliver(ctx, account, account.DomainOnly(), session); err != nil {
		s.logError(ctx, "deliver stored messages", account, err)
	}
}

// parsePriority reads the priority; without one it is 0 (RFC 6121 §4.7.2.3).
func parsePriority(p *stanza.Stanza) (int8, bool) {
	e := p.Child(stanza.NSClient, "priority")
	if e == nil {
		return 0, true
	}
	n, err := strconv.ParseInt(strings.TrimSpace(e.Text()), 10, 8)
	return int8(n), err == nil
}

// come makes presence the session's and tells everybody who sees it. One that
// was not available is shown who is there (RFC 6121 §4.2). If it is not known
// who all these are, nothing has happened.
func (s *Service) come(ctx context.Context, session router.Session, p stanza.Stanza, priority int8, initial bool) error {
	var granted map[jid.JID]bool
	if initial {
		var err error
		if granted, err = s.grants(ctx, session.JID().Bare()); err != nil {
			return err
		}
	}
	contacts, err := s.appear(ctx, session, p, priority, initial)
	if err == nil && initial {
		s.welcome(ctx, session, contacts, granted)
	}
	return err
}

// appear makes presence the session's and tells everybody who sees it. It
// returns the account's contacts.
func (s *Service) appear(ctx context.Context, session router.Session, p stanza.Stanza, priority int8, initial bool) ([]contact, error) {
	account := session.JID().Bare()
	defer s.lock(account)()
	contacts, err := s.contacts(ctx, account)
	if err != nil {
		return nil, err
	}
	if _, err := s.open(ctx, account, nil, 0); err != nil {
		return nil, err
	}
	session.State().SetPresence(p, priority, true)
	contacts = s.everybody(ctx, account, contacts, initial) // who comes later finds this session
	s.tell(ctx, session, p, contacts)
	return contacts, nil
}

// audience returns the account's contacts. If they cannot be read, presence goes
// to the account's own sessions at least. all is as everybody has it. The account is
// locked.
func (s *Service) audience(ctx context.Context, account jid.JID, all bool) []contact {
	contacts, err := s.contacts(ctx, account)
	if err != nil {
		s.logError(ctx, "find who sees presence", account, err)
	}
	return s.everybody(ctx, account, contacts, all)
}

// tell sends presence of a session to the contacts that see it and to the
// account's available sessions, the one it is from among them (RFC 6121 §4.2.2,
// §4.4.2, §4.5.2). The account is locked.
func (s *Service) tell(ctx context.Context, session router.Session, p stanza.Stanza, contacts []contact) {
	account, blocks := session.JID().Bare(), session.State().BlockList()
	batch := []*stanza.Encoded{stanza.Encode(p)}
	s.toAvailable(blocks, account, batch)
	for _, c := range contacts {
		switch {
		case c.state&from == 0 || c.jid == account:
		case s.isLocal(c.jid):
			s.toAvailable(blocks, c.jid, batch)
		case blocks.Blocks(c.jid):
		default:
			st := p
			st.To = c.jid
			s.opts.Router.Route(ctx, st)
		}
	}
}

// toAvailable delivers to the available sessions of a local account that the
// sender has not blocked.
func (s *Service) toAvailable(blocks *router.BlockList, account jid.JID, batch []*stanza.Encoded) {
	for _, session := range s.opts.Router.Sessions(account) {
		if isAvailable(session) && !blocks.Blocks(session.JID()) {
			session.Deliver(batch)
		}
	}
}

// give brings presence to one address that the sender has not blocked, without
// taking a lock.
func (s *Service) give(ctx context.Context, blocks *router.BlockList, p stanza.Stanza) {
	switch {
	case blocks.Blocks(p.To):
	case !s.isLocal(p.To):
		s.opts.Router.Route(ctx, p)
	case p.To.IsBare():
		s.toAvailable(blocks, p.To, []*stanza.Encoded{stanza.EncodeAddressed(p)})
	default:
		if session := s.opts.Router.Session(p.To); session != nil {
			session.Deliver([]*stanza.Encoded{stanza.EncodeAddressed(p)})
		}
	}
}

// welcome shows a session that has become available the presence of the
// account's other sessions and of its contacts, and the requests that wait for
// an answer (RFC 6121 §4.2.3, §4.3, §3.1.3). Local contacts are looked at
// instead of being sent a probe; whether they let themselves be seen is for
// their own rosters to say.
func (s *Service) welcome(ctx context.Context, session router.Session, contacts []contact, granted map[jid.JID]bool) {
	account := session.JID().Bare()
	s.lookAt(account, session)
	var asking []jid.JID
	for _, c := range contacts {
		if c.state&pendIn != 0 {
			asking = append(asking, c.jid)
		}
		switch {
		case c.state&to == 0 || session.State().BlockList().Blocks(c.jid):
		case c.groups&to != 0:
			s.lookAtShared(c.jid, session)
		case !s.isLocal(c.jid):
			s.opts.Router.Route(ctx, probe(account, c.jid))
		case granted[c.jid] || !s.repair(ctx, account, c.jid):
			s.lookAt(c.jid, session)
		}
	}
	if len(asking) > 0 {
		s.ask(ctx, session, asking)
	}
}

// ask shows a session the requests of people who waited for its account's answer when
// it came: later ones it has been shown.
func (s *Service) ask(ctx context.Context, session router.Session, people []jid.JID) {
	account := session.JID().Bare()
	defer s.lock(account)()
	items, _, err := s.load(ctx, account)
	if err != nil {
		s.logError(ctx, "show requests", account, err)
		return
	}
	var requests []*stanza.Encoded
	sh := s.sharing(account)
	for i := range items {
		if c, _ := sh.contact(items[i].Contact); c.From {
			continue // he has what he asks for
		}
		if items[i].PendingIn && slices.Contains(people, items[i].Contact) {
			requests = append(requests, stanza.EncodeAddressed(requestOf(&items[i], account)))
		}
	}
	if len(requests) > 0 {
		session.Deliver(requests)
	}
}

// grants returns the accounts whose presence an account may see.
func (s *Service) grants(ctx context.Context, account jid.JID) (map[jid.JID]bool, error) {
	owners, err := s.opts.Store.RosterGrants(ctx, account)
	if err != nil {
		return nil, err
	}
	set := make(map[jid.JID]bool, len(owners))
	for _, j := range owners {
		set[j] = true
	}
	return set, nil
}

// lookAt delivers the presence of an account's sessions to a session, and
// reports whether there was any.
func (s *Service) lookAt(account jid.JID, viewer router.Session) (shown bool) {
	if len(s.opts.Router.Sessions(account)) == 0 {
		return false // whoever comes now tells the viewer himself
	}
	defer s.lock(account)()
	return s.lookAtLocked(account, viewer)
}

// lookAtLocked is lookAt of an account that is locked.
func (s *Service) lookAtLocked(account jid.JID, viewer router.Session) (shown bool) {
	var batch []*stanza.Encoded
	for _, session := range s.opts.Router.Sessions(account) {
		hidden := session.State().BlockList().Blocks(viewer.JID())
		if p := session.State().Encoded(); p != nil && session != viewer && !hidden {
			batch = append(batch, p)
		}
	}
	if len(batch) > 0 {
		viewer.Deliver(batch)
	}
	return len(batch) > 0
}

// probeID is the id of the server's probes: who answers one with an error
// repeats it.
const probeID = "server-probe"

// probe asks a contact elsewhere for its presence (RFC 6121 §4.3.1).
func probe(account, contact jid.JID) stanza.Stanza {
	return stanza.Stanza{Kind: stanza.Presence, Type: stanza.TypeProbe, ID: probeID, From: account, To: contact}
}

// requestOf is the request that waits in an item.
func requestOf(item *store.RosterItem, account jid.JID) stanza.Stanza {
	request, err := stanza.Parse(item.Request)
	if err != nil { // there is none, or it was written by somebody else
		return subscription(stanza.TypeSubscribe, item.Contact, account)
	}
	return request
}

// repair ends a subscription that the contact does not know of, and reports
// whether it has: the server was stopped between the two halves of its end. A
// probe would be answered with the same (RFC 6121 §4.3.2).
func (s *Service) repair(ctx context.Context, account, contact jid.JID) bool {
	defer s.lockPair(account, contact)()
	sees, err := s.Sees(ctx, account, contact)
	if err != nil {
		s.logError(ctx, "find out whether presence is seen", account, err)
		return true // he is not shown
	}
	if sees {
		return false
	}
	s.metrics.repaired.Inc()
	s.log.LogAttrs(ctx, slog.LevelInfo, "subscription repaired", slog.String("jid", account.String()))
	if _, err := s.receive(ctx, subscription(stanza.TypeUnsubscribed, contact, account)); err != nil {
		s.logError(ctx, "repair subscription", account, err)
	}
	return true
}

// unavailable is what the server says for a session that is gone.
func unavailable(session, to jid.JID) stanza.Stanza {
	return stanza.Stanza{Kind: stanza.Presence, Type: stanza.TypeUnavailable, From: session, To: to}
}

// Ended says goodbye for a session that has gone without doing so itself
// (RFC 6121 §4.5.2).
func (s *Service) Ended(ctx context.Context, session router.Session) {
	s.farewell(ctx, session, unavailable(session.JID(), jid.JID{}))
	account := session.JID().Bare()
	defer s.lock(account)()
	if len(s.opts.Router.Sessions(account)) == 0 {
		s.forget(account)
		s.release(account)
	}
}

// farewell sends unavailable presence to everybody who has been shown
// available one (RFC 6121 §4.5, §4.6.3).
func (s *Service) farewell(ctx context.Context, session router.Session, p stanza.Stanza) {
	told := s.vanish(ctx, session, p)
	for _, j := range session.State().TakeDirected() {
		if told[j] || told[j.Bare()] && s.wasTold(j) {
			continue
		}
		st := p
		st.To = j
		s.give(ctx, session.State().BlockList(), st)
	}
}

// vanish tells everybody who sees the session's presence that it is gone, if it
// was there, and returns who that is.
func (s *Service) vanish(ctx context.Context, session router.Session, p stanza.Stanza) (told map[jid.JID]bool) {
	account := session.JID().Bare()
	defer s.lock(account)()
	if !isAvailable(session) {
		return nil
	}
	if s.opts.Left != nil {
		s.opts.Left(account, p)
	}
	contacts := s.audience(ctx, account, false)
	s.tell(ctx, session, p, contacts)
	session.State().SetPresence(p, 0, false)
	told = map[jid.JID]bool{account: true}
	for _, c := range contacts {
		if c.state&from != 0 {
			told[c.jid] = true
		}
	}
	return told
}

// wasTold reports whether an address gets what is told to its account: that is
// told to available sessions, and directed presence may have gone to others.
func (s *Service) wasTold(full jid.JID) bool {
	session := s.opts.Router.Session(full)
	return s.isLocal(full) && (session == nil || isAvailable(session))
}

// Inbound handles presence to a local account that is not for one of its
// sessions alone.
func (s *Service) Inbound(ctx context.Context, p stanza.Stanza) {
	switch {
	case isSubscription(p.Type):
		defer s.lockPair(p.From.Bare(), p.To.Bare())()
		if _, err := s.receive(ctx, p); err != nil {
			s.refuse(ctx, &p, p.From, err)
		}
	case p.Type == stanza.TypeProbe:
		s.answerProbe(ctx, p)
	case p.Type == stanza.TypeError && p.ID == probeID && p.To.IsBare():
		s.metrics.probeError.Inc() // no client has asked
	case p.Type == "" || p.Type == stanza.TypeUnavailable || p.Type == stanza.TypeError:
		// §8.5.2.1.2; an error answers a subscription stanza, which comes from
		// the account.
		s.toAvailable(nil, p.To.Bare(), []*stanza.Encoded{stanza.EncodeAddressed(p)})
	default:
		s.metrics.badType.Inc()
	}
}

// answerProbe tells a contact, or somebody who has directed presence, of an
// account's sessions (RFC 6121 §4.3.2). Others learn nothing, not even whether
// there is such an account; who is blocked does not even learn that (XEP-0191
// §3.3).
func (s *Service) answerProbe(ctx context.Context, p stanza.Stanza) {
	account := p.To.Bare()
	if blocked, err := s.blocks(ctx, account, p.From); err != nil || blocked {
		s.dropped(ctx, account, err)
		return
	}
	sees, err := s.Sees(ctx, p.From, account)
	if err != nil {
		s.logError(ctx, "answer probe", account, err)
		return
	}
	if s.revealTo(ctx, p.From, p.To, sees) {
		return
	}
	if !sees {
		refusal := subscription(stanza.TypeUnsubscribed, account, p.From)
		if s.isLocal(p.From) {
			s.Inbound(ctx, refusal)
		} else {
			s.opts.Router.Route(ctx, refusal)
		}
		return
	}
	s.give(ctx, nil, unavailable(p.To, p.From))
}

// revealTo sends a viewer the presence of an account's sessions, of those that
// have sent him directed presence if he does not see all. It reports whether
// there was any.
func (s *Service) revealTo(ctx context.Context, viewer, target jid.JID, sees bool) (shown bool) {
	account := target.Bare()
	defer s.lock(account)()
	for _, session := range s.opts.Router.Sessions(account) {
		last, _, ok := session.State().Presence()
		directed := session.State().HasDirected(viewer) || session.State().HasDirected(viewer.Bare())
		if !ok || !sees && !directed || !target.IsBare() && session.JID() != target {
			continue
		}
		last.To = viewer
		s.give(ctx, session.State().BlockList(), last)
		shown = true
	}
	return shown
}
