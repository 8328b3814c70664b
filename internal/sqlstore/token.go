package sqlstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/store"
)

const tokenColumns = "SELECT id, name, hash, scopes, hosts, created, expires, used FROM tokens "

// AddToken stores a new token, store.ErrConflict if there is one of that name or
// id.
func (db *DB) AddToken(ctx context.Context, t store.Token) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		n, err := q.exec(ctx, `INSERT INTO tokens (id, name, hash, scopes, hosts, created, expires, used)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
			t.ID, t.Name, t.Hash, strings.Join(t.Scopes, " "), strings.Join(t.Hosts, " "), micros(t.Created), micros(t.Expires), micros(t.Used))
		if err != nil || n > 0 {
			return err
		}
		// A commit whose answer was lost may have stored this very token.
		same, err := q.one(ctx, "SELECT 1 FROM tokens WHERE id = $1 AND name = $2", []any{t.ID, t.Name}, new(int))
		if err == nil && !same {
			err = store.ErrConflict
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("add token %q: %w", t.Name, clean(err))
	}
	return nil
}

// Token returns the token with an id, store.ErrNotFound if there is none.
func (db *DB) Token(ctx context.Context, id string) (store.Token, error) {
	list, err := db.tokens(ctx, tokenColumns+"WHERE id = $1", id)
	if err == nil && len(list) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Token{}, fmt.Errorf("load token: %w", clean(err))
	}
	return list[0], nil
}

// Tokens returns at most limit tokens behind a name, "" being the first page,
// ordered by name in byte order.
func (db *DB) Tokens(ctx context.Context, after string, limit int) ([]store.Token, error) {
	list, err := db.tokens(ctx, tokenColumns+"WHERE name > $1 ORDER BY name LIMIT $2", after, limit)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", clean(err))
	}
	return list, nil
}

// DeleteToken removes the token with a name, store.ErrNotFound if there is none.
func (db *DB) DeleteToken(ctx context.Context, name string) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		n, err := q.exec(ctx, "DELETE FROM tokens WHERE name = $1", name)
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete token %q: %w", name, clean(err))
	}
	return nil
}

// TouchToken records that the token with an id was used; none is no error.
func (db *DB) TouchToken(ctx context.Context, id string, used time.Time) error {
	err := db.meta.update(ctx, func(ctx context.Context, q querier) error {
		_, err := q.exec(ctx, "UPDATE tokens SET used = $2 WHERE id = $1 AND used < $2", id, micros(used))
		return err
	})
	if err != nil {
		return fmt.Errorf("record the use of a token: %w", clean(err))
	}
	return nil
}

func (db *DB) tokens(ctx context.Context, query string, args ...any) (list []store.Token, err error) {
	err = db.meta.each(ctx, query, args, func(rows row) error {
		var t store.Token
		var scopes, hosts string
		var created, expires, used int64
		err := rows.Scan(&t.ID, &t.Name, &t.Hash, &scopes, &hosts, &created, &expires, &used)
		t.Scopes, t.Hosts = strings.Fields(scopes), strings.Fields(hosts)
		t.Created, t.Expires, t.Used = stamp(created), stamp(expires), stamp(used)
		list = append(list, t)
		return err
	})
	return list, err
}
