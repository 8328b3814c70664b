package sqlstore

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/store"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		created := time.Date(2026, 5, 6, 7, 8, 9, 1000, time.UTC)
		backup := store.Token{
			ID: "id1", Name: "backup", Hash: []byte{0, 1, 255}, Scopes: []string{"rooms:read", "users:read"},
			Hosts: []string{"a.test"}, Created: created, Expires: created.Add(time.Hour),
		}
		crm := store.Token{ID: "id2", Name: "CRM", Hash: []byte{2}, Scopes: []string{"metrics"}, Hosts: []string{}, Created: created}
		must(t, db.AddToken(ctx, backup))
		must(t, db.AddToken(ctx, backup)) // again, after an answer that was lost
		must(t, db.AddToken(ctx, crm))
		for _, other := range []store.Token{{ID: "id3", Name: "backup"}, {ID: "id1", Name: "other"}} {
			other.Hash, other.Created = []byte{9}, created
			if err := db.AddToken(ctx, other); !errors.Is(err, store.ErrConflict) {
				t.Errorf("%v: got %v, want ErrConflict", other, err)
			}
		}
		if got, err := db.Token(ctx, "id1"); err != nil || !reflect.DeepEqual(got, backup) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, backup)
		}
		if _, err := db.Token(ctx, "ID1"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another id: %v, want ErrNotFound", err)
		}
		crm.Used = created.Add(time.Minute)
		must(t, db.TouchToken(ctx, "id2", crm.Used))
		must(t, db.TouchToken(ctx, "id2", created)) // an older use is told later
		must(t, db.TouchToken(ctx, "nobody", created))
		check := func(after string, limit int, want ...store.Token) {
			t.Helper()
			got, err := db.Tokens(ctx, after, limit)
			if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("behind %q: got %+v, %v\nwant %+v", after, got, err, want)
			}
		}
		check("", 10, crm, backup)
		check("", 1, crm)
		check("CRM", 1, backup)
		check("backup", 1)
		must(t, db.DeleteToken(ctx, "backup"))
		if err := db.DeleteToken(ctx, "backup"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("deleted twice: %v, want ErrNotFound", err)
		}
		if _, err := db.Token(ctx, "id1"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("deleted: %v, want ErrNotFound", err)
		}
		check("", 10, crm)
	})
}

// TestTokensOfOneName: of two administrators who want a name, one gets it.
func TestTokensOfOneName(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				errs[i] = db.AddToken(ctx, store.Token{ID: fmt.Sprint(i), Name: "one", Hash: []byte{byte(i)}, Created: time.Unix(9, 0)})
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, store.ErrConflict) {
				t.Error(err)
			}
		}
		list, err := db.Tokens(ctx, "", 10)
		if won != 1 || err != nil || len(list) != 1 {
			t.Errorf("%d won, stored %v (%v)", won, list, err)
		}
	})
}
