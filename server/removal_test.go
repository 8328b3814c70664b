package server_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
)

// TestInterruptedRemoval: a server that dies between the steps of a removal
// finishes it when it starts again: the contacts lose who is gone.
func TestInterruptedRemoval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := parse(t, policyFile, t.TempDir())
		cfg.Storage.Durability = "process"
		s := start(t, cfg, server.Options{NoListen: true})
		romeo, juliet := jid.MustParse("romeo@localhost"), jid.MustParse("juliet@localhost")
		for _, j := range []jid.JID{romeo, juliet} {
			if err := s.AddUser(t.Context(), j, "secret"); err != nil {
				t.Fatal(err)
			}
		}
		shutdown(t, s)
		inStore := func(f func(db *sqlstore.DB) error) {
			t.Helper()
			db, err := sqlstore.Open(t.Context(), sqlstore.Options{Driver: "sqlite", Dir: cfg.General.DataDir, Durability: "process"})
			if err == nil {
				err = errors.Join(f(db), db.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		inStore(func(db *sqlstore.DB) error {
			_, a := db.PutRosterItem(t.Context(), romeo, store.RosterItem{Contact: juliet, Subscription: store.SubBoth, InRoster: true})
			_, b := db.PutRosterItem(t.Context(), juliet, store.RosterItem{Contact: romeo, Subscription: store.SubBoth, InRoster: true})
			return errors.Join(a, b, db.RemoveAccount(t.Context(), juliet)) // and then it died
		})
		s = start(t, cfg, server.Options{NoListen: true})
		if err := s.AddUser(t.Context(), juliet, "secret"); err != nil {
			t.Error(err)
		}
		shutdown(t, s)
		inStore(func(db *sqlstore.DB) error {
			item, err := db.RosterItem(t.Context(), romeo, juliet)
			if err != nil || item.Subscription != store.SubNone {
				t.Errorf("romeo has %+v, %v", item, err)
			}
			if items, _, err := db.Roster(t.Context(), juliet); err != nil || len(items) != 0 {
				t.Errorf("the new juliet has %+v, %v", items, err)
			}
			return nil
		})
	})
}
