package xmpptest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/sqlstore"
)

// postgresVariable holds the address of a PostgreSQL for tests, see
// scripts/with-postgres.
const postgresVariable = "MUSTER_TEST_POSTGRES"

// OnEngines runs a test with servers on SQLite and, if MUSTER_TEST_POSTGRES is
// set, with servers on PostgreSQL.
func OnEngines(t *testing.T, test func(t *testing.T, start Start)) {
	t.Helper()
	t.Run(sqlstore.SQLite, func(t *testing.T) {
		t.Parallel()
		test(t, NewServer)
	})
	t.Run(sqlstore.Postgres, func(t *testing.T) {
		t.Parallel()
		if os.Getenv(postgresVariable) == "" {
			t.Skip(postgresVariable + " is not set: see scripts/with-postgres")
		}
		test(t, newPostgresServer)
	})
}

// newPostgresServer starts a server like NewServer's in a schema of its own of
// the PostgreSQL that MUSTER_TEST_POSTGRES names. Waiting for PostgreSQL takes no
// virtual time.
func newPostgresServer(t testing.TB, files map[string]string) System {
	t.Helper()
	dsn := os.Getenv(postgresVariable)
	schema := "test_" + strings.ToLower(rand.Text())
	execPostgres(t, dsn, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { execPostgres(t, dsn, "DROP SCHEMA "+schema+" CASCADE") })
	return newWhole(t, files, func(c *config.Config) {
		c.Storage.Driver = sqlstore.Postgres
		c.Storage.URL = config.Secret(inSchema(dsn, schema))
	})
}

// inSchema makes a connection string, of either kind, lead to a schema.
func inSchema(dsn, schema string) string {
	switch {
	case !strings.Contains(dsn, "://"):
		return dsn + " search_path=" + schema
	case strings.Contains(dsn, "?"):
		return dsn + "&search_path=" + schema
	}
	return dsn + "?search_path=" + schema
}

func execPostgres(t testing.TB, dsn, query string) {
	t.Helper()
	ctx := context.Background() // a test's own context has ended when it cleans up
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing depends on it
	if _, err := conn.Exec(ctx, query); err != nil {
		t.Fatal(err)
	}
}
