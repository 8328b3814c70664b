package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// tombstones is how many removed items of a roster are remembered, for clients
// that come back with an old version (RFC 6121 §2.6).
const tombstones = 256

const rosterColumns = `contact, name, groups, subscription, pending_out, pending_in,
	approved, in_roster, request, version, removed, hidden, left_out, ended`

// Roster returns a roster's items, ordered by contact, and its version. A
// roster that was never written to has version 0.
func (db *DB) Roster(ctx context.Context, owner jid.JID) (items []store.RosterItem, version int64, err error) {
	o := text(owner.Bare())
	err = db.meta.view(ctx, func(ctx context.Context, q querier) error {
		if _, err := q.one(ctx, "SELECT version FROM rosters WHERE owner = $1", []any{o}, &version); err != nil {
			return err
		}
		items, err = rosterItems(ctx, q,
			"SELECT "+rosterColumns+" FROM roster_items WHERE owner = $1 AND NOT removed ORDER BY contact", o)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("load roster of %s: %w", owner, clean(err))
	}
	return items, version, nil
}

// RosterItem returns one item, store.ErrNotFound if there is none or it was
// removed.
func (db *DB) RosterItem(ctx context.Context, owner, contact jid.JID) (store.RosterItem, error) {
	var items []store.RosterItem
	err := db.meta.look(ctx, func(ctx context.Context, q querier) (err error) {
		items, err = rosterItems(ctx, q,
			"SELECT "+rosterColumns+" FROM roster_items WHERE owner = $1 AND contact = $2 AND NOT removed",
			text(owner.Bare()), text(contact.Bare()))
		return err
	})
	if err == nil && len(items) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.RosterItem{}, fmt.Errorf("load %s in roster of %s: %w", contact, owner, clean(err))
	}
	return items[0], nil
}

// PutRosterItem stores an item, as a tombstone if item.Removed, and returns the
// roster's new version, which becomes the item's.
func (db *DB) PutRosterItem(ctx context.Context, owner jid.JID, item store.RosterItem) (version int64, err error) {
	err = db.meta.update(ctx, func(ctx context.Context, q querier) error {
		version, err = putRosterItem(ctx, q, owner, item, true)
		if err != nil || !item.Removed {
			return err
		}
		return pruneTombstones(ctx, q, text(owner.Bare()))
	})
	if err != nil {
		return 0, fmt.Errorf("store %s in roster of %s: %w", item.Contact, owner, clean(err))
	}
	return version, nil
}

// NoteRosterItem stores what a roster does not show of an item, such as a
// request that waits: the versions of roster and item stay. An item.Removed that
// has never been part of the roster is forgotten.
func (db *DB) NoteRosterItem(ctx context.Context, owner jid.JID, item store.RosterItem) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		if _, err := putRosterItem(ctx, q, owner, item, false); err != nil || !item.Removed {
			return err
		}
		_, err := q.exec(ctx, "DELETE FROM roster_items WHERE owner = $1 AND contact = $2 AND removed AND NOT shown",
			text(owner.Bare()), text(item.Contact.Bare()))
		return err
	})
	if err != nil {
		return fmt.Errorf("note %s in roster of %s: %w", item.Contact, owner, clean(err))
	}
	return nil
}

// NoteRosterPair is NoteRosterItem of two people's items for each other, at once:
// each belongs to the other's contact. Neither is to be forgotten.
func (db *DB) NoteRosterPair(ctx context.Context, one, other store.RosterItem) error {
	if text(one.Contact.Bare()) > text(other.Contact.Bare()) { // in one order, that two never wait for each other
		one, other = other, one
	}
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		if _, err := putRosterItem(ctx, q, other.Contact, one, false); err != nil {
			return err
		}
		_, err := putRosterItem(ctx, q, one.Contact, other, false)
		return err
	})
	if err != nil {
		return fmt.Errorf("note %s and %s in each other's rosters: %w", one.Contact, other.Contact, clean(err))
	}
	return nil
}

// putRosterItem stores an item. If it is a change that clients are to hear of,
// it has the roster's next version.
func putRosterItem(ctx context.Context, q querier, owner jid.JID, item store.RosterItem, change bool) (version int64, err error) {
	groups, err := json.Marshal(item.Groups)
	if err != nil {
		return 0, fmt.Errorf("encode groups of %s: %w", item.Contact, err)
	}
	leftOut, err := json.Marshal(item.LeftOut)
	if err != nil {
		return 0, fmt.Errorf("encode labels of %s: %w", item.Contact, err)
	}
	step, first, itemVersion := 0, int64(0), "roster_items.version"
	if change {
		step, first, itemVersion = 1, time.Now().UnixMicro(), "excluded.version"
	}
	o := text(owner.Bare())
	// The first version is the time, so that a roster that was deleted and made
	// anew never repeats a version that a client remembers. Until there is
	// something to see in it, it has none.
	if _, err := q.one(ctx, `INSERT INTO rosters (owner, version, floor) VALUES ($1, $2, $2)
		ON CONFLICT (owner) DO UPDATE SET
			version = CASE WHEN rosters.version = 0 THEN excluded.version ELSE rosters.version + CAST($3 AS BIGINT) END,
			floor = CASE WHEN rosters.version = 0 THEN excluded.floor ELSE rosters.floor END
		RETURNING version`,
		[]any{o, first, step}, &version); err != nil {
		return 0, err
	}
	_, err = q.exec(ctx, `INSERT INTO roster_items (owner, `+rosterColumns+`, shown)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $9)
		ON CONFLICT (owner, contact) DO UPDATE SET name = excluded.name, groups = excluded.groups,
			subscription = excluded.subscription, pending_out = excluded.pending_out,
			pending_in = excluded.pending_in, approved = excluded.approved, in_roster = excluded.in_roster,
			request = excluded.request, version = `+itemVersion+`, removed = excluded.removed,
			hidden = excluded.hidden, left_out = excluded.left_out, ended = excluded.ended,
			shown = roster_items.shown OR excluded.shown`,
		o, text(item.Contact.Bare()), item.Name, string(groups), string(item.Subscription), item.PendingOut,
		item.PendingIn, item.Approved, item.InRoster, item.Request, version, item.Removed, item.Hidden, string(leftOut), item.Ended)
	return version, err
}

// pruneTombstones forgets all but the newest tombstones of a roster.
func pruneTombstones(ctx context.Context, q querier, owner string) error {
	var floor int64
	found, err := q.one(ctx, `SELECT version FROM roster_items WHERE owner = $1 AND removed
		ORDER BY version DESC LIMIT 1 OFFSET $2`, []any{owner, tombstones}, &floor)
	if err != nil || !found {
		return err
	}
	if _, err := q.exec(ctx, "DELETE FROM roster_items WHERE owner = $1 AND removed AND version <= $2",
		owner, floor); err != nil {
		return err
	}
	_, err = q.exec(ctx, "UPDATE rosters SET floor = $2 WHERE owner = $1", owner, floor)
	return err
}

// RosterChanges returns the items that changed after the version since, oldest
// change first and with tombstones, and the roster's version. Items that were
// never part of the roster, such as a request that was denied, are left out. It
// returns store.ErrNotFound if since is unknown or too old: the client then
// needs the whole roster.
func (db *DB) RosterChanges(ctx context.Context, owner jid.JID, since int64) (items []store.RosterItem, version int64, err error) {
	o := text(owner.Bare())
	err = db.meta.view(ctx, func(ctx context.Context, q querier) error {
		var floor int64
		if _, err := q.one(ctx, "SELECT version, floor FROM rosters WHERE owner = $1", []any{o}, &version, &floor); err != nil {
			return err
		}
		if since < floor || since > version {
			return store.ErrNotFound
		}
		items, err = rosterItems(ctx, q,
			"SELECT "+rosterColumns+" FROM roster_items WHERE owner = $1 AND version > $2 AND shown ORDER BY version",
			o, since)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("load changes of roster of %s: %w", owner, clean(err))
	}
	return items, version, nil
}

// DeleteRoster removes a roster with all that is known about it.
func (db *DB) DeleteRoster(ctx context.Context, owner jid.JID) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error { return deleteRoster(ctx, q, owner) })
	if err != nil {
		return fmt.Errorf("delete roster of %s: %w", owner, clean(err))
	}
	return nil
}

func deleteRoster(ctx context.Context, q querier, owner jid.JID) error {
	_, err := q.exec(ctx, "DELETE FROM rosters WHERE owner = $1", text(owner.Bare()))
	return err
}

func rosterItems(ctx context.Context, q querier, query string, args ...any) ([]store.RosterItem, error) {
	var items []store.RosterItem
	err := q.each(ctx, query, args, func(rows row) error {
		var it store.RosterItem
		var groups, leftOut []byte
		if err := rows.Scan(address{&it.Contact}, &it.Name, &groups, &it.Subscription, &it.PendingOut, &it.PendingIn,
			&it.Approved, &it.InRoster, &it.Request, &it.Version, &it.Removed, &it.Hidden, &leftOut, &it.Ended); err != nil {
			return err
		}
		if len(leftOut) > len("null") {
			if err := json.Unmarshal(leftOut, &it.LeftOut); err != nil {
				return fmt.Errorf("labels of %s: %w", it.Contact, err)
			}
		}
		if err := json.Unmarshal(groups, &it.Groups); err != nil {
			return fmt.Errorf("groups of %s: %w", it.Contact, err)
		}
		items = append(items, it)
		return nil
	})
	return items, err
}

// RosterSize returns how many contacts a roster has, and how many requests that
// are no contacts yet wait in it.
func (db *DB) RosterSize(ctx context.Context, owner jid.JID) (contacts, waiting int, err error) {
	err = db.meta.view(ctx, func(ctx context.Context, q querier) error {
		_, err := q.one(ctx, `SELECT count(CASE WHEN pending_in AND NOT in_roster THEN 1 END),
			count(CASE WHEN in_roster THEN 1 END) FROM roster_items
			WHERE owner = $1 AND NOT removed`, []any{text(owner.Bare())}, &waiting, &contacts)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("count roster of %s: %w", owner, clean(err))
	}
	return contacts, waiting, nil
}

// RosterBytes returns how many bytes the names and groups of a roster have,
// without those of one contact.
func (db *DB) RosterBytes(ctx context.Context, owner, except jid.JID) (bytes int, err error) {
	_, err = db.meta.one(ctx, `SELECT coalesce(sum(octet_length(name) + octet_length(groups)), 0) FROM roster_items
		WHERE owner = $1 AND contact <> $2 AND NOT removed`, []any{text(owner.Bare()), text(except.Bare())}, &bytes)
	if err != nil {
		return 0, fmt.Errorf("measure roster of %s: %w", owner, clean(err))
	}
	return bytes, nil
}

// RosterOwners returns the accounts that have contact in their roster, or a
// request of his that waits.
func (db *DB) RosterOwners(ctx context.Context, contact jid.JID) ([]jid.JID, error) {
	return db.owners(ctx, contact, "")
}

// RosterGrants returns the accounts whose presence contact may see: they have
// him in their roster with from or both.
func (db *DB) RosterGrants(ctx context.Context, contact jid.JID) ([]jid.JID, error) {
	return db.owners(ctx, contact, " AND subscription IN ('from', 'both')")
}

// owners returns the accounts that have contact in their roster, by a further
// condition.
func (db *DB) owners(ctx context.Context, contact jid.JID, and string) ([]jid.JID, error) {
	var owners []jid.JID
	err := db.meta.each(ctx, "SELECT owner FROM roster_items WHERE contact = $1 AND NOT removed"+and+" ORDER BY owner",
		[]any{text(contact.Bare())}, func(rows row) error {
			var owner jid.JID
			err := rows.Scan(address{&owner})
			owners = append(owners, owner)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("list who has contact %s: %w", contact, clean(err))
	}
	return owners, nil
}
