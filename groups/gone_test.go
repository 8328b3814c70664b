package groups_test

import (
	"context"
	"errors"
	"testing"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// stored are the people whose accounts are stored.
type stored struct {
	people

	db *sqlstore.DB
}

func (p stored) Exists(ctx context.Context, j jid.JID) (bool, error) {
	_, err := p.db.Account(ctx, j)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// settle gives people accounts, without which nobody becomes a member.
func (w *world) settle(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if err := w.db.CreateAccount(w.t.Context(), store.Account{JID: user(name)}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.Close()
	w.db.strict, w.accounts = true, stored{db: w.db.DB}
	w.begin("chat.example.org")
}

// end ends an account as package account does.
func (w *world) end(name string) {
	w.t.Helper()
	for _, step := range []func() error{
		func() error { return w.db.RemoveAccount(w.t.Context(), user(name)) },
		func() error { return w.AccountDeleted(w.t.Context(), user(name)) },
		func() error { return w.db.PurgeAccount(w.t.Context(), user(name)) },
	} {
		if err := step(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestAccountEndsMeanwhile: C2, C12: whose account ends after he has been looked
// for, and before he is stored, does not become a member.
func TestAccountEndsMeanwhile(t *testing.T) {
	t.Parallel()
	for name, add := range map[string]func(w *world, id groups.ID) error{
		"alone": func(w *world, id groups.ID) error {
			_, err := w.AddMember(w.t.Context(), id, groups.Joining{User: user("romeo")}, groups.Cause{})
			return err
		},
		"alone, later": func(w *world, id groups.ID) error {
			_, err := w.AddMember(w.t.Context(), id, groups.Joining{User: user("romeo"), Delayed: true}, groups.Cause{})
			return err
		},
		"among others": func(w *world, id groups.ID) error {
			_, err := w.ChangeMembers(w.t.Context(), id, []groups.MemberChange{
				{Joining: groups.Joining{User: user("nurse")}}, {Joining: groups.Joining{User: user("romeo")}},
			}, groups.Cause{})
			if items := groups.ItemErrors(err); len(items) != 1 || items[0].Index != 1 {
				w.t.Errorf("at fault are %v, want the second", items)
			}
			return err
		},
		"at a known revision": func(w *world, id groups.ID) error {
			info, err := w.Info(w.t.Context(), id)
			if err != nil {
				return err
			}
			_, err = w.SetMembers(w.t.Context(), id, []groups.Joining{{User: user("romeo")}, {User: user("juliet")}}, groups.Cause{Revision: info.Revision})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachEngine(t, func(t *testing.T, w *world) {
				w.settle("romeo", "juliet", "nurse")
				id := w.make(groups.NewGroup{Name: "Verona", DefaultChat: true}, "juliet")
				w.contacts("juliet")
				before, err := w.Info(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				w.db.last = func() { w.end("romeo") }
				if err := add(w, id); !errors.Is(err, groups.ErrUserNotFound) {
					t.Errorf("got %v, want that there is no such user", err)
				}
				w.expectEvents()
				w.expectChats()
				if got := w.members(id) + "; " + w.contacts("juliet"); got != "juliet; " {
					t.Errorf("members, and contacts of one, are %s", got)
				}
				if after, err := w.Info(t.Context(), id); err != nil || after.Revision != before.Revision {
					t.Errorf("the group is at %d, %v, want %d", after.Revision, err, before.Revision)
				}
			})
		})
	}
}
