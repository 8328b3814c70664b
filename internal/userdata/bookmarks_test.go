package userdata

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

var team = jid.MustParse("team@groups.example.org")

// teamBookmark is what people are given of the room.
const teamBookmark = `<conference xmlns='storage:bookmarks' name='Team 🚀' autojoin='true' jid='team@groups.example.org'/>`

func TestBookmarks(t *testing.T) {
	t.Parallel()
	const own = `<url xmlns='storage:bookmarks' name='Works' url='http://a.test/?b&amp;c'/><x xmlns='mine' y='"'> <z/>1 &lt; 2 </x>`
	given := strings.Replace(teamBookmark, " xmlns='storage:bookmarks'", "", 1)
	list := func(inner string) string {
		if inner == "" {
			return ""
		}
		return "<storage xmlns='storage:bookmarks'>" + inner + "</storage>"
	}
	foreign := strings.Replace(own, " xmlns='storage:bookmarks'", "", 1)
	tests := []struct {
		name   string
		before string
		with   string // once the bookmark has been given
		after  string // and taken
	}{
		{"nothing was there", "", list(given), ""},
		{"other things stay byte for byte", list(foreign), list(foreign + given), list(foreign)},
		{"his own bookmark counts", list("<conference jid='TEAM@groups.example.org' name='mine'><nick>R</nick></conference>"), list("<conference jid='TEAM@groups.example.org' name='mine'><nick>R</nick></conference>"), ""},
		{"that of another room is another", list("<conference jid='tea@groups.example.org'/>"), list("<conference jid='tea@groups.example.org'/>" + given), list("<conference jid='tea@groups.example.org'/>")},
		{"no address at all", list("<conference jid='@'/>"), list("<conference jid='@'/>" + given), list("<conference jid='@'/>")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t)
			s.limits.Space, s.limits.Total = 1000, 1000
			put(t, s, tt.before)
			invited := 0
			give := func() {
				t.Helper()
				if err := s.GiveBookmark(t.Context(), team, "Team 🚀", []jid.JID{romeo.Bare()}, func(p []jid.JID) { invited += len(p) }); err != nil {
					t.Fatal(err)
				}
			}
			give()
			check(t, s, "given", tt.with)
			give()
			check(t, s, "given again", tt.with)
			if invited != 1 {
				t.Errorf("invited %d times, want once", invited)
			}
			if err := s.TakeBookmark(t.Context(), team); err != nil {
				t.Fatal(err)
			}
			check(t, s, "taken", tt.after)
		})
	}
}

// put stores bookmarks of romeo.
func put(t *testing.T, s *Service, xml string) {
	t.Helper()
	data := []store.PrivateData{{Space: store.BookmarksSpace, Name: store.BookmarksName, XML: []byte(xml)}}
	if err := s.store.PutPrivateData(t.Context(), romeo.Bare(), data, s.limits); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, s *Service, when, want string) {
	t.Helper()
	got, err := s.store.PrivateData(t.Context(), romeo.Bare(), store.BookmarksSpace, store.BookmarksName)
	if err != nil || string(got) != want {
		t.Errorf("%s:\n got %s, %v\nwant %s", when, got, err, want)
	}
}

// What somebody has removed or changed stays as he wants it.
func TestBookmarksAreTheirOwners(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	s.limits.Space, s.limits.Total = 1000, 1000
	people := []jid.JID{romeo.Bare(), juliet.Bare(), jid.MustParse("nobody@example.org")}
	give := func() {
		t.Helper()
		if err := s.GiveBookmark(ctx, team, "Team", people, nil); err != nil {
			t.Fatal(err)
		}
	}
	give()
	put(t, s, "")
	give()
	check(t, s, "removed", "")
	const mine = "<storage xmlns='storage:bookmarks'><conference jid='team@groups.example.org' name='Mine'/></storage>"
	put(t, s, mine)
	if err := s.RenameBookmark(ctx, team, "Other"); err != nil {
		t.Fatal(err)
	}
	check(t, s, "renamed by himself", mine)
	put(t, s, strings.Replace(mine, "Mine", "Other", 1))
	if err := s.RenameBookmark(ctx, team, "Third"); err != nil {
		t.Fatal(err)
	}
	check(t, s, "renamed", strings.Replace(mine, "Mine", "Third", 1))
	holders, err := s.BookmarkHolders(ctx, team)
	if got := fmt.Sprint(holders); err != nil || got != "[juliet@example.org romeo@example.org]" {
		t.Errorf("holders: %s, %v", got, err)
	}
}

// Somebody who has no room for a bookmark keeps what he has, and the others get
// theirs.
func TestBookmarksLimits(t *testing.T) {
	t.Parallel()
	s := newService(t)
	full := "<storage xmlns='storage:bookmarks'><url name='" + strings.Repeat("x", 20) + "'/></storage>"
	s.limits.Space, s.limits.Total = len(full)+30, len(full)+30
	put(t, s, full)
	if err := s.GiveBookmark(t.Context(), team, "T", []jid.JID{romeo.Bare(), juliet.Bare()}, nil); err != nil {
		t.Fatal(err)
	}
	check(t, s, "full", full)
	if holders, err := s.BookmarkHolders(t.Context(), team); err != nil || len(holders) != 2 {
		t.Errorf("holders: %v, %v", holders, err)
	}
}

// Many people are more than one transaction.
func TestBookmarksOfMany(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	db := s.store.(interface { //nolint:errcheck,forcetypeassert // it is a database
		CreateAccount(ctx context.Context, a store.Account) error
	})
	var people []jid.JID
	for i := range 2*bookmarksAtOnce + 1 {
		j := jid.MustParse(fmt.Sprintf("u%d@example.org", i))
		if err := db.CreateAccount(ctx, store.Account{JID: j}); err != nil {
			t.Fatal(err)
		}
		people = append(people, j)
	}
	if err := s.GiveBookmark(ctx, team, "T", people[:5], nil); err != nil {
		t.Fatal(err)
	}
	fresh := 0
	if err := s.GiveBookmark(ctx, team, "T", people, func(p []jid.JID) { fresh += len(p) }); err != nil {
		t.Fatal(err)
	}
	holders, err := s.BookmarkHolders(ctx, team)
	if err != nil || len(holders) != len(people) || fresh != len(people)-5 {
		t.Errorf("%d holders, %d fresh, %v", len(holders), fresh, err)
	}
}
