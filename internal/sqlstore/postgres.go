package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// defaultConns is how many connections to PostgreSQL a DB has at most.
const defaultConns = 16

// openPostgres connects to PostgreSQL. The archive has its own share of the
// connections, so that its commits do not queue behind other work.
func (db *DB) openPostgres(ctx context.Context, o Options) error {
	cfg, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return fmt.Errorf("storage url: %w", err)
	}
	cfg.RuntimeParams["application_name"] = "muster"
	if o.Durability == DurabilityProcess {
		cfg.RuntimeParams["synchronous_commit"] = "off"
	}
	if o.Schema != "" {
		if err := createSchema(ctx, cfg, o.Schema); err != nil {
			return err
		}
		cfg.RuntimeParams["search_path"] = pgx.Identifier{o.Schema}.Sanitize()
	}
	n := max(o.MaxConns, 4)
	if o.MaxConns == 0 {
		n = defaultConns
	}
	db.archive = postgresPool("archive", cfg, n/4+1)
	db.meta = postgresPool("meta", cfg, n-n/4-1)
	return db.meta.writer.PingContext(ctx)
}

func postgresPool(name string, cfg *pgx.ConnConfig, conns int) *database {
	pool := stdlib.OpenDB(*cfg)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return &database{dialect: postgres, name: name, writer: pool, reader: pool}
}

func createSchema(ctx context.Context, cfg *pgx.ConnConfig, schema string) error {
	pool := stdlib.OpenDB(*cfg)
	defer pool.Close() //nolint:errcheck // nothing was left open
	return createSchemaOn(ctx, pool, schema)
}

func createSchemaOn(ctx context.Context, pool *sql.DB, schema string) error {
	_, err := pool.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
	return err
}
