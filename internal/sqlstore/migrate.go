package sqlstore

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// migrations holds NNNN_name.sql files in a directory per engine and database.
// A released file is never changed.
//
//go:embed migrations
var migrations embed.FS //nolint:gochecknoglobals // embedded files

// migrationLock is the key of PostgreSQL's advisory lock under which servers
// that start at the same moment migrate one after the other.
const migrationLock = 0x6d75737465720001 // "muster", 1

// migrate brings the schemas of both databases up to date.
func (db *DB) migrate(ctx context.Context) error {
	for _, d := range []*database{db.meta, db.archive} {
		steps, err := readMigrations(migrations, path.Join("migrations", d.dialect.String(), d.name))
		if err != nil {
			return err
		}
		if err := d.migrate(ctx, steps); err != nil {
			return err
		}
	}
	return nil
}

// migration is one step of a schema; its version is its place, from 1.
type migration struct {
	file, sql string
}

// readMigrations reads the numbered files of dir, which have to be without
// gaps.
func readMigrations(files fs.FS, dir string) ([]migration, error) {
	entries, err := fs.ReadDir(files, dir) // sorted by name
	if err != nil {
		return nil, err
	}
	steps := make([]migration, 0, len(entries))
	for i, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s/%s: want number %04d", dir, e.Name(), i+1)
		}
		text, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		steps = append(steps, migration{file: e.Name(), sql: string(text)})
	}
	return steps, nil
}

// migrate applies the steps that d does not have yet, each in one transaction
// with its entry in the table of versions.
func (d *database) migrate(ctx context.Context, steps []migration) error {
	for {
		done, err := d.migrateOnce(ctx, steps)
		if err != nil {
			return d.explain(err)
		}
		if done {
			return nil
		}
	}
}

// migrateOnce applies the next step, if there is one.
func (d *database) migrateOnce(ctx context.Context, steps []migration) (done bool, err error) {
	version := 0
	err = d.transact(ctx, func(ctx context.Context, q querier) error {
		if err := lockMigrations(ctx, q); err != nil {
			return err
		}
		if version, err = d.schemaVersion(ctx, q); err != nil {
			return err
		}
		if version > len(steps) {
			return fmt.Errorf("its schema is version %d, this program knows versions up to %d:"+
				" start the newer program that wrote it, or restore a backup from before", version, len(steps))
		}
		if version == len(steps) {
			return nil
		}
		step := steps[version]
		if _, err := q.tx.ExecContext(ctx, step.sql); err != nil {
			return fmt.Errorf("%s: %w", step.file, err)
		}
		_, err := q.tx.ExecContext(ctx, `INSERT INTO schema_versions (component, version) VALUES ($1, $2)
			ON CONFLICT (component) DO UPDATE SET version = excluded.version`, d.name, version+1)
		return err
	})
	return version == len(steps), err
}

// lockMigrations lets other servers wait until the transaction ends. SQLite's
// files have one server.
func lockMigrations(ctx context.Context, q querier) error {
	if q.d.dialect != postgres {
		return nil
	}
	_, err := q.exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock))
	return err
}

// schemaVersion returns the version of d's schema, 0 for an empty database.
func (d *database) schemaVersion(ctx context.Context, q querier) (int, error) {
	if _, err := q.tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_versions (
		component TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL)`); err != nil {
		return 0, err
	}
	version := 0
	row := q.tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM schema_versions WHERE component = $1", d.name)
	return version, row.Scan(&version)
}
