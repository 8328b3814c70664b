package userdata

import (
	"context"
	"slices"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// bookmarksAtOnce are people whose bookmarks change in one transaction.
const bookmarksAtOnce = 100

// GiveBookmark puts a room into the bookmarks of people (XEP-0048 §2.1), with
// autojoin, once: who has removed or changed his does not get another one, and
// who has made one himself keeps that. invite is called first, for those who are
// given one now: after a crash between the two it may be called again.
func (s *Service) GiveBookmark(ctx context.Context, room jid.JID, name string, people []jid.JID, invite func([]jid.JID)) error {
	if len(people) == 0 {
		return nil
	}
	given, err := s.store.BookmarksGiven(ctx, room, people)
	if err != nil {
		return err
	}
	has := make(map[jid.JID]bool, len(given))
	for _, j := range given {
		has[j] = true
	}
	people = slices.DeleteFunc(slices.Clone(people), func(j jid.JID) bool { return has[j] })
	return s.editBookmarks(ctx, room, people, invite, func(b *store.Bookmarks) {
		if b.Given {
			return
		}
		b.Given, b.GivenName = true, name
		edit(b, func(list *stanza.Element) {
			if conference(list, room) == nil {
				list.Add(stanza.NewElement(store.BookmarksSpace, "conference", "name", name, "autojoin", "true", "jid", room.String()))
			}
		})
	})
}

// BookmarkHolders returns who has been given a bookmark of a room, ordered by
// address.
func (s *Service) BookmarkHolders(ctx context.Context, room jid.JID) ([]jid.JID, error) {
	return s.store.BookmarksGiven(ctx, room, nil)
}

// TakeBookmark takes a room that people have been given out of their bookmarks
// again; without people from all who have been.
func (s *Service) TakeBookmark(ctx context.Context, room jid.JID, people ...jid.JID) error {
	return s.editGiven(ctx, room, people, func(b *store.Bookmarks) {
		if !b.Given {
			return
		}
		b.Given = false
		edit(b, func(list *stanza.Element) {
			list.Children = slices.DeleteFunc(list.Children, func(n stanza.Node) bool { return isConference(n.Element, room) })
		})
	})
}

// RenameBookmark gives the bookmarks of a room that people have been given, and
// have not renamed themselves, another name.
func (s *Service) RenameBookmark(ctx context.Context, room jid.JID, name string) error {
	return s.editGiven(ctx, room, nil, func(b *store.Bookmarks) {
		old := b.GivenName
		if !b.Given || old == name {
			return
		}
		b.GivenName = name
		edit(b, func(list *stanza.Element) {
			if c := conference(list, room); c != nil && c.Attr("name") == old {
				c.SetAttr("name", name)
			}
		})
	})
}

// editGiven changes the bookmarks of those who have been given one of a room.
func (s *Service) editGiven(ctx context.Context, room jid.JID, people []jid.JID, change func(*store.Bookmarks)) error {
	given, err := s.store.BookmarksGiven(ctx, room, people)
	if err != nil {
		return err
	}
	return s.editBookmarks(ctx, room, given, nil, change)
}

// editBookmarks changes bookmarks, of not too many people at once.
func (s *Service) editBookmarks(ctx context.Context, room jid.JID, people []jid.JID, before func([]jid.JID), change func(*store.Bookmarks)) error {
	for some := range slices.Chunk(people, bookmarksAtOnce) {
		if before != nil {
			before(some)
		}
		if err := s.store.EditBookmarks(ctx, room, some, s.limits, change); err != nil {
			return err
		}
	}
	return nil
}

// edit lets change do something to somebody's list of bookmarks. What else it
// holds stays, and so does what nobody can read.
func edit(b *store.Bookmarks, change func(list *stanza.Element)) {
	nodes, err := readPrivate(b.XML)
	if err != nil {
		return // whoever wrote it knows what it is
	}
	list := stanza.FindChild(nodes, store.BookmarksSpace, store.BookmarksName)
	if list == nil {
		list = stanza.NewElement(store.BookmarksSpace, store.BookmarksName)
		nodes = append(nodes, stanza.Node{Element: list})
	}
	change(list)
	b.XML = nil
	for _, n := range nodes {
		if e := n.Element; e != nil && (len(e.Children) > 0 || len(e.Attrs) > 0) {
			b.XML = e.AppendXML(b.XML, "")
		}
	}
}

// conference returns the bookmark of a room, nil if there is none.
func conference(list *stanza.Element, room jid.JID) *stanza.Element {
	for e := range list.Elements() {
		if isConference(e, room) {
			return e
		}
	}
	return nil
}

func isConference(e *stanza.Element, room jid.JID) bool {
	if !e.Is(store.BookmarksSpace, "conference") {
		return false
	}
	j, err := jid.Parse(e.Attr("jid"))
	return err == nil && j == room
}
