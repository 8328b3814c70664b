package app

import (
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// ledger counts the rows that somebody else's transactions write in a database.
type ledger struct {
	t  *testing.T
	db *sql.DB
}

// newLedger puts a ledger into the database of a configuration, whose tables are
// there.
func newLedger(t *testing.T, cfg *config.Config) *ledger {
	t.Helper()
	driver, dsn, tables := "sqlite", "", "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	if cfg.Storage.Driver == sqlstore.Postgres {
		driver, dsn, tables = "pgx", string(cfg.Storage.URL), "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
	} else {
		v := url.Values{"_pragma": {"busy_timeout(60000)"}}
		dsn = (&url.URL{Scheme: "file", Path: filepath.Join(cfg.General.DataDir, "muster.db"), RawQuery: v.Encode()}).String()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	l := &ledger{t, db}
	watched := l.strings(tables)
	if len(watched) < 20 {
		t.Fatalf("the tables are %q", watched)
	}
	l.exec("CREATE TABLE ledger (name TEXT NOT NULL)")
	if driver == "pgx" {
		l.exec("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO ledger VALUES (TG_TABLE_NAME); RETURN NULL; END'")
	}
	for _, table := range watched {
		for _, event := range []string{"INSERT", "UPDATE", "DELETE"} {
			what := fmt.Sprintf("BEGIN INSERT INTO ledger VALUES ('%s'); END", table)
			if driver == "pgx" {
				what = "FOR EACH ROW EXECUTE FUNCTION note()"
			}
			l.exec(fmt.Sprintf("CREATE TRIGGER note_%s_%s AFTER %s ON %s %s", table, event, event, table, what))
		}
	}
	return l
}

func (l *ledger) exec(query string) {
	l.t.Helper()
	if _, err := l.db.ExecContext(l.t.Context(), query); err != nil {
		l.t.Fatalf("%s: %v", query, err)
	}
}

func (l *ledger) strings(query string) (list []string) {
	l.t.Helper()
	rows, err := l.db.QueryContext(l.t.Context(), query)
	if err != nil {
		l.t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // Err says it
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			l.t.Fatal(err)
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		l.t.Fatal(err)
	}
	return list
}

// take returns how many rows of which table have been written since it was last
// asked.
func (l *ledger) take() map[string]int {
	l.t.Helper()
	written := make(map[string]int)
	for _, table := range l.strings("DELETE FROM ledger RETURNING name") {
		written[table]++
	}
	return written
}

// settled waits until nothing of what groups have to do is left, and so many messages
// are kept for people who are away: they are stored after their sender has gone on.
func (l *ledger) settled(kept int) {
	l.t.Helper()
	want := fmt.Sprint("0 ", kept)
	deadline := time.Now().Add(enoughTime)
	for {
		got := l.strings("SELECT (SELECT count(*) FROM contact_group_tasks) || ' ' || (SELECT count(*) FROM offline_messages)")[0]
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("tasks and messages that wait are %s, want %s", got, want)
		}
	}
}

// populate makes the tables, and accounts of people who do not log in.
func populate(t *testing.T, cfg *config.Config, n int) (people admin.GroupMembers) {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{
		Driver: cfg.Storage.Driver, Dir: cfg.General.DataDir, URL: string(cfg.Storage.URL), Durability: sqlstore.DurabilityProcess,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		name := fmt.Sprint("worker", i)
		if err := db.CreateAccount(t.Context(), store.Account{JID: jid.MustParse(name + "@localhost")}); err != nil {
			t.Fatal(err)
		}
		people.Items = append(people.Items, admin.NewGroupMember{JID: name})
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return people
}

// TestRowsOfLargeGroup: what it takes to store that somebody comes into a group, or
// leaves it, is the same for two and for a thousand members, with a chat, with
// people online, and with their bookmarks and contact lists.
func TestRowsOfLargeGroup(t *testing.T) {
	t.Parallel()
	const few, many = 2, 1000
	onStorages(t, func(t *testing.T, storage string) {
		o := newOffice(t, storage)
		cfg, err := config.Load(o.file)
		if err != nil {
			t.Fatal(err)
		}
		people := populate(t, cfg, many-few)
		book := newLedger(t, cfg)
		serving(t, o.file)
		romeo, juliet := o.person("romeo"), o.person("juliet")

		kept := 0 // invitations
		// change does something and returns what was written, once those who are
		// there have been told.
		change := func(w *worker, method, path string) map[string]int {
			t.Helper()
			book.settled(kept)
			w.catchUp()
			book.take()
			o.do(method, path, nil)
			w.catchUp()
			book.settled(kept)
			return book.take()
		}
		var added, removed [2]map[string]int
		for i, size := range []int{few, many} {
			id, name := fmt.Sprint("group", size), fmt.Sprint("newcomer", size)
			members := "/groups/" + id + "/members"
			o.do(http.MethodPost, "/groups", admin.NewGroup{ID: id, Name: id, CreateMUC: true})
			o.do(http.MethodPatch, members, admin.GroupMembers{Items: append(people.Items[:size-few:size-few], admin.NewGroupMember{JID: "romeo"}, admin.NewGroupMember{JID: "juliet"})})
			kept += size - few
			newcomer := o.person(name)
			romeo.catchUp()
			juliet.catchUp()
			romeo.pushes, juliet.pushes = 0, 0

			added[i] = change(newcomer, http.MethodPut, members+"/"+name)
			if newcomer.pushes != size || len(newcomer.contacts) != size || newcomer.contacts["juliet"] != "both "+id {
				t.Errorf("of %d: the newcomer has %d contacts after %d pushes", size, len(newcomer.contacts), newcomer.pushes)
			}
			for _, w := range []*worker{romeo, juliet} {
				w.until("the newcomer", func() bool { return w.sees(name) })
				if w.pushes != 1 || w.contacts[name] != "both "+id {
					t.Errorf("of %d: %s has the newcomer as %q after %d pushes", size, w.name, w.contacts[name], w.pushes)
				}
			}
			removed[i] = change(newcomer, http.MethodDelete, members+"/"+name)
		}
		for what, written := range map[string][2]map[string]int{"an addition": added, "a removal": removed} {
			if !maps.Equal(written[0], written[1]) {
				t.Errorf("%s writes %v in a group of %d, and %v in one of %d", what, written[0], few, written[1], many)
			}
			total := 0
			for _, n := range written[1] {
				total += n
			}
			if n := written[1]["contact_group_members"]; n != 1 || total > 12 {
				t.Errorf("%s writes %d rows: %v", what, total, written[1])
			}
		}
	})
}
