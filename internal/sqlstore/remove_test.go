package sqlstore

import (
	"errors"
	"slices"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// fillAccount makes an account with something of everything.
func fillAccount(t *testing.T, db *DB, j jid.JID) {
	t.Helper()
	must(t, db.CreateAccount(t.Context(), store.Account{JID: j, Keys: keys("a"), Created: noon}))
	fillName(t, db, j)
}

// fillName stores what needs no account, only its name.
func fillName(t *testing.T, db *DB, j jid.JID) {
	t.Helper()
	_, err := db.PutRosterItem(t.Context(), j, store.RosterItem{Contact: coven, Subscription: store.SubNone})
	must(t, err)
	must(t, db.AddOffline(t.Context(), store.OfflineMessage{To: j, Time: noon, Stanza: []byte("<message/>")}, upTo(10)))
	must(t, db.Block(t.Context(), j, []jid.JID{coven}, 10))
}

// wantData checks that an account has n of everything but its row.
func wantData(t *testing.T, db *DB, j jid.JID, n int) {
	t.Helper()
	a, err := db.Account(t.Context(), j)
	must(t, err)
	items, _, err := db.Roster(t.Context(), j)
	must(t, err)
	messages, err := db.Offline(t.Context(), j, 10)
	must(t, err)
	blocked, err := db.Blocked(t.Context(), j)
	must(t, err)
	if len(blocked) != n || len(a.Keys) != 2*n || len(items) != n || len(messages) != n {
		t.Errorf("%s has %d keys, %d contacts, %d messages, %d blocked, want %d",
			j, len(a.Keys), len(items), len(messages), len(blocked), n)
	}
}

// TestRemovedAccount follows an account from its removal to a new one of the
// same name, which has nothing of the old one; the neighbour keeps everything.
func TestRemovedAccount(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		fillAccount(t, db, romeo)
		fillAccount(t, db, juliet)
		must(t, db.RemoveAccount(ctx, romeo))
		if _, err := db.Account(ctx, romeo); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the account after its removal: %v", err)
		}
		if removed, err := db.AccountRemoved(ctx, romeo); !removed || err != nil {
			t.Errorf("removed: %v, %v", removed, err)
		}
		must(t, db.RemoveAccount(ctx, romeo)) // as if the first answer had been lost
		if err := db.CreateAccount(ctx, store.Account{JID: romeo}); !errors.Is(err, store.ErrRemoving) {
			t.Errorf("the name before all is gone: %v, want ErrRemoving", err)
		}
		list, err := db.RemovedAccounts(ctx)
		if err != nil || !slices.Equal(list, []jid.JID{romeo}) {
			t.Errorf("to do: %v, %v", list, err)
		}
		must(t, db.PurgeAccount(ctx, romeo))
		if list, err = db.RemovedAccounts(ctx); err != nil || len(list) != 0 {
			t.Errorf("to do after the end: %v, %v", list, err)
		}
		fillName(t, db, romeo) // by somebody who was late
		must(t, db.CreateAccount(ctx, store.Account{JID: romeo}))
		wantData(t, db, romeo, 0)
		wantData(t, db, juliet, 1)
	})
}

// TestPurgeLeavesAccountsAlone: only what was removed may be purged.
func TestPurgeLeavesAccountsAlone(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		fillAccount(t, db, romeo)
		must(t, db.PurgeAccount(ctx, romeo))
		wantData(t, db, romeo, 1)
		if err := db.RemoveAccount(ctx, coven); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("removing nobody: %v, want ErrNotFound", err)
		}
		must(t, db.RemoveAccount(ctx, romeo))
		must(t, db.PurgeAccount(ctx, romeo))
		must(t, db.CreateAccount(ctx, store.Account{JID: romeo, Keys: keys("a")}))
		fillName(t, db, romeo)
		must(t, db.PurgeAccount(ctx, romeo))
		wantData(t, db, romeo, 1)
	})
}
