package roster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/offline"
	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// romeo and juliet have accounts, peer is somewhere that all stanzas are
// recorded, ghost has no account.
var (
	romeo  = jid.MustParse("romeo@example.org")
	juliet = jid.MustParse("juliet@example.org")
	peer   = jid.MustParse("peer@elsewhere.test")
	ghost  = jid.MustParse("ghost@example.org")
)

type accounts []jid.JID

func (a accounts) Exists(_ context.Context, j jid.JID) (bool, error) {
	return slices.Contains(a, j), nil
}

// elsewhere records what is sent to a domain.
type elsewhere struct {
	mu  sync.Mutex
	got []stanza.Stanza
}

func (e *elsewhere) Handle(st stanza.Stanza) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got = append(e.got, st)
	return nil
}

func (e *elsewhere) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for _, st := range e.got {
		list = append(list, describe(st))
	}
	e.got = nil
	return list
}

// brokenStore fails when told to.
type brokenStore struct {
	*sqlstore.DB
	err     error // of writes
	readErr error // of reads
	late    bool  // writes that fail have happened all the same
}

func (b *brokenStore) PutRosterItem(ctx context.Context, owner jid.JID, item store.RosterItem) (int64, error) {
	if b.err != nil && !b.late {
		return 0, b.err
	}
	version, err := b.DB.PutRosterItem(ctx, owner, item)
	return version, errors.Join(err, b.err)
}

func (b *brokenStore) NoteRosterItem(ctx context.Context, owner jid.JID, item store.RosterItem) error {
	if b.err != nil && !b.late {
		return b.err
	}
	return errors.Join(b.DB.NoteRosterItem(ctx, owner, item), b.err)
}

func (b *brokenStore) Roster(ctx context.Context, owner jid.JID) ([]store.RosterItem, int64, error) {
	if b.readErr != nil {
		return nil, 0, b.readErr
	}
	return b.DB.Roster(ctx, owner)
}

func (b *brokenStore) RosterItem(ctx context.Context, owner, contact jid.JID) (store.RosterItem, error) {
	if b.readErr != nil {
		return store.RosterItem{}, b.readErr
	}
	return b.DB.RosterItem(ctx, owner, contact)
}

func (b *brokenStore) RosterGrants(ctx context.Context, who jid.JID) ([]jid.JID, error) {
	if b.readErr != nil {
		return nil, b.readErr
	}
	return b.DB.RosterGrants(ctx, who)
}

// world is a server without streams.
type world struct {
	t         *testing.T
	db        *brokenStore
	router    *router.Router
	roster    *Service
	elsewhere *elsewhere
	connected func(*client) // if set, called for each session before it is bound
}

func newWorld(t *testing.T, change func(*Options)) *world {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir(), Durability: "process"})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: &brokenStore{DB: db}, elsewhere: &elsewhere{}}
	w.router = router.New(router.Options{Accounts: accounts{romeo, juliet}})
	w.router.AddHost("example.org")
	w.router.AddService("elsewhere.test", w.elsewhere)
	waiting := offline.New(offline.Options{Store: db})
	w.router.SetOffline(waiting)
	o := Options{Store: w.db, Router: w.router, Offline: waiting}
	if change != nil {
		change(&o)
	}
	w.roster = New(o)
	w.router.SetContacts(w.roster)
	w.router.HandleAccount(stanza.NSRoster, stanza.TypeGet, w.roster.Get)
	w.router.HandleAccount(stanza.NSRoster, stanza.TypeSet, w.roster.Set)
	t.Cleanup(func() {
		w.router.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// client is a session that keeps what it gets.
type client struct {
	w     *world
	jid   jid.JID
	state router.PresenceState
	hold  func(stanza.Stanza) // if set, called before a stanza arrives

	mu  sync.Mutex
	got []stanza.Stanza
}

func (c *client) JID() jid.JID                 { return c.jid }
func (c *client) State() *router.PresenceState { return &c.state }
func (c *client) Replace()                     {}

func (c *client) Deliver(batch []*stanza.Encoded) {
	if c.hold != nil {
		for _, e := range batch {
			c.hold(e.Stanza)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range batch {
		st, err := stanza.Parse(e.AppendTo(nil, stanza.EscapeAttr(c.jid.String())))
		if err != nil {
			c.w.t.Errorf("%s gets what it cannot read: %v", c.jid, err)
		}
		c.got = append(c.got, st)
	}
}

// connect binds a session.
func (w *world) connect(account jid.JID, resource string) *client {
	w.t.Helper()
	full, err := account.WithResource(resource)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &client{w: w, jid: full}
	if w.connected != nil {
		w.connected(c)
	}
	w.router.Bind(c)
	return c
}

// online binds a session that asks for its roster and becomes available.
func (w *world) online(account jid.JID, resource string) *client {
	w.t.Helper()
	c := w.connect(account, resource)
	c.send(`<iq type="get" id="roster"><query xmlns="jabber:iq:roster"/></iq>`)
	c.send(`<presence/>`)
	c.take()
	return c
}

// drop ends the session as a lost connection does.
func (c *client) drop() {
	c.w.router.Unbind(c)
	c.w.roster.Ended(c.w.t.Context(), c)
}

// send does what a session does with a stanza of its client.
func (c *client) send(xml string) {
	c.w.t.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		c.w.t.Fatalf("%s: %v", xml, err)
	}
	st.From = c.jid
	if st.Kind == stanza.Presence {
		c.w.roster.Outbound(c.w.t.Context(), c, st)
		return
	}
	if st.To.IsZero() {
		st.To = c.jid.Bare()
	}
	c.w.router.Route(c.w.t.Context(), st)
}

// take returns what has come since it was last called.
func (c *client) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for _, st := range c.got {
		list = append(list, describe(st))
	}
	c.got = nil
	return list
}

// describe says in short what a stanza is.
func describe(st stanza.Stanza) string {
	if se := st.ParseError(); se != nil {
		return fmt.Sprintf("%s error %s", st.Kind, se.Condition)
	}
	if st.Kind == stanza.IQ {
		return describeIQ(st)
	}
	what := string(st.Type)
	if st.Kind == stanza.Message {
		return fmt.Sprintf("message %q from %s", st.Body(), st.From)
	}
	if what == "" {
		what = "available"
	}
	if show := st.ChildText(stanza.NSClient, "show"); show != "" {
		what += " " + show
	}
	return fmt.Sprintf("%s from %s", what, st.From)
}

func describeIQ(st stanza.Stanza) string {
	if st.Type != stanza.TypeSet {
		text := string(st.Type)
		for item := range st.Payload().Elements() {
			text += " " + describeItem(item)
		}
		return text
	}
	return "push " + describeItem(st.Payload().FirstElement())
}

// itemElement is an item as clients read it.
func itemElement(item *store.RosterItem) *stanza.Element {
	query := string(appendItem([]byte("<query xmlns='jabber:iq:roster'>"), item)) + "</query>"
	st, err := stanza.Parse([]byte("<iq type='set' id='a'>" + query + "</iq>"))
	if err != nil {
		return stanza.NewElement(stanza.NSRoster, err.Error())
	}
	return st.Payload().FirstElement()
}

func describeItem(item *stanza.Element) string {
	text := item.Attr("jid") + " " + item.Attr("subscription")
	for _, name := range []string{"ask", "approved", "name"} {
		if v := item.Attr(name); v != "" {
			text += " " + name + "=" + v
		}
	}
	for g := range item.Elements() {
		text += " [" + g.Text() + "]"
	}
	return text
}

// expect compares everything that a client has got.
func (c *client) expect(want ...string) {
	c.w.t.Helper()
	if got := c.take(); !slices.Equal(got, want) {
		c.w.t.Errorf("%s\ngot  %q\nwant %q", c.jid, got, want)
	}
}

func (w *world) item(owner, contact jid.JID) store.RosterItem {
	w.t.Helper()
	item, err := w.db.RosterItem(w.t.Context(), owner, contact)
	if errors.Is(err, store.ErrNotFound) {
		return store.RosterItem{Contact: contact, Subscription: store.SubNone}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return item
}

// put stores an item as it is.
func (w *world) put(owner jid.JID, item store.RosterItem) {
	w.t.Helper()
	if _, err := w.db.PutRosterItem(w.t.Context(), owner, item); err != nil {
		w.t.Fatal(err)
	}
}

// friends makes two people see each other.
func (w *world) friends(a, b jid.JID) {
	w.t.Helper()
	w.put(a, store.RosterItem{Contact: b, Subscription: store.SubBoth, InRoster: true})
	w.put(b, store.RosterItem{Contact: a, Subscription: store.SubBoth, InRoster: true})
}
