package server

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/c2s"
	"github.com/muster-im/muster/internal/invite"
	"github.com/muster-im/muster/internal/register"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// invitesEnd is what invitations may take to end what they are doing.
const invitesEnd = time.Second / 2

// buildInvites makes invitations, if modules.mod_invites is there.
func (s *Server) buildInvites(cfg *config.Config) {
	m := cfg.Modules.Invites
	if m == nil {
		return
	}
	o := invite.Options{
		Store: s.db, Accounts: s.accounts, Contacts: s.contacts, Logger: s.logger("invite"), Registerer: s.registry,
		Expiry: func() time.Duration { return time.Duration(s.config.Load().Modules.Invites.InviteExpiry) },
	}
	if s.groups != nil {
		o.Groups = inviteGroups{s.groups}
	}
	s.invites = invite.New(o)
	s.onEnd("invitations", invitesEnd, func(context.Context) error { s.invites.Close(); return nil })
}

// acceptInvitation is what rosters ask when a subscription request has a token.
func (s *Server) acceptInvitation(ctx context.Context, inviter, who jid.JID, token string) (bool, error) {
	if s.invites == nil {
		return false, nil
	}
	return s.invites.Accept(ctx, inviter, who, token)
}

// startInvites does what a crash has left undone.
func (s *Server) startInvites(ctx context.Context) error {
	if s.invites == nil {
		return nil
	}
	return s.invites.Start(ctx)
}

// inviteGroups are groups as invitations need them.
type inviteGroups struct{ service *groups.Service }

// Number returns a group's number, 0 if there is no such group.
func (g inviteGroups) Number(ctx context.Context, group string) (int64, error) {
	number, err := g.service.Number(ctx, groups.ID(group))
	if errors.Is(err, groups.ErrGroupNotFound) {
		return 0, nil
	}
	return number, err
}

// Join makes somebody a member, if the group is still there.
func (g inviteGroups) Join(ctx context.Context, group store.InvitedGroup, user jid.JID) error {
	if group.Number == 0 {
		return nil
	}
	by := groups.Cause{Actor: "invitation", Number: group.Number}
	_, err := g.service.AddMember(ctx, groups.ID(group.ID), groups.Joining{User: user}, by)
	if errors.Is(err, groups.ErrGroupNotFound) || errors.Is(err, groups.ErrUserNotFound) {
		return nil
	}
	return err
}

// registrar is registration as client streams know it.
type registrar interface {
	Offered(addr net.Addr, secure bool) bool
	Invites(addr net.Addr, secure bool) bool
	Invited(ctx context.Context, host string, addr net.Addr, secure bool, iq *stanza.Stanza) (stanza.Stanza, *register.Invited)
	Register(ctx context.Context, host string, addr net.Addr, secure bool, iq *stanza.Stanza) (answer stanza.Stanza, made bool)
}

type beforeLogin struct{ registrar }

// Invited returns another registration for who has shown an invitation.
func (b beforeLogin) Invited(ctx context.Context, host string, addr net.Addr, secure bool, iq *stanza.Stanza) (stanza.Stanza, c2s.Registration) {
	answer, in := b.registrar.Invited(ctx, host, addr, secure, iq)
	if in == nil {
		return answer, nil
	}
	return answer, beforeLogin{in}
}
