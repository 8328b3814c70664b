package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"

	sqlitedriver "modernc.org/sqlite"
)

// row is what a query has found, one at a time.
type row interface {
	// Scan copies the columns into dest, as sql.Rows does.
	Scan(dest ...any) error
}

// sqliteConn is a connection to a SQLite file with its prepared statements, which
// end with it. Statements talk to the driver without package sql in between, which
// would start a goroutine for each transaction and each query in one, and costs as
// much again as the statement. It is owned by whoever has the connection.
type sqliteConn struct {
	driverConn

	prepared map[string]driver.Stmt
	args     []driver.NamedValue
}

// driverConn is what the driver's connections can do for package sql.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// openSQLite returns a pool of sqliteConns.
func openSQLite(dsn string) (*sql.DB, error) {
	c, err := sqlitedriver.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector{c}), nil
}

type connector struct{ driver.Connector }

// Connect opens a connection.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	own, ok := conn.(driverConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T cannot do what is needed", conn), conn.Close())
	}
	return &sqliteConn{driverConn: own, prepared: make(map[string]driver.Stmt)}, nil
}

// Close frees the statements, without which SQLite closes nothing, and ends the
// connection.
func (c *sqliteConn) Close() error {
	var errs []error
	for _, st := range c.prepared {
		errs = append(errs, st.Close())
	}
	clear(c.prepared)
	return errors.Join(append(errs, c.driverConn.Close())...)
}

// onConn runs f with one of pool's connections, for which it waits until ctx ends.
// A connection of which f says that it is broken, or with which it panics, is not
// used again.
func onConn(ctx context.Context, pool *sql.DB, f func(*sqliteConn) (broken bool, err error)) error {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // gives the connection back
	rawErr := conn.Raw(func(c any) error {
		own, ok := c.(*sqliteConn)
		if !ok {
			return fmt.Errorf("%T is no connection to SQLite", c)
		}
		var broken bool
		if broken, err = f(own); broken {
			return driver.ErrBadConn // the pool opens a new one
		}
		return nil
	})
	if err == nil && !errors.Is(rawErr, driver.ErrBadConn) {
		err = rawErr
	}
	return err
}

// statement returns text as a prepared statement.
func (c *sqliteConn) statement(text string) (driver.Stmt, error) {
	st := c.prepared[text]
	if st == nil {
		var err error
		if st, err = c.Prepare(text); err != nil {
			return nil, err
		}
		c.prepared[text] = st
	}
	return st, nil
}

// values returns args as the driver wants them, until the next call.
func (c *sqliteConn) values(args []any) ([]driver.NamedValue, error) {
	c.args = c.args[:0]
	for i, arg := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args, nil
}

// exec runs a statement and returns how many rows it changed. A context that can
// end costs a goroutine.
func (c *sqliteConn) exec(ctx context.Context, text string, args ...any) (int64, error) {
	st, err := c.statement(text)
	if err != nil {
		return 0, err
	}
	values, err := c.values(args)
	if err != nil {
		return 0, err
	}
	defer clear(values)
	res, err := st.(driver.StmtExecContext).ExecContext(ctx, values) //nolint:errcheck,forcetypeassert // this driver's statements are
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// each runs a query and calls scan for each row.
func (c *sqliteConn) each(ctx context.Context, text string, args []any, scan func(row) error) error {
	st, err := c.statement(text)
	if err != nil {
		return err
	}
	values, err := c.values(args)
	if err != nil {
		return err
	}
	rows, err := st.(driver.StmtQueryContext).QueryContext(ctx, values) //nolint:errcheck,forcetypeassert // this driver's statements are
	clear(values)
	if err != nil {
		return err
	}
	found := found{values: make([]driver.Value, len(rows.Columns()))}
	for {
		err = rows.Next(found.values)
		if err == nil {
			err = scan(&found)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

// found is a row that the driver has found.
type found struct{ values []driver.Value }

// Scan implements row.
func (f *found) Scan(dest ...any) error {
	if len(dest) != len(f.values) {
		return fmt.Errorf("%d columns for %d variables", len(f.values), len(dest))
	}
	for i, v := range f.values {
		if err := assign(dest[i], v); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// assign copies a value of the driver's to where dest points.
func assign(dest any, v driver.Value) error {
	if s, ok := dest.(sql.Scanner); ok {
		return s.Scan(v)
	}
	if d, ok := dest.(*[]byte); ok {
		switch v := v.(type) {
		case []byte: // is nobody else's
			*d = v
			return nil
		case string:
			*d = []byte(v)
			return nil
		case nil:
			*d = nil
			return nil
		}
	}
	to := reflect.ValueOf(dest).Elem()
	switch v := v.(type) {
	case string:
		if to.Kind() == reflect.String {
			to.SetString(v)
			return nil
		}
	case int64:
		switch {
		case to.Kind() == reflect.Bool:
			to.SetBool(v != 0)
			return nil
		case to.CanInt() && !to.OverflowInt(v):
			to.SetInt(v)
			return nil
		}
	case []byte:
		if to.Kind() == reflect.String {
			to.SetString(string(v))
			return nil
		}
	}
	return fmt.Errorf("a value of %T is not for %T", v, dest)
}
