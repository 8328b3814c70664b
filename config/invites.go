package config

import (
	"time"

	"github.com/muster-im/muster/internal/access"
)

// Invites is [modules.mod_invites]. The name of the first setting is Prosody's.
type Invites struct {
	InviteExpiry        Duration `toml:"invite_expiry" reload:"yes" doc:"How long an invitation is good that says nothing of it."`
	AccessInvite        string   `toml:"access_invite" reload:"yes" doc:"Rule that says who may invite people with a client (XEP-0401): they become contacts and, if they have no account, make one here."`
	AccessCreateAccount string   `toml:"access_create_account" reload:"yes" doc:"Rule that says who may, with a client, invite people to make an account of a name that is kept for them, and invite any number of people; for administrators."`
	MaxInvites          Positive `toml:"max_invites" reload:"yes" doc:"Invitations that one person may have open who has only access_invite."`
}

func (i *Invites) defaults() {
	*i = Invites{InviteExpiry: Duration(7 * day), AccessInvite: access.None, AccessCreateAccount: access.None, MaxInvites: 20}
}

// invites checks [modules.mod_invites], if it is there.
func (d *decoder) invites(i *Invites, n *names) {
	if i == nil {
		return
	}
	const path = "modules.mod_invites."
	n.rule(path+"access_invite", i.AccessInvite)
	n.rule(path+"access_create_account", i.AccessCreateAccount)
	if e := time.Duration(i.InviteExpiry); e < time.Minute || e > 366*day {
		d.wrong(path+"invite_expiry", e.String(), `want a duration from "1m" to "366d", such as "7d"`)
	}
}
