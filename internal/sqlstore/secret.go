package sqlstore

import (
	"context"
	"fmt"
)

// Secret returns the server's secret of that name. The first call ever stores
// what generate returns; all later ones return the same.
func (db *DB) Secret(ctx context.Context, name string, generate func() []byte) ([]byte, error) {
	var value []byte
	const query = "SELECT value FROM secrets WHERE name = $1"
	found, err := db.meta.one(ctx, query, []any{name}, &value)
	if err == nil && !found {
		err = db.meta.update(ctx, func(ctx context.Context, q querier) error {
			if _, err := q.exec(ctx, `INSERT INTO secrets (name, value) VALUES ($1, $2)
				ON CONFLICT (name) DO NOTHING`, name, generate()); err != nil {
				return err
			}
			_, err := q.one(ctx, query, []any{name}, &value)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("load secret %s: %w", name, clean(err))
	}
	return value, nil
}
