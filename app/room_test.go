package app

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

// TestRoomCommands: every verb of muster room, on a server with somebody in a
// room.
func TestRoomCommands(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "access_admin = \"bosses\"\nmax_users = 7\n"+
		"[acl]\nboss = [{user = \"boss\"}]\n[access]\nbosses = [{acl = \"boss\", value = \"allow\"}]\n")
	srv := serving(t, file)
	muster := func(args ...string) result {
		return execute(t, "", append(append([]string{}, args...), "--config", file)...)
	}
	if got := muster("user", "add", "juliet", "wherefore"); got.status != 0 {
		t.Fatal(got)
	}
	run := func(args []string, status int, want ...string) {
		t.Helper()
		got := muster(append([]string{"room"}, args...)...)
		if got.status != status {
			t.Errorf("%v: got %+v, want status %d", args, got, status)
		}
		for _, w := range want {
			if !strings.Contains(got.stdout+got.stderr, w) {
				t.Errorf("%v: got %+v, want %q in it", args, got, w)
			}
		}
	}
	does := func(args []string, want ...string) { t.Helper(); run(args, 0, want...) }
	fails := func(args []string, want ...string) { t.Helper(); run(args, exitError, want...) }

	does([]string{"list"}, "There are no such rooms: muster room create NAME makes one.")
	fails([]string{"create", "kitchen", "titel=x", "max_users=many", "foo=1"}, "titel", `did you mean "title"?`, "max_users", "foo")
	does([]string{"create", "kitchen", "title=The kitchen", "--owner", "juliet", "--subject", "Supper"}, "created kitchen@conference.localhost")
	fails([]string{"create", "kitchen"}, "there is a room kitchen@conference.localhost already")
	does([]string{"list"}, "kitchen@conference.localhost", "The kitchen", "public")
	does([]string{"list", "--user", "juliet"}, "owner")
	does([]string{"show", "kitchen"}, "The kitchen", "Supper", "max_users")
	fails([]string{"show", "cellar"}, "there is no room cellar@conference.localhost")

	fails([]string{"config", "kitchen", "max_users=500", "title=x"}, "at most 7, got 500")
	fails([]string{"config", "kitchen", "title=two\nlines"}, "one line")
	does([]string{"config", "kitchen", "max_users=5", "allow_private_messages=true", "password=sesame"}, "sesame", "password_protected")
	does([]string{"config", "kitchen"}, "The kitchen", "5\n")
	does([]string{"config", "kitchen", "password="}, "password_protected")

	does([]string{"affiliate", "kitchen", "eve", "member"}, "eve@localhost is member of kitchen@conference.localhost")
	does([]string{"affiliate", "kitchen", "localhost", "member"}, "localhost is member")
	fails([]string{"affiliate", "kitchen", "boss@localhost", "outcast"}, "administers the service")
	fails([]string{"affiliate", "kitchen", "juliet", "none"}, "owner")
	does([]string{"affiliations", "kitchen"}, "juliet@localhost", "owner", "eve@localhost")
	does([]string{"affiliations", "kitchen", "outcast"}, "ADDRESS")

	does([]string{"occupants", "kitchen"}, "Nobody is in kitchen@conference.localhost.")
	c, err := client.Dial(t.Context(), client.Options{
		Conn: srv.Dial(), Domain: "localhost", Username: "juliet", Password: "wherefore",
		TLSConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate is not what this is about
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	enter(t, c, "kitchen@conference.localhost/Juliet")
	does([]string{"occupants", "kitchen"}, "Juliet", "juliet@localhost", "moderator")
	fails([]string{"role", "kitchen", "Juliet", "visitor"}, "change the affiliation first")
	does([]string{"affiliate", "kitchen", "juliet", "owner"}, "juliet@localhost is owner")
	does([]string{"affiliate", "kitchen", "eve", "owner"}, "eve@localhost is owner")
	does([]string{"affiliate", "kitchen", "juliet", "member"}, "is member")
	does([]string{"role", "kitchen", "Juliet", "visitor", "--reason", "hush"}, "Juliet is visitor in kitchen@conference.localhost")
	does([]string{"occupants", "kitchen"}, "visitor")

	does([]string{"message", "kitchen", "Supper is ready."}, "said")
	does([]string{"message", "kitchen", "--subject", "Breakfast"}, "the subject is changed")
	fails([]string{"message", "kitchen"}, "there is nothing to be said")
	fails([]string{"message", "kitchen", "x", "--from", "eve@localhost"}, "is not in")
	does([]string{"history", "kitchen"}, "  * Supper is ready.", "  * subject: Breakfast")

	fails([]string{"invite", "kitchen", "nobody", "a@far.test"}, "there is no account nobody@localhost", "a@far.test cannot be reached")
	does([]string{"invite", "kitchen", "juliet"}, "invited juliet@localhost")

	does([]string{"kick", "kitchen", "Juliet", "--reason", "late"}, "Juliet is out of kitchen@conference.localhost")
	fails([]string{"kick", "kitchen", "Juliet"}, "nobody in kitchen@conference.localhost has the nickname")

	does([]string{"unused", "--days", "1"}, "All rooms have been used in the last 1 days.")
	fails([]string{"unused", "--destroy"}, "--yes")
	fails([]string{"destroy", "kitchen"}, "--yes")
	does([]string{"show", "kitchen"}, "The kitchen")
	does([]string{"destroy", "kitchen", "--yes", "--reason", "over"}, "destroyed kitchen@conference.localhost")
	fails([]string{"show", "kitchen"}, "there is no room")
}

// enter lets a client into a room, and returns when it is inside.
func enter(t *testing.T, c *client.Client, at string) {
	t.Helper()
	st, err := stanza.Parse([]byte("<presence to='" + at + "'><x xmlns='http://jabber.org/protocol/muc'/></presence>"))
	if err == nil {
		err = c.Send(st)
	}
	for err == nil {
		var got stanza.Stanza
		if got, err = c.Receive(t.Context()); err == nil && got.Kind == stanza.Message && got.Child(stanza.NSClient, "subject") != nil {
			return
		}
	}
	t.Fatal(err)
}

// TestRoomsOfGroups: the chats of groups are rooms that can be listed like others.
func TestRoomsOfGroups(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "[modules.mod_groups_internal]\ngroups_muc_host = \"groups.localhost\"\n")
	serving(t, file)
	for _, step := range []struct {
		status     int
		args       string
		want, miss string
	}{
		{exitOK, "user add juliet wherefore", "", ""},
		{exitOK, "room create kitchen", "", ""},
		{exitOK, "group create Verona --id verona", "", ""},
		{exitOK, "group chat add verona Piazza --id piazza", "", ""},
		{exitOK, "group add verona juliet --role owner", "", ""},
		{exitOK, "room list", "kitchen@conference.localhost", "piazza"},
		{exitOK, "room list localhost", "kitchen@conference.localhost", "piazza"},
		{exitOK, "room list conference.localhost", "kitchen@conference.localhost", "piazza"},
		{exitOK, "room list groups.localhost", "piazza@groups.localhost", "kitchen"},
		{exitOK, "room list groups.localhost --search piaz", "piazza@groups.localhost", "kitchen"},
		{exitOK, "room list groups.localhost --user juliet", "owner", "kitchen"},
		{exitOK, "room list groups.localhost --search none", "There are no such rooms", ""},
		{exitError, "room list far.test", "does not serve \"far.test\"", ""},
		{exitOK, "room unused groups.localhost", "All rooms have been used in the last 90 days", ""},
		{exitError, "room unused far.test", "does not serve \"far.test\"", ""},
	} {
		got := execute(t, "", append(strings.Fields(step.args), "--config", file)...)
		if got.status != step.status || !strings.Contains(got.stdout+got.stderr, step.want) || step.miss != "" && strings.Contains(got.stdout, step.miss) {
			t.Errorf("%s: got %+v, want %d and %q", step.args, got, step.status, step.want)
		}
	}
}
