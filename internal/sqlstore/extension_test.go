package sqlstore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
)

func TestExtensionValues(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		set := func(extension, key, value string) bool {
			t.Helper()
			ok, err := db.ChangeExtension(ctx, extension, key, 3, func([]byte) ([]byte, error) { return []byte(value), nil })
			must(t, err)
			return ok
		}
		get := func(extension, key string) string {
			t.Helper()
			value, err := db.ExtensionValue(ctx, extension, key)
			must(t, err)
			return string(value)
		}
		if got := get("bot", "a"); got != "" {
			t.Errorf("got %q of nothing", got)
		}
		for i, key := range []string{"rooms/%_", "rooms/b", "c"} {
			if !set("bot", key, fmt.Sprint(i, "\x00\xff")) {
				t.Errorf("no room for %s", key)
			}
		}
		if set("bot", "d", "one too many") || get("bot", "d") != "" {
			t.Error("a fourth key was kept")
		}
		if !set("bot", "c", "changed") || !set("other", "c", "of somebody else") {
			t.Error("a change was refused")
		}
		if a, b, c := get("bot", "rooms/%_"), get("bot", "c"), get("other", "c"); a != "0\x00\xff" || b != "changed" || c != "of somebody else" {
			t.Errorf("got %q, %q, %q", a, b, c)
		}
		for prefix, want := range map[string][]string{"": {"c", "rooms/%_", "rooms/b"}, "rooms/": {"rooms/%_", "rooms/b"}, "%": nil, "rooms/b": {"rooms/b"}} {
			if got, err := db.ExtensionKeys(ctx, "bot", prefix); err != nil || !slices.Equal(got, want) {
				t.Errorf("keys with %q: %q, %v, want %q", prefix, got, err, want)
			}
		}
		broken := errors.New("not today")
		if _, err := db.ChangeExtension(ctx, "bot", "c", 3, func([]byte) ([]byte, error) { return []byte("x"), broken }); !errors.Is(err, broken) {
			t.Errorf("got %v, want the function's own error", err)
		}
		if !set("bot", "rooms/b", "") || !set("bot", "e", "now there is room") {
			t.Error("removing makes no room")
		}
		must(t, db.Close())
		db = open()
		if a, b := get("bot", "c"), get("bot", "rooms/b"); a != "changed" || b != "" {
			t.Errorf("opened again: %q, %q", a, b)
		}
	})
}

func TestExtensionChangesInTurn(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := db.ChangeExtension(ctx, "bot", "count", 1, func(old []byte) ([]byte, error) {
					n, _ := strconv.Atoi(string(old)) //nolint:errcheck // nothing is 0
					return strconv.AppendInt(nil, int64(n+1), 10), nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got, err := db.ExtensionValue(ctx, "bot", "count"); err != nil || string(got) != "20" {
			t.Errorf("counted to %s, %v", got, err)
		}
	})
}
