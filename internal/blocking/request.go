package blocking

import (
	"context"
	"errors"
	"strconv"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// nsErrors is the namespace of <blocked/> (XEP-0191 §9.1).
const nsErrors = "urn:xmpp:blocking:errors"

// Refusal is the answer to what somebody sends to an address that he has
// blocked (XEP-0191 §3.3).
func (s *Service) Refusal() *stanza.Error {
	return &stanza.Error{
		Type: stanza.Cancel, Condition: stanza.NotAcceptable,
		App: stanza.NewElement(nsErrors, "blocked"),
	}
}

// Get answers a request for the block list (XEP-0191 §3.2). The session gets
// the result before any push of a later change.
func (s *Service) Get(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	session, err := s.asker(iq)
	if err != nil {
		return nil, err
	}
	if !iq.Payload().Is(stanza.NSBlocking, "blocklist") {
		return nil, badRequest("A block list is asked for with <blocklist/>.")
	}
	owner := iq.From.Bare()
	defer s.lock(owner)()
	items, err := s.opts.Store.Blocked(ctx, owner)
	if err != nil {
		return nil, err
	}
	session.State().SetFollowsBlocks()
	session.Deliver([]*stanza.Encoded{stanza.Encode(iq.Result(element("blocklist", items)))})
	return nil, router.ErrAnswered
}

// asker returns the session that a request comes from. The list of somebody
// else is answered as if there were no such account.
func (s *Service) asker(iq *stanza.Stanza) (router.Session, error) {
	session := s.opts.Router.Session(iq.From)
	if session == nil || iq.To.Bare() != iq.From.Bare() {
		return nil, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
	}
	return session, nil
}

func badRequest(text string) error { return stanza.NewError(stanza.Modify, stanza.BadRequest, text) }

// element returns a list of addresses on the wire.
func element(name string, items []jid.JID) *stanza.Element {
	e := stanza.NewElement(stanza.NSBlocking, name)
	for _, j := range items {
		e.Add(stanza.NewElement(stanza.NSBlocking, "item", "jid", j.String()))
	}
	return e
}

// Set answers a request to block or unblock addresses (XEP-0191 §3.3–§3.5). It
// is done whole or not at all. All of it, from the store to who is shown as
// gone, is one step that no other change of the list comes between.
func (s *Service) Set(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	session, err := s.asker(iq)
	if err != nil {
		return nil, err
	}
	change, err := parseChange(iq.Payload())
	if err != nil {
		return nil, err
	}
	owner := iq.From.Bare()
	l, err := s.Open(ctx, owner)
	if err != nil {
		return nil, err
	}
	defer s.Close(l)
	defer s.lock(owner)()
	was := l.Clone()
	if err := s.apply(ctx, l, change); err != nil {
		return nil, err
	}
	session.Deliver([]*stanza.Encoded{stanza.Encode(iq.Result(nil))})
	s.push(owner, change)
	if s.presence != nil {
		changed := change.items
		if change.all {
			changed = was.Items()
		}
		s.presence.BlocksChanged(ctx, owner, changed, was, l)
	}
	return nil, router.ErrAnswered
}

// change is what a client asks for.
type change struct {
	block bool
	items []jid.JID // each once
	all   bool      // unblock everybody
}

// parseChange reads <block/> and <unblock/>. Inside an item others may say why,
// such as a report of spam (XEP-0377): that is nothing to do for us.
func parseChange(e *stanza.Element) (c change, err error) {
	switch {
	case e.Is(stanza.NSBlocking, "block"):
		c.block = true
	case !e.Is(stanza.NSBlocking, "unblock"):
		return c, badRequest("A block list is changed with <block/> or <unblock/>.")
	}
	seen := make(map[jid.JID]bool)
	for item := range e.Elements() {
		if !item.Is(stanza.NSBlocking, "item") {
			continue
		}
		name, ok := item.LookupAttr("jid")
		if !ok {
			return c, badRequest("An item has a jid.")
		}
		j, err := jid.Parse(name)
		if err != nil {
			return c, stanza.NewError(stanza.Modify, stanza.JIDMalformed, "An address to block or unblock is malformed.")
		}
		if !seen[j] {
			seen[j] = true
			c.items = append(c.items, j)
		}
	}
	if len(c.items) > 0 {
		return c, nil
	}
	if c.all = !c.block && e.FirstElement() == nil; c.all { // §3.5
		return c, nil
	}
	return c, badRequest("Nobody is named.") // §3.3
}

// apply stores a change and lets it take effect. The account is locked.
func (s *Service) apply(ctx context.Context, l *router.BlockList, c change) error {
	switch {
	case c.all:
		if err := s.opts.Store.UnblockAll(ctx, l.Owner()); err != nil {
			return err
		}
		l.Clear()
	case c.block:
		return s.applyBlock(ctx, l, c.items)
	default:
		if err := s.opts.Store.Unblock(ctx, l.Owner(), c.items); err != nil {
			return err
		}
		l.Unblock(c.items)
	}
	return nil
}

// applyBlock blocks addresses. What is blocked already costs no write. The
// account is locked.
func (s *Service) applyBlock(ctx context.Context, l *router.BlockList, items []jid.JID) error {
	var fresh []jid.JID
	for _, j := range items {
		if !l.Has(j) {
			fresh = append(fresh, j)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	err := store.ErrFull
	if l.Len()+len(fresh) <= s.opts.MaxItems {
		err = s.opts.Store.Block(ctx, l.Owner(), fresh, s.opts.MaxItems)
	}
	switch {
	case errors.Is(err, store.ErrFull):
		return stanza.NewError(stanza.Cancel, stanza.ResourceConstraint, "The block list is full.")
	case err != nil:
		return err
	}
	l.Block(fresh)
	return nil
}

// push tells the sessions that have asked for the list of a change, the one
// that made it among them. The account is locked.
func (s *Service) push(owner jid.JID, c change) {
	name := "unblock"
	if c.block {
		name = "block"
	}
	var batch []*stanza.Encoded
	for _, session := range s.opts.Router.Sessions(owner) {
		if !session.State().FollowsBlocks() {
			continue
		}
		if batch == nil {
			push := stanza.Stanza{
				Kind: stanza.IQ, Type: stanza.TypeSet, From: owner,
				ID: "blocking-" + strconv.FormatUint(s.pushes.Add(1), 10),
			}
			batch = []*stanza.Encoded{stanza.Encode(push.With(element(name, c.items)))}
		}
		s.metrics.pushes.Inc()
		session.Deliver(batch)
	}
}
