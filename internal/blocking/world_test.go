package blocking

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) {
	// A check starts a whole server; -rapid.checks asks for more of them.
	for name, value := range map[string]string{"rapid.checks": "25", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

var (
	romeo  = jid.MustParse("romeo@example.org")
	juliet = jid.MustParse("juliet@example.org")
	nurse  = jid.MustParse("nurse@example.org")
	moon   = jid.MustParse("coven@rooms.test/Moon")
	sun    = jid.MustParse("coven@rooms.test/Sun")
	coven  = jid.MustParse("coven@rooms.test")
)

type everybody struct{}

func (everybody) Exists(context.Context, jid.JID) (bool, error) { return true, nil }

// brokenStore fails when told to.
type brokenStore struct {
	*sqlstore.DB
	err   error
	reads int // of lists
}

func (b *brokenStore) Blocked(ctx context.Context, owner jid.JID) ([]jid.JID, error) {
	b.reads++
	if b.err != nil {
		return nil, b.err
	}
	return b.DB.Blocked(ctx, owner)
}

func (b *brokenStore) Block(ctx context.Context, owner jid.JID, list []jid.JID, limit int) error {
	if b.err != nil {
		return b.err
	}
	return b.DB.Block(ctx, owner, list, limit)
}

func (b *brokenStore) UnblockAll(ctx context.Context, owner jid.JID) error {
	if b.err != nil {
		return b.err
	}
	return b.DB.UnblockAll(ctx, owner)
}

var errStore = errors.New("the disk is on fire")

// rooms takes what is for rooms.
type rooms struct{ inbox }

func (r *rooms) Handle(st stanza.Stanza) <-chan struct{} {
	r.add(st)
	return nil
}

// inbox keeps stanzas.
type inbox struct {
	mu  sync.Mutex
	got []string
}

func (b *inbox) add(st stanza.Stanza) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, describe(&st))
}

func (b *inbox) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

// describe says in short what a stanza is.
func describe(st *stanza.Stanza) string {
	what := strings.TrimSpace(fmt.Sprintf("%s %s from %s", st.Kind, st.Type, st.From))
	if se := st.ParseError(); se != nil {
		what = fmt.Sprintf("%s %s/%s", what, se.Type, se.Condition)
	} else if st.Kind == stanza.IQ {
		what += " " + payload(st)
	}
	return what
}

func payload(st *stanza.Stanza) string {
	p := st.Payload()
	if p == nil {
		return "-"
	}
	words := []string{p.Name.Local}
	for item := range p.Elements() {
		words = append(words, item.Attr("jid"))
	}
	return strings.Join(words, " ")
}

// client is a session that keeps what it gets.
type client struct {
	inbox
	w     *world
	jid   jid.JID
	state router.PresenceState
}

func (c *client) JID() jid.JID                 { return c.jid }
func (c *client) State() *router.PresenceState { return &c.state }
func (c *client) Replace()                     {}

func (c *client) Deliver(batch []*stanza.Encoded) {
	for _, e := range c.w.Screen(c, batch) {
		c.add(e.Stanza)
	}
}

// expect compares everything that a client has got.
func (c *client) expect(want ...string) {
	c.w.t.Helper()
	if got := c.take(); !slices.Equal(got, want) {
		c.w.t.Errorf("%s\ngot  %q\nwant %q", c.jid, got, want)
	}
}

// changes keeps what the roster service is told.
type changes struct{ got []string }

func (c *changes) BlocksChanged(_ context.Context, account jid.JID, changed []jid.JID, was, now *router.BlockList) {
	c.got = append(c.got, fmt.Sprintf("%s %v: %d to %d", account, changed, was.Len(), now.Len()))
}

// world is a router with block lists.
type world struct {
	*Service
	t        testing.TB
	db       *brokenStore
	router   *router.Router
	rooms    *rooms
	presence *changes
}

func newWorld(t testing.TB, o Options) *world {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir(), Durability: "process"})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: &brokenStore{DB: db}, rooms: &rooms{}, presence: &changes{}}
	w.router = router.New(router.Options{Accounts: everybody{}})
	w.router.AddHost("example.org")
	w.router.AddService("rooms.test", w.rooms)
	o.Store, o.Router = w.db, w.router
	w.Service = New(o)
	w.SetPresence(w.presence)
	w.router.SetBlocking(w.Service)
	w.router.HandleAccount(stanza.NSBlocking, stanza.TypeGet, w.Get)
	w.router.HandleAccount(stanza.NSBlocking, stanza.TypeSet, w.Set)
	t.Cleanup(func() {
		w.router.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// connect binds a session that is available.
func (w *world) connect(account jid.JID, resource string) *client {
	w.t.Helper()
	full, err := account.WithResource(resource)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &client{w: w, jid: full}
	l, err := w.Open(w.t.Context(), account)
	if err != nil {
		w.t.Fatal(err)
	}
	c.state.SetBlockList(l)
	c.state.SetPresence(stanza.Stanza{Kind: stanza.Presence, From: full}, 0, true)
	w.router.Bind(c)
	return c
}

func (c *client) drop() {
	c.w.router.Unbind(c)
	c.w.Close(c.state.BlockList())
}

// send routes a stanza of the client.
func (c *client) send(xml string) {
	c.w.t.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		c.w.t.Fatalf("%s: %v", xml, err)
	}
	st.From = c.jid
	if st.To.IsZero() {
		st.To = c.jid.Bare()
	}
	c.w.router.Route(c.w.t.Context(), st)
}

// block blocks addresses and forgets the answer.
func (c *client) block(names ...any) {
	c.w.t.Helper()
	text := `<iq type="set" id="b"><block xmlns="urn:xmpp:blocking">`
	for _, name := range names {
		text += fmt.Sprintf(`<item jid="%s"/>`, name)
	}
	c.send(text + `</block></iq>`)
	c.expect("iq result from " + c.jid.Bare().String() + " -")
}
