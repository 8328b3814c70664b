package sqlstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-im/muster/internal/pgtest"
)

func TestDamagedDatabaseIsNamed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{metaFile, archiveFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{Driver: SQLite, Dir: t.TempDir()}
			must(t, opener(t, o)().Close())
			file := filepath.Join(o.Dir, name)
			data, err := os.ReadFile(file)
			must(t, err)
			copy(data[100:], strings.Repeat("\xff", pageSize)) // the list of tables
			must(t, os.WriteFile(file, data, 0o600))
			_, err = Open(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), "database "+file+" is damaged (") || !strings.Contains(err.Error(), "muster restore --replace FILE") {
				t.Errorf("got %v, want the file and a remedy", err)
			}
		})
	}
}

func TestDatabaseOfAnotherUser(t *testing.T) {
	t.Parallel()
	err := explainSQLite("/data/muster.db", &os.PathError{Op: "open", Path: "/data/muster.db", Err: os.ErrPermission})
	if got, want := err.Error(), "database /data/muster.db: permission denied: let this user read and write it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Every problem that an operator can have is one line with a remedy, and shows
// no password.
func TestPostgresProblems(t *testing.T) {
	t.Parallel()
	cfg, err := pgx.ParseConfig("postgres://muster:geheim@db.test/chat")
	must(t, err)
	refusal := func(code, message string) error {
		return fmt.Errorf("failed to connect:\n\t%w", &pgconn.PgError{Code: code, Message: message})
	}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"unreachable", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "nobody answers there: start PostgreSQL, or correct storage.url"},
		{"slow", context.DeadlineExceeded, "no answer in time: look at the network and its firewalls, or correct storage.url"},
		{"no host", &net.DNSError{Err: "no such host", IsNotFound: true}, "there is no host of that name: correct storage.url"},
		{"socket", os.ErrPermission, "this user may not use the socket: let it, or correct storage.url"},
		{"no TLS", errors.New("failed to connect:\n\tserver refused TLS connection"), "it does not offer TLS: switch its ssl on, or set sslmode=disable in storage.url on a network that you trust"},
		{"password", refusal("28P01", "password authentication failed"), "password authentication failed: correct the password in storage.url, or set it anew with ALTER ROLE"},
		{"no role", refusal("28000", `role "muster" does not exist`), `role "muster" does not exist: make the role with createuser, let it in in pg_hba.conf, or correct storage.url`},
		{"no database", refusal("3D000", `database "chat" does not exist`), `database "chat" does not exist: make it: createdb --owner=muster --encoding=UTF8 --template=template0 chat`},
		{"no rights", refusal("42501", "permission denied for schema public"), `permission denied for schema public: let the user make tables: ALTER DATABASE "chat" OWNER TO "muster"`},
		{"full", refusal("53300", "too many clients"), "too many clients: raise its max_connections"},
		{"starting", refusal("57P03", "the database system is starting up"), "the database system is starting up: wait until it is ready, then start again"},
		{"standby", refusal("25006", "cannot execute CREATE TABLE in a read-only transaction"), "cannot execute CREATE TABLE in a read-only transaction: name the server that takes writes in storage.url"},
		{"encoding", &encodingError{"LATIN1"}, "the database is encoded in LATIN1, which cannot hold every message: make another one: createdb --owner=muster --encoding=UTF8 --template=template0 chat"},
		{"anything else", errors.New("two\n\tlines"), "two lines"},
	} {
		want := `PostgreSQL at db.test:5432, database "chat", user "muster": ` + test.want
		if got := explainPostgres(cfg, test.err).Error(); got != want {
			t.Errorf("%s: got %q, want %q", test.name, got, want)
		}
	}
}

// The same with a server's own words, as far as a test can make it say them.
func TestPostgresRefusesToStart(t *testing.T) {
	t.Parallel()
	o := postgresOptions(t)
	cfg, err := pgx.ParseConfig(o.URL)
	must(t, err)
	name := "test_" + strings.ToLower(rand.Text())
	for _, query := range []string{"CREATE DATABASE %s ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0", "CREATE ROLE %s LOGIN"} {
		pgtest.Exec(t, o.URL, fmt.Sprintf(query, name))
	}
	t.Cleanup(func() {
		pgtest.Exec(t, o.URL, "DROP DATABASE "+name)
		pgtest.Exec(t, o.URL, "DROP ROLE "+name)
	})
	at := func(user, database string) string {
		return fmt.Sprintf("host=%s port=%d user=%s dbname=%s", cfg.Host, cfg.Port, user, database)
	}
	for _, test := range []struct{ name, url, want string }{
		{"no database", at(cfg.User, "nowhere"), `database "nowhere" does not exist: make it: createdb`},
		{"no role", at("nobody_at_all", cfg.Database), "make the role with createuser"},
		{"encoding", at(cfg.User, name), "encoded in LATIN1, which cannot hold every message"},
		{"no rights", at(name, cfg.Database), "permission denied for schema public: let the user make tables"},
	} {
		_, err := Open(t.Context(), Options{Driver: Postgres, URL: test.url})
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", test.name, err, test.want)
		}
	}
}
