package sqlstore

import (
	"context"
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
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "muster"
	}
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

// createSchema makes a schema unless it exists, which PostgreSQL by itself does
// for one of several servers at a time only.
func createSchema(ctx context.Context, cfg *pgx.ConnConfig, schema string) error {
	d := postgresPool("schema", cfg, 1)
	defer d.close() //nolint:errcheck // nothing was left open
	return d.transact(ctx, func(ctx context.Context, q querier) error {
		if err := lockMigrations(ctx, q); err != nil {
			return err
		}
		_, err := q.exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
		return err
	})
}

// DumpCommands returns the commands that make a backup of the database at url,
// and that restore it. A password is not in them.
func DumpCommands(url string) (dump, restore string) {
	where := ""
	if cfg, err := pgx.ParseConfig(url); err == nil {
		where = fmt.Sprintf("host=%s port=%d user=%s dbname=%s", cfg.Host, cfg.Port, cfg.User, cfg.Database)
	}
	return fmt.Sprintf("pg_dump --format=custom --file=FILE '%s'", where),
		fmt.Sprintf("pg_restore --clean --if-exists --no-owner --single-transaction --dbname='%s' FILE", where)
}
