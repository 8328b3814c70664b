package groups_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/jid"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		info, err := w.Create(t.Context(), groups.NewGroup{Name: " Vérone 🎭 ", DefaultChat: true}, groups.Cause{Actor: "admin"})
		if err != nil {
			t.Fatal(err)
		}
		if len(info.ID) != 12 || info.Name != "Vérone 🎭" || info.Contract != groups.Permanent || info.MUCJID.Domain() != "chat.example.org" {
			t.Errorf("got %+v", info)
		}
		w.expectEvents("created Vérone 🎭", "chat Vérone 🎭")
		w.expectChats("create Vérone 🎭 with ")
		got, err := w.Info(t.Context(), info.ID)
		if err != nil || got.MUCJID != info.MUCJID || got.Revision != info.Revision || got.Name != info.Name {
			t.Errorf("got %+v, %v\nwant %+v", got, err, info)
		}
		chats, err := w.GroupChats(t.Context(), info.ID)
		if err != nil || len(chats) != 1 || chats[0].ID != info.MUCJID.Local() || chats[0].Deleted {
			t.Errorf("chats are %+v, %v", chats, err)
		}
	})
}

// TestRefusals: C2, C7, C8: what cannot be is refused with an error that says
// what, and nothing changes.
func TestRefusals(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.make(groups.NewGroup{ID: "team", Name: "Team"}, "romeo")
		join := func(id groups.ID, who string) error {
			_, err := w.AddMember(ctx, id, groups.Joining{User: jid.MustParse(who)}, groups.Cause{})
			return err
		}
		create := func(g groups.NewGroup) error {
			_, err := w.Create(ctx, g, groups.Cause{})
			return err
		}
		empty, unknown := " ", jid.MustParse("x@chat.example.org")
		set := func(u groups.Update) error {
			_, err := w.SetInfo(ctx, "team", u, groups.Cause{})
			return err
		}
		bad := groups.Contract("bad")
		tests := []struct {
			name string
			err  error
			want error
		}{
			{"unknown group", join("none", "juliet@example.org"), groups.ErrGroupNotFound},
			{"unknown user", join("team", "ghost@example.org"), groups.ErrUserNotFound},
			{"user elsewhere", join("team", "juliet@elsewhere.test"), groups.ErrInvalid},
			{"host", join("team", "example.org"), groups.ErrInvalid},
			{"full address", join("team", "juliet@example.org/balcony"), groups.ErrInvalid},
			{"no name", create(groups.NewGroup{Name: "\t"}), groups.ErrNameRequired},
			{"long name", create(groups.NewGroup{Name: strings.Repeat("x", 2000)}), groups.ErrInvalid},
			{"nothing to be seen", create(groups.NewGroup{Name: "\u200b \u2800\u3164\ufe0f"}), groups.ErrNameRequired},
			{"two lines", create(groups.NewGroup{Name: "a\u2028b"}), groups.ErrInvalid},
			{"control characters", create(groups.NewGroup{Name: "a\x00b"}), groups.ErrInvalid},
			{"taken id", create(groups.NewGroup{ID: "team", Name: "Other"}), groups.ErrConflict},
			{"bad id", create(groups.NewGroup{ID: "a/b", Name: "Other"}), groups.ErrInvalid},
			{"empty new name", set(groups.Update{Name: &empty}), groups.ErrNameRequired},
			{"bad contract", set(groups.Update{Contract: &bad}), groups.ErrInvalid},
			{"unknown default chat", set(groups.Update{MUCJID: &unknown}), groups.ErrChatNotFound},
			{"unknown chat", w.RemoveGroupChat(ctx, "team", "none", groups.Cause{}), groups.ErrChatNotFound},
			{"chat without name", func() error { _, err := w.AddGroupChat(ctx, "team", "", groups.Cause{}); return err }(), groups.ErrNameRequired},
			{"sync of nothing", func() error { _, err := w.Sync(ctx, "none", groups.Cause{}); return err }(), groups.ErrGroupNotFound},
			{"events of nothing", w.EmitMemberEvents(ctx, "none"), groups.ErrGroupNotFound},
			{"delete nothing", w.Delete(ctx, "none", groups.Cause{}), groups.ErrGroupNotFound},
			{"members of nothing", func() error { _, err := w.Members(ctx, "none"); return err }(), groups.ErrGroupNotFound},
		}
		for _, tt := range tests {
			if !errors.Is(tt.err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, tt.err, tt.want)
			}
		}
		w.expectEvents()
		w.expectChats()
		if got := w.members("team"); got != "romeo" {
			t.Errorf("members are %s", got)
		}
	})
}

func TestNoChatHost(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		w.Close()
		w.begin("")
		if _, err := w.Create(t.Context(), groups.NewGroup{Name: "Team", DefaultChat: true}, groups.Cause{}); !errors.Is(err, groups.ErrNoChatHost) {
			t.Errorf("got %v", err)
		}
		id := w.make(groups.NewGroup{Name: "Team"})
		if _, err := w.AddGroupChat(t.Context(), id, "Talk", groups.Cause{}); !errors.Is(err, groups.ErrNoChatHost) {
			t.Errorf("got %v", err)
		}
	})
}

// TestPutGroupChat: a chat of another server keeps its address, is made once, and
// may be the default one.
func TestPutGroupChat(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		id := w.make(groups.NewGroup{Name: "Team"}, "romeo")
		room := jid.MustParse("talk@chat.example.org")
		for range 2 {
			c, err := w.PutGroupChat(t.Context(), id, groups.NewChat{ID: "talk", Name: "Talk", Default: true}, groups.Cause{})
			if err != nil || c.JID != room || c.Name != "Talk" {
				t.Errorf("got %+v, %v", c, err)
			}
		}
		info, err := w.Info(t.Context(), id)
		if err != nil || info.MUCJID != room || len(info.MUCs) != 1 {
			t.Errorf("the group has %+v, %v", info, err)
		}
		for _, bad := range []string{"", "a b", "a@b"} {
			if _, err := w.PutGroupChat(t.Context(), id, groups.NewChat{ID: bad, Name: "X"}, groups.Cause{}); !errors.Is(err, groups.ErrInvalid) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	})
}

// TestMembership follows contacts through the life of a group.
func TestMembership(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		id := w.make(groups.NewGroup{Name: "Team"}, "romeo", "juliet")
		expect := func(who, want string) {
			t.Helper()
			if got := w.contacts(who); got != want {
				t.Errorf("contacts of %s\ngot  %q\nwant %q", who, got, want)
			}
		}
		expect("romeo", "juliet [Team]")
		expect("nurse", "")
		w.add(id, "nurse")
		expect("nurse", "juliet [Team], romeo [Team]")
		w.remove(id, "romeo")
		expect("juliet", "nurse [Team], romeo")
		expect("romeo", "juliet, nurse")
		w.add(id, "tybalt")
		expect("romeo", "juliet, nurse")
		expect("tybalt", "juliet [Team], nurse [Team]")
		overlay := groups.Overlay
		if _, err := w.SetInfo(ctx, id, groups.Update{Contract: &overlay}, groups.Cause{}); err != nil {
			t.Fatal(err)
		}
		expect("romeo", "")
		expect("juliet", "nurse [Team], tybalt [Team]")
		w.remove(id, "nurse")
		expect("juliet", "tybalt [Team]")
		expect("nurse", "")
		permanent := groups.Permanent
		if _, err := w.SetInfo(ctx, id, groups.Update{Contract: &permanent}, groups.Cause{}); err != nil {
			t.Fatal(err)
		}
		expect("nurse", "")
		if err := w.Delete(ctx, id, groups.Cause{}); err != nil {
			t.Fatal(err)
		}
		expect("juliet", "tybalt")
		if ok, err := w.Exists(ctx, id); ok || err != nil {
			t.Errorf("exists: %v, %v", ok, err)
		}
		if _, err := w.Create(ctx, groups.NewGroup{ID: id, Name: "Again"}, groups.Cause{}); err != nil {
			t.Errorf("the id of a deleted group: %v", err)
		}
		w.add(id, "juliet", "nurse")
		expect("juliet", "nurse [Again], tybalt")
	})
}

func TestEvents(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		id := w.make(groups.NewGroup{Name: "Team", DefaultChat: true})
		by := groups.Cause{Actor: "admin"}
		for range 2 { // the second time nothing happens
			if _, err := w.AddMember(ctx, id, groups.Joining{User: user("romeo"), Role: groups.RoleOwner}, by); err != nil {
				t.Fatal(err)
			}
		}
		w.add(id, "juliet")
		w.expectEvents(`added romeo as owner by "admin" repeated false`, `added juliet as member by "" repeated false`)
		w.expectChats("affiliate romeo owner", "affiliate juliet member")
		name := "Crew"
		if _, err := w.SetInfo(ctx, id, groups.Update{Name: &name}, by); err != nil {
			t.Fatal(err)
		}
		w.expectEvents("renamed Team to Crew")
		w.expectChats("rename to Crew")
		chat, err := w.AddGroupChat(ctx, id, "Talk", by)
		if err != nil {
			t.Fatal(err)
		}
		w.expectEvents("chat Talk")
		w.expectChats("create Talk with juliet member, romeo owner")
		if _, err := w.AddMember(ctx, id, groups.Joining{User: user("juliet"), Role: groups.RoleAdmin}, by); err != nil {
			t.Fatal(err)
		}
		w.expectEvents()
		w.expectChats("affiliate juliet admin", "affiliate juliet admin")
		if err := w.RemoveGroupChat(ctx, id, chat.ID, by); err != nil {
			t.Fatal(err)
		}
		w.expectEvents("no chat Talk")
		w.expectChats("destroy: The chat has been removed from the group Crew.")
		if err := w.EmitMemberEvents(ctx, id); err != nil {
			t.Fatal(err)
		}
		w.expectEvents(`added juliet as admin by "" repeated true`, `added romeo as owner by "" repeated true`)
		w.remove(id, "romeo", "romeo", "nurse")
		w.expectEvents("removed romeo")
		w.expectChats("affiliate romeo nothing")
		w.add(id, "nurse")
		w.takeEvents()
		w.chats.take()
		if err := w.Delete(ctx, id, by); err != nil {
			t.Fatal(err)
		}
		w.expectEvents("removed juliet", "removed nurse", "no chat Crew", "deleted Crew")
		w.expectChats("destroy: The group Crew has been deleted.")
	})
}

// TestSetInfoKeepsChats: C5.
func TestSetInfoKeepsChats(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		id := w.make(groups.NewGroup{Name: "Team", DefaultChat: true})
		before, err := w.Info(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		name := "Crew"
		after, err := w.SetInfo(t.Context(), id, groups.Update{Name: &name}, groups.Cause{})
		if err != nil || after.MUCJID != before.MUCJID || !slices.Equal(after.MUCs, before.MUCs) || after.Revision <= before.Revision {
			t.Errorf("got %+v, %v\nwas %+v", after, err, before)
		}
	})
}

func TestDelayedMembers(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		id := w.make(groups.NewGroup{Name: "Team"}, "romeo")
		for _, n := range []string{"juliet", "nurse"} {
			if _, err := w.AddMember(ctx, id, groups.Joining{User: user(n), Delayed: true}, groups.Cause{}); err != nil {
				t.Fatal(err)
			}
		}
		w.expectEvents(`added juliet as member by "" repeated false`, `added nurse as member by "" repeated false`)
		if got := w.members(id); got != "juliet delayed, nurse delayed, romeo" {
			t.Errorf("members are %s", got)
		}
		if got := w.contacts("romeo"); got != "" {
			t.Errorf("romeo has %s before they are synchronised", got)
		}
		if ids, err := w.UserGroups(ctx, user("juliet")); err != nil || !slices.Equal(ids, []groups.ID{id}) {
			t.Errorf("juliet's groups are %v, %v", ids, err)
		}
		if _, err := w.Sync(ctx, id, groups.Cause{}); err != nil {
			t.Fatal(err)
		}
		if got := w.contacts("juliet"); got != "nurse [Team], romeo [Team]" {
			t.Errorf("juliet has %s", got)
		}
		w.expectEvents()
	})
}

func TestSetMembers(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		id := w.make(groups.NewGroup{Name: "Team"}, "romeo", "juliet")
		before, _ := w.Info(ctx, id)
		list := []groups.Joining{{User: user("juliet"), Role: groups.RoleAdmin}, {User: user("nurse")}, {User: user("nurse")}}
		info, err := w.SetMembers(ctx, id, list, groups.Cause{})
		if err != nil || info.Revision != before.Revision+1 {
			t.Fatalf("got %+v, %v", info, err)
		}
		if got := w.members(id); got != "juliet admin, nurse" {
			t.Errorf("members are %s", got)
		}
		w.expectEvents(`added nurse as member by "" repeated false`, "removed romeo")
		if again, err := w.SetMembers(ctx, id, list, groups.Cause{}); err != nil || again.Revision != info.Revision {
			t.Errorf("again: %+v, %v", again, err)
		}
		_, err = w.SetMembers(ctx, id, append(list, groups.Joining{User: user("ghost")}, groups.Joining{User: jid.MustParse("x@elsewhere.test")}), groups.Cause{})
		if !errors.Is(err, groups.ErrUserNotFound) || !errors.Is(err, groups.ErrInvalid) || !strings.Contains(err.Error(), "ghost") {
			t.Errorf("got %v, want both people named", err)
		}
		if got := w.members(id); got != "juliet admin, nurse" {
			t.Errorf("members are %s", got)
		}
	})
}

func TestRevisions(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		id := w.make(groups.NewGroup{Name: "Team"})
		old, _ := w.Info(ctx, id)
		w.add(id, "romeo")
		name := "Crew"
		if _, err := w.SetInfo(ctx, id, groups.Update{Name: &name}, groups.Cause{Revision: old.Revision}); !errors.Is(err, groups.ErrRevision) {
			t.Errorf("a change of what is not any more: %v", err)
		}
		now, _ := w.Info(ctx, id)
		if _, err := w.SetInfo(ctx, id, groups.Update{Name: &name}, groups.Cause{Revision: now.Revision}); err != nil || now.Name != "Team" {
			t.Errorf("got %v after %+v", err, now)
		}
	})
}

// TestTwoAdministrators: C11: whatever order two changes at once are stored in,
// the later revision's is what is.
func TestTwoAdministrators(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		id := w.make(groups.NewGroup{Name: "Team"}, "romeo")
		w.contacts("juliet") // whose groups are in memory
		for range 20 {
			var added, removed groups.Info
			var wg sync.WaitGroup
			wg.Go(func() {
				added, _ = w.AddMember(t.Context(), id, groups.Joining{User: user("juliet")}, groups.Cause{})
			})
			wg.Go(func() { removed, _ = w.RemoveMember(t.Context(), id, user("juliet"), groups.Cause{}) })
			wg.Wait()
			want := "romeo"
			if added.Revision > removed.Revision {
				want = "juliet, romeo"
			}
			if got := w.members(id); added.Revision != removed.Revision && got != want {
				t.Fatalf("added at %d, removed at %d: members are %s", added.Revision, removed.Revision, got)
			}
			w.contacts("juliet")
			w.contacts("romeo")
		}
	})
}

// TestRowsPerChange: C10: what a change writes does not depend on the size of
// the group.
func TestRowsPerChange(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		id := w.make(groups.NewGroup{Name: "Team"})
		var all []groups.Joining
		for i := range 1000 {
			all = append(all, groups.Joining{User: user(fmt.Sprint("u", i))})
		}
		if _, err := w.SetMembers(ctx, id, all, groups.Cause{}); err != nil {
			t.Fatal(err)
		}
		if w.db.rows != 1000 {
			t.Errorf("1000 new members are %d rows", w.db.rows)
		}
		w.db.rows = 0
		w.add(id, "romeo")
		w.remove(id, "u7")
		if w.db.rows != 2 {
			t.Errorf("a new and a former member are %d rows", w.db.rows)
		}
	})
}

// TestAccountDeleted: C12.
func TestAccountDeleted(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		a := w.make(groups.NewGroup{Name: "A", DefaultChat: true}, "romeo", "juliet")
		b := w.make(groups.NewGroup{Name: "B", Contract: groups.Overlay}, "romeo", "juliet")
		c := w.make(groups.NewGroup{Name: "C"}, "romeo", "nurse")
		w.remove(c, "romeo")
		w.contacts("juliet")
		w.takeEvents()
		for range 2 {
			if err := w.AccountDeleted(ctx, user("romeo")); err != nil {
				t.Fatal(err)
			}
		}
		w.expectEvents("removed romeo", "removed romeo")
		w.expectChats("affiliate romeo nothing")
		for _, who := range []string{"romeo", "juliet", "nurse"} {
			if got := w.contacts(who); got != "" {
				t.Errorf("%s still has %s", who, got)
			}
		}
		for _, id := range []groups.ID{a, b} {
			if got := w.members(id); got != "juliet" {
				t.Errorf("members of %s are %s", id, got)
			}
		}
	})
}

// TestCrash: C9: what was not done after a change is done at the next start, in
// order.
func TestCrash(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		id := w.make(groups.NewGroup{Name: "Team", DefaultChat: true}, "romeo")
		w.chats.fail(errors.New("the server is stopped here"))
		w.add(id, "juliet")
		w.remove(id, "romeo")
		w.expectEvents()
		w.Close()
		w.chats.fail(nil)
		w.begin("chat.example.org")
		w.expectChats("affiliate juliet member", "affiliate romeo nothing")
		w.expectEvents(`added juliet as member by "" repeated false`, "removed romeo")
		w.Close()
		w.begin("chat.example.org")
		w.expectEvents()
	})
}

// TestRestoreOld: at a start chats are compared with their groups in the
// background, but only those of groups of before: on a slow store, too, nothing
// comes between a change of a newer group and what follows from it.
func TestRestoreOld(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sqlstore.Options{Driver: sqlstore.SQLite, Dir: dir, Durability: sqlstore.DurabilityProcess})
		w.make(groups.NewGroup{Name: "Old", DefaultChat: true}, "romeo")
		w.Close()
		w.db.slow = time.Second
		w.begin("chat.example.org")
		w.make(groups.NewGroup{Name: "New", DefaultChat: true}, "juliet")
		<-afterSecond()
		<-afterSecond()
		synctest.Wait()
		if want := []string{"Old with romeo member"}; !slices.Equal(w.chats.restored, want) {
			t.Errorf("compared %q, want %q", w.chats.restored, want)
		}
	})
}

// TestRetry: what fails is tried again while the server runs.
func TestRetry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sqlstore.Options{Driver: sqlstore.SQLite, Dir: dir, Durability: sqlstore.DurabilityProcess})
		id := w.make(groups.NewGroup{Name: "Team", DefaultChat: true})
		failing := errors.New("rooms are busy")
		w.chats.fail(failing)
		w.add(id, "juliet")
		w.chats.fail(nil)
		w.add(id, "romeo") // takes the earlier one along
		w.expectChats("affiliate juliet member", "affiliate romeo member")
		w.chats.fail(failing)
		w.add(id, "nurse")
		w.chats.fail(nil)
		for w.chats.idle() {
			synctest.Wait()
			<-afterSecond()
		}
		w.expectChats("affiliate nurse member")
	})
}

// TestRandomChanges compares what is in memory with what is stored, after any
// sequence of changes, logins and ends.
func TestRandomChanges(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		r := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // a test that repeats itself
		names := []string{"a", "b", "c", "d", "e"}
		ids := []groups.ID{w.make(groups.NewGroup{ID: "0", Name: "G0"}), w.make(groups.NewGroup{ID: "1", Name: "G1", Contract: groups.Overlay}), w.make(groups.NewGroup{ID: "2", Name: "G2"})}
		for i := range 300 {
			id, who := ids[r.IntN(len(ids))], names[r.IntN(len(names))]
			var err error
			switch n := r.IntN(14); {
			case n < 5:
				_, err = w.AddMember(ctx, id, groups.Joining{User: user(who), Delayed: n == 0}, groups.Cause{})
			case n < 8:
				_, err = w.RemoveMember(ctx, id, user(who), groups.Cause{})
			case n == 8:
				name, contract := fmt.Sprint("G", i), []groups.Contract{groups.Permanent, groups.Overlay}[r.IntN(2)]
				_, err = w.SetInfo(ctx, id, groups.Update{Name: &name, Contract: &contract}, groups.Cause{})
			case n == 9:
				if err = w.Delete(ctx, id, groups.Cause{}); err == nil {
					_, err = w.Create(ctx, groups.NewGroup{ID: id, Name: fmt.Sprint("N", i)}, groups.Cause{})
				}
			case n == 10:
				w.Release(user(who))
			case n == 11:
				_, err = w.Sync(ctx, id, groups.Cause{})
			case n == 12:
				err = w.AccountDeleted(ctx, user(who))
			default:
				_, err = w.SetMembers(ctx, id, []groups.Joining{{User: user(who)}, {User: user(names[r.IntN(len(names))])}}, groups.Cause{})
			}
			if err != nil {
				t.Fatal(err)
			}
			w.contacts(names[r.IntN(len(names))])
			w.contacts(who)
		}
	})
}

func TestGroupsInOrder(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		var want []groups.ID
		for i := range 450 {
			want = append(want, groups.ID(fmt.Sprintf("g%03d", i)))
			w.make(groups.NewGroup{ID: want[i], Name: "Team"})
		}
		var got []groups.ID
		for info, err := range w.Groups(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, info.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %d groups, want %d", len(got), len(want))
		}
	})
}
func afterSecond() <-chan time.Time { return time.After(time.Second) }
