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
		err := do("juliet@example.org", "ghost@example.org", "-tybalt@example.org", "-tybalt@example.org", "example.org", "-ghost@example.org", "-tybalt@elsewhere.test")
		var at []int
		for _, e := range groups.ItemErrors(err) {
			at = append(at, e.Index)
		}
		if !slices.Equal(at, []int{1, 3, 4, 5, 6}) || !errors.Is(err, groups.ErrUserNotFound) || !errors.Is(err, groups.ErrInvalid) {
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

// TestRemoveMember: to end a membership twice is no error; to end one of somebody
// who cannot have any is, unless he has one from the time when he could.
func TestRemoveMember(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		id := w.make(groups.NewGroup{Name: "Verona"}, "romeo")
		records, err := w.db.Groups(t.Context(), "", 1)
		if err != nil {
			t.Fatal(err)
		}
		late := groups.MemberRecord{User: user("ghost"), Role: groups.RoleMember, Entered: groups.This, Joined: groups.This}
		if _, err := w.db.ChangeGroup(t.Context(), &groups.StoredChange{Group: records[0], Expected: records[0].Revision, Put: []groups.MemberRecord{late}}); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			who  string
			want error
		}{
			{"ghost@example.org", nil},
			{"ghost@example.org", groups.ErrUserNotFound},
			{"romeo@elsewhere.test", groups.ErrInvalid},
			{"example.org", groups.ErrInvalid},
			{"romeo@example.org/phone", groups.ErrInvalid},
			{"nurse@example.org", nil},
			{"romeo@example.org", nil},
			{"romeo@example.org", nil},
		} {
			if _, err := w.RemoveMember(t.Context(), id, jid.MustParse(tt.who), groups.Cause{}); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.who, err, tt.want)
			}
		}
		if got := w.members(id); got != "" {
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

// TestLeaverFollowsLast: while others have still to follow that somebody is no member any
// more, he has to do so himself: what he says in between reaches them.
func TestLeaverFollowsLast(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		id := w.make(groups.NewGroup{Name: "Team"}, "romeo", "juliet", "mercutio", "tybalt")
		for _, name := range []string{"romeo", "juliet", "mercutio", "tybalt"} {
			w.contacts(name)
		}
		w.takeChanged()
		if _, err := w.RemoveMember(t.Context(), id, user("juliet"), groups.Cause{}); err != nil {
			t.Fatal(err)
		}
		if told := w.takeChanged(); len(told) != 4 || told[3] != user("juliet") {
			t.Errorf("%v follow, want four, juliet last", told)
		}
	})
}
