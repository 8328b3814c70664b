package server

import (
	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/adhoc"
	"github.com/muster-im/muster/internal/groupadmin"
	"github.com/muster-im/muster/internal/invite"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// buildCommands makes the ad-hoc commands of hosts: for groups and invitations,
// if there are any.
func (s *Server) buildCommands() {
	var list []adhoc.Command
	groups := s.mayUse(func(m *config.Modules) string { return m.GroupsInternal.AccessAdmin })
	if s.groups == nil {
		groups = func(jid.JID, jid.JID) bool { return false }
	} else {
		list = groupadmin.Commands(s.groups, groups)
	}
	if s.invites != nil {
		list = append(list, s.invites.Commands(invite.Policy{
			Invite: s.mayUse(func(m *config.Modules) string { return m.Invites.AccessInvite }),
			Create: s.mayUse(func(m *config.Modules) string { return m.Invites.AccessCreateAccount }),
			Groups: groups,
			Most:   func() int { return int(s.config.Load().Modules.Invites.MaxInvites) },
		})...)
	}
	if len(list) == 0 {
		return
	}
	s.commands = adhoc.New(adhoc.Options{Title: "Commands", Commands: list, Logger: s.logger("adhoc")})
	s.router.HandleHost(adhoc.NS, stanza.TypeSet, s.commands.Handle)
}

// mayUse asks a rule of the configuration, as it is then, whether somebody with an
// account here may use a command of a host.
func (s *Server) mayUse(rule func(*config.Modules) string) func(who, host jid.JID) bool {
	return func(who, host jid.JID) bool {
		return who.Local() != "" && s.router.IsHost(who.Domain()) &&
			s.policies.Load().rules.Allows(rule(&s.config.Load().Modules), host.Domain(), who)
	}
}

// describeCommand answers discovery about the commands of a host.
func (s *Server) describeCommand(who, host jid.JID, node string, items bool) *stanza.Element {
	if s.commands == nil {
		return nil
	}
	return s.commands.Describe(who, host, node, items)
}
