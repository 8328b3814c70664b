package config

import "time"

// Invites is [modules.mod_invites]. The name of its setting is Prosody's.
type Invites struct {
	InviteExpiry Duration `toml:"invite_expiry" reload:"yes" doc:"How long an invitation is good that says nothing of it."`
}

func (i *Invites) defaults() { *i = Invites{InviteExpiry: Duration(7 * day)} }

// invites checks [modules.mod_invites], if it is there.
func (d *decoder) invites(i *Invites) {
	if i == nil {
		return
	}
	if e := time.Duration(i.InviteExpiry); e < time.Minute || e > 366*day {
		d.wrong("modules.mod_invites.invite_expiry", e.String(), `want a duration from "1m" to "366d", such as "7d"`)
	}
}
