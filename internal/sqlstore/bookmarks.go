package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// fewPeople are looked for one by one, more in one list.
const fewPeople = 16

// BookmarksGiven returns who has been given a bookmark of a room, ordered by
// address: of these people, or, if there are none, of all.
func (db *DB) BookmarksGiven(ctx context.Context, room jid.JID, people []jid.JID) ([]jid.JID, error) {
	var list []jid.JID
	collect := func(rows row) error {
		var j jid.JID
		if err := rows.Scan(address{&j}); err != nil {
			return err
		}
		list = append(list, j)
		return nil
	}
	const all = "SELECT owner FROM given_bookmarks WHERE room = $1"
	var err error
	if n := len(people); n == 0 || n > fewPeople {
		err = db.meta.each(ctx, all+" ORDER BY owner", []any{text(room)}, collect)
	} else {
		for _, j := range sortedPeople(people) {
			if err = db.meta.each(ctx, all+" AND owner = $2", []any{text(room), text(j)}, collect); err != nil {
				break
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load who has bookmarks of %s: %w", room, clean(err))
	}
	if len(people) > fewPeople {
		wanted := make(map[jid.JID]bool, len(people))
		for _, j := range people {
			wanted[j] = true
		}
		list = slices.DeleteFunc(list, func(j jid.JID) bool { return !wanted[j] })
	}
	return list, nil
}

// sortedPeople are bare addresses in the order in which accounts are locked.
func sortedPeople(people []jid.JID) []jid.JID {
	return slices.SortedFunc(slices.Values(people), func(a, b jid.JID) int { return strings.Compare(a.String(), b.String()) })
}

// EditBookmarks changes the bookmarks of people as edit says, all in one
// transaction. Who has no account is left out, and what he has been given is
// forgotten. If limits have no room for what edit makes of somebody's bookmarks,
// they stay as they are, and what he has been given is noted all the same.
func (db *DB) EditBookmarks(ctx context.Context, room jid.JID, people []jid.JID, limits store.PrivateLimits, edit func(*store.Bookmarks)) error {
	people = sortedPeople(people)
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		for _, j := range people {
			if err := editBookmarks(ctx, q, room, j, limits, edit); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store bookmarks of %s: %w", room, clean(err))
	}
	return nil
}

func editBookmarks(ctx context.Context, q querier, room, owner jid.JID, limits store.PrivateLimits, edit func(*store.Bookmarks)) error {
	key := []any{text(room), text(owner)}
	err := holdAccount(ctx, q, owner)
	if errors.Is(err, store.ErrNotFound) {
		_, err := q.exec(ctx, "DELETE FROM given_bookmarks WHERE room = $1 AND owner = $2", key...)
		return err
	}
	if err != nil {
		return err
	}
	b := store.Bookmarks{Owner: owner}
	if b.Given, err = q.one(ctx, "SELECT name FROM given_bookmarks WHERE room = $1 AND owner = $2", key, &b.GivenName); err != nil {
		return err
	}
	if _, err := q.one(ctx, "SELECT data FROM private_data WHERE domain = $1 AND local = $2 AND space = $3 AND name = $4",
		[]any{owner.Domain(), owner.Local(), store.BookmarksSpace, store.BookmarksName}, &b.XML); err != nil {
		return err
	}
	before := b
	edit(&b)
	switch {
	case b.Given && (!before.Given || b.GivenName != before.GivenName):
		_, err = q.exec(ctx, `INSERT INTO given_bookmarks (room, owner, name) VALUES ($1, $2, $3)
			ON CONFLICT (room, owner) DO UPDATE SET name = excluded.name`, append(key, b.GivenName)...)
	case before.Given && !b.Given:
		_, err = q.exec(ctx, "DELETE FROM given_bookmarks WHERE room = $1 AND owner = $2", key...)
	}
	if err != nil || string(b.XML) == string(before.XML) {
		return err
	}
	return replaceBookmarks(ctx, q, owner, limits, before.XML, b.XML)
}

// replaceBookmarks stores bookmarks if there is room for them.
func replaceBookmarks(ctx context.Context, q querier, owner jid.JID, limits store.PrivateLimits, before, after []byte) error {
	p := store.PrivateData{Space: store.BookmarksSpace, Name: store.BookmarksName, XML: after}
	if err := putPrivate(ctx, q, owner, p); err != nil || len(after) <= len(before) {
		return err
	}
	err := checkPrivate(ctx, q, owner, limits)
	if errors.Is(err, store.ErrFull) {
		p.XML = before
		return putPrivate(ctx, q, owner, p)
	}
	return err
}
