package sqlstore

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/archive"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

var (
	_ muc.Store     = (*DB)(nil)
	_ archive.Store = (*DB)(nil)
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		os.Exit(writeUntilKilled(dir))
	}
	goleak.VerifyTestMain(m)
}

// onEngines runs a test on SQLite and, if MUSTER_TEST_POSTGRES is set, on
// PostgreSQL. Each call of open opens the same store.
func onEngines(t *testing.T, test func(t *testing.T, open func() *DB)) {
	t.Helper()
	t.Run(SQLite, func(t *testing.T) {
		t.Parallel()
		test(t, opener(t, Options{Driver: SQLite, Dir: t.TempDir(), Durability: DurabilityProcess}))
	})
	t.Run(Postgres, func(t *testing.T) {
		t.Parallel()
		test(t, opener(t, postgresOptions(t)))
	})
}

func opener(t *testing.T, o Options) func() *DB {
	return func() *DB {
		t.Helper()
		db, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return db
	}
}

// postgresOptions are for a schema of the test's own.
func postgresOptions(t *testing.T) Options {
	t.Helper()
	dsn := os.Getenv("MUSTER_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("MUSTER_TEST_POSTGRES is not set: see scripts/with-postgres")
	}
	schema := "test_" + strings.ToLower(rand.Text())
	t.Cleanup(func() { execPostgres(t, dsn, "DROP SCHEMA IF EXISTS "+schema+" CASCADE") })
	return Options{Driver: Postgres, URL: dsn, Schema: schema, Durability: DurabilityProcess, MaxConns: 8}
}

func execPostgres(t *testing.T, dsn, query string, args ...any) {
	t.Helper()
	ctx := context.Background() // a test's own context has ended when it cleans up
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing depends on it
	if _, err := conn.Exec(ctx, query, args...); err != nil {
		t.Fatal(err)
	}
}

var (
	romeo  = jid.MustParse("romeo@example.org")
	juliet = jid.MustParse("juliet@example.org")
	coven  = jid.MustParse("coven@chat.example.org")
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
