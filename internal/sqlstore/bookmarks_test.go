package sqlstore

import (
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

func TestBookmarks(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx, room := open(), t.Context(), newJID(t, "team", "groups.example.org")
		newAccount(t, db, romeo)
		newAccount(t, db, juliet)
		nobody := newJID(t, "nobody", "example.org")
		give := func(b *store.Bookmarks) {
			b.Given, b.GivenName, b.XML = true, "Team", append(b.XML, "<a/>"...)
		}
		holders := func(want int, people ...jid.JID) {
			t.Helper()
			if got, err := db.BookmarksGiven(ctx, room, people); err != nil || len(got) != want {
				t.Errorf("given to %v, %v, want %d", got, err, want)
			}
		}
		must(t, db.EditBookmarks(ctx, room, []jid.JID{romeo, nobody, juliet}, wide, give))
		holders(2)
		holders(1, romeo)
		holders(0, nobody)
		must(t, db.EditBookmarks(ctx, room, []jid.JID{romeo}, store.PrivateLimits{Space: 30, Total: 30, Names: 1}, give))
		if data, err := db.PrivateData(ctx, romeo, store.BookmarksSpace, store.BookmarksName); err != nil || string(data) != "<a/>" {
			t.Errorf("beyond the limit: %q, %v", data, err)
		}
		must(t, db.EditBookmarks(ctx, room, []jid.JID{romeo}, wide, func(b *store.Bookmarks) { b.Given, b.XML = false, nil }))
		holders(1)
		if err := db.RemoveAccount(ctx, juliet); err != nil {
			t.Fatal(err)
		}
		must(t, db.PurgeAccount(ctx, juliet))
		holders(0)
	})
}
