package app

import (
	"slices"
	"strings"
	"testing"
)

// TestGroupChat: chats come and go with a command, and what is wrong is said.
func TestGroupChat(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "[modules.mod_groups_internal]\ngroups_muc_host = \"groups.localhost\"\n")
	serving(t, file)
	for _, step := range []struct {
		status int
		args   string
		want   string
	}{
		{exitOK, "user add romeo secret", ""},
		{exitOK, "group create Verona --id verona", "created verona (Verona)"},
		{exitOK, "group chat list verona", "has no chats yet"},
		{exitOK, "group chat add verona Verona --id verona --default", "verona@groups.localhost (Verona)"},
		{exitOK, "group chat add verona 🎭 --id stage", "stage@groups.localhost (🎭)"},
		{exitError, "group add verona romeo ghost", "muster: there is no such user: ghost@localhost"},
		{exitError, "group add verona romeo ghost@far.test", "muster: invalid: ghost@far.test has no account on this server"},
		{exitOK, "group members verona --json", "{}"}, // all of them or nobody
		{exitOK, "group add verona romeo romeo@localhost --role admin", ""},
		{exitOK, "group members verona", "admin"},
		{exitError, "group remove verona romeo ghost", "muster: ghost@localhost is no member of verona\n"},
		{exitError, "group remove verona nurse romeo@far.test", "muster: nurse@localhost is no member of verona\nmuster: romeo@far.test is no member of verona\n"},
		{exitOK, "group members verona", "admin"}, // still
		{exitOK, "group remove verona romeo romeo@localhost", ""},
		{exitError, "group remove verona romeo", "muster: romeo@localhost is no member of verona\n"},
		{exitError, "group remove nowhere romeo", "no such group"},
		{exitOK, "group create Dash --id=-dash", "created -dash (Dash)"},
		{exitOK, "group show -- -dash", "-dash: Dash (permanent)"},
		{exitOK, "group delete -- -dash", ""},
		{exitOK, "group members verona --json", "{}"},
		{exitOK, "group add verona romeo", ""},
		{exitError, "group add nowhere romeo", "no such group"},
		{exitOK, "group rename verona Mantua", ""},
		{exitOK, "group chat list verona", "verona@groups.localhost   Mantua   default"},
		{exitOK, "room destroy stage@groups.localhost --yes", ""},
		{exitOK, "group chat list verona", "stage@groups.localhost    🎭        gone"},
		{exitOK, "group chat remove verona stage", ""},
		{exitError, "group chat remove verona stage", "has no such chat"},
		{exitError, "group chat add verona x --default", "--id"},
		{exitError, "group chat add verona x --id a@b", "is no name of a room"},
		{exitError, "group chat add nowhere x", "no such group"},
		{exitError, "group chat add verona --id foo", "muster: want a name for the chat"},
		{exitError, "group chat add verona --default", "--id"},
		{exitOK, "group chat add verona --id foo --default", "foo@groups.localhost (Mantua)"},
		{exitOK, "group show verona", "chat foo@groups.localhost: Mantua (default)\n"},
		{exitOK, "group show verona", "chat verona@groups.localhost: Mantua\n"},
		{exitOK, "group chat remove verona foo", ""},
		{exitError, "group set verona", "want --contract or --default-chat"},
		{exitError, "group set verona --default-chat foo", "the group has no such chat"},
		{exitError, "group set nowhere --contract overlay", "no such group"},
		{exitOK, "group set verona --default-chat verona --contract overlay", ""},
		{exitOK, "group show verona", "verona: Mantua (overlay)\n"},
		{exitOK, "group show verona", "chat verona@groups.localhost: Mantua (default)\n"},
		{exitError, "group chat list nowhere", "no such group"},
		{exitOK, "group show verona", "chat verona@groups.localhost: Mantua"},
	} {
		args := strings.Fields(step.args)
		at := len(args)
		if i := slices.Index(args, "--"); i >= 0 {
			at = i
		}
		got := execute(t, "", slices.Insert(args, at, "--config", file)...)
		if got.status != step.status || !strings.Contains(got.stdout+got.stderr, step.want) {
			t.Errorf("%s: got %+v, want %d and %q", step.args, got, step.status, step.want)
		}
	}
}
