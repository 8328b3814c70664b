package sqlstore

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 123456000, time.UTC)

func keys(salt string) []store.SCRAMKeys {
	return []store.SCRAMKeys{
		{Hash: "SHA-1", Salt: []byte(salt), Iterations: 4096, StoredKey: []byte{0, 1}, ServerKey: []byte{2}},
		{Hash: "SHA-256", Salt: []byte(salt + "2"), Iterations: 10000, StoredKey: []byte{3}, ServerKey: []byte{4}},
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		want := store.Account{JID: romeo, Keys: keys("a"), Created: noon}
		must(t, db.CreateAccount(ctx, want))
		if err := db.CreateAccount(ctx, store.Account{JID: romeo, Keys: keys("b")}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("second CreateAccount: %v, want ErrConflict", err)
		}
		got, err := db.Account(ctx, romeo)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
		must(t, db.SetAccountKeys(ctx, romeo, keys("c")[:1]))
		if got, err = db.Account(ctx, romeo); err != nil || !reflect.DeepEqual(got.Keys, keys("c")[:1]) {
			t.Errorf("after SetAccountKeys: %+v, %v", got, err)
		}
		for name, err := range map[string]error{
			"SetAccountKeys": db.SetAccountKeys(ctx, juliet, keys("x")),
			"RemoveAccount":  db.RemoveAccount(ctx, juliet),
		} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s of nobody: %v, want ErrNotFound", name, err)
			}
		}
		if _, err := db.Account(ctx, juliet); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Account of nobody: %v, want ErrNotFound", err)
		}
	})
}

// Pages are in byte order of the local part, whatever the database's locale.
func TestAccountPages(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		locals := []string{"a", "a-b", "a_b", "ab", "z", "ä", "日本", "𠀀"} // in byte order
		for i := range locals {
			j := newJID(t, locals[(i*3)%len(locals)], "example.org")
			must(t, db.CreateAccount(ctx, store.Account{JID: j, Created: noon}))
		}
		must(t, db.CreateAccount(ctx, store.Account{JID: newJID(t, "b", "other.example"), Created: noon}))
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			page, err := db.Accounts(ctx, "example.org", after, 3)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, a := range page {
				got = append(got, a.JID.Local())
			}
		}
		if !reflect.DeepEqual(got, locals) {
			t.Errorf("got %q\nwant %q", got, locals)
		}
	})
}

func newJID(t testing.TB, local, domain string) jid.JID {
	t.Helper()
	j, err := jid.New(local, domain, "")
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestRoster(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		items, version, err := db.Roster(ctx, romeo)
		if err != nil || len(items) != 0 || version != 0 {
			t.Fatalf("new roster: %v, %d, %v", items, version, err)
		}
		want := store.RosterItem{
			Contact: juliet, Name: "Julia 🌹 O'Capulet", Groups: []string{"Friends & family", "👪"},
			Subscription: store.SubTo, PendingOut: true, PendingIn: true, Approved: true, InRoster: true,
			Request: []byte("<presence type='subscribe'/>"),
		}
		want.Version, err = db.PutRosterItem(ctx, romeo, want)
		must(t, err)
		other := store.RosterItem{Contact: coven, Subscription: store.SubNone}
		other.Version, err = db.PutRosterItem(ctx, romeo, other)
		must(t, err)
		if other.Version != want.Version+1 {
			t.Errorf("versions %d and %d: each change is one", want.Version, other.Version)
		}
		items, version, err = db.Roster(ctx, romeo)
		if err != nil || version != other.Version || !reflect.DeepEqual(items, []store.RosterItem{other, want}) {
			t.Errorf("got %+v, %d, %v\nwant %+v", items, version, err, []store.RosterItem{other, want})
		}
		item, err := db.RosterItem(ctx, romeo, juliet)
		if err != nil || !reflect.DeepEqual(item, want) {
			t.Errorf("got %+v, %v\nwant %+v", item, err, want)
		}
		if _, err := db.RosterItem(ctx, juliet, romeo); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("item of another roster: %v", err)
		}
	})
}

func TestRosterChanges(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		if items, version, err := db.RosterChanges(ctx, romeo, 0); err != nil || len(items) != 0 || version != 0 {
			t.Errorf("roster that was never written: %v, %d, %v", items, version, err)
		}
		v1, err := db.PutRosterItem(ctx, romeo, store.RosterItem{Contact: juliet, Subscription: store.SubNone, InRoster: true})
		must(t, err)
		v2, err := db.PutRosterItem(ctx, romeo, store.RosterItem{Contact: coven, Subscription: store.SubBoth, InRoster: true})
		must(t, err)
		v3, err := db.PutRosterItem(ctx, romeo, store.RosterItem{Contact: juliet, Subscription: store.SubNone, Removed: true})
		must(t, err)
		if _, err := db.RosterItem(ctx, romeo, juliet); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("removed item: %v", err)
		}
		if items, _, err := db.Roster(ctx, romeo); err != nil || len(items) != 1 {
			t.Errorf("roster with a tombstone: %+v, %v", items, err)
		}
		for _, test := range []struct {
			since int64
			want  string
		}{
			{v1, fmt.Sprintf("%s@%d false, %s@%d true, ", coven, v2, juliet, v3)},
			{v2, fmt.Sprintf("%s@%d true, ", juliet, v3)},
			{v3, ""},
		} {
			items, version, err := db.RosterChanges(ctx, romeo, test.since)
			must(t, err)
			got := ""
			for _, it := range items {
				got += fmt.Sprintf("%s@%d %t, ", it.Contact, it.Version, it.Removed)
			}
			if got != test.want || version != v3 {
				t.Errorf("since %d: got %sversion %d\nwant %s%d", test.since, got, version, test.want, v3)
			}
		}
		for _, since := range []int64{0, 1, v1 - 1, v3 + 1} {
			if _, _, err := db.RosterChanges(ctx, romeo, since); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("since %d: %v, want ErrNotFound", since, err)
			}
		}
		// Versions of a roster that is gone mean nothing in the next one.
		must(t, db.DeleteRoster(ctx, romeo))
		for range 3 {
			_, err = db.PutRosterItem(ctx, romeo, store.RosterItem{Contact: juliet, Subscription: store.SubNone, InRoster: true})
			must(t, err)
		}
		if _, _, err := db.RosterChanges(ctx, romeo, v2); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("since a version of the roster before: %v, want ErrNotFound", err)
		}
	})
}

func TestTombstonesAreBounded(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		var versions []int64
		for i := range tombstones + 10 {
			contact := newJID(t, fmt.Sprint("c", i), "example.org")
			v, err := db.PutRosterItem(ctx, romeo, store.RosterItem{Contact: contact, Subscription: store.SubNone, InRoster: true, Removed: true})
			must(t, err)
			versions = append(versions, v)
		}
		if _, _, err := db.RosterChanges(ctx, romeo, versions[8]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("since a forgotten version: %v, want ErrNotFound", err)
		}
		items, _, err := db.RosterChanges(ctx, romeo, versions[9])
		if err != nil || len(items) != tombstones {
			t.Errorf("got %d tombstones, %v, want %d", len(items), err, tombstones)
		}
	})
}

func TestNoteRosterItem(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		first, err := db.PutRosterItem(ctx, romeo, store.RosterItem{Contact: juliet, Subscription: store.SubNone, InRoster: true})
		must(t, err)
		changes := func(since int64) (text string) {
			items, _, err := db.RosterChanges(ctx, romeo, since)
			must(t, err)
			for _, it := range items {
				text += fmt.Sprintf("%s@+%d %t, ", it.Contact, it.Version-first, it.InRoster)
			}
			return text
		}
		request := store.RosterItem{Contact: coven, Subscription: store.SubNone, PendingIn: true, Request: []byte("<presence/>")}
		must(t, db.NoteRosterItem(ctx, romeo, request))
		if got := changes(first); got != "" {
			t.Errorf("a request that waits: got %s want no changes", got)
		}
		if item, err := db.RosterItem(ctx, romeo, coven); err != nil || !item.PendingIn || string(item.Request) != "<presence/>" {
			t.Errorf("got %+v, %v", item, err)
		}
		if n, err := db.RosterBytes(ctx, romeo, jid.MustParse("nobody@example.org")); err != nil || n == 0 {
			t.Errorf("the roster has %d bytes, %v", n, err)
		}
		if n, err := db.RosterBytes(ctx, jid.MustParse("nobody@example.org"), romeo); err != nil || n != 0 {
			t.Errorf("a roster of nobody has %d bytes, %v", n, err)
		}
		if contacts, waiting, err := db.RosterSize(ctx, romeo); err != nil || contacts != 1 || waiting != 1 {
			t.Errorf("got %d contacts, %d waiting, %v, want 1 and 1", contacts, waiting, err)
		}
		request = store.RosterItem{Contact: coven, Subscription: store.SubNone, Removed: true}
		must(t, db.NoteRosterItem(ctx, romeo, request))
		if _, version, err := db.Roster(ctx, romeo); err != nil || version != first {
			t.Errorf("version %d, %v, want %d as before", version, err, first)
		}
		// It leaves no tombstone that would push others out.
		second, err := db.PutRosterItem(ctx, romeo, store.RosterItem{Contact: coven, Subscription: store.SubNone, InRoster: true})
		must(t, err)
		if got, want := changes(first), fmt.Sprintf("%s@+1 true, ", coven); got != want || second != first+1 {
			t.Errorf("got %s at %d\nwant %s", got, second, want)
		}
		// A contact who was removed and now only asks: that he was removed is news
		// as before, that he asks is none.
		third, err := db.PutRosterItem(ctx, romeo, store.RosterItem{Contact: juliet, Subscription: store.SubNone, Removed: true})
		must(t, err)
		must(t, db.NoteRosterItem(ctx, romeo, store.RosterItem{Contact: juliet, Subscription: store.SubNone, PendingIn: true}))
		if got, want := changes(second), fmt.Sprintf("%s@+2 false, ", juliet); got != want || changes(third) != "" {
			t.Errorf("got %s, then %s\nwant %s, then nothing", got, changes(third), want)
		}
		must(t, db.NoteRosterItem(ctx, romeo, store.RosterItem{Contact: juliet, Subscription: store.SubNone, Removed: true}))
		if got, want := changes(second), fmt.Sprintf("%s@+2 false, ", juliet); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	})
}

// TestNoteRosterPair: two items for each other are stored together, and no version moves.
func TestNoteRosterPair(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		version, err := db.PutRosterItem(ctx, romeo, store.RosterItem{Contact: juliet, Subscription: store.SubNone, Removed: true})
		must(t, err)
		one := store.RosterItem{Contact: juliet, Subscription: store.SubBoth, InRoster: true, Ended: 7}
		other := store.RosterItem{Contact: romeo, Subscription: store.SubNone, Hidden: 3, Ended: 7}
		for range 2 {
			must(t, db.NoteRosterPair(ctx, one, other))
			must(t, db.NoteRosterPair(ctx, other, one))
		}
		items, now, err := db.Roster(ctx, romeo)
		if err != nil || now != version || len(items) != 1 || items[0].Ended != 7 || items[0].Subscription != store.SubBoth {
			t.Errorf("got %+v at %d, %v", items, now, err)
		}
		if items, _, err = db.Roster(ctx, juliet); err != nil || len(items) != 1 || items[0].Ended != 7 || items[0].Hidden != 3 || items[0].InRoster {
			t.Errorf("got %+v, %v", items, err)
		}
	})
}

func TestRosterGrants(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		var want []jid.JID
		for _, sub := range []store.Subscription{store.SubBoth, store.SubFrom, store.SubNone, store.SubTo} {
			owner := newJID(t, string(sub), "example.org")
			_, err := db.PutRosterItem(ctx, owner, store.RosterItem{Contact: juliet, Subscription: sub, InRoster: true})
			must(t, err)
			if sub == store.SubBoth || sub == store.SubFrom {
				want = append(want, owner)
			}
		}
		got, err := db.RosterGrants(ctx, juliet)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v\nwant %v", got, err, want)
		}
	})
}

// upTo is room for that many messages, whoever they are from.
func upTo(messages int) store.OfflineLimits {
	q := store.OfflineQuota{Messages: messages, Bytes: 1 << 40}
	return store.OfflineLimits{All: q, Sender: q}
}

// TestOfflineLimits: in messages and bytes, in all and of one sender.
func TestOfflineLimits(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db := open()
		limits := store.OfflineLimits{All: store.OfflineQuota{Messages: 4, Bytes: 100}, Sender: store.OfflineQuota{Messages: 2, Bytes: 60}}
		tests := []struct {
			name  string
			from  string
			size  int
			full  bool
			clear bool // all is delivered before
		}{
			{name: "first", from: "romeo@example.org", size: 10},
			{name: "second, of another device", from: "romeo@example.org/phone", size: 10},
			{name: "third of the same sender", from: "romeo@example.org", size: 10, full: true},
			{name: "another sender", from: "nurse@example.org", size: 10},
			{name: "what is too much for the bytes in all", from: "nurse@example.org", size: 71, full: true},
			{name: "what fills them", from: "nurse@example.org", size: 50},
			{name: "one more than messages in all", from: "tybalt@example.org", size: 0, full: true},
			{name: "after delivery", from: "romeo@example.org", size: 60, clear: true},
			{name: "more bytes than one may have", from: "romeo@example.org", size: 1, full: true},
		}
		for _, test := range tests {
			if test.clear {
				must(t, db.DeleteOffline(t.Context(), juliet, 1<<40))
			}
			m := store.OfflineMessage{To: juliet, From: jid.MustParse(test.from), Time: noon, Stanza: make([]byte, test.size)}
			err := db.AddOffline(t.Context(), m, limits)
			if full := errors.Is(err, store.ErrFull); full != test.full || err != nil && !full {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	})
}

func TestOffline(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		for i := range 4 {
			err := db.AddOffline(ctx, store.OfflineMessage{To: romeo, Time: noon, Stanza: fmt.Appendf(nil, "<m%d/>", i)}, upTo(3))
			if full := errors.Is(err, store.ErrFull); full != (i == 3) || err != nil && !full {
				t.Errorf("message %d: %v", i, err)
			}
		}
		must(t, db.AddOffline(ctx, store.OfflineMessage{To: juliet, Time: noon, Stanza: []byte("<j/>")}, upTo(3)))
		messages, err := db.Offline(ctx, romeo, 2)
		must(t, err)
		if len(messages) != 2 || string(messages[0].Stanza) != "<m0/>" || string(messages[1].Stanza) != "<m1/>" ||
			messages[0].To != romeo || !messages[0].Time.Equal(noon) || messages[0].ID >= messages[1].ID {
			t.Fatalf("got %+v", messages)
		}
		must(t, db.DeleteOffline(ctx, romeo, messages[1].ID))
		rest, err := db.Offline(ctx, romeo, 10)
		if err != nil || len(rest) != 1 || string(rest[0].Stanza) != "<m2/>" {
			t.Errorf("got %+v, %v", rest, err)
		}
		must(t, db.DeleteOffline(ctx, romeo, rest[0].ID))
		// An ID is never used again: a late DeleteOffline must not meet newer messages.
		must(t, db.AddOffline(ctx, store.OfflineMessage{To: romeo, Time: noon, Stanza: []byte("<new/>")}, upTo(3)))
		must(t, db.DeleteOffline(ctx, romeo, rest[0].ID))
		if rest, err = db.Offline(ctx, romeo, 10); err != nil || len(rest) != 1 {
			t.Errorf("got %+v, %v", rest, err)
		}
		if other, err := db.Offline(ctx, juliet, 10); err != nil || len(other) != 1 {
			t.Errorf("somebody else's: %+v, %v", other, err)
		}
	})
}

// Whoever removes what he has read must not remove what he has not.
func TestOfflineNothingIsLostAmongWriters(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		const writers, each = 4, 25
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					if err := db.AddOffline(ctx, store.OfflineMessage{To: romeo, Time: noon, Stanza: []byte("<m/>")}, upTo(1000)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		over := make(chan struct{})
		go func() {
			wg.Wait()
			close(over)
		}()
		read := 0
		for last := false; !last; {
			select {
			case <-over:
				last = true
			default:
			}
			messages, err := db.Offline(ctx, romeo, 1000)
			must(t, err)
			if read += len(messages); len(messages) > 0 {
				must(t, db.DeleteOffline(ctx, romeo, messages[len(messages)-1].ID))
			}
		}
		if read != writers*each {
			t.Errorf("read %d messages of %d", read, writers*each)
		}
	})
}
