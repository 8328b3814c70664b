package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// holdAccount returns store.ErrNotFound if there is no such account, and keeps
// it from being deleted, and others from holding it, until the transaction ends.
func holdAccount(ctx context.Context, q querier, account jid.JID) error {
	query := "SELECT 1 FROM accounts WHERE domain = $1 AND local = $2"
	if q.d.dialect == postgres { // SQLite has one writer
		query += " FOR NO KEY UPDATE"
	}
	found, err := q.one(ctx, query, []any{account.Domain(), account.Local()}, new(int64))
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return err
}

// VCard returns an account's vCard as XML, store.ErrNotFound if it has none.
func (db *DB) VCard(ctx context.Context, account jid.JID) ([]byte, error) {
	var vcard []byte
	found, err := db.meta.one(ctx, "SELECT vcard FROM vcards WHERE domain = $1 AND local = $2",
		[]any{account.Domain(), account.Local()}, &vcard)
	if err == nil && !found {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("load vcard of %s: %w", account, clean(err))
	}
	return vcard, nil
}

// PutVCard replaces an account's vCard, removes it if vcard is empty;
// store.ErrNotFound if there is no such account.
func (db *DB) PutVCard(ctx context.Context, account jid.JID, vcard []byte) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		if err := holdAccount(ctx, q, account); err != nil {
			return err
		}
		name := []any{account.Domain(), account.Local()}
		if len(vcard) == 0 {
			_, err := q.exec(ctx, "DELETE FROM vcards WHERE domain = $1 AND local = $2", name...)
			return err
		}
		_, err := q.exec(ctx, `INSERT INTO vcards (domain, local, vcard) VALUES ($1, $2, $3)
			ON CONFLICT (domain, local) DO UPDATE SET vcard = excluded.vcard`, append(name, vcard)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("store vcard of %s: %w", account, clean(err))
	}
	return nil
}

// PrivateData returns what an account has stored for itself under a name, nil
// if that is nothing.
func (db *DB) PrivateData(ctx context.Context, account jid.JID, space, name string) ([]byte, error) {
	var data []byte
	_, err := db.meta.one(ctx, `SELECT data FROM private_data
		WHERE domain = $1 AND local = $2 AND space = $3 AND name = $4`,
		[]any{account.Domain(), account.Local(), space, name}, &data)
	if err != nil {
		return nil, fmt.Errorf("load private data of %s: %w", account, clean(err))
	}
	return data, nil
}

// PutPrivateData replaces what an account has stored for itself under the names
// in list, all of it or nothing: store.ErrFull if it would have more than
// limits allow, store.ErrNotFound if there is no such account.
func (db *DB) PutPrivateData(ctx context.Context, account jid.JID, list []store.PrivateData, limits store.PrivateLimits) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		if err := holdAccount(ctx, q, account); err != nil {
			return err
		}
		for _, p := range list {
			if err := putPrivate(ctx, q, account, p); err != nil {
				return err
			}
		}
		return checkPrivate(ctx, q, account, limits)
	})
	if err != nil {
		return fmt.Errorf("store private data of %s: %w", account, clean(err))
	}
	return nil
}

func putPrivate(ctx context.Context, q querier, account jid.JID, p store.PrivateData) error {
	key := []any{account.Domain(), account.Local(), p.Space, p.Name}
	if len(p.XML) == 0 {
		_, err := q.exec(ctx, `DELETE FROM private_data
			WHERE domain = $1 AND local = $2 AND space = $3 AND name = $4`, key...)
		return err
	}
	_, err := q.exec(ctx, `INSERT INTO private_data (domain, local, space, name, data) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (domain, local, space, name) DO UPDATE SET data = excluded.data`, append(key, p.XML)...)
	return err
}

// checkPrivate returns store.ErrFull if an account has stored more for itself
// than limits allow.
func checkPrivate(ctx context.Context, q querier, account jid.JID, limits store.PrivateLimits) error {
	var largest, total, names int
	_, err := q.one(ctx, `SELECT CAST(coalesce(max(size), 0) AS BIGINT), CAST(coalesce(sum(size), 0) AS BIGINT),
		CAST(coalesce(sum(names), 0) AS BIGINT) FROM (
		SELECT count(*) AS names, sum(octet_length(space) + octet_length(name) + octet_length(data)) AS size
		FROM private_data WHERE domain = $1 AND local = $2 GROUP BY space) AS spaces`,
		[]any{account.Domain(), account.Local()}, &largest, &total, &names)
	if err == nil && (largest > limits.Space || total > limits.Total || names > limits.Names) {
		err = store.ErrFull
	}
	return err
}

// LastActivity returns when an account was last seen, store.ErrNotFound if it
// never was.
func (db *DB) LastActivity(ctx context.Context, account jid.JID) (store.LastActivity, error) {
	last := store.LastActivity{Account: account.Bare()}
	var at int64
	found, err := db.meta.one(ctx, "SELECT time, status FROM last_activity WHERE domain = $1 AND local = $2",
		[]any{account.Domain(), account.Local()}, &at, &last.Status)
	if err == nil && !found {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.LastActivity{}, fmt.Errorf("load last activity of %s: %w", account, clean(err))
	}
	last.Time = stamp(at)
	return last, nil
}

// PutLastActivity stores when accounts were last seen. Those that do not exist
// any more are left out. The list is sorted by account, so that two callers
// cannot wait for each other.
func (db *DB) PutLastActivity(ctx context.Context, list []store.LastActivity) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		for _, last := range list {
			err := holdAccount(ctx, q, last.Account)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			_, err = q.exec(ctx, `INSERT INTO last_activity (domain, local, time, status) VALUES ($1, $2, $3, $4)
				ON CONFLICT (domain, local) DO UPDATE SET time = excluded.time, status = excluded.status`,
				last.Account.Domain(), last.Account.Local(), micros(last.Time), last.Status)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store last activity of %d accounts: %w", len(list), clean(err))
	}
	return nil
}
