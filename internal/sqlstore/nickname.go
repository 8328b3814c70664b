package sqlstore

import (
	"context"
	"fmt"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// ReservedNicks returns all nicknames that are reserved in the rooms of a
// service, by their keys.
func (db *DB) ReservedNicks(ctx context.Context, service string) ([]store.ReservedNick, error) {
	var list []store.ReservedNick
	err := db.meta.each(ctx, "SELECT owner, nick, nick_key FROM reserved_nicks WHERE service = $1 ORDER BY nick_key", []any{service},
		func(rows row) error {
			var n store.ReservedNick
			if err := rows.Scan(address{&n.Owner}, &n.Nick, &n.Key); err != nil {
				return err
			}
			list = append(list, n)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("list nicknames of %s: %w", service, clean(err))
	}
	return list, nil
}

// ReserveNick stores a nickname for n.Owner, in the place of the one that he has
// had; store.ErrConflict if it is somebody else's.
func (db *DB) ReserveNick(ctx context.Context, service string, n store.ReservedNick) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		if _, err := q.exec(ctx, "DELETE FROM reserved_nicks WHERE owner = $1 AND service = $2", text(n.Owner), service); err != nil {
			return err
		}
		stored, err := q.exec(ctx, `INSERT INTO reserved_nicks (owner, service, nick, nick_key) VALUES ($1, $2, $3, $4)
			ON CONFLICT DO NOTHING`, text(n.Owner), service, n.Nick, n.Key)
		if err == nil && stored == 0 {
			err = store.ErrConflict
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reserve a nickname for %s: %w", n.Owner, clean(err))
	}
	return nil
}

// ReleaseNick removes the nickname that owner has reserved; none is no error.
func (db *DB) ReleaseNick(ctx context.Context, service string, owner jid.JID) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		_, err := q.exec(ctx, "DELETE FROM reserved_nicks WHERE owner = $1 AND service = $2", text(owner), service)
		return err
	})
	if err != nil {
		return fmt.Errorf("release the nickname of %s: %w", owner, clean(err))
	}
	return nil
}

// ReleaseRoomNicks removes the nicknames that single rooms have reserved for
// owner.
func (db *DB) ReleaseRoomNicks(ctx context.Context, owner jid.JID) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		_, err := q.exec(ctx, releaseRoomNicks, text(owner))
		return err
	})
	if err != nil {
		return fmt.Errorf("release the nicknames of %s in rooms: %w", owner, clean(err))
	}
	return nil
}

const releaseRoomNicks = "UPDATE affiliations SET nick = '' WHERE jid = $1 AND nick <> ''"
