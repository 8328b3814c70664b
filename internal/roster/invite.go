package roster

import (
	"context"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// nsPreauth is the namespace of tokens in subscription requests (XEP-0379 §3.4).
const nsPreauth = "urn:xmpp:pars:0"

// invited handles a subscription request with the token of an invitation, and
// reports whether that was good for it: the two are contacts then, as if each
// had asked and been granted (XEP-0401 §5.3.1).
func (s *Service) invited(ctx context.Context, p *stanza.Stanza) bool {
	if p.Type != stanza.TypeSubscribe || s.opts.Invited == nil || !s.isLocal(p.To) {
		return false
	}
	token := p.Child(nsPreauth, "preauth")
	if token == nil {
		return false
	}
	if blocked, err := s.blockedEither(ctx, p.From, p.To); blocked || err != nil {
		return false
	}
	done, err := s.opts.Invited(ctx, p.To, p.From, token.Attr("token"))
	if err != nil {
		s.logError(ctx, "look at an invitation", p.From, err)
	}
	return done
}

func (s *Service) blockedEither(ctx context.Context, a, b jid.JID) (bool, error) {
	blocked, err := s.blocks(ctx, a, b)
	if err == nil && !blocked {
		blocked, err = s.blocks(ctx, b, a)
	}
	return blocked, err
}

// Befriend makes two accounts here contacts who see each other (XEP-0401 §5.5).
// Their clients get one push each, and presence. For who are so already nothing
// changes, and nothing if one has blocked the other.
func (s *Service) Befriend(ctx context.Context, a, b jid.JID) error {
	a, b = a.Bare(), b.Bare()
	defer s.lockPair(a, b)()
	if blocked, err := s.blockedEither(ctx, a, b); blocked || err != nil || a == b {
		return err
	}
	for _, pair := range [][2]jid.JID{{a, b}, {b, a}} {
		if err := s.befriend(ctx, pair[0], pair[1]); err != nil {
			return err
		}
	}
	s.show(ctx, a, b)
	s.show(ctx, b, a)
	return nil
}

// befriend changes one of the two rosters. The pair is locked.
func (s *Service) befriend(ctx context.Context, owner, contact jid.JID) error {
	defer s.lock(owner)()
	item, err := s.item(ctx, owner, contact)
	if err != nil {
		return err
	}
	before := item
	if !item.InRoster {
		if err := s.checkSize(ctx, owner); err != nil {
			return err
		}
	}
	unhide(&item)
	item.InRoster, item.Subscription = true, store.SubBoth
	item.PendingIn, item.PendingOut, item.Request = false, false, nil
	return s.change(ctx, owner, &before, &item, nil)
}
