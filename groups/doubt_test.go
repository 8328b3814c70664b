package groups_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/sqlstore"
)

// TestTasksUnknown: what is to be done is done, and in order, though the store says
// only some time after the start what that is.
func TestTasksUnknown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sqlstore.Options{Driver: sqlstore.SQLite, Dir: dir, Durability: sqlstore.DurabilityProcess})
		id := w.make(groups.NewGroup{Name: "Team", DefaultChat: true}, "romeo")
		w.chats.fail(errors.New("the server is stopped here"))
		w.add(id, "juliet")
		w.Close()
		w.chats.fail(nil)
		w.db.silence(errors.New("somebody's change is under way"))
		w.begin("chat.example.org")
		w.add(id, "nurse")
		w.expectEvents()
		w.db.silence(nil)
		for range 5 {
			<-afterSecond()
			synctest.Wait()
		}
		w.expectEvents(`added juliet as member by "" repeated false`, `added nurse as member by "" repeated false`)
		w.expectChats("affiliate juliet member", "affiliate nurse member")
	})
}

// TestOutcomeUnknown: a change that may have been stored or not leaves memory
// and events as what is stored.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("stored ", late), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sqlstore.Options{Driver: sqlstore.SQLite, Dir: dir, Durability: sqlstore.DurabilityProcess})
				id := w.make(groups.NewGroup{Name: "Team"}, "romeo")
				w.contacts("romeo")
				w.contacts("juliet")
				w.db.err, w.db.late = errors.New("connection lost"), late
				if _, err := w.AddMember(t.Context(), id, groups.Joining{User: user("juliet")}, groups.Cause{}); err == nil {
					t.Fatal("no error")
				}
				want := ""
				if late {
					want = "juliet [Team]"
				}
				if got := w.contacts("romeo"); got != want {
					t.Errorf("romeo has %q, want %q", got, want)
				}
				if got := strings.Replace(w.contacts("juliet"), "romeo", "juliet", 1); got != want {
					t.Errorf("juliet has %q for romeo, want %q", got, want)
				}
				told := w.takeChanged()
				for _, name := range []string{"romeo", "juliet"} {
					if !slices.Contains(told, user(name)) {
						t.Errorf("%s is not told to look", name)
					}
				}
				for range 5 {
					<-afterSecond()
					synctest.Wait()
				}
				if got := len(w.takeEvents()); (got == 1) != late {
					t.Errorf("%d events", got)
				}
			})
		})
	}
}

// TestDeletedMeanwhile: who asks for his contacts while a group of his is being
// deleted gets those that are left.
func TestDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		gone := w.make(groups.NewGroup{Name: "Gone", Contract: groups.Overlay}, "romeo", "juliet")
		w.make(groups.NewGroup{Name: "Team", Contract: groups.Overlay}, "romeo", "nurse")
		w.db.next = func() {
			if err := w.Delete(t.Context(), gone, groups.Cause{}); err != nil {
				t.Error(err)
			}
		}
		if got, want := w.contacts("romeo"), "nurse [Team]"; got != want {
			t.Errorf("romeo has %q, want %q", got, want)
		}
	})
}
