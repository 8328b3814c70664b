package sqlstore

import (
	"cmp"
	"context"
	"fmt"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// CreateAccount stores a new account, store.ErrConflict if there is one of that
// name, store.ErrReserved if somebody is invited who is to have it,
// store.ErrRemoving if one is being removed, store.ErrInvitation if its own
// invitation is used up. The account has nothing that somebody stored under its
// name before.
func (db *DB) CreateAccount(ctx context.Context, a store.Account) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		n, err := q.exec(ctx, `INSERT INTO accounts (domain, local, created) VALUES ($1, $2, $3)
			ON CONFLICT (domain, local) DO NOTHING`, a.JID.Domain(), a.JID.Local(), micros(a.Created))
		if err != nil {
			return err
		}
		if n == 0 {
			return sameAccount(ctx, q, a)
		}
		// Asked last: an account that another transaction is about to remove
		// has kept the row above from being written until it has.
		if removing, err := isRemoved(ctx, q, a.JID); err != nil || removing {
			return cmp.Or(err, store.ErrRemoving)
		}
		if err := deleteAccountData(ctx, q, a.JID); err != nil {
			return err
		}
		if err := checkReserved(ctx, q, a.JID.Domain(), a.JID.Local(), a.Invitation, a.Created); err != nil {
			return err
		}
		if a.Invitation != "" {
			if err := useInvitation(ctx, q, a.Invitation, a.JID, true); err != nil {
				return err
			}
		}
		return insertKeys(ctx, q, a.JID, a.Keys)
	})
	if err != nil {
		return fmt.Errorf("create account %s: %w", a.JID, clean(err))
	}
	return nil
}

// sameAccount is store.ErrConflict unless a itself is stored: by a commit whose
// answer was lost.
func sameAccount(ctx context.Context, q querier, a store.Account) error {
	var created int64
	_, err := q.one(ctx, "SELECT created FROM accounts WHERE domain = $1 AND local = $2",
		[]any{a.JID.Domain(), a.JID.Local()}, &created)
	if err == nil && (created == 0 || created != micros(a.Created)) {
		err = store.ErrConflict
	}
	return err
}

func insertKeys(ctx context.Context, q querier, account jid.JID, keys []store.SCRAMKeys) error {
	for _, k := range keys {
		_, err := q.exec(ctx, `INSERT INTO account_keys (domain, local, hash, salt, iterations, stored_key, server_key)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			account.Domain(), account.Local(), k.Hash, k.Salt, k.Iterations, k.StoredKey, k.ServerKey)
		if err != nil {
			return err
		}
	}
	return nil
}

// Account returns an account with its keys, store.ErrNotFound if there is none
// of that name.
func (db *DB) Account(ctx context.Context, account jid.JID) (store.Account, error) {
	a := store.Account{JID: account.Bare()}
	err := db.meta.view(ctx, func(ctx context.Context, q querier) error {
		name := []any{account.Domain(), account.Local()}
		var created int64
		found, err := q.one(ctx, "SELECT created FROM accounts WHERE domain = $1 AND local = $2", name, &created)
		if err != nil {
			return err
		}
		if !found {
			return store.ErrNotFound
		}
		a.Created = stamp(created)
		return q.each(ctx, `SELECT hash, salt, iterations, stored_key, server_key FROM account_keys
			WHERE domain = $1 AND local = $2 ORDER BY hash`, name, func(rows row) error {
			var k store.SCRAMKeys
			err := rows.Scan(&k.Hash, &k.Salt, &k.Iterations, &k.StoredKey, &k.ServerKey)
			a.Keys = append(a.Keys, k)
			return err
		})
	})
	if err != nil {
		return store.Account{}, fmt.Errorf("load account %s: %w", account, clean(err))
	}
	return a, nil
}

// SetAccountKeys replaces all keys of an account, store.ErrNotFound if there
// is no such account.
func (db *DB) SetAccountKeys(ctx context.Context, account jid.JID, keys []store.SCRAMKeys) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		// Changing nothing locks the account's row and says whether it is there.
		n, err := q.exec(ctx, "UPDATE accounts SET created = created WHERE domain = $1 AND local = $2",
			account.Domain(), account.Local())
		if err != nil {
			return err
		}
		if n == 0 {
			return store.ErrNotFound
		}
		if _, err := q.exec(ctx, "DELETE FROM account_keys WHERE domain = $1 AND local = $2",
			account.Domain(), account.Local()); err != nil {
			return err
		}
		return insertKeys(ctx, q, account, keys)
	})
	if err != nil {
		return fmt.Errorf("set keys of account %s: %w", account, clean(err))
	}
	return nil
}

// Accounts returns at most limit accounts of domain, without their keys,
// ordered by local part in byte order, behind the local part after ("" for the
// first page).
func (db *DB) Accounts(ctx context.Context, domain, after string, limit int) ([]store.Account, error) {
	var page []store.Account
	err := db.meta.each(ctx, `SELECT local, created FROM accounts WHERE domain = $1 AND local > $2
		ORDER BY local LIMIT $3`, []any{domain, after, limit}, func(rows row) error {
		var local string
		var created int64
		if err := rows.Scan(&local, &created); err != nil {
			return err
		}
		j, err := jid.New(local, domain, "")
		page = append(page, store.Account{JID: j, Created: stamp(created)})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list accounts of %s: %w", domain, clean(err))
	}
	return page, nil
}
