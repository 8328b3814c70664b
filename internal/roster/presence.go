package roster

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Outbound handles every presence that a client sends. A non-nil channel asks
// to read no more from it until the channel closes.
func (s *Service) Outbound(ctx context.Context, from router.Session, p stanza.Stanza) (busy <-chan struct{}) {
	switch p.Type {
	case stanza.TypeSubscribe, stanza.TypeSubscribed, stanza.TypeUnsubscribe, stanza.TypeUnsubscribed:
		if p.To.IsZero() {
			s.refuse(&p, stanza.NewError(stanza.Modify, stanza.BadRequest, "A subscription needs the contact's address."))
			return nil
		}
		return s.sendSubscription(ctx, p)
	case "", stanza.TypeUnavailable:
		if !p.To.IsZero() {
			return s.direct(ctx, from, p)
		}
		s.broadcastOwn(ctx, from, p)
		return nil
	}
	if p.To.IsZero() {
		s.refuse(&p, stanza.NewError(stanza.Modify, stanza.BadRequest, "Presence of this type needs an address."))
		return nil
	}
	return s.opts.Router.Route(ctx, p)
}

// direct sends presence to one address (RFC 6121 §4.6), and remembers it, so
// that its recipient also learns of the end.
func (s *Service) direct(ctx context.Context, from router.Session, p stanza.Stanza) (busy <-chan struct{}) {
	from.State().Directed(p.To, p.Type == "")
	return s.opts.Router.Route(ctx, p)
}

// broadcastOwn handles presence to everybody (RFC 6121 §4.2, §4.4, §4.5).
func (s *Service) broadcastOwn(ctx context.Context, from router.Session, p stanza.Stanza) {
	state := from.State()
	if p.Type == stanza.TypeUnavailable {
		if state.SetPresence(p, 0, false) {
			s.farewell(ctx, from, p)
		} else {
			s.farewellDirected(ctx, from, p, nil)
		}
		return
	}
	priority, ok := parsePriority(&p)
	if !ok {
		s.refuse(&p, stanza.NewError(stanza.Modify, stanza.BadRequest, "A priority is a number from -128 to 127."))
		return
	}
	_, before, _ := state.Presence()
	was := state.SetPresence(p, priority, true)
	items, _, err := s.opts.Store.Roster(ctx, from.JID().Bare())
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "load roster", slog.String("jid", from.JID().String()), slog.Any("err", err))
		items = nil // one's own sessions still see each other
	}
	s.tell(ctx, from, p, items)
	if !was {
		s.welcome(from, items)
	}
	if priority >= 0 && (!was || before < 0) && s.opts.Offline != nil {
		err := s.opts.Offline.Deliver(ctx, from.JID().Bare(), from.JID().DomainOnly(), from)
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "deliver stored messages", slog.Any("err", err))
		}
	}
}

// parsePriority reads the priority; without one it is 0 (RFC 6121 §4.7.2.3).
func parsePriority(p *stanza.Stanza) (int8, bool) {
	e := p.Child(stanza.NSClient, "priority")
	if e == nil {
		return 0, true
	}
	n, err := strconv.ParseInt(e.Text(), 10, 8)
	return int8(n), err == nil
}

// tell sends presence to the contacts that see it and to the account's own
// sessions.
func (s *Service) tell(ctx context.Context, from router.Session, p stanza.Stanza, items []store.RosterItem) {
	batch := []*stanza.Encoded{stanza.Encode(p)}
	s.toLocal(from.JID().Bare(), batch)
	for i := range items {
		if !hasFrom(items[i].Subscription) {
			continue
		}
		contact := items[i].Contact
		if s.opts.Router.IsHost(contact.Domain()) && contact.Local() != "" {
			s.toLocal(contact, batch)
			continue
		}
		st := p
		st.To = contact
		s.opts.Router.Route(ctx, st)
	}
}

// toLocal delivers presence to the available sessions of a local account.
func (s *Service) toLocal(account jid.JID, batch []*stanza.Encoded) {
	for _, session := range s.opts.Router.Sessions(account) {
		if _, _, ok := session.State().Presence(); ok {
			session.Deliver(batch)
		}
	}
}

// welcome shows a session that has become available the presence of its
// contacts and of the account's other sessions, and the requests that wait for
// an answer (RFC 6121 §4.2.3, §3.1.3). Contacts of other servers would be
// probed; there are none yet.
func (s *Service) welcome(to router.Session, items []store.RosterItem) {
	var batch []*stanza.Encoded
	collect := func(account jid.JID) {
		for _, other := range s.opts.Router.Sessions(account) {
			if p, _, ok := other.State().Presence(); ok && other != to {
				batch = append(batch, stanza.Encode(p))
			}
		}
	}
	collect(to.JID().Bare())
	for i := range items {
		if hasTo(items[i].Subscription) {
			collect(items[i].Contact)
		}
	}
	for i := range items {
		if !items[i].PendingIn {
			continue
		}
		request, err := stanza.Parse(items[i].Request)
		if err != nil {
			request = subscription(stanza.TypeSubscribe, items[i].Contact, to.JID())
		}
		batch = append(batch, stanza.EncodeAddressed(request))
	}
	if len(batch) > 0 {
		to.Deliver(batch)
	}
}

// Ended says goodbye for a session that has gone without doing so itself
// (RFC 6121 §4.5.2).
func (s *Service) Ended(ctx context.Context, session router.Session) {
	p := stanza.Stanza{Kind: stanza.Presence, Type: stanza.TypeUnavailable, From: session.JID()}
	if session.State().SetPresence(p, 0, false) {
		s.farewell(ctx, session, p)
	} else {
		s.farewellDirected(ctx, session, p, nil)
	}
}

// farewell sends unavailable presence to everybody who has seen available one.
func (s *Service) farewell(ctx context.Context, from router.Session, p stanza.Stanza) {
	items, _, err := s.opts.Store.Roster(ctx, from.JID().Bare())
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "load roster", slog.String("jid", from.JID().String()), slog.Any("err", err))
	}
	s.tell(ctx, from, p, items)
	if session := s.opts.Router.Session(from.JID()); session == from { // its own copy (RFC 6121 §4.5.2)
		from.Deliver([]*stanza.Encoded{stanza.Encode(p)})
	}
	told := make(map[jid.JID]bool, len(items))
	for i := range items {
		told[items[i].Contact] = hasFrom(items[i].Subscription)
	}
	s.farewellDirected(ctx, from, p, told)
}

// farewellDirected takes back directed presence, except from those who have
// been told already.
func (s *Service) farewellDirected(ctx context.Context, from router.Session, p stanza.Stanza, told map[jid.JID]bool) {
	for _, to := range from.State().TakeDirected() {
		if told[to.Bare()] {
			continue
		}
		st := p
		st.To = to
		s.opts.Router.Route(ctx, st)
	}
}

// Inbound handles presence to a local account that is not for one of its
// sessions alone.
func (s *Service) Inbound(ctx context.Context, p stanza.Stanza) {
	switch p.Type {
	case stanza.TypeSubscribe, stanza.TypeSubscribed, stanza.TypeUnsubscribe, stanza.TypeUnsubscribed:
		s.receiveSubscription(ctx, p)
	case stanza.TypeProbe:
		s.answerProbe(ctx, p)
	case "", stanza.TypeUnavailable:
		s.toAvailable(p.To.Bare(), p)
	}
}

// answerProbe tells a contact, or somebody who has directed presence, of an
// account's sessions (RFC 6121 §4.3.2). Others learn nothing.
func (s *Service) answerProbe(ctx context.Context, p stanza.Stanza) {
	account := p.To.Bare()
	sees, err := s.Sees(ctx, p.From, account)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "answer probe", slog.Any("err", err))
		return
	}
	shown := false
	for _, session := range s.opts.Router.Sessions(account) {
		last, _, ok := session.State().Presence()
		directed := session.State().HasDirected(p.From) || session.State().HasDirected(p.From.Bare())
		if !ok || !sees && !directed || !p.To.IsBare() && session.JID() != p.To {
			continue
		}
		last.To = p.From
		s.opts.Router.Send(last)
		shown = true
	}
	if shown {
		return
	}
	answer := subscription(stanza.TypeUnsubscribed, account, p.From)
	if sees {
		answer.Type = stanza.TypeUnavailable
		answer.From = p.To
		answer.To = p.From
	}
	s.opts.Router.Send(answer)
}

// grantPresence shows a contact the account's presence, which he may see from
// now on (RFC 6121 §3.1.5).
func (s *Service) grantPresence(ctx context.Context, account, contact jid.JID) {
	for _, session := range s.opts.Router.Sessions(account) {
		if p, _, ok := session.State().Presence(); ok {
			p.To = contact
			s.opts.Router.Route(ctx, p)
		}
	}
}

// withdrawPresence shows a contact the account as gone, because he may not see
// it any more (RFC 6121 §3.2.1).
func (s *Service) withdrawPresence(ctx context.Context, account, contact jid.JID) {
	for _, session := range s.opts.Router.Sessions(account) {
		if _, _, ok := session.State().Presence(); ok {
			s.opts.Router.Route(ctx, stanza.Stanza{
				Kind: stanza.Presence, Type: stanza.TypeUnavailable, From: session.JID(), To: contact,
			})
		}
	}
}
