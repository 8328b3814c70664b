package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/store"
)

// put is a change that stores a value.
func put(key string) func(context.Context, querier) error {
	return func(ctx context.Context, q querier) error {
		_, err := q.exec(ctx, "INSERT INTO extension_values (extension, key, value) VALUES ('test', $1, x'00')", key)
		return err
	}
}

// stored reports whether a value is committed.
func stored(t *testing.T, db *DB, key string) bool {
	t.Helper()
	found, err := db.meta.one(t.Context(), "SELECT 1 FROM extension_values WHERE extension = 'test' AND key = $1", []any{key}, new(int64))
	if err != nil {
		t.Error(err)
	}
	return found
}

// whileBusy runs f, which starts calls, while SQLite's writer is held by another
// change, and returns when all of them are over.
func whileBusy(t *testing.T, f func(t *testing.T, db *DB, start func(func()))) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), Options{Driver: SQLite, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // nothing depends on it
		var wg sync.WaitGroup
		held := make(chan struct{})
		wg.Go(func() {
			if err := db.meta.update(t.Context(), func(context.Context, querier) error { <-held; return nil }); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		f(t, db, func(call func()) {
			wg.Go(call)
			synctest.Wait() // in this order
		})
		close(held)
		wg.Wait()
	})
}

// TestChangesShareTransaction: what has waited for the same commit is committed
// at once, each seeing what came before it; what fails leaves nothing behind and
// fails alone.
func TestChangesShareTransaction(t *testing.T) {
	t.Parallel()
	whileBusy(t, func(t *testing.T, db *DB, start func(func())) {
		refused := fmt.Errorf("no: %w", store.ErrConflict)
		update := func(want error, f func(context.Context, querier) error) {
			start(func() {
				if err := db.meta.update(t.Context(), f); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			})
		}
		update(nil, put("a"))
		update(store.ErrConflict, func(ctx context.Context, q querier) error {
			return errors.Join(put("b")(ctx, q), refused)
		})
		start(func() {
			defer func() {
				if v := recover(); v == nil {
					t.Error("a panic was swallowed")
				}
			}()
			_ = db.meta.update(t.Context(), func(ctx context.Context, q querier) error {
				_ = put("c")(ctx, q)
				panic("oops")
			})
		})
		update(nil, func(ctx context.Context, q querier) error {
			found, err := q.one(ctx, "SELECT 1 FROM extension_values WHERE key = 'a'", nil, new(int64))
			if !found || stored(t, db, "a") {
				t.Errorf("a seen: %t, committed: %t", found, stored(t, db, "a"))
			}
			return errors.Join(err, put("d")(ctx, q))
		})
		start(func() {
			if err := db.meta.update(t.Context(), put("e")); err != nil {
				t.Error(err)
			}
			for key, want := range map[string]bool{"a": true, "b": false, "c": false, "d": true, "e": true} {
				if got := stored(t, db, key); got != want {
					t.Errorf("%s stored: %t", key, got)
				}
			}
		})
	})
}

// TestChangeGivenUp: who does not want to wait any longer is told so at once, and
// his change does not happen.
func TestChangeGivenUp(t *testing.T) {
	t.Parallel()
	whileBusy(t, func(t *testing.T, db *DB, start func(func())) {
		ctx, cancel := context.WithCancel(t.Context())
		answered := false
		start(func() {
			if err := db.meta.update(ctx, put("a")); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			answered = true
		})
		start(func() {
			if err := db.meta.update(t.Context(), put("b")); err != nil {
				t.Error(err)
			}
			if stored(t, db, "a") || !stored(t, db, "b") {
				t.Error("a is stored, or b is not")
			}
		})
		cancel()
		synctest.Wait()
		if !answered {
			t.Error("still waiting")
		}
	})
}

// TestManyChangesAtOnce: nobody's change is lost, whoever commits it.
func TestManyChangesAtOnce(t *testing.T) {
	t.Parallel()
	whileBusy(t, func(t *testing.T, db *DB, start func(func())) {
		for i := range 3 * maxShared {
			start(func() {
				key := fmt.Sprint(i)
				if err := db.meta.update(t.Context(), put(key)); err != nil || !stored(t, db, key) {
					t.Errorf("%s: %v", key, err)
				}
			})
		}
	})
}

// TestConnectionsEnd: statements end with their connection, whenever the pool
// gives one up.
func TestConnectionsEnd(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Options{Driver: SQLite, Dir: t.TempDir(), Durability: DurabilityProcess})
	must(t, err)
	for _, pool := range []*sql.DB{db.meta.reader, db.meta.writer, db.archive.reader, db.archive.writer} {
		pool.SetConnMaxLifetime(time.Nanosecond)
	}
	for range 3 {
		must(t, db.AppendArchive(t.Context(), archiveRows(coven, 0, 3)))
		must(t, db.DeleteArchive(t.Context(), coven))
		if _, err := db.AccountRemoved(t.Context(), romeo); err != nil {
			t.Error(err)
		}
	}
	must(t, db.Close())
}
