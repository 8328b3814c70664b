package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// deleteAccountData removes what is stored under an account's name and does not
// go with its row in accounts by itself. Whoever stores more of the kind adds it
// here.
func deleteAccountData(ctx context.Context, q querier, account jid.JID) error {
	owner := text(account.Bare())
	for _, query := range []string{
		"DELETE FROM rosters WHERE owner = $1",
		"DELETE FROM offline_messages WHERE recipient = $1",
		"DELETE FROM blocked WHERE owner = $1",
		"DELETE FROM reserved_nicks WHERE owner = $1",
		"DELETE FROM contact_group_members WHERE member = $1",
		"DELETE FROM given_bookmarks WHERE owner = $1",
		"DELETE FROM invitations WHERE inviter = $1",
		"DELETE FROM arrivals WHERE account = $1",
		releaseRoomNicks,
	} {
		if _, err := q.exec(ctx, query, owner); err != nil {
			return err
		}
	}
	return nil
}

// RemoveAccount removes an account with its keys, so that nobody can log in any
// more, and notes that the rest is to be done; store.ErrNotFound if there is no
// such account. One that is being removed already is left to that.
func (db *DB) RemoveAccount(ctx context.Context, account jid.JID) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		n, err := q.exec(ctx, "DELETE FROM accounts WHERE domain = $1 AND local = $2", account.Domain(), account.Local())
		if err != nil {
			return err
		}
		if n == 0 {
			removing, err := isRemoved(ctx, q, account)
			if err == nil && !removing {
				err = store.ErrNotFound
			}
			return err
		}
		_, err = q.exec(ctx, "INSERT INTO removed_accounts (domain, local, time) VALUES ($1, $2, $3)",
			account.Domain(), account.Local(), time.Now().UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("remove account %s: %w", account, clean(err))
	}
	return nil
}

// AccountRemoved reports whether an account has been removed and something of
// it may be left.
func (db *DB) AccountRemoved(ctx context.Context, account jid.JID) (bool, error) {
	removed := false
	err := db.meta.look(ctx, func(ctx context.Context, q querier) (err error) {
		removed, err = isRemoved(ctx, q, account)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for removed account %s: %w", account, clean(err))
	}
	return removed, nil
}

func isRemoved(ctx context.Context, q querier, account jid.JID) (bool, error) {
	return q.one(ctx, "SELECT 1 FROM removed_accounts WHERE domain = $1 AND local = $2",
		[]any{account.Domain(), account.Local()}, new(int64))
}

// RemovedAccounts returns the accounts that have been removed and of which
// something may be left, the first removed first.
func (db *DB) RemovedAccounts(ctx context.Context) ([]jid.JID, error) {
	var list []jid.JID
	err := db.meta.each(ctx, "SELECT local, domain FROM removed_accounts ORDER BY time, domain, local", nil, func(rows row) error {
		var local, domain string
		if err := rows.Scan(&local, &domain); err != nil {
			return err
		}
		j, err := jid.New(local, domain, "")
		list = append(list, j)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list removed accounts: %w", clean(err))
	}
	return list, nil
}

// PurgeAccount removes the rest of an account that RemoveAccount has removed,
// whose name is free then. It does nothing to others.
func (db *DB) PurgeAccount(ctx context.Context, account jid.JID) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		n, err := q.exec(ctx, "DELETE FROM removed_accounts WHERE domain = $1 AND local = $2", account.Domain(), account.Local())
		if err != nil || n == 0 {
			return err
		}
		return deleteAccountData(ctx, q, account)
	})
	if err != nil {
		return fmt.Errorf("purge account %s: %w", account, clean(err))
	}
	return nil
}
