package app

import (
	"regexp"
	"strings"
	"testing"
)

// TestInvite: invitations are made, listed and revoked, and what is wrong is said.
func TestInvite(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "[modules.mod_groups_internal]\n[modules.mod_invites]\n")
	serving(t, file)
	for _, step := range []struct {
		status int
		args   string
		want   string // a pattern
	}{
		{exitOK, "user add romeo secret", ``},
		{exitOK, "group create Verona --id verona", ``},
		{exitOK, "invite list", `There are no invitations`},
		{exitOK, "invite create", `xmpp:localhost\?register;preauth=[a-z0-9]{36}\nThis is invitation [a-z0-9]{10}, for one person, until 2`},
		{exitOK, "invite create juliet --group verona --note 🎭", `xmpp:juliet@localhost\?register;preauth=`},
		{exitOK, "invite create nurse@localhost --inviter romeo@localhost", `xmpp:nurse@localhost\?register;preauth=`},
		{exitError, "invite create nurse@elsewhere.test", `elsewhere\.test`},
		{exitError, "invite create nurse@localhost --host elsewhere.test", `nurse@localhost is not of the host elsewhere.test`},
		{exitError, "invite create @localhost", `malformed address`},
		{exitOK, "invite create --uses 3 --expires 2d", `for 3 people`},
		{exitError, "invite create --uses 0", `--uses: want 1 or more`},
		{exitError, "invite create juliet", `.`}, // her name is kept
		{exitError, "invite create --group mantua", `no such group`},
		{exitError, "invite create --expires never", `--expires`},
		{exitError, "invite revoke none", `no such invitation`},
		{exitOK, "invite list", `juliet@localhost, one person +0 +2.* verona +socket +🎭\n`},
	} {
		got := execute(t, "", append(strings.Fields(step.args), "--config", file)...)
		if got.status != step.status || !regexp.MustCompile(step.want).MatchString(got.stdout+got.stderr) {
			t.Errorf("%s: got %+v, want %d and %q", step.args, got, step.status, step.want)
		}
	}
}
