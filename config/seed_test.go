package config_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/muster-im/muster/config"
)

func loadSeed(t *testing.T, name string) *config.Config {
	t.Helper()
	c, err := config.Load(filepath.Join("testdata/seed", name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every option of the page that people come from loads with the value that it
// shows, and means that.
func TestSeedOptions(t *testing.T) {
	t.Parallel()
	got := loadSeed(t, "options.toml").Modules.MUC
	want := &config.MUC{
		Host: "group.@HOST@", Backend: "rdbms", OnlineBackend: "cets",
		Access: "muc", AccessCreate: "muc_create", AccessAdmin: "muc_create", AccessPersistent: "none",
		RoomShaper: "muc_room_shaper", UserMessageShaper: "muc_user_msg_shaper", UserPresenceShaper: "muc_user_presence_shaper",
		MinMessageInterval: 1e9, MinPresenceInterval: 1e9, HistorySize: 30,
		MaxUsers: 100, MaxUsersAdminThreshold: 10, MaxUserConferences: 5,
		MaxRoomID: 30, MaxRoomName: 30, MaxRoomDesc: 140,
		DefaultRoom: config.DefaultRoom{
			Title: "example_title", Description: "An example description.",
			Persistent: true, MembersOnly: true, AllowUserInvites: true, AllowMultipleSessions: true,
			PasswordProtected: true, Password: "secret", MaxUsers: 100, Logging: true,
			MayGetMemberList: []string{"moderator"}, Subject: "Lambda days", SubjectAuthor: "Alice",
		},
	}
	// Settings that the page does not have, or that are not set there, are the built-in ones.
	defaults := loadSeed(t, "default-room-table.toml").Modules.MUC
	copyUnset(reflect.ValueOf(want).Elem(), reflect.ValueOf(got).Elem(), reflect.ValueOf(defaults).Elem())
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// copyUnset gives want what is unset in it where got has the default.
func copyUnset(want, got, defaults reflect.Value) {
	for i := range want.NumField() {
		w, g, d := want.Field(i), got.Field(i), defaults.Field(i)
		switch {
		case w.Kind() == reflect.Struct:
			copyUnset(w, g, d)
		case w.IsZero() && reflect.DeepEqual(g.Interface(), d.Interface()):
			w.Set(g)
		}
	}
}

func TestSeedTables(t *testing.T) {
	t.Parallel()
	alice := config.Affiliation{User: "alice", Server: "localhost", Resource: "resource1", Affiliation: "member"}
	bob := config.Affiliation{User: "bob", Server: "localhost", Resource: "resource2", Affiliation: "owner"}
	table, dotted := loadSeed(t, "default-room-table.toml"), loadSeed(t, "default-room-dotted.toml")
	if !reflect.DeepEqual(table.Modules.MUC, dotted.Modules.MUC) {
		t.Errorf("two ways to write one thing mean\n%+v\nand\n%+v", table.Modules.MUC, dotted.Modules.MUC)
	}
	room := table.Modules.MUC.DefaultRoom
	if !room.PasswordProtected || room.Description != "An example description." || !reflect.DeepEqual(room.Affiliations, []config.Affiliation{alice}) {
		t.Errorf("got %+v", room)
	}
	if got := loadSeed(t, "affiliations.toml").Modules.MUC.DefaultRoom.Affiliations; !reflect.DeepEqual(got, []config.Affiliation{alice, bob}) {
		t.Errorf("got %+v", got)
	}
}

// What means something else here is said, with its place.
func TestRemarks(t *testing.T) {
	t.Parallel()
	const want = `default-room-table.toml:5:26: modules.mod_muc.default_room.password_protected: there is no password: whoever sends an empty one gets in, and clients that send none do not, until an owner sets another: set password or http_auth_pool
default-room-table.toml:11:20: modules.mod_muc.default_room.affiliations[0].resource: left out: alice@localhost is member with every client (XEP-0045 §5.2)`
	got := strings.ReplaceAll(loadSeed(t, "default-room-table.toml").Remarks().Error(), filepath.Join("testdata/seed")+"/", "")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, key := range []string{"backend", "online_backend"} {
		if got := loadSeed(t, "options.toml").Remarks().Error(); !strings.Contains(got, "modules.mod_muc."+key+": ") {
			t.Errorf("nothing is said of %s: %s", key, got)
		}
	}
}
