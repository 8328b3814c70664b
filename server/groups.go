package server

import (
	"context"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/roster"
	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

// groupsEnd is what groups may take to end what they are doing.
const groupsEnd = time.Second / 2

// Groups returns the groups that are managed while the server runs, nil if
// modules.mod_groups_internal is not there.
func (s *Server) Groups() *groups.Service { return s.groups }

// buildGroups makes what brings contacts to rosters without being asked, nil if
// nothing does. It is called before the roster service is there, which hears of
// changes once clients can connect.
func (s *Server) buildGroups(cfg *config.Config) (roster.ContactSource, error) {
	var sources []groups.Source
	if g := cfg.Modules.GroupsInternal; g != nil {
		o := groups.Options{
			Store: s.db, Accounts: s.router, ChatHost: g.GroupsMUCHost, Changed: s.groupsChanged,
			Logger: s.logger("groups"), Registerer: s.registry,
		}
		if s.groupChats = s.newGroupChats(cfg, g.GroupsMUCHost); s.groupChats != nil {
			o.Chats, o.MaxChatID = s.groupChats, s.groupChats.maxID
		}
		s.groups = groups.New(o)
		for _, register := range s.groupHooks {
			register(s.groups.Hooks())
		}
		s.onEnd("groups", groupsEnd, func(context.Context) error { s.groups.Close(); return nil })
		sources = append(sources, s.groups)
	}
	if g := cfg.Modules.Groups; g != nil {
		if err := s.buildGroupFile(cfg, g); err != nil {
			return nil, err
		}
		sources = append(sources, s.groupFile) // the last one decides what people are called
	}
	if len(sources) == 0 {
		return nil, nil //nolint:nilnil // nothing does
	}
	return shared.NewDirectory(sources...), nil
}

// groupsChanged lets rosters follow a change of groups; nil are all accounts.
func (s *Server) groupsChanged(ctx context.Context, accounts []jid.JID) {
	s.contacts.GroupsChanged(ctx, accounts)
}

// leaveGroups takes an account that is gone out of all groups.
func (s *Server) leaveGroups(ctx context.Context, account jid.JID) error {
	if s.groups == nil {
		return nil
	}
	return s.groups.AccountDeleted(ctx, account)
}

// startGroups does what a crash has left undone.
func (s *Server) startGroups(ctx context.Context) error {
	if s.groupFile != nil {
		s.groupFile.Start()
	}
	if s.groups == nil {
		return nil
	}
	return s.groups.Start(ctx)
}
