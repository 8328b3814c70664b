package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// explainSQLite says in one line which file cannot be used, why and what helps.
func explainSQLite(path string, err error) error {
	remedy := ""
	if e, ok := errors.AsType[*sqlitedriver.Error](err); ok {
		switch e.Code() & 0xff { // without the details of the extended code
		case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
			return fmt.Errorf("database %s is damaged (%s): bring a backup back with \"muster restore --replace FILE\"", path, oneLine(err))
		case sqlite3.SQLITE_FULL:
			remedy = ": make room on its disk"
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
			remedy = ": let this user write it and its directory"
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		remedy = ": let this user read and write it"
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok && pe.Path == path {
		err = pe.Err
	}
	return fmt.Errorf("database %s: %w%s", path, err, remedy)
}

// explainPostgres says in one line what PostgreSQL does not let us do, why and
// what helps. The password is not in it.
func explainPostgres(cfg *pgx.ConnConfig, err error) error {
	why, remedy := postgresProblem(cfg, err)
	host := fmt.Sprintf("%s (port %d)", cfg.Host, cfg.Port) // a directory of sockets
	if !strings.HasPrefix(cfg.Host, "/") {
		host = net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port))
	}
	text := fmt.Sprintf("PostgreSQL at %s, database %q, user %q: %s", host, cfg.Database, cfg.User, why)
	if remedy != "" {
		text += ": " + remedy
	}
	return errors.New(text)
}

func postgresProblem(cfg *pgx.ConnConfig, err error) (why, remedy string) {
	if refusal, ok := errors.AsType[*pgconn.PgError](err); ok {
		if why, remedy = postgresRefusal(cfg, refusal); remedy == "" {
			why = oneLine(err) // all that is known
		}
		return why, remedy
	}
	if e, ok := errors.AsType[*encodingError](err); ok {
		return e.Error(), "make another one: " + createDatabase(cfg)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "there is no host of that name", "correct storage.url"
	}
	timeout, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return "nobody answers there", "start PostgreSQL, or correct storage.url"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not use the socket", "let it, or correct storage.url"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), timeout != nil && timeout.Timeout():
		return "no answer in time", "look at the network and its firewalls, or correct storage.url"
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return "it does not offer TLS", "switch its ssl on, or set sslmode=disable in storage.url on a network that you trust"
	}
	return oneLine(err), ""
}

// postgresRefusal explains what the server said. Codes are in PostgreSQL's
// manual, appendix A.
func postgresRefusal(cfg *pgx.ConnConfig, refusal *pgconn.PgError) (why, remedy string) {
	why = refusal.Message
	switch refusal.Code {
	case "3D000": // invalid_catalog_name
		remedy = "make it: " + createDatabase(cfg)
	case "28P01": // invalid_password
		remedy = "correct the password in storage.url, or set it anew with ALTER ROLE"
		if cfg.Password == "" {
			why, remedy = "it asks for a password", "put one into storage.url"
		}
	case "28000": // invalid_authorization_specification
		remedy = "make the role with createuser, let it in in pg_hba.conf, or correct storage.url"
	case "42501": // insufficient_privilege
		remedy = fmt.Sprintf("let the user make tables: ALTER DATABASE %s OWNER TO %s",
			pgx.Identifier{cfg.Database}.Sanitize(), pgx.Identifier{cfg.User}.Sanitize())
	case "53300": // too_many_connections
		remedy = "raise its max_connections"
	case "53100": // disk_full
		remedy = "make room on its disk"
	case "57P03": // cannot_connect_now
		remedy = "wait until it is ready, then start again"
	case "25006": // read_only_sql_transaction
		remedy = "name the server that takes writes in storage.url"
	}
	return why, remedy
}

// createDatabase is the command that makes a database that suits us.
func createDatabase(cfg *pgx.ConnConfig) string {
	return fmt.Sprintf("createdb --owner=%s --encoding=UTF8 --template=template0 %s", cfg.User, cfg.Database)
}

// encodingError says that a database cannot hold every text.
type encodingError struct{ encoding string }

// Error names the encoding.
func (e *encodingError) Error() string {
	return fmt.Sprintf("the database is encoded in %s, which cannot hold every message", e.encoding)
}

// checkEncoding refuses a database that is not in UTF-8.
func checkEncoding(ctx context.Context, d *database) error {
	var encoding string
	if _, err := d.one(ctx, "SHOW server_encoding", nil, &encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return &encodingError{encoding}
	}
	return nil
}

// oneLine is the text of an error on one line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
