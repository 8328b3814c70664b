package sqlstore

import (
	"context"
	"fmt"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// Blocked returns whom an account has blocked, in byte order.
func (db *DB) Blocked(ctx context.Context, owner jid.JID) ([]jid.JID, error) {
	var list []jid.JID
	err := db.meta.each(ctx, "SELECT address FROM blocked WHERE owner = $1 ORDER BY address",
		[]any{text(owner.Bare())}, func(rows row) error {
			var j jid.JID
			err := rows.Scan(address{&j})
			list = append(list, j)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("load block list of %s: %w", owner, clean(err))
	}
	return list, nil
}

// Block adds addresses to an account's block list, all or none; store.ErrFull
// if there would be more than limit.
func (db *DB) Block(ctx context.Context, owner jid.JID, list []jid.JID, limit int) error {
	o := text(owner.Bare())
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		if q.d.dialect == postgres { // one at a time per list, or each would count without the others
			if _, err := q.exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", o); err != nil {
				return err
			}
		}
		for _, j := range list {
			if _, err := q.exec(ctx, `INSERT INTO blocked (owner, address) VALUES ($1, $2)
				ON CONFLICT (owner, address) DO NOTHING`, o, text(j)); err != nil {
				return err
			}
		}
		var n int
		if _, err := q.one(ctx, "SELECT count(*) FROM blocked WHERE owner = $1", []any{o}, &n); err != nil {
			return err
		}
		if n > limit {
			return store.ErrFull
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add to block list of %s: %w", owner, clean(err))
	}
	return nil
}

// Unblock takes addresses out of an account's block list, all or none of them.
func (db *DB) Unblock(ctx context.Context, owner jid.JID, list []jid.JID) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		for _, j := range list {
			if _, err := q.exec(ctx, "DELETE FROM blocked WHERE owner = $1 AND address = $2",
				text(owner.Bare()), text(j)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take from block list of %s: %w", owner, clean(err))
	}
	return nil
}

// UnblockAll empties an account's block list.
func (db *DB) UnblockAll(ctx context.Context, owner jid.JID) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		_, err := q.exec(ctx, "DELETE FROM blocked WHERE owner = $1", text(owner.Bare()))
		return err
	})
	if err != nil {
		return fmt.Errorf("empty block list of %s: %w", owner, clean(err))
	}
	return nil
}
