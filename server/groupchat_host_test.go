package server

import (
	"testing"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/jid"
)

// TestGroupChatsWithoutHost: C9: rooms, affiliations and bookmarks are what groups
// say when there is a host for chats again, whatever was done without one.
func TestGroupChatsWithoutHost(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		testChatsWithoutHost(t, sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir()})
	})
}

func testChatsWithoutHost(t *testing.T, o sqlstore.Options) {
	t.Helper()
	inChats(t, o, -1, lost, func(w *chatWorld) {
		ctx, by := w.t.Context(), groups.Cause{}
		must := func(_ groups.Info, err error) {
			w.t.Helper()
			if err != nil {
				w.t.Fatal(err)
			}
		}
		for _, id := range []groups.ID{"kept", "gone", "bare"} {
			must(w.groups.Create(ctx, groups.NewGroup{ID: id, Name: "Name of " + string(id), DefaultChat: true}, by))
			for _, who := range []string{"anna", "ben"} {
				must(w.groups.AddMember(ctx, id, groups.Joining{User: person(who)}, by))
			}
		}
		gone, err := w.groups.Info(ctx, "gone")
		must(gone, err)
		bare, err := w.groups.Info(ctx, "bare")
		must(bare, err)
		w.check()
		w.homeless = true
		w.restart()
		name := "Crew"
		must(w.groups.SetInfo(ctx, "kept", groups.Update{Name: &name}, by))
		must(w.groups.AddMember(ctx, "kept", groups.Joining{User: person("cem"), Role: groups.RoleOwner}, by))
		must(w.groups.RemoveMember(ctx, "kept", person("ben"), by))
		must(groups.Info{}, w.groups.Delete(ctx, "gone", by))
		must(groups.Info{}, w.groups.RemoveGroupChat(ctx, "bare", bare.MUCJID.Local(), by))
		w.restart() // and nothing of it is lost
		w.homeless = false
		w.restart()
		w.check()
		for _, room := range []jid.JID{gone.MUCJID, bare.MUCJID} {
			if rec, err := w.db.Room(ctx, room); err != nil || rec.Tombstone == nil {
				w.t.Errorf("%s has no tombstone (%v)", room, err)
			}
		}
	})
}
