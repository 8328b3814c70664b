package roster

import (
	"bytes"
	"context"
	"fmt"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func isSubscription(t stanza.Type) bool {
	_, ok := sentTable[t]
	return ok
}

// subscription is a subscription stanza of the server's own making.
func subscription(t stanza.Type, from, to jid.JID) stanza.Stanza {
	return stanza.Stanza{Kind: stanza.Presence, Type: t, From: from.Bare(), To: to.Bare()}
}

// sendSubscription handles a subscription stanza of a client (RFC 6121 §3).
func (s *Service) sendSubscription(ctx context.Context, p stanza.Stanza) (busy <-chan struct{}) {
	client := p.From
	p.From, p.To = p.From.Bare(), p.To.Bare() // §3.1.2
	if p.From == p.To {
		s.refuse(ctx, &p, client, stanza.NewError(stanza.Cancel, stanza.NotAllowed, "An account sees its own presence anyway."))
		return nil
	}
	if s.invited(ctx, &p) {
		return nil
	}
	defer s.lockPair(p.From, p.To)()
	var o outcome
	err := s.makeOwn(ctx, &p)
	if err == nil {
		o, err = s.sent(ctx, p.From, p.To, p.Type)
	}
	if err != nil {
		s.refuse(ctx, &p, client, err)
		return nil
	}
	if o.pass {
		if busy, err = s.pass(ctx, p); err != nil {
			s.refuse(ctx, &p, client, err)
		}
	}
	if o.appeared {
		s.show(ctx, p.From, p.To) // §3.1.5: after the approval
	}
	if o.look {
		s.takenBack(ctx, p.From, p.To)
		s.reveal(p.From, p.To)
	}
	return busy
}

// makeOwn makes a contact that groups have left the account's own if a stanza ends what
// there is. The pair is locked.
func (s *Service) makeOwn(ctx context.Context, p *stanza.Stanza) error {
	if p.Type != stanza.TypeUnsubscribe && p.Type != stanza.TypeUnsubscribed {
		return nil
	}
	return s.endPast(ctx, p.From, p.To, false)
}

// sent applies what the account sends to its own roster. A contact who does not
// see the account any more sees it go, before it hears why (RFC 6121 §3.2.2).
func (s *Service) sent(ctx context.Context, owner, contact jid.JID, t stanza.Type) (outcome, error) {
	defer s.lock(owner)()
	item, err := s.item(ctx, owner, contact)
	if err != nil {
		return outcome{}, err
	}
	c, shown, err := s.sharedContact(ctx, owner, contact)
	if err != nil {
		return outcome{}, err
	}
	before := item
	if spared(&item, &c, t) {
		unhide(&item)
		if asks := t == stanza.TypeSubscribe; !asks || shown {
			return outcome{look: asks}, nil
		}
		return outcome{look: true}, s.change(ctx, owner, &before, &item, nil)
	}
	o := applySent(&item, t)
	if item.InRoster && !before.InRoster {
		if err := s.checkSize(ctx, owner); err != nil {
			return outcome{}, err
		}
	}
	if err := s.change(ctx, owner, &before, &item, nil); err != nil {
		return outcome{}, err
	}
	if o.vanished && !s.looksAt(contact, owner) {
		s.hide(ctx, owner, contact)
	}
	o.appeared = o.appeared && !s.looksAt(contact, owner)
	return o, nil
}

// spared reports whether a subscription stanza is about nothing but what groups
// have brought: they decide that, and nothing is stored of it.
func spared(item *store.RosterItem, c *shared.Contact, t stanza.Type) bool {
	st := stateOf(item)
	switch t {
	case stanza.TypeSubscribe:
		return c.To && st&to == 0
	case stanza.TypeUnsubscribe:
		return c.To && st&(to|pendOut) == 0
	case stanza.TypeSubscribed:
		return c.From && st&(from|pendIn) == 0
	case stanza.TypeUnsubscribed:
		return c.From && st&(from|pendIn) == 0 && !item.Approved
	}
	return false
}

// change stores an item that has become another, then tells the account's
// clients: of the stanza that did it, if there is one for them, and of the item
// if it looks different. The account is locked.
func (s *Service) change(ctx context.Context, owner jid.JID, before, item *store.RosterItem, notice *stanza.Stanza) error {
	c, known, err := s.sharedContact(ctx, owner, item.Contact)
	if err != nil {
		return err
	}
	isShown := known || c.To && before.Hidden != 0 && item.Hidden == 0
	was, is := merge(before, &c, known), merge(item, &c, isShown)
	shown := !sameShown(&was, &is)
	switch {
	case shown:
		err = s.put(ctx, owner, before, item)
	case !sameShown(before, item), before.PendingIn != item.PendingIn, !bytes.Equal(before.Request, item.Request):
		err = s.note(ctx, owner, item)
	}
	if err != nil {
		return err
	}
	if notice != nil && (shown || !known || notice.Type == stanza.TypeSubscribe) {
		s.notify(owner, *notice) // RFC 6121 §3.1.6, §3.2.3: before the push
	}
	if shown {
		s.push(owner, item)
	}
	return nil
}

// notify shows a subscription stanza to the account's clients: a request to the
// available ones (RFC 6121 §3.1.3), what came of one to the interested ones
// (§3.1.6, §3.2.3, §3.3.3).
func (s *Service) notify(owner jid.JID, p stanza.Stanza) {
	batch := []*stanza.Encoded{stanza.EncodeAddressed(p)}
	for _, session := range s.opts.Router.Sessions(owner) {
		concerned := session.State().Interested()
		if p.Type == stanza.TypeSubscribe {
			concerned = isAvailable(session)
		}
		if concerned {
			session.Deliver(batch)
		}
	}
}

func isAvailable(session router.Session) bool {
	_, _, ok := session.State().Presence()
	return ok
}

// pass brings a subscription stanza to the contact. The pair is locked.
func (s *Service) pass(ctx context.Context, p stanza.Stanza) (busy <-chan struct{}, err error) {
	if s.isLocal(p.To) {
		_, err := s.receive(ctx, p)
		return nil, err
	}
	return s.opts.Router.Route(ctx, p), nil
}

// passOwn brings a subscription stanza of the server's own making to the
// contact, and reports whether it may have meant something there. The pair is
// locked.
func (s *Service) passOwn(ctx context.Context, t stanza.Type, from, to jid.JID) (taken bool) {
	p := subscription(t, from, to)
	if !s.isLocal(to) {
		s.opts.Router.Route(ctx, p)
		return true
	}
	taken, err := s.receive(ctx, p)
	if err != nil {
		s.logError(ctx, "pass subscription on", from, err)
	}
	return taken
}

// receive handles a subscription stanza to a local account and reports whether
// its clients were shown it. The pair is locked.
func (s *Service) receive(ctx context.Context, p stanza.Stanza) (taken bool, err error) {
	owner, contact := p.To.Bare(), p.From.Bare()
	p.From, p.To = contact, owner // RFC 6121 §3.1.3
	o, err := s.received(ctx, p)
	if err != nil {
		return false, err
	}
	// Whoever asks for what he has, has lost it: he is shown who is there.
	if o.answer != "" && s.passOwn(ctx, o.answer, owner, contact) {
		s.show(ctx, owner, contact)
	}
	return o.pass, nil
}

// received applies what a contact sends to the account's roster. A contact who
// does not see the account any more sees it go, after the account's clients
// have heard why (RFC 6121 §3.3.3). Of a contact who is blocked there is no
// request, and nobody hears of what else he sends (XEP-0191 §3.3); but what he
// ends or grants is so, or the two rosters would not agree when he is unblocked.
func (s *Service) received(ctx context.Context, p stanza.Stanza) (outcome, error) {
	exists, err := s.opts.Router.Exists(ctx, p.To)
	if err != nil {
		return outcome{}, err
	}
	if !exists { // RFC 6121 §8.5.1: nobody learns that
		s.metrics.noAccount.Inc()
		return outcome{}, nil
	}
	blocked, err := s.blocks(ctx, p.To, p.From)
	if err != nil {
		return outcome{}, err
	}
	if blocked && p.Type == stanza.TypeSubscribe {
		s.dropped(ctx, p.To, nil)
		return outcome{}, nil
	}
	defer s.lock(p.To)()
	item, err := s.item(ctx, p.To, p.From)
	if err != nil {
		return outcome{}, err
	}
	c, _, err := s.sharedContact(ctx, p.To, p.From)
	if err != nil {
		return outcome{}, err
	}
	if p.Type == stanza.TypeSubscribe && c.From && stateOf(&item)&from == 0 {
		return outcome{answer: stanza.TypeSubscribed}, nil // §3.1.3
	}
	before := item
	o := applyReceived(&item, p.Type)
	if item.PendingIn && !before.PendingIn {
		if err := s.checkWaiting(ctx, &item, p.To); err != nil {
			return outcome{}, err
		}
	}
	if item.PendingIn && p.Type == stanza.TypeSubscribe {
		item.Request = p.AppendXML(nil) // §3.1.3: whole, until it is answered, and the last one only
	}
	var notice *stanza.Stanza
	if o.pass && !blocked {
		notice = &p
	}
	if err := s.change(ctx, p.To, &before, &item, notice); err != nil {
		return outcome{}, err
	}
	if o.vanished && !s.looksAt(p.From, p.To) {
		s.hide(ctx, p.To, p.From)
	}
	return o, nil
}

// checkWaiting refuses a request too many, so that strangers cannot fill the
// store.
func (s *Service) checkWaiting(ctx context.Context, item *store.RosterItem, owner jid.JID) error {
	if item.InRoster {
		return nil
	}
	_, waiting, err := s.opts.Store.RosterSize(ctx, owner)
	if err != nil {
		return fmt.Errorf("count requests to %s: %w", owner, err)
	}
	if waiting >= s.opts.MaxWaiting {
		s.metrics.waiting.Inc()
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Too many requests wait for this person already.")
	}
	return nil
}

// show sends a contact the account's presence (RFC 6121 §3.1.5).
func (s *Service) show(ctx context.Context, owner, contact jid.JID) {
	defer s.lock(owner)()
	for _, session := range s.opts.Router.Sessions(owner) {
		if p, _, ok := session.State().Presence(); ok {
			p.To = contact
			s.give(ctx, session.State().BlockList(), p)
		}
	}
}

// hide shows a contact the account as gone (RFC 6121 §3.2.2, §3.3.3). The
// account is locked.
func (s *Service) hide(ctx context.Context, owner, contact jid.JID) {
	for _, session := range s.opts.Router.Sessions(owner) {
		if isAvailable(session) {
			s.give(ctx, session.State().BlockList(), unavailable(session.JID(), contact))
		}
	}
}

// refuse answers presence with an error.
func (s *Service) refuse(ctx context.Context, p *stanza.Stanza, client jid.JID, err error) {
	se := stanza.AsError(err)
	if se == nil {
		s.logError(ctx, "handle presence", p.From, err)
		se = stanza.NewError(stanza.Wait, stanza.InternalServerError, "")
	}
	if reply, ok := p.ErrorReply(se); ok {
		s.metrics.refused(se.Condition)
		reply.To = client
		s.opts.Router.Send(reply)
	}
}
