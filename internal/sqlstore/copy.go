package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
	sqlitedriver "modernc.org/sqlite"
)

// copyPages is how many pages of a file are copied before somebody looks
// whether to go on: about a megabyte.
const copyPages = 256

// copyReserve is the room on the disk that a copy leaves to the server.
const copyReserve = 64 << 20

// What is wrong with the files of a store.
var (
	// ErrNoStore says that a directory has no databases of ours.
	ErrNoStore = errors.New("there are no databases")
	// ErrNewerSchema says that only a newer program can use a database.
	ErrNewerSchema = errors.New("its schema is newer than this program")
)

// Copied is one database file of SQLite's.
type Copied struct {
	Name   string           // of the file
	Schema int              // the version of its schema
	Rows   map[string]int64 // by table
}

// LockDir takes the lock that a running store holds on its directory.
func LockDir(dir string) (*os.File, error) { return lockDir(dir) }

// HasSQLite reports whether a directory has databases of SQLite's.
func HasSQLite(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, metaFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// CopySQLite copies the databases in the directory from to the directory to,
// where they must not be yet, and checks the copies. Whoever uses them meanwhile
// goes on. The copies are of one moment, or the archive is of a later one:
// that is the direction in which the server catches up by itself. progress, if
// set, is told what is done to which file, and how far that is.
func CopySQLite(ctx context.Context, from, to string, progress func(step string, done, total int64)) ([]Copied, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	from, err := filepath.Abs(from) // for SQLite's addresses
	if err != nil {
		return nil, err
	}
	if to, err = filepath.Abs(to); err != nil {
		return nil, err
	}
	sources := make([]*source, 0, 2)
	defer func() {
		for _, s := range sources {
			s.end()
		}
	}()
	var needed int64
	for _, name := range []string{metaFile, archiveFile} { // in this order, see above
		s, err := openSource(ctx, filepath.Join(from, name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(from, name), notDriver(err))
		}
		sources = append(sources, s)
		needed += s.size
	}
	if err := hasRoom(to, needed+copyReserve); err != nil {
		return nil, err
	}
	list := make([]Copied, 0, 2)
	for _, s := range sources {
		c, err := s.copy(ctx, filepath.Join(to, filepath.Base(s.path)), progress)
		if err != nil {
			return nil, fmt.Errorf("copy %s: %w", s.path, notDriver(err))
		}
		list = append(list, c)
	}
	return list, nil
}

// hasRoom reports whether the file system of dir has so many bytes for us.
func hasRoom(dir string, needed int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look for room in %s: %w", dir, err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < needed { //nolint:gosec // no disk is so large
		return fmt.Errorf("the disk of %s has %d MiB free, and a copy needs %d MiB: make room", filepath.Dir(dir), free>>20, needed>>20)
	}
	return nil
}

// source is a database that is read in the state of one moment.
type source struct {
	path string
	size int64
	pool *sql.DB
	conn *sql.Conn
}

// openSource begins to read a database. Its state is fixed when it returns.
func openSource(ctx context.Context, file string) (*source, error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoStore
	}
	pool, err := sql.Open("sqlite", sqliteDSN(file, DurabilityFull, true))
	if err != nil {
		return nil, err
	}
	s := &source{path: file, pool: pool}
	if s.conn, err = pool.Conn(ctx); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	if _, err = s.conn.ExecContext(ctx, "BEGIN"); err == nil {
		var pages, size int64 // the first read fixes the state
		err = errors.Join(
			s.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(new(int64)),
			s.conn.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages),
			s.conn.QueryRowContext(ctx, "PRAGMA page_size").Scan(&size))
		s.size = pages * size
	}
	if err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// end lets go of the database. Nothing was written, so no error matters.
func (s *source) end() {
	_, _ = s.conn.ExecContext(context.Background(), "ROLLBACK")
	_ = s.conn.Close()
	_ = s.pool.Close()
}

// copy copies the database to a new file and compares the two.
func (s *source) copy(ctx context.Context, to string, progress func(step string, done, total int64)) (Copied, error) {
	name := filepath.Base(to)
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return Copied{}, err
	}
	if err := f.Close(); err != nil {
		return Copied{}, err
	}
	err = s.conn.Raw(func(driver any) error {
		return copyAll(ctx, driver, to, func(done, total int64) { progress("copy "+name, done*pageSize, total*pageSize) })
	})
	if err != nil {
		return Copied{}, err
	}
	progress("check "+name, 0, s.size)
	c, err := CheckSQLite(ctx, to)
	if err != nil {
		return Copied{}, err
	}
	want, err := countRows(ctx, s.conn)
	if err != nil {
		return Copied{}, err
	}
	for table, n := range want {
		if c.Rows[table] != n {
			return Copied{}, fmt.Errorf("the copy has %d rows of table %s instead of %d", c.Rows[table], table, n)
		}
	}
	progress("check "+name, s.size, s.size)
	return c, nil
}

// copyAll copies page by page with the driver's own connection.
func copyAll(ctx context.Context, driver any, to string, progress func(done, total int64)) error {
	d, ok := driver.(interface {
		NewBackup(uri string) (*sqlitedriver.Backup, error)
	})
	if !ok {
		return errors.New("the driver cannot copy databases")
	}
	// A copy that is not finished is thrown away: it needs no journal.
	b, err := d.NewBackup(plainDSN(to, "journal_mode(OFF)", "synchronous(OFF)"))
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		if err = ctx.Err(); err == nil {
			more, err = b.Step(copyPages)
			progress(int64(b.PageCount()-b.Remaining()), int64(b.PageCount()))
		}
	}
	return errors.Join(err, b.Finish())
}

// plainDSN is the address of a file that is there, with settings.
func plainDSN(file string, pragmas ...string) string {
	v := url.Values{"mode": {"rw"}, "_pragma": pragmas}
	return (&url.URL{Scheme: "file", Path: file, RawQuery: v.Encode()}).String()
}

// CheckSQLite looks for damage in a database file that nobody uses, counts its
// rows, and makes sure that this program can use it.
func CheckSQLite(ctx context.Context, file string) (c Copied, err error) {
	c.Name = filepath.Base(file)
	if file, err = filepath.Abs(file); err != nil {
		return c, err
	}
	pool, err := sql.Open("sqlite", plainDSN(file, "busy_timeout(5000)"))
	if err != nil {
		return c, err
	}
	pool.SetMaxOpenConns(1)
	defer func() {
		if err = errors.Join(err, pool.Close()); err != nil {
			err = fmt.Errorf("%s: %w", c.Name, notDriver(err))
		}
	}()
	var finding string
	if err := pool.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&finding); err != nil {
		return c, err
	}
	if finding != "ok" {
		return c, fmt.Errorf("the database is damaged: %s", finding)
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return c, err
	}
	defer conn.Close() //nolint:errcheck // gives the connection back
	if c.Rows, err = countRows(ctx, conn); err != nil {
		return c, err
	}
	c.Schema, err = knownSchema(ctx, conn, c.Name)
	return c, err
}

// notDriver hides the driver's errors, but not ours.
func notDriver(err error) error {
	if errors.Is(err, ErrNewerSchema) || errors.Is(err, ErrNoStore) {
		return err
	}
	return clean(err)
}

// knownSchema returns the version of a file's schema, which this program must
// know.
func knownSchema(ctx context.Context, conn *sql.Conn, name string) (version int, err error) {
	component := map[string]string{metaFile: "meta", archiveFile: "archive"}[name]
	steps, err := readMigrations(migrations, path.Join("migrations", sqlite.String(), component))
	if err != nil {
		return 0, err
	}
	row := conn.QueryRowContext(ctx, "SELECT version FROM schema_versions WHERE component = $1", component)
	switch err := row.Scan(&version); {
	case err != nil:
		return 0, fmt.Errorf("this is no database of Muster: %w", err)
	case version > len(steps):
		return version, fmt.Errorf("%w: version %d, this program knows versions up to %d: use the newer program that wrote it",
			ErrNewerSchema, version, len(steps))
	}
	return version, nil
}

// countRows counts the rows of every table.
func countRows(ctx context.Context, conn *sql.Conn) (map[string]int64, error) {
	rows, err := conn.QueryContext(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int64)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		counts[name] = 0
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	for name := range counts {
		var n int64
		if err := conn.QueryRowContext(ctx, `SELECT count(*) FROM "`+name+`"`).Scan(&n); err != nil {
			return nil, err
		}
		counts[name] = n
	}
	return counts, nil
}
