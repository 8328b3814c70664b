package xmpptest

import (
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/internal/sqlstore"
)

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
		test(t, newPostgresServer)
	})
}

// newPostgresServer starts a server like NewServer's in a schema of its own of
// the PostgreSQL that MUSTER_TEST_POSTGRES names. Waiting for PostgreSQL takes no
// virtual time.
func newPostgresServer(t testing.TB, files map[string]string) System {
	t.Helper()
	dsn := pgtest.SchemaAddress(t)
	return newWhole(t, files, func(c *config.Config) {
		c.Storage.Driver = sqlstore.Postgres
		c.Storage.URL = config.Secret(dsn)
	})
}
