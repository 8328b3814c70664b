package groups_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/jid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func user(name string) jid.JID { return jid.MustParse(name + "@example.org") }

// people have accounts, but for who is called ghost.
type people struct{}

func (people) IsHost(domain string) bool { return domain == "example.org" }

func (people) Exists(_ context.Context, j jid.JID) (bool, error) { return j.Local() != "ghost", nil }

// chats are rooms that remember what was done to them.
type chats struct {
	host    string
	mu      sync.Mutex
	log     []string
	gone    map[jid.JID]bool
	foreign map[jid.JID]bool
	refuse  string // create of a chat with this name
	err     error

	restored []string
}

func (c *chats) note(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.log = append(c.log, fmt.Sprintf(format, args...))
	return nil
}

func (c *chats) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	log := c.log
	c.log = nil
	return log
}

// idle reports whether nothing has been done since take.
func (c *chats) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.log) == 0
}

func (c *chats) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *chats) Serves(domain string) bool { return domain == c.host }

func (c *chats) Create(_ context.Context, g groups.GroupChat) error {
	if c.refuse != "" && c.refuse == g.Name {
		return fmt.Errorf("%w: no room here", groups.ErrRefused)
	}
	return c.note("create %s with %s", g.Name, who(g.Members))
}

func (c *chats) Restore(_ context.Context, g groups.GroupChat) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.restored = append(c.restored, g.Name+" with "+who(g.Members))
	}
	return c.err
}

func (c *chats) Rename(_ context.Context, _ jid.JID, name string) error {
	return c.note("rename to %s", name)
}

func (c *chats) Affiliate(_ context.Context, _ jid.JID, changes []groups.Affiliation) error {
	return c.note("affiliate %s", who(changes))
}

func (c *chats) Destroy(_ context.Context, room jid.JID, reason string) error {
	if err := c.note("destroy: %s", reason); err != nil {
		return err
	}
	c.gone[room] = true
	return nil
}

func (c *chats) State(_ context.Context, room jid.JID, _ groups.ID) (groups.ChatState, error) {
	return groups.ChatState{Exists: !c.gone[room], Foreign: c.foreign[room]}, nil
}

func who(list []groups.Affiliation) string {
	var names []string
	for _, a := range list {
		role := string(a.Role)
		if role == "" {
			role = "nothing"
		}
		names = append(names, a.User.Local()+" "+role)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// countingStore counts the rows that changes write, and fails when told to.
type countingStore struct {
	*sqlstore.DB
	mu   sync.Mutex
	rows int
	err  error         // of the next change
	late bool          // which has happened all the same
	slow time.Duration // that Groups takes
	dumb error         // of GroupTasks
	next func()        // happens once somebody's groups have been read; nil: nothing
	last func()        // happens before the next change is stored; nil: nothing

	strict bool // newcomers have accounts
}

func (c *countingStore) GroupsOf(ctx context.Context, user jid.JID, member bool) ([]groups.Record, error) {
	list, err := c.DB.GroupsOf(ctx, user, member)
	if next := c.next; next != nil {
		c.next = nil
		next()
	}
	return list, err
}

func (c *countingStore) GroupTasks(ctx context.Context) ([]groups.Task, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dumb != nil {
		return nil, c.dumb
	}
	return c.DB.GroupTasks(ctx)
}

// silence lets a store say nothing of tasks; nil: it does.
func (c *countingStore) silence(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dumb = err
}

func (c *countingStore) Groups(ctx context.Context, after groups.ID, limit int) ([]groups.Record, error) {
	time.Sleep(c.slow) // in a bubble
	return c.DB.Groups(ctx, after, limit)
}

func (c *countingStore) ChangeGroup(ctx context.Context, ch *groups.StoredChange) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows += len(ch.Put) + len(ch.Drop)
	if last := c.last; last != nil {
		c.last = nil
		last()
	}
	if !c.strict {
		ch.Newcomers = nil // people have no accounts in it
	}
	err := c.err
	c.err = nil
	if err != nil && !c.late {
		return 0, err
	}
	revision, changed := c.DB.ChangeGroup(ctx, ch)
	return revision, errors.Join(changed, err)
}

// world is a service and what it needs.
type world struct {
	*groups.Service
	t         *testing.T
	db        *countingStore
	accounts  groups.Accounts
	chats     *chats
	dir       *shared.Directory
	open      func() *sqlstore.DB
	mu        sync.Mutex
	events    []string
	changed   []jid.JID
	maxChatID int
}

// eachEngine runs a test on every storage engine there is.
func eachEngine(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, newWorld(t, sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir(), Durability: sqlstore.DurabilityProcess}))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, newWorld(t, postgres(t)))
	})
}

func postgres(t *testing.T) sqlstore.Options {
	t.Helper()
	dsn, schema := pgtest.Schema(t)
	return sqlstore.Options{Driver: sqlstore.Postgres, URL: dsn, Schema: schema, Durability: sqlstore.DurabilityProcess, MaxConns: 8}
}

func newWorld(t *testing.T, o sqlstore.Options) *world {
	t.Helper()
	w := &world{t: t, accounts: people{}, chats: &chats{gone: make(map[jid.JID]bool)}}
	w.open = func() *sqlstore.DB {
		db, err := sqlstore.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	w.db = &countingStore{DB: w.open()}
	w.begin("chat.example.org")
	t.Cleanup(func() {
		w.Close()
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// begin makes the service anew.
func (w *world) begin(chatHost string) {
	w.t.Helper()
	w.chats.host = chatHost
	var rooms groups.Chats
	if chatHost != "" {
		rooms = w.chats
	}
	w.Service = groups.New(groups.Options{
		Store: w.db, Accounts: w.accounts, Chats: rooms, ChatHost: chatHost, MaxChatID: w.maxChatID, Changed: func(_ context.Context, list []jid.JID) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changed = append(w.changed, list...)
		},
	})
	w.listen()
	if err := w.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.dir = shared.NewDirectory(w.Service)
}

func (w *world) listen() {
	note := func(format string, args ...any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, fmt.Sprintf(format, args...))
	}
	h := w.Hooks()
	h.Created.Add("test", 0, func(ev *groups.GroupEvent) { note("created %s", ev.Info.Name) })
	h.Renamed.Add("test", 0, func(ev *groups.RenameEvent) { note("renamed %s to %s", ev.Old, ev.Info.Name) })
	h.Deleted.Add("test", 0, func(ev *groups.GroupEvent) { note("deleted %s", ev.Info.Name) })
	h.MemberAdded.Add("test", 0, func(ev *groups.MemberEvent) {
		note("added %s as %s by %q repeated %v", ev.User.Local(), ev.Role, ev.Actor, ev.Repeated)
	})
	h.MemberRemoved.Add("test", 0, func(ev *groups.MemberEvent) { note("removed %s", ev.User.Local()) })
	h.ChatAdded.Add("test", 0, func(ev *groups.ChatEvent) { note("chat %s", ev.Chat.Name) })
	h.ChatRemoved.Add("test", 0, func(ev *groups.ChatEvent) { note("no chat %s", ev.Chat.Name) })
}

func (w *world) takeEvents() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// takeChanged returns who was told to look at his groups since the last call.
func (w *world) takeChanged() []jid.JID {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := w.changed
	w.changed = nil
	return changed
}

func (w *world) expectEvents(want ...string) {
	w.t.Helper()
	if got := w.takeEvents(); !slices.Equal(got, want) {
		w.t.Errorf("events\ngot  %q\nwant %q", got, want)
	}
}

func (w *world) expectChats(want ...string) {
	w.t.Helper()
	if got := w.chats.take(); !slices.Equal(got, want) {
		w.t.Errorf("chats\ngot  %q\nwant %q", got, want)
	}
}

// make makes a group with members.
func (w *world) make(g groups.NewGroup, members ...string) groups.ID {
	w.t.Helper()
	info, err := w.Create(w.t.Context(), g, groups.Cause{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.add(info.ID, members...)
	w.takeEvents()
	w.chats.take()
	return info.ID
}

func (w *world) add(id groups.ID, members ...string) {
	w.t.Helper()
	for _, m := range members {
		if _, err := w.AddMember(w.t.Context(), id, groups.Joining{User: user(m)}, groups.Cause{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) remove(id groups.ID, members ...string) {
	w.t.Helper()
	for _, m := range members {
		if _, err := w.RemoveMember(w.t.Context(), id, user(m), groups.Cause{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// contacts says what groups say of somebody's contacts, in memory and as read
// anew.
func (w *world) contacts(name string) string {
	w.t.Helper()
	v, err := w.dir.View(w.t.Context(), user(name), true)
	if err != nil {
		w.t.Fatal(err)
	}
	fresh := groups.New(groups.Options{Store: w.db, Accounts: people{}})
	read, err := shared.NewDirectory(fresh).View(w.t.Context(), user(name), false)
	if err != nil {
		w.t.Fatal(err)
	}
	fresh.Close()
	kept, stored := describe(v), describe(read)
	if kept != stored {
		w.t.Errorf("contacts of %s\nin memory %q\nstored    %q", name, kept, stored)
	}
	return kept
}

func describe(v *shared.View) string {
	var list []string
	for c := range v.Contacts() {
		s := c.JID.Local()
		for _, l := range c.Labels {
			s += " [" + l.Text + "]"
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

func (w *world) members(id groups.ID) string {
	w.t.Helper()
	members, err := w.Members(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for _, m := range members {
		s := m.User.Local()
		if m.Role != groups.RoleMember {
			s += " " + string(m.Role)
		}
		if m.Delayed {
			s += " delayed"
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}
