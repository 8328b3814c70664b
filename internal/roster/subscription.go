package roster

import (
	"context"
	"log/slog"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// step is what one subscription stanza does to one side's item: RFC 6121
// Appendix A, as the two halves that its nine states are made of.
type step struct {
	route   bool        // pass the stanza on: to the contact, or to the account's sessions
	changed bool        // the item is different now
	answer  stanza.Type // what the server answers on its own; inbound only
	granted bool        // the contact may see presence from now on
	revoked bool        // or not any more
}

// outbound applies a stanza that the account sends (RFC 6121 §A.2).
func outbound(item *store.RosterItem, t stanza.Type) step {
	to, from := hasTo(item.Subscription), hasFrom(item.Subscription)
	before := *item
	var st step
	switch t {
	case stanza.TypeSubscribe: // §A.2.1: always routed
		st.route = true
		item.InRoster = true
		item.PendingOut = !to
	case stanza.TypeUnsubscribe: // §A.2.2: always routed
		st.route = true
		to, item.PendingOut = false, false
	case stanza.TypeSubscribed: // §A.2.3; §3.4 pre-approval
		switch {
		case item.PendingIn:
			st.route, st.granted = true, true
			from, item.PendingIn, item.InRoster, item.Request = true, false, true, nil
		case !from:
			item.Approved, item.InRoster = true, true
		}
	case stanza.TypeUnsubscribed: // §A.2.4
		st.route = from || item.PendingIn
		st.revoked = from
		from, item.PendingIn, item.Approved, item.Request = false, false, false, nil
	}
	item.Subscription = direction(to, from)
	st.changed = differs(&before, item)
	return st
}

// inbound applies a stanza that the account receives (RFC 6121 §A.3).
func inbound(item *store.RosterItem, t stanza.Type) step {
	to, from := hasTo(item.Subscription), hasFrom(item.Subscription)
	before := *item
	var st step
	switch t {
	case stanza.TypeSubscribe: // §A.3.1
		switch {
		case from:
			st.answer = stanza.TypeSubscribed
		case item.Approved:
			st.answer, st.granted = stanza.TypeSubscribed, true
			from, item.PendingIn = true, false
		case !item.PendingIn:
			st.route = true
			item.PendingIn = true
		}
	case stanza.TypeUnsubscribe: // §A.3.2
		st.route = from || item.PendingIn
		st.revoked = from
		from, item.PendingIn, item.Request = false, false, nil
	case stanza.TypeSubscribed: // §A.3.3
		if item.PendingOut && !to {
			st.route = true
			to, item.PendingOut = true, false
		}
	case stanza.TypeUnsubscribed: // §A.3.4
		st.route = to || item.PendingOut
		to, item.PendingOut = false, false
	}
	item.Subscription = direction(to, from)
	st.changed = differs(&before, item)
	return st
}

func differs(a, b *store.RosterItem) bool {
	return a.Subscription != b.Subscription || a.PendingOut != b.PendingOut || a.PendingIn != b.PendingIn ||
		a.Approved != b.Approved || a.InRoster != b.InRoster
}

// sendSubscription handles a subscription stanza of a client (RFC 6121 §3).
func (s *Service) sendSubscription(ctx context.Context, p stanza.Stanza) (busy <-chan struct{}) {
	owner, contact := p.From.Bare(), p.To.Bare()
	p.From, p.To = owner, contact // §3.1.2
	if owner == contact {
		s.refuse(&p, stanza.NewError(stanza.Cancel, stanza.NotAllowed, "You see your own presence anyway."))
		return nil
	}
	unlock := s.lock(owner)
	item, err := s.item(ctx, owner, contact)
	var st step
	if err == nil {
		listed := item.InRoster
		st = outbound(&item, p.Type)
		if !listed && item.InRoster {
			err = s.checkRoom(ctx, owner)
		}
	}
	if err == nil && st.changed {
		err = s.put(ctx, owner, &item)
	}
	unlock()
	if err != nil {
		s.refuse(&p, err)
		return nil
	}
	if st.route {
		busy = s.opts.Router.Route(ctx, p)
	}
	switch {
	case st.granted:
		s.grantPresence(ctx, owner, contact)
	case st.revoked:
		s.withdrawPresence(ctx, owner, contact)
	}
	return busy
}

// receiveSubscription handles a subscription stanza to a local account.
func (s *Service) receiveSubscription(ctx context.Context, p stanza.Stanza) {
	owner, contact := p.To.Bare(), p.From.Bare()
	unlock := s.lock(owner)
	item, err := s.item(ctx, owner, contact)
	var st step
	if err == nil {
		st = inbound(&item, p.Type)
		if p.Type == stanza.TypeSubscribe && item.PendingIn && st.route {
			item.Request = p.AppendXML(nil) // with all it holds, until it is answered (§3.1.3)
		}
		if st.changed {
			err = s.put(ctx, owner, &item)
		}
	}
	if err == nil && st.route {
		s.toAvailable(owner, p)
	}
	unlock()
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "handle subscription", slog.String("jid", owner.String()), slog.Any("err", err))
		return
	}
	if st.answer != "" {
		s.opts.Router.Route(ctx, subscription(st.answer, owner, contact))
	}
	switch {
	case st.granted || st.answer != "":
		s.grantPresence(ctx, owner, contact)
	case st.revoked:
		s.withdrawPresence(ctx, owner, contact)
	}
}

// toAvailable delivers presence to every available session of an account.
func (s *Service) toAvailable(account jid.JID, p stanza.Stanza) {
	batch := []*stanza.Encoded{stanza.EncodeAddressed(p)}
	for _, session := range s.opts.Router.Sessions(account) {
		if _, _, ok := session.State().Presence(); ok {
			session.Deliver(batch)
		}
	}
}

// refuse answers a client's presence.
func (s *Service) refuse(p *stanza.Stanza, err error) {
	se := stanza.AsError(err)
	if se == nil {
		s.log.LogAttrs(context.Background(), slog.LevelError, "handle presence", slog.String("jid", p.From.String()), slog.Any("err", err))
		se = stanza.NewError(stanza.Wait, stanza.InternalServerError, "")
	}
	if reply, ok := p.ErrorReply(se); ok {
		s.opts.Router.Send(reply)
	}
}
