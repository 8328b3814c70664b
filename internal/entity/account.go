package entity

import (
	"context"
	"slices"
	"strings"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// AccountInfo answers disco#info to an account, for those who may know it.
func (s *Service) AccountInfo(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if err := s.mayAsk(ctx, iq); err != nil { // XEP-0030 §8, rule 1
		return nil, err
	}
	if err := expect(iq, "query"); err != nil {
		return nil, err
	}
	if iq.Payload().Attr("node") != "" {
		return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The account has no such node.")
	}
	return info("account", "registered", "", s.opts.Account), nil
}

// AccountItems answers disco#items to an account: its available resources, for
// those who see them anyway. Everybody else gets an empty list (XEP-0030 §8,
// rule 2), even where the account has no such node: the answer must be that of
// NobodyItems.
func (s *Service) AccountItems(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	ok, err := s.maySee(ctx, iq)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return s.NobodyItems(ctx, iq)
	}
	if err := expect(iq, "query"); err != nil {
		return nil, err
	}
	if iq.Payload().Attr("node") != "" {
		return nil, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "The account has no such node.")
	}
	q := stanza.NewElement(stanza.NSDiscoItems, "query")
	for _, full := range available(s.opts.Sessions(iq.To.Bare())) {
		q.Add(stanza.NewElement(stanza.NSDiscoItems, "item", "jid", full.String()))
	}
	return q, nil
}

// available returns the full JIDs of those sessions that have sent presence, in
// order.
func available(sessions []router.Session) []jid.JID {
	var list []jid.JID
	for _, session := range sessions {
		if _, _, ok := session.State().Presence(); ok {
			list = append(list, session.JID())
		}
	}
	slices.SortFunc(list, func(a, b jid.JID) int { return strings.Compare(a.Resource(), b.Resource()) })
	return list
}

// NobodyItems answers disco#items to an account that does not exist (XEP-0030
// §8, rule 2).
func (s *Service) NobodyItems(_ context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if err := expect(iq, "query"); err != nil {
		return nil, err
	}
	q := stanza.NewElement(stanza.NSDiscoItems, "query")
	if node := iq.Payload().Attr("node"); node != "" {
		q.SetAttr("node", node) // XEP-0030 §4.2
	}
	return q, nil
}

// AccountPing answers urn:xmpp:ping to an account, which is also where a ping
// without address goes (XEP-0199 §4.2).
func (s *Service) AccountPing(ctx context.Context, iq *stanza.Stanza) (*stanza.Element, error) {
	if err := s.mayAsk(ctx, iq); err != nil {
		return nil, err
	}
	return nil, expect(iq, "ping")
}

// mayAsk refuses those who may not know an account as if there were none
// (RFC 6121 §8.5.1).
func (s *Service) mayAsk(ctx context.Context, iq *stanza.Stanza) error {
	ok, err := s.maySee(ctx, iq)
	if err != nil || ok {
		return err
	}
	return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
}

func (s *Service) maySee(ctx context.Context, iq *stanza.Stanza) (bool, error) {
	if iq.From.Bare() == iq.To.Bare() {
		return true, nil
	}
	if s.opts.MaySee == nil {
		return false, nil
	}
	return s.opts.MaySee(ctx, iq.From.Bare(), iq.To.Bare())
}
