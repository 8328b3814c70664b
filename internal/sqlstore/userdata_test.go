package sqlstore

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

func newAccount(t *testing.T, db *DB, j jid.JID) {
	t.Helper()
	must(t, db.CreateAccount(t.Context(), store.Account{JID: j, Keys: keys("a"), Created: noon}))
}

func TestVCard(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		newAccount(t, db, romeo)
		if _, err := db.VCard(ctx, romeo); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("before: %v, want ErrNotFound", err)
		}
		for _, want := range []string{"<vCard><FN>Romeo 🌹</FN></vCard>", strings.Repeat("x", 200_000), "<vCard/>"} {
			must(t, db.PutVCard(ctx, romeo, []byte(want)))
			if got, err := db.VCard(ctx, romeo); err != nil || string(got) != want {
				t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
			}
		}
		must(t, db.PutVCard(ctx, romeo, nil))
		if _, err := db.VCard(ctx, romeo); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("removed: %v, want ErrNotFound", err)
		}
		if err := db.PutVCard(ctx, juliet, []byte("<vCard/>")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("vCard of nobody: %v, want ErrNotFound", err)
		}
	})
}

var wide = store.PrivateLimits{Space: 1 << 20, Total: 1 << 20, Names: 10}

func private(space, name, xml string) store.PrivateData {
	return store.PrivateData{Space: space, Name: name, XML: []byte(xml)}
}

func TestPrivateData(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		newAccount(t, db, romeo)
		newAccount(t, db, juliet)
		put := func(list ...store.PrivateData) {
			t.Helper()
			must(t, db.PutPrivateData(ctx, romeo, list, wide))
		}
		check := func(owner jid.JID, space, name, want string) {
			t.Helper()
			if got, err := db.PrivateData(ctx, owner, space, name); err != nil || string(got) != want {
				t.Errorf("%s %s of %s: %q, %v, want %q", space, name, owner, got, err, want)
			}
		}
		check(romeo, "a", "x", "")
		put(private("a", "x", "1"), private("a", "y", "2"), private("b", "x", "3"))
		check(romeo, "a", "x", "1")
		check(romeo, "a", "y", "2")
		check(romeo, "b", "x", "3")
		check(juliet, "a", "x", "")
		put(private("a", "x", "4"), private("a", "y", ""))
		check(romeo, "a", "x", "4")
		check(romeo, "a", "y", "")
		check(romeo, "b", "x", "3")
		nobody := newJID(t, "nobody", "example.org")
		if err := db.PutPrivateData(ctx, nobody, []store.PrivateData{private("a", "x", "1")}, wide); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("data of nobody: %v, want ErrNotFound", err)
		}
	})
}

// What is too much changes nothing, and everything counts that is stored
// already.
func TestPrivateDataLimits(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		newAccount(t, db, romeo)
		limits := store.PrivateLimits{Space: 10, Total: 16, Names: 3}
		for _, test := range []struct {
			name string
			list []store.PrivateData
			full bool
		}{
			{"as much as fits a namespace", []store.PrivateData{private("a", "x", "12345678")}, false},
			{"a byte more", []store.PrivateData{private("a", "x", "123456789")}, true},
			{"another name in it", []store.PrivateData{private("a", "y", "1")}, true},
			{"as much as fits", []store.PrivateData{private("b", "é", "123")}, false}, // é is two bytes
			{"a third namespace", []store.PrivateData{private("c", "x", "1")}, true},
			{"one of two", []store.PrivateData{private("a", "x", "1"), private("b", "é", "12345678")}, true},
			{"a name more", []store.PrivateData{private("a", "x", ""), private("c", "x", "1"), private("d", "x", "1"), private("e", "x", "1")}, true},
			{"less here, more there", []store.PrivateData{private("a", "x", ""), private("b", "é", "1234567")}, false},
		} {
			err := db.PutPrivateData(ctx, romeo, test.list, limits)
			if errors.Is(err, store.ErrFull) != test.full || err != nil && !test.full {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		for name, want := range map[string]string{"x": "", "é": "1234567"} {
			space := map[string]string{"x": "a", "é": "b"}[name]
			if got, err := db.PrivateData(ctx, romeo, space, name); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v, want %q", name, got, err, want)
			}
		}
	})
}

// Two devices that store at once must not get past the limit together.
func TestPrivateDataLimitAmongWriters(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		newAccount(t, db, romeo)
		var wg sync.WaitGroup
		var mu sync.Mutex
		stored := 0
		for i := range 8 {
			wg.Go(func() {
				list := []store.PrivateData{private(string(rune('a'+i)), "x", "12345678")}
				err := db.PutPrivateData(ctx, romeo, list, store.PrivateLimits{Space: 10, Total: 30, Names: 10})
				if err != nil && !errors.Is(err, store.ErrFull) {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					stored++
				}
			})
		}
		wg.Wait()
		if stored != 3 {
			t.Errorf("%d were stored, want 3", stored)
		}
	})
}

// The longest names that there may be fit into an index.
func TestPrivateDataLongNames(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		random := func(n int) string { // nothing that compresses
			b := make([]byte, n)
			_, err := rand.Read(b)
			must(t, err)
			for i, c := range b {
				b[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[c%36]
			}
			return string(b)
		}
		j := newJID(t, random(1023), strings.TrimSuffix(strings.Repeat("a."+hex.EncodeToString([]byte(random(30)))+".", 20), ".")[:1000])
		newAccount(t, db, j)
		space, name := random(400), random(112)
		must(t, db.PutPrivateData(ctx, j, []store.PrivateData{private(space, name, "1")}, wide))
		if got, err := db.PrivateData(ctx, j, space, name); err != nil || !bytes.Equal(got, []byte("1")) {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestLastActivity(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		newAccount(t, db, romeo)
		newAccount(t, db, juliet)
		if _, err := db.LastActivity(ctx, romeo); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("never seen: %v, want ErrNotFound", err)
		}
		gone := newJID(t, "gone", "example.org")
		must(t, db.PutLastActivity(ctx, []store.LastActivity{
			{Account: gone, Time: noon}, {Account: juliet, Time: noon, Status: "Heading Home"}, {Account: romeo, Time: noon},
		}))
		later := store.LastActivity{Account: romeo, Time: noon.Add(time.Hour), Status: "Adieu 🌹"}
		must(t, db.PutLastActivity(ctx, []store.LastActivity{later}))
		for _, want := range []store.LastActivity{later, {Account: juliet, Time: noon, Status: "Heading Home"}} {
			if got, err := db.LastActivity(ctx, want.Account); err != nil || got != want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		}
		if _, err := db.LastActivity(ctx, gone); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("somebody who is no more: %v, want ErrNotFound", err)
		}
	})
}

func TestRemoveAccountTakesUserDataAlong(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		for _, j := range []jid.JID{romeo, juliet} {
			newAccount(t, db, j)
			must(t, db.PutVCard(ctx, j, []byte("<vCard/>")))
			must(t, db.PutPrivateData(ctx, j, []store.PrivateData{private("a", "x", "1")}, wide))
			must(t, db.PutLastActivity(ctx, []store.LastActivity{{Account: j, Time: noon}}))
		}
		must(t, db.RemoveAccount(ctx, romeo))
		must(t, db.PurgeAccount(ctx, romeo))
		newAccount(t, db, romeo)
		for _, test := range []struct {
			owner jid.JID
			has   bool
		}{{romeo, false}, {juliet, true}} {
			_, vcard := db.VCard(ctx, test.owner)
			data, err := db.PrivateData(ctx, test.owner, "a", "x")
			must(t, err)
			_, last := db.LastActivity(ctx, test.owner)
			if (vcard == nil) != test.has || (data != nil) != test.has || (last == nil) != test.has {
				t.Errorf("%s: vcard %v, private data %q, last activity %v", test.owner, vcard, data, last)
			}
		}
	})
}
