package groups_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/jid"
)

// TestChangeMembers: all of a list, or nothing and every culprit by name.
func TestChangeMembers(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		id := w.make(groups.NewGroup{Name: "Verona"}, "romeo", "tybalt")
		change := func(text string) groups.MemberChange {
			name, remove := strings.CutPrefix(text, "-")
			return groups.MemberChange{Joining: groups.Joining{User: jid.MustParse(name)}, Remove: remove}
		}
		do := func(list ...string) error {
			changes := make([]groups.MemberChange, len(list))
			for i := range list {
				changes[i] = change(list[i])
			}
			_, err := w.ChangeMembers(t.Context(), id, changes, groups.Cause{})
			return err
		}
		err := do("juliet@example.org", "ghost@example.org", "-tybalt@example.org", "-tybalt@example.org", "example.org")
		var at []int
		for _, e := range groups.ItemErrors(err) {
			at = append(at, e.Index)
		}
		if !slices.Equal(at, []int{1, 3, 4}) || !errors.Is(err, groups.ErrUserNotFound) || !errors.Is(err, groups.ErrInvalid) {
			t.Errorf("got %v at %v", err, at)
		}
		if got := w.members(id); got != "romeo, tybalt" {
			t.Errorf("a refused change has left %s", got)
		}
		if err := do("juliet@example.org", "-tybalt@example.org", "-nurse@example.org", "romeo@example.org"); err != nil {
			t.Error(err)
		}
		if got := w.members(id); got != "juliet, romeo" {
			t.Errorf("members are %s", got)
		}
	})
}

// TestSetMembersTwice: who is named twice is named alike, or nothing changes.
func TestSetMembersTwice(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		id := w.make(groups.NewGroup{Name: "Verona"}, "romeo")
		set := func(list ...groups.Joining) error {
			for i := range list {
				list[i].User = jid.MustParse("juliet@example.org")
			}
			_, err := w.SetMembers(t.Context(), id, list, groups.Cause{})
			return err
		}
		for name, list := range map[string][]groups.Joining{
			"two roles":            {{Role: groups.RoleAdmin}, {Role: groups.RoleOwner}},
			"a role and the usual": {{Role: groups.RoleAdmin}, {}},
			"now and later":        {{}, {Delayed: true}},
		} {
			err := set(list...)
			if items := groups.ItemErrors(err); len(items) != 1 || items[0].Index != 1 || !errors.Is(err, groups.ErrInvalid) {
				t.Errorf("%s: got %v", name, err)
			}
			if got := w.members(id); got != "romeo" {
				t.Errorf("%s: a refused list has left %s", name, got)
			}
		}
		if err := set(groups.Joining{Role: groups.RoleAdmin}, groups.Joining{Role: groups.RoleAdmin}); err != nil {
			t.Error(err)
		}
		if got := w.members(id); got != "juliet admin" {
			t.Errorf("members are %s", got)
		}
	})
}
