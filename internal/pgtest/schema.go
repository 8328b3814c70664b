package pgtest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// variable holds the address of a PostgreSQL for tests, see
// scripts/with-postgres.
const variable = "MUSTER_TEST_POSTGRES"

// Schema returns the address of the PostgreSQL that MUSTER_TEST_POSTGRES names
// and the name of a schema for the test, which is not there yet and is dropped
// when the test ends. The test is skipped if the variable is not set.
func Schema(t testing.TB) (dsn, schema string) {
	t.Helper()
	if dsn = os.Getenv(variable); dsn == "" {
		t.Skip(variable + " is not set: see scripts/with-postgres")
	}
	schema = "test_" + strings.ToLower(rand.Text())
	t.Cleanup(func() { Exec(t, dsn, "DROP SCHEMA IF EXISTS "+schema+" CASCADE") })
	return dsn, schema
}

// SchemaAddress is a connection string that leads to a new schema of the test's
// own, as Schema's.
func SchemaAddress(t testing.TB) string {
	t.Helper()
	dsn, schema := Schema(t)
	Exec(t, dsn, "CREATE SCHEMA "+schema)
	switch {
	case !strings.Contains(dsn, "://"):
		return dsn + " search_path=" + schema
	case strings.Contains(dsn, "?"):
		return dsn + "&search_path=" + schema
	}
	return dsn + "?search_path=" + schema
}

// Exec runs one statement on a connection of its own.
func Exec(t testing.TB, dsn, query string, args ...any) {
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
