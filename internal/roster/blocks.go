package roster

import (
	"context"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// blocks reports whether an account has blocked somebody.
func (s *Service) blocks(ctx context.Context, account, who jid.JID) (bool, error) {
	if s.opts.Blocks == nil {
		return false, nil
	}
	l, err := s.opts.Blocks.Read(ctx, account)
	return l.Blocks(who), err
}

// dropped notes presence that is not answered because its sender is blocked, or
// because nobody knows whether he is.
func (s *Service) dropped(ctx context.Context, account jid.JID, err error) {
	if err != nil {
		s.logError(ctx, "find whether somebody is blocked", account, err)
		return
	}
	s.metrics.blocked.Inc()
}

// BlocksChanged lets presence follow a change of an account's block list:
// whoever is blocked now sees the account go (XEP-0191 §3.3), whoever no longer
// is sees who is there (§3.4) and is seen again. was is the list before, now the
// list as it is. An account changes its list one step at a time.
func (s *Service) BlocksChanged(ctx context.Context, account jid.JID, changed []jid.JID, was, now *router.BlockList) {
	contacts, told := s.exposed(ctx, account, changed, was, now)
	for _, session := range s.opts.Router.Sessions(account) {
		s.takeBack(ctx, session, now, told)
	}
	s.seeAgain(ctx, account, contacts, was, now)
}

// exposed tells everybody who sees the account's presence, and ceases or begins
// to be allowed that, and returns the contacts and who was told.
func (s *Service) exposed(ctx context.Context, account jid.JID, changed []jid.JID, was, now *router.BlockList) (contacts []contact, told map[jid.JID]bool) {
	defer s.lock(account)()
	contacts, told = s.audience(ctx, account, true), make(map[jid.JID]bool)
	for _, c := range contacts {
		if c.state&from == 0 {
			continue
		}
		for _, address := range s.addresses(c.jid, changed) {
			if before, after := was.Blocks(address), now.Blocks(address); before != after {
				s.expose(ctx, account, address, !after)
				told[address], told[address.Bare()] = true, true
			}
		}
	}
	return contacts, told
}

// addresses returns where presence for a contact goes: to his sessions, or, if
// he is elsewhere, to the contact and what has been named of him.
func (s *Service) addresses(contact jid.JID, named []jid.JID) (list []jid.JID) {
	if s.isLocal(contact) {
		for _, session := range s.opts.Router.Sessions(contact) {
			if isAvailable(session) {
				list = append(list, session.JID())
			}
		}
		return list
	}
	list = append(list, contact)
	for _, j := range named {
		if j != contact && j.Bare() == contact {
			list = append(list, j)
		}
	}
	return list
}

// expose shows an address the account's sessions as they are, or as gone. The
// account is locked.
func (s *Service) expose(ctx context.Context, account, address jid.JID, visible bool) {
	for _, session := range s.opts.Router.Sessions(account) {
		p, _, ok := session.State().Presence()
		switch {
		case !ok:
		case visible:
			p.To = address
			s.give(ctx, nil, p)
		default:
			s.give(ctx, nil, unavailable(session.JID(), address))
		}
	}
}

// takeBack takes a session's directed presence back from whoever is blocked and
// has not been told already. What may be a room is left only if it is blocked
// itself: somebody blocked there may have a nickname that was the session's.
func (s *Service) takeBack(ctx context.Context, session router.Session, now *router.BlockList, told map[jid.JID]bool) {
	directed := session.State().ListDirected()
	kept := make(map[jid.JID]bool)
	for _, j := range directed {
		if !now.Blocks(j) && !s.isLocal(j) {
			kept[j.Bare()] = true
		}
	}
	for _, j := range directed {
		if !now.Blocks(j) || kept[j.Bare()] {
			continue
		}
		session.State().Directed(j, false, 0)
		if !told[j] || !isAvailable(session) {
			s.give(ctx, nil, unavailable(session.JID(), j))
		}
	}
}

// seeAgain shows an account the presence of the contacts that it sees again: it
// has missed what they have sent, so a contact elsewhere is probed, and of one
// here is said what a probe would bring (RFC 6121 §4.3.2).
func (s *Service) seeAgain(ctx context.Context, account jid.JID, contacts []contact, was, now *router.BlockList) {
	for _, c := range contacts {
		if c.state&to == 0 || !s.isBack(c.jid, was, now) {
			continue
		}
		if !s.isLocal(c.jid) {
			s.opts.Router.Route(ctx, probe(account, c.jid))
			continue
		}
		sees, err := s.Sees(ctx, account, c.jid)
		if err != nil {
			s.logError(ctx, "find whether presence is seen", account, err)
			continue
		}
		for _, session := range s.opts.Router.Sessions(account) {
			if isAvailable(session) && (!sees || !s.lookAt(c.jid, session)) {
				session.Deliver([]*stanza.Encoded{stanza.Encode(unavailable(c.jid, jid.JID{}))})
			}
		}
	}
}

// isBack reports whether a contact, or one of his sessions, was blocked
// and no longer is.
func (s *Service) isBack(contact jid.JID, was, now *router.BlockList) bool {
	for _, j := range append(s.addresses(contact, nil), contact) {
		if was.Blocks(j) && !now.Blocks(j) {
			return true
		}
	}
	return false
}
