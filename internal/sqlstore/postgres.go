package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/muster-im/muster/internal/store"
)

const (
	// defaultConns is how many connections to PostgreSQL a DB has at most.
	defaultConns = 16
	// dialTimeout bounds the making of a connection, unless the URL says
	// otherwise (connect_timeout).
	dialTimeout = 5 * time.Second
	// callTimeout bounds a call, with the wait for a connection.
	callTimeout = 10 * time.Second
	// settleEvery is how often a commit in doubt is asked for.
	settleEvery = 100 * time.Millisecond
)

// openPostgres connects to PostgreSQL. The archive has its own share of the
// connections, so that its commits do not queue behind other work.
func (db *DB) openPostgres(ctx context.Context, o Options) error {
	cfg, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return errors.New("storage.url is not understood: want a URL like postgres://user:password@host/database, or keywords like host=/run/postgresql dbname=muster")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = dialTimeout
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "muster"
	}
	if o.Durability == DurabilityProcess {
		cfg.RuntimeParams["synchronous_commit"] = "off"
	}
	if o.Schema != "" {
		if err := createSchema(ctx, cfg, o.Schema); err != nil {
			return explainPostgres(cfg, err)
		}
		cfg.RuntimeParams["search_path"] = pgx.Identifier{o.Schema}.Sanitize()
	}
	n := max(o.MaxConns, 4)
	if o.MaxConns == 0 {
		n = defaultConns
	}
	timeout := cmp.Or(o.Timeout, callTimeout)
	db.archive = postgresPool("archive", cfg, n/4+1, timeout)
	db.meta = postgresPool("meta", cfg, n-n/4-1, timeout)
	if err := checkEncoding(ctx, db.meta); err != nil {
		return explainPostgres(cfg, err)
	}
	return nil
}

func postgresPool(name string, cfg *pgx.ConnConfig, conns int, timeout time.Duration) *database {
	pool := stdlib.OpenDB(*cfg)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return &database{
		dialect: postgres, name: name, writer: pool, reader: pool, timeout: timeout,
		explain: func(err error) error { return explainPostgres(cfg, err) },
	}
}

// doubtError says that a connection broke between a commit and its answer.
type doubtError struct{ err error }

func (e *doubtError) Error() string { return e.err.Error() }
func (e *doubtError) Unwrap() error { return e.err }

func isDoubt(err error) bool {
	_, ok := errors.AsType[*doubtError](err)
	return ok
}

// commitPostgres commits tx. The error is a *doubtError if that may have
// succeeded.
func commitPostgres(tx *sql.Tx) error {
	err := tx.Commit()
	if err == nil || isAnswer(err) {
		return err
	}
	return &doubtError{err}
}

// settle runs a transaction again whose commit is in doubt, until PostgreSQL is
// back and has answered; store.ErrInDoubt says that ctx ended first. To ask for
// the fate of the transaction's number would not do: a crash can give the
// number to another one.
func (d *database) settle(ctx context.Context, f func(context.Context, querier) error) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		err := d.attempt(ctx, f)
		if err == nil || ctx.Err() == nil && (isAnswer(err) || known(err) != nil) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", store.ErrInDoubt, err)
		}
	}
}

// isAnswer reports whether PostgreSQL itself refused something. If it ended the
// connection (class 57, operator intervention) that says nothing about what was
// under way.
func isAnswer(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && !strings.HasPrefix(e.Code, "57")
}

// createSchema makes a schema unless it exists, which PostgreSQL by itself does
// for one of several servers at a time only.
func createSchema(ctx context.Context, cfg *pgx.ConnConfig, schema string) error {
	d := postgresPool("schema", cfg, 1, 0)
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
