package config

import (
	"slices"

	"github.com/muster-im/muster/internal/access"
	"github.com/muster-im/muster/jid"
)

// GroupsInternal is [modules.mod_groups_internal]. The name of the first
// setting is Prosody's.
type GroupsInternal struct {
	GroupsMUCHost string `toml:"groups_muc_host" doc:"Domain of the rooms that are group chats; without it groups have none. If no rooms have it, there are some: with the limits of modules.mod_muc, and nobody but groups makes rooms there."`
	AccessAdmin   string `toml:"access_admin" reload:"yes" doc:"Rule that says who may manage all groups of the server with a client's commands."`
}

func (g *GroupsInternal) defaults() { *g = GroupsInternal{AccessAdmin: access.None} }

// groupsInternal checks [modules.mod_groups_internal], if it is there.
func (d *decoder) groupsInternal(c *Config, g *GroupsInternal, n *names) {
	if g == nil {
		return
	}
	n.rule("modules.mod_groups_internal.access_admin", g.AccessAdmin)
	if g.GroupsMUCHost == "" {
		return
	}
	j, err := jid.Parse(g.GroupsMUCHost)
	if err != nil || !j.IsBare() || j.Local() != "" || slices.Contains(c.General.Hosts, j.Domain()) {
		d.wrong("modules.mod_groups_internal.groups_muc_host", g.GroupsMUCHost, "want a domain of its own, like groups.example.org")
		return
	}
	g.GroupsMUCHost = j.Domain()
}
