package sqlstore

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// unmigrated opens an engine without any schema.
func unmigrated(t *testing.T, driver string) *DB {
	t.Helper()
	db := &DB{}
	var err error
	if driver == Postgres {
		err = db.openPostgres(t.Context(), postgresOptions(t))
	} else {
		err = db.openSQLite(Options{Driver: SQLite, Dir: t.TempDir()})
	}
	t.Cleanup(func() { must(t, db.closeFiles()) })
	must(t, err)
	return db
}

// TestMigrateGroupChats: chats of before are their groups'; of two groups with one
// room, the older one's.
func TestMigrateGroupChats(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{SQLite, Postgres} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			db := unmigrated(t, driver)
			for _, d := range []*database{db.meta, db.archive} {
				steps, err := readMigrations(migrations, path.Join("migrations", d.dialect.String(), d.name))
				must(t, err)
				must(t, d.migrate(t.Context(), steps[:min(19, len(steps))]))
			}
			for i, chats := range []string{`null`, `[]`, `[{"JID":"a@g.test","Name":"A","Default":true},{"JID":"b@g.test","Name":"B"}]`, `[{"JID":"a@g.test","Name":"C"}]`} {
				execOn(t, db.meta, "INSERT INTO contact_groups (number, id, name, contract, chats, revision, created, deleted) VALUES ("+
					strconv.Itoa(i)+", '"+strconv.Itoa(i)+"', 'n', 'permanent', '"+chats+"', 7, 7, FALSE)")
			}
			must(t, db.migrate(t.Context()))
			got := ""
			must(t, db.meta.each(t.Context(), "SELECT room, number, revision FROM contact_group_chats ORDER BY room", nil, func(rows row) error {
				var room string
				var number, revision int64
				err := rows.Scan(&room, &number, &revision)
				got += fmt.Sprint(room, " ", number, " ", revision, "; ")
				return err
			}))
			if want := "a@g.test 2 7; b@g.test 2 7; "; got != want {
				t.Errorf("chats are %q, want %q", got, want)
			}
		})
	}
}

// TestMigrateInvitedGroups: invitations of before are to the groups that have the
// ids, but for those that were made later.
func TestMigrateInvitedGroups(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{SQLite, Postgres} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			db := unmigrated(t, driver)
			for _, d := range []*database{db.meta, db.archive} {
				steps, err := readMigrations(migrations, path.Join("migrations", d.dialect.String(), d.name))
				must(t, err)
				must(t, d.migrate(t.Context(), steps[:min(21, len(steps))]))
			}
			for _, group := range []string{"7, 'here', 7, FALSE", "8, 'old', 7, TRUE", "9, 'again', 90000000, FALSE", "10, 'again', 7, TRUE", `11, '"🎉"', 7, FALSE`} {
				values := strings.SplitN(group, ", ", 3)
				execOn(t, db.meta, "INSERT INTO contact_groups (number, id, name, contract, chats, revision, created, deleted) VALUES ("+
					values[0]+", "+values[1]+", 'n', 'permanent', 'null', 7, "+values[2]+")")
			}
			const list = `["here","old","again","never","\"🎉\""]`
			for id, groups := range map[string]string{"a": list, "b": "null", "c": "[]"} {
				execOn(t, db.meta, `INSERT INTO invitations (id, hash, domain, local, inviter, account, contact, groups, note, creator, uses, used, created, expires)
					VALUES ('`+id+`', 'x', 'a.test', '', '', TRUE, FALSE, '`+groups+`', '', '', 1, 0, 8, 9000000000000000)`)
				execOn(t, db.meta, `INSERT INTO arrivals (invitation, account, inviter, groups) VALUES ('`+id+`', 'romeo@example.org', '', '`+groups+`')`)
			}
			must(t, db.migrate(t.Context()))
			invitations, err := db.Invitations(t.Context(), "a.test", "", 9)
			must(t, err)
			arrivals, err := db.Arrivals(t.Context())
			must(t, err)
			if len(invitations) != 3 || len(arrivals) != 3 {
				t.Fatalf("there are %v and %v", invitations, arrivals)
			}
			want := "[{here 7 false} {old 0 false} {again 0 false} {never 0 false} {\"🎉\" 11 false}] [] []"
			if got := fmt.Sprint(invitations[0].Groups, invitations[1].Groups, invitations[2].Groups); got != want {
				t.Errorf("invitations are to %s, want %s", got, want)
			}
			want = "[{here 7 false} {old 0 false} {again 9 false} {never 0 false} {\"🎉\" 11 false}] [] []"
			if got := fmt.Sprint(arrivals[0].Groups, arrivals[1].Groups, arrivals[2].Groups); got != want {
				t.Errorf("arrivals are in %s, want %s", got, want)
			}
		})
	}
}

// TestMigrateEndedContacts: whoever had removed a contact has ended what a group may
// have left of it, in both rosters; files' groups, which leave nothing, apart.
func TestMigrateEndedContacts(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{SQLite, Postgres} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			db := unmigrated(t, driver)
			for _, d := range []*database{db.meta, db.archive} {
				steps, err := readMigrations(migrations, path.Join("migrations", d.dialect.String(), d.name))
				must(t, err)
				must(t, d.migrate(t.Context(), steps[:min(22, len(steps))]))
			}
			for _, it := range []struct {
				owner, contact string
				hidden         int
			}{{"a", "b", 5}, {"b", "a", 9}, {"a", "c", 4}, {"b", "c", 1}, {"d", "a", 0}} {
				execOn(t, db.meta, "INSERT INTO rosters (owner, version, floor) VALUES ('"+it.owner+"@x.test', 3, 3) ON CONFLICT DO NOTHING")
				execOn(t, db.meta, `INSERT INTO roster_items (owner, contact, name, groups, subscription, pending_out, pending_in, approved,
					in_roster, version, removed, shown, hidden) VALUES ('`+it.owner+"@x.test', '"+it.contact+
					"@x.test', '', 'null', 'none', FALSE, FALSE, FALSE, FALSE, 2, FALSE, FALSE, "+strconv.Itoa(it.hidden)+")")
			}
			must(t, db.migrate(t.Context()))
			got := ""
			for _, owner := range []string{"a", "b", "c", "d"} {
				items, _, err := db.Roster(t.Context(), jid.MustParse(owner+"@x.test"))
				must(t, err)
				for _, it := range items {
					got += fmt.Sprint(owner, " ", it.Contact.Local(), " ", it.Hidden, " ", it.Ended, "; ")
				}
			}
			if want := "a b 5 9; a c 4 4; b a 9 9; b c 1 0; c a 0 4; d a 0 0; "; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// A database of schema 1 with something in it must be brought to the newest
// schema with that in it.
func TestMigrateFromSchema1(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{SQLite, Postgres} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			db := unmigrated(t, driver)
			for _, d := range []*database{db.meta, db.archive} {
				steps, err := readMigrations(migrations, path.Join("migrations", d.dialect.String(), d.name))
				must(t, err)
				must(t, d.migrate(t.Context(), steps[:1]))
			}
			// As a server of schema 1 would have written it.
			execOn(t, db.meta, "INSERT INTO accounts (domain, local, created) VALUES ('example.org', 'romeo', 7)")
			execOn(t, db.archive, "INSERT INTO archive_rooms (room) VALUES ('coven@chat.example.org')")
			execOn(t, db.archive, `INSERT INTO archive (room, id, time, nick, real_jid, subject, stanza)
				SELECT id, 'A', 7, 'Moon', 'romeo@example.org', FALSE, 'x' FROM archive_rooms`)

			must(t, db.migrate(t.Context()))
			must(t, db.migrate(t.Context()))

			a, err := db.Account(t.Context(), romeo)
			if err != nil || a.Created != stamp(7) {
				t.Errorf("account: %+v, %v", a, err)
			}
			page, err := db.ArchivePage(t.Context(), store.ArchiveQuery{Room: coven, Limit: 5})
			if err != nil || len(page) != 1 || page[0].ID != "A" || page[0].From.Resource() != "Moon" {
				t.Errorf("archive: %+v, %v", page, err)
			}
		})
	}
}

func execOn(t *testing.T, d *database, query string) {
	t.Helper()
	if d.dialect == sqlite {
		query = strings.ReplaceAll(query, "'x'", "x'78'") // a BLOB, strictly
	}
	must(t, d.update(t.Context(), func(ctx context.Context, q querier) error {
		_, err := q.exec(ctx, query)
		return err
	}))
}

func TestMigrationsAreWholeAndOrdered(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{SQLite, Postgres} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			d := unmigrated(t, driver).meta
			steps := []migration{
				{"0001_a.sql", "CREATE TABLE a (x BIGINT NOT NULL); INSERT INTO a VALUES (1);"},
				{"0002_b.sql", "UPDATE a SET x = 2; CREATE TABLE b (y BIGINT); INSERT INTO nowhere VALUES (1);"},
			}
			err := d.migrate(t.Context(), steps)
			if err == nil || !strings.Contains(err.Error(), "0002_b.sql") {
				t.Fatalf("got %v, want an error that names the file", err)
			}
			var x int64
			if _, err := d.one(t.Context(), "SELECT x FROM a", nil, &x); err != nil || x != 1 {
				t.Errorf("x is %d (%v): the failed step left something behind", x, err)
			}
			steps[1].sql = "UPDATE a SET x = 3"
			must(t, d.migrate(t.Context(), steps))
			if _, err := d.one(t.Context(), "SELECT x FROM a", nil, &x); err != nil || x != 3 {
				t.Errorf("x is %d (%v), want 3", x, err)
			}
			err = d.migrate(t.Context(), steps[:1])
			if err == nil || !strings.Contains(err.Error(), "schema is version 2, this program knows versions up to 1") {
				t.Errorf("newer schema: %v", err)
			}
		})
	}
}

func TestServersMigrateAtTheSameMoment(t *testing.T) {
	t.Parallel()
	o := postgresOptions(t)
	errs := make(chan error)
	for range 4 {
		go func() {
			db, err := Open(context.Background(), o)
			if err == nil {
				err = db.Close()
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestNewerSchemaRefused(t *testing.T) {
	t.Parallel()
	o := Options{Driver: SQLite, Dir: t.TempDir()}
	db := opener(t, o)()
	execOn(t, db.archive, "UPDATE schema_versions SET version = 1000")
	must(t, db.Close())
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "schema is version 1000") {
		t.Errorf("got %v", err)
	}
}

func TestMigrationFiles(t *testing.T) {
	t.Parallel()
	file := &fstest.MapFile{Data: []byte("SELECT 1")}
	for name, files := range map[string]fstest.MapFS{
		"gap":       {"m/0001_a.sql": file, "m/0003_b.sql": file},
		"no number": {"m/first.sql": file},
		"twice":     {"m/0001_a.sql": file, "m/0001_b.sql": file},
		"from zero": {"m/0000_a.sql": file},
	} {
		if _, err := readMigrations(files, "m"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, name := range []string{"meta", "archive"} {
		var versions [2]int
		for i, d := range []dialect{sqlite, postgres} {
			steps, err := readMigrations(migrations, path.Join("migrations", d.String(), name))
			must(t, err)
			versions[i] = len(steps)
		}
		if versions[0] != versions[1] || versions[0] == 0 {
			t.Errorf("%s: SQLite and PostgreSQL have versions %v", name, versions)
		}
	}
}
