package sqlstore

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

func TestBlocked(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		list := func(names ...string) (list []jid.JID) {
			for _, name := range names {
				list = append(list, jid.MustParse(name))
			}
			return list
		}
		check := func(when string, owner jid.JID, want ...string) {
			t.Helper()
			got, err := db.Blocked(ctx, owner)
			if err != nil || !slices.Equal(got, list(want...)) {
				t.Errorf("%s: got %v, %v\nwant %v", when, got, err, want)
			}
		}
		check("of somebody unknown", romeo)
		must(t, db.Block(ctx, romeo, list("tybalt@example.org/Sword", "evil.test", "tybalt@example.org"), 3))
		must(t, db.Block(ctx, juliet, list("paris@example.org"), 3))
		check("all kinds of addresses", romeo, "evil.test", "tybalt@example.org", "tybalt@example.org/Sword")
		must(t, db.Block(ctx, romeo, list("evil.test", "tybalt@example.org"), 3))
		if err := db.Block(ctx, romeo, list("evil.test", "one@more.test"), 3); !errors.Is(err, store.ErrFull) {
			t.Errorf("above the limit: %v, want ErrFull", err)
		}
		check("a list that was too long has changed nothing", romeo, "evil.test", "tybalt@example.org", "tybalt@example.org/Sword")
		must(t, db.Unblock(ctx, romeo, list("evil.test", "paris@example.org", "tybalt@example.org/sword")))
		check("only what was named", romeo, "tybalt@example.org", "tybalt@example.org/Sword")
		must(t, db.UnblockAll(ctx, romeo))
		check("nobody", romeo)
		check("another's", juliet, "paris@example.org")
	})
}

// However many change one list at once, it does not grow above its limit.
func TestBlockAtOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		var wg sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			wg.Go(func() {
				err := db.Block(ctx, romeo, []jid.JID{newJID(t, name, "evil.test"), newJID(t, name+name, "evil.test")}, 5)
				if err != nil && !errors.Is(err, store.ErrFull) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got, err := db.Blocked(ctx, romeo); err != nil || len(got) != 4 {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
