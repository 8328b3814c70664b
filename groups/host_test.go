package groups_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/sqlstore"
)

// settled is what has been done to chats once nothing is left to do.
func (w *world) settled() string {
	synctest.Wait()
	log := w.chats.take()
	w.chats.mu.Lock()
	defer w.chats.mu.Unlock()
	for _, r := range w.chats.restored {
		log = append(log, "restore "+r)
	}
	w.chats.restored = nil
	return strings.Join(log, "; ")
}

func (w *world) tasks() int {
	w.t.Helper()
	list, err := w.db.GroupTasks(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

// TestNoChatHostForAWhile: what happens while chats have no host, or another one,
// is done when theirs is back; events do not wait for it.
func TestNoChatHostForAWhile(t *testing.T) {
	t.Parallel()
	for name, host := range map[string]string{"none": "", "another": "elsewhere.example.org"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				ctx, by := t.Context(), groups.Cause{}
				for _, n := range []string{"Kept", "Gone", "Brief", "Bare"} {
					g := groups.NewGroup{ID: groups.ID(strings.ToLower(n)), Name: n, DefaultChat: true}
					if n == "Brief" {
						g.Contract = groups.Overlay
					}
					w.make(g, "romeo")
				}
				w.Close()
				w.begin(host)
				w.settled()
				bare, err := w.GroupChats(ctx, "bare")
				if err != nil || len(bare) != 1 || bare[0].Deleted {
					t.Fatalf("the chats are %+v, %v", bare, err)
				}
				renamed := "Crew"
				_, err = w.SetInfo(ctx, "kept", groups.Update{Name: &renamed}, by)
				for _, err := range []error{
					err, w.Delete(ctx, "gone", by), w.Delete(ctx, "brief", by), w.RemoveGroupChat(ctx, "bare", bare[0].ID, by),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
				w.remove("kept", "romeo")
				w.add("kept", "juliet")
				w.expectEvents("renamed Kept to Crew", "removed romeo", "no chat Gone", "deleted Gone", "removed romeo", "no chat Brief", "deleted Brief",
					"no chat Bare", "removed romeo", `added juliet as member by "" repeated false`)
				if got := w.settled(); got != "" {
					t.Errorf("without a host: %s", got)
				}
				for range 2 { // starts
					if n := w.tasks(); n != 4 {
						t.Errorf("%d tasks wait, want those of four chats", n)
					}
					w.Close()
					w.begin(host)
					w.add("kept", "nurse")
					w.remove("kept", "nurse")
					w.takeEvents()
				}
				w.Close()
				w.begin("chat.example.org")
				got := strings.Split(w.settled(), "; ")
				slices.Sort(got)
				want := []string{
					"destroy: The chat has been removed from the group Bare.", "destroy: The group Brief has been deleted.",
					"destroy: The group Gone has been deleted.", "rename to Crew", "restore Crew with juliet member",
				}
				if !slices.Equal(got, want) {
					t.Errorf("then\ngot  %q\nwant %q", got, want)
				}
				w.expectEvents()
				if n := w.tasks(); n != 0 {
					t.Errorf("%d tasks are left", n)
				}
			})
		})
	}
}

// TestManyTasksWait: however much waits for a host, a start does not.
func TestManyTasksWait(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		const many = 300
		for i := range many {
			w.make(groups.NewGroup{ID: groups.ID(fmt.Sprint(i)), Name: "Team", DefaultChat: true})
		}
		w.Close()
		w.begin("")
		for i := range many {
			if err := w.Delete(t.Context(), groups.ID(fmt.Sprint(i)), groups.Cause{}); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		w.chats.mu.Lock() // rooms answer nobody
		w.begin("chat.example.org")
		w.chats.mu.Unlock()
		if got := strings.Count(w.settled(), "destroy"); got != many {
			t.Errorf("%d rooms have ended, want %d", got, many)
		}
	})
}

// inBubble runs a test in a bubble.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f(t, newWorld(t, sqlstore.Options{Driver: sqlstore.SQLite, Dir: dir, Durability: sqlstore.DurabilityProcess}))
	})
}
