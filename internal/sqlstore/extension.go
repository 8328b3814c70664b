package sqlstore

import (
	"bytes"
	"context"
	"fmt"
)

// ExtensionValue returns what an extension keeps under a key, nil if nothing.
func (db *DB) ExtensionValue(ctx context.Context, extension, key string) (value []byte, err error) {
	_, err = db.meta.one(ctx, "SELECT value FROM extension_values WHERE extension = $1 AND key = $2", []any{extension, key}, &value)
	if err != nil {
		return nil, fmt.Errorf("load %s of extension %s: %w", key, extension, clean(err))
	}
	return value, nil
}

// ExtensionKeys returns the keys that begin with prefix, ordered by bytes.
func (db *DB) ExtensionKeys(ctx context.Context, extension, prefix string) ([]string, error) {
	var keys []string
	err := db.meta.each(ctx, `SELECT key FROM extension_values WHERE extension = $1 AND substr(key, 1, length($2)) = $2 ORDER BY key`,
		[]any{extension, prefix}, func(rows row) error {
			var key string
			err := rows.Scan(&key)
			keys = append(keys, key)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("list keys of extension %s: %w", extension, clean(err))
	}
	return keys, nil
}

// ChangeExtension replaces what an extension keeps under a key by what change
// makes of it, nil if there is nothing; an empty value removes it. Changes of one
// extension come one after the other. change may run again; what it returns as an
// error is returned as it is, and then nothing changes. At most so many keys are
// kept; ok says whether there was room for one more.
func (db *DB) ChangeExtension(ctx context.Context, extension, key string, most int, change func(old []byte) ([]byte, error)) (ok bool, err error) {
	c := extensionChange{extension: extension, key: key, most: most, change: change}
	err = db.meta.update(ctx, c.run)
	switch {
	case c.refused != nil:
		return false, c.refused
	case err != nil:
		return false, fmt.Errorf("change %s of extension %s: %w", key, extension, clean(err))
	}
	return !c.full, nil
}

// extensionChange is one call of ChangeExtension.
type extensionChange struct {
	extension, key string
	most           int
	change         func(old []byte) ([]byte, error)

	made    bool   // value is what change has made
	value   []byte // that was to be stored, perhaps was, when the connection was lost
	refused error  // of change
	full    bool
}

func (c *extensionChange) run(ctx context.Context, q querier) error {
	if q.d.dialect == postgres {
		if _, err := q.exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))", c.extension); err != nil {
			return err
		}
	}
	var old []byte
	found, err := q.one(ctx, "SELECT value FROM extension_values WHERE extension = $1 AND key = $2", []any{c.extension, c.key}, &old)
	if err != nil || c.made && bytes.Equal(old, c.value) { // it was committed though nobody said so
		return err
	}
	if c.value, c.refused = c.change(old); c.refused != nil {
		return c.refused
	}
	c.made = true
	if len(c.value) == 0 {
		_, err := q.exec(ctx, "DELETE FROM extension_values WHERE extension = $1 AND key = $2", c.extension, c.key)
		return err
	}
	if !found {
		var n int
		_, err := q.one(ctx, "SELECT COUNT(*) FROM extension_values WHERE extension = $1", []any{c.extension}, &n)
		if c.full = n >= c.most; err != nil || c.full {
			return err
		}
	}
	_, err = q.exec(ctx, `INSERT INTO extension_values (extension, key, value) VALUES ($1, $2, $3)
		ON CONFLICT (extension, key) DO UPDATE SET value = excluded.value`, c.extension, c.key, c.value)
	return err
}
