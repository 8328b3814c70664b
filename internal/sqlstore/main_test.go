package sqlstore

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/archive"
	"github.com/muster-im/muster/internal/pgtest"
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
	dsn, schema := pgtest.Schema(t)
	return Options{Driver: Postgres, URL: dsn, Schema: schema, Durability: DurabilityProcess, MaxConns: 8}
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
