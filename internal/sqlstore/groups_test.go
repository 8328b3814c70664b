package sqlstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// deafConn is a connection to PostgreSQL that breaks before the answer to a commit
// comes, when it is told to.
type deafConn struct {
	net.Conn
	lose *atomic.Bool // the answer to the next commit
	lost bool
}

func (c *deafConn) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("commit\x00")) && c.lose.CompareAndSwap(true, false) {
		c.lost = true
	}
	return c.Conn.Write(p)
}

func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.lost || err != nil {
		return n, err
	}
	_ = c.Close()
	return 0, io.ErrUnexpectedEOF
}

// losing lets a store's connections be deafConns, one after the other.
func losing(t *testing.T, db *DB, o Options) (lose *atomic.Bool) {
	t.Helper()
	cfg, err := pgx.ParseConfig(o.URL)
	must(t, err)
	cfg.RuntimeParams["search_path"] = o.Schema
	lose = new(atomic.Bool)
	var d net.Dialer
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &deafConn{Conn: conn, lose: lose}, nil
	}
	must(t, db.meta.writer.Close())
	db.meta.writer = stdlib.OpenDB(*cfg)
	db.meta.reader = db.meta.writer
	return lose
}

// A change of a group that PostgreSQL has committed and not answered is told as
// what it is, and is there once, with its task: nobody would do that otherwise.
func TestGroupChangeWithLostAnswer(t *testing.T) {
	t.Parallel()
	o := postgresOptions(t)
	db := opener(t, o)()
	lose := losing(t, db, o)
	var tasks []int64
	change := func(what string, c *groups.StoredChange) int64 {
		t.Helper()
		lose.Store(true)
		revision, err := db.ChangeGroup(t.Context(), c)
		if err != nil || lose.Load() {
			t.Fatalf("%s: %v (the answer came: %v)", what, err, lose.Load())
		}
		list, err := db.GroupTasks(t.Context())
		must(t, err)
		tasks = append(tasks, revision)
		var got []int64
		for _, task := range list {
			got = append(got, task.Revision)
		}
		if !slices.Equal(got, tasks) {
			t.Errorf("%s: at %d there are the tasks %d, want %d", what, revision, got, tasks)
		}
		return revision
	}
	member := groups.MemberRecord{User: romeo, Role: groups.RoleMember, Entered: groups.This, Joined: groups.This, Since: noon}
	room := jid.MustParse("hall@chat.example.org")
	g := groups.Record{ID: "team", Name: "Team", Contract: groups.Overlay, Created: noon}
	g.Number = change("create", &groups.StoredChange{Group: g, Task: []byte("1")})
	g.Chats = []groups.ChatRecord{{JID: room, Name: "Hall"}}
	g.Revision = change("add", &groups.StoredChange{
		Group: g, Expected: g.Number, Put: []groups.MemberRecord{member}, Open: []jid.JID{room}, Task: []byte("2"),
	})
	got, err := db.Group(t.Context(), "team")
	must(t, err)
	members, err := db.GroupMembers(t.Context(), g.Number, jid.JID{})
	must(t, err)
	if got.Revision != g.Revision || len(members) != 1 || members[0].Joined != g.Revision {
		t.Errorf("at %d there is %+v with %+v", g.Revision, got, members)
	}
	deleted := g
	deleted.Deleted, deleted.Chats = true, nil
	change("delete", &groups.StoredChange{Group: deleted, Expected: g.Revision, EndAll: true, Task: []byte("3")})
	if _, err := db.GroupNumber(t.Context(), g.Number); err == nil {
		t.Error("the group is still there")
	}

	// What is not so is still refused.
	lose.Store(true)
	if _, err := db.ChangeGroup(t.Context(), &groups.StoredChange{Group: g, Expected: g.Revision}); err == nil || !lose.Load() {
		t.Errorf("a change of a group that is gone: %v", err)
	}
}

// A commit that is under way when its server dies lands before the next server
// reads what is to be done.
func TestGroupTasksUnderWay(t *testing.T) {
	t.Parallel()
	o := postgresOptions(t)
	db := opener(t, o)()
	ctx := t.Context()
	next := opener(t, o)()
	dead, err := db.meta.writer.Conn(ctx)
	must(t, err)
	defer dead.Close() //nolint:errcheck // its transaction has ended
	tx, err := dead.BeginTx(ctx, nil)
	must(t, err)
	for _, query := range []string{
		"UPDATE contact_group_clock SET revision = revision + 1 WHERE id = 1",
		"INSERT INTO contact_group_tasks (revision, number, data) VALUES (1, 1, 'x')",
	} {
		_, err := tx.ExecContext(ctx, query)
		must(t, err)
	}
	var backend int
	must(t, tx.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&backend))

	type answer struct {
		list []groups.Task
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		list, err := next.GroupTasks(ctx)
		answers <- answer{list, err}
	}()
	waits := func() bool {
		found, err := db.meta.one(ctx, "SELECT 1 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)) LIMIT 1", []any{backend}, new(int64))
		must(t, err)
		return found
	}
	for len(answers) == 0 && !waits() {
		pause(ctx)
	}
	must(t, tx.Commit())
	if a := <-answers; a.err != nil || len(a.list) != 1 {
		t.Errorf("there are the tasks %v (%v), want the one that was under way", a.list, a.err)
	}
}

// Somebody whose account is removed while he becomes a member is none, or it is
// found out by who removes it: there is no member without an account.
func TestNewcomersHaveAccounts(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx := open(), t.Context()
		must(t, db.CreateAccount(ctx, store.Account{JID: romeo, Created: noon}))
		g := groups.Record{ID: "team", Name: "Team", Contract: groups.Permanent, Created: noon}
		add := func(people ...jid.JID) error {
			c := &groups.StoredChange{Group: g, Expected: g.Revision, Newcomers: people, Task: []byte("1")}
			for _, j := range people {
				c.Put = append(c.Put, groups.MemberRecord{User: j, Role: groups.RoleMember, Entered: groups.This, Joined: groups.This, Since: noon})
			}
			revision, err := db.ChangeGroup(ctx, c)
			if err == nil {
				g.Number, g.Revision = cmp.Or(g.Number, revision), revision
			}
			return err
		}
		must(t, add())
		before := g.Revision
		if err := add(romeo, juliet); !errors.Is(err, groups.ErrUserNotFound) {
			t.Errorf("somebody without account: %v", err)
		}
		if got, err := db.Group(ctx, "team"); err != nil || got.Revision != before {
			t.Errorf("what is refused has left %+v (%v)", got, err)
		}
		must(t, add(romeo))

		for range 20 { // both at once, in any order
			must(t, db.CreateAccount(ctx, store.Account{JID: juliet, Created: noon}))
			var added error
			var found []groups.Record
			var wg sync.WaitGroup
			wg.Go(func() { added = add(juliet) })
			wg.Go(func() {
				err := db.RemoveAccount(ctx, juliet)
				if err == nil {
					found, err = db.GroupsOf(ctx, juliet, true)
				}
				if err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			if added != nil && !errors.Is(added, groups.ErrUserNotFound) || (added == nil) != (len(found) == 1) {
				t.Fatalf("to be added came to %v, and who removed the account found %d groups", added, len(found))
			}
			must(t, db.PurgeAccount(ctx, juliet))
		}
	})
}

// TestGroupTaskLeft: of a task that is done in part the rest stays, with the rooms
// that it has still to close; they are nobody else's until then.
func TestGroupTaskLeft(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open func() *DB) {
		db, ctx, room := open(), t.Context(), jid.MustParse("hall@chat.example.org")
		g := groups.Record{ID: "team", Name: "Team", Contract: groups.Permanent, Created: noon}
		number, err := db.ChangeGroup(ctx, &groups.StoredChange{Group: g, Open: []jid.JID{room}})
		must(t, err)
		g.Number = number
		closing, err := db.ChangeGroup(ctx, &groups.StoredChange{Group: g, Expected: number, Task: []byte("all")})
		must(t, err)
		other := &groups.StoredChange{Group: groups.Record{ID: "other", Name: "O", Contract: groups.Permanent, Created: noon}, Open: []jid.JID{room}}
		task := groups.Task{Revision: closing, Number: number, Data: []byte("rest")}
		must(t, db.GroupTaskDone(ctx, task, nil))
		list, err := db.GroupTasks(ctx)
		if err != nil || len(list) != 1 || string(list[0].Data) != "rest" || list[0].Revision != closing || list[0].Number != number {
			t.Errorf("left is %v, %v", list, err)
		}
		if _, err := db.ChangeGroup(ctx, other); !errors.Is(err, groups.ErrChatConflict) {
			t.Errorf("the room of another group: %v, want ErrChatConflict", err)
		}
		task.Data = nil
		must(t, db.GroupTaskDone(ctx, task, []jid.JID{room}))
		if list, err = db.GroupTasks(ctx); err != nil || len(list) != 0 {
			t.Errorf("left is %v, %v", list, err)
		}
		_, err = db.ChangeGroup(ctx, other)
		must(t, err)
	})
}
