package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// dialect is a kind of SQL, for the few queries that need to know.
type dialect uint8

const (
	sqlite dialect = iota
	postgres
)

func (d dialect) String() string {
	if d == postgres {
		return "postgres"
	}
	return "sqlite"
}

// database is one SQLite file or one pool of connections to PostgreSQL.
type database struct {
	// Set at construction.
	dialect  dialect
	name     string // the component: what its migrations are called
	path     string // SQLite's file
	writer   *sql.DB
	reader   *sql.DB            // the same as writer for PostgreSQL
	timeout  time.Duration      // of one call, for an engine that may be far away; 0: none
	explain  func(error) error  // says what helps against an error at start
	written  func()             // tells SQLite's checkpointer of a commit; may be nil
	failures prometheus.Counter // may be nil
	silence  silence

	mu sync.Mutex
	// Guarded by mu.
	writing bool     // somebody is, or will be at once
	queue   []*write // SQLite's, for the next transaction
}

// querier runs statements, in a transaction or each for itself.
type querier struct {
	d *database

	conn *sqliteConn // SQLite's

	tx *sql.Tx // otherwise; nil: no transaction
	on *sql.DB // the pool that the statements then run on
}

// exec runs a statement and returns how many rows it changed.
func (q querier) exec(ctx context.Context, text string, args ...any) (int64, error) {
	var res sql.Result
	var err error
	switch {
	case q.conn != nil:
		return q.conn.exec(ctx, text, args...)
	case q.tx != nil:
		res, err = q.tx.ExecContext(ctx, text, args...)
	default:
		res, err = q.on.ExecContext(ctx, text, args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// each runs a query and calls scan for each row.
func (q querier) each(ctx context.Context, text string, args []any, scan func(row) error) error {
	var rows *sql.Rows
	var err error
	switch {
	case q.conn != nil:
		return q.conn.each(ctx, text, args, scan)
	case q.tx != nil:
		rows, err = q.tx.QueryContext(ctx, text, args...)
	default:
		rows, err = q.on.QueryContext(ctx, text, args...)
	}
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// one runs a query for at most one row and reports whether there was one.
func (q querier) one(ctx context.Context, text string, args []any, dest ...any) (bool, error) {
	found := false
	err := q.each(ctx, text, args, func(r row) error {
		found = true
		return r.Scan(dest...)
	})
	return found, err
}

// look runs f, which makes single queries outside transactions.
func (d *database) look(ctx context.Context, f func(context.Context, querier) error) error {
	return d.call(ctx, func(ctx context.Context) error {
		if d.dialect == postgres {
			return f(ctx, querier{d: d, on: d.reader})
		}
		return onConn(ctx, d.reader, func(c *sqliteConn) (bool, error) {
			return false, f(ctx, querier{d: d, conn: c})
		})
	})
}

func (d *database) each(ctx context.Context, text string, args []any, scan func(row) error) error {
	return d.look(ctx, func(ctx context.Context, q querier) error { return q.each(ctx, text, args, scan) })
}

// one runs a query for at most one row, which is found at once, and reports
// whether there was one.
func (d *database) one(ctx context.Context, text string, args []any, dest ...any) (found bool, err error) {
	err = d.look(ctx, func(ctx context.Context, q querier) error {
		if d.dialect == sqlite {
			ctx = context.WithoutCancel(ctx) // see sqliteConn.each
		}
		found, err = q.one(ctx, text, args, dest...)
		return err
	})
	return found, err
}

// view runs f on one unchanging state of the database.
func (d *database) view(ctx context.Context, f func(context.Context, querier) error) error {
	return d.call(ctx, func(ctx context.Context) error {
		if d.dialect == sqlite {
			return d.viewSQLite(ctx, f)
		}
		tx, err := d.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
		if err != nil {
			return err
		}
		defer rollback(tx)
		return f(ctx, querier{d: d, tx: tx})
	})
}

// update runs f in a transaction that writes, and commits it if f returns nil.
// On SQLite others may be in the same one: f sees what they have done before, and
// leaves nothing behind if it returns an error. If PostgreSQL goes away during the
// commit, f runs again when it is back: it must succeed, without doing a thing
// twice, where it has had its effect.
func (d *database) update(ctx context.Context, f func(context.Context, querier) error) error {
	err := d.call(ctx, func(ctx context.Context) error {
		if d.dialect == sqlite {
			return d.write(ctx, f)
		}
		return d.transact(ctx, f)
	})
	if err == nil && d.written != nil {
		d.written()
	}
	return err
}

func (d *database) transact(ctx context.Context, f func(context.Context, querier) error) error {
	err := d.attempt(ctx, f)
	if isDoubt(err) {
		return d.settle(ctx, f)
	}
	return err
}

// attempt runs f in a transaction of package sql on a connection that writes.
func (d *database) attempt(ctx context.Context, f func(context.Context, querier) error) error {
	conn, err := d.writer.Conn(ctx) // waits for its turn
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // gives the connection back
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = f(ctx, querier{d: d, tx: tx})
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && d.dialect == postgres {
		return commitPostgres(tx)
	}
	if err != nil {
		rollback(tx)
		return err
	}
	return tx.Commit()
}

// rollback gives up tx. Its error says nothing that matters: a transaction
// that cannot be rolled back is one that is over.
func rollback(tx *sql.Tx) { _ = tx.Rollback() }

// count counts err if it is the database's fault and returns it.
func (d *database) count(err error) error {
	if k := known(err); err != nil && d.failures != nil && (k == nil || errors.Is(k, store.ErrInDoubt) || errors.Is(k, context.DeadlineExceeded)) {
		d.failures.Inc()
	}
	return err
}

func (d *database) close() error {
	var errs []error
	if d.reader != d.writer {
		errs = append(errs, d.reader.Close())
	}
	// The last connection of SQLite to close copies the write-ahead log into
	// the file, so it has to be one that may write.
	return errors.Join(append(errs, d.writer.Close())...)
}

// known returns the error that callers may test for which err is, or nil.
func known(err error) error {
	for _, k := range []error{
		store.ErrNotFound, store.ErrReserved, store.ErrConflict, store.ErrInvitation, store.ErrRemoving, store.ErrFull, store.ErrInDoubt,
		muc.ErrNoRoom, muc.ErrStaleEpoch,
		groups.ErrGroupNotFound, groups.ErrUserNotFound, groups.ErrConflict, groups.ErrChatConflict, groups.ErrRevision,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, k) {
			return k
		}
	}
	return nil
}

// clean hides a driver's error behind its text.
func clean(err error) error {
	if k := known(err); k != nil {
		return k
	}
	return errors.New(err.Error())
}

// micros is how a time is stored; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// stamp is the inverse of micros.
func stamp(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// address scans a stored address.
type address struct{ jid *jid.JID }

// Scan implements sql.Scanner.
func (a address) Scan(src any) error {
	switch s := src.(type) {
	case string:
		return a.jid.UnmarshalText([]byte(s))
	case []byte:
		return a.jid.UnmarshalText(s)
	}
	return errors.New("address is not text")
}

// text is how an address is stored; the zero JID is "".
func text(j jid.JID) string {
	if j.IsZero() {
		return ""
	}
	return j.String()
}
