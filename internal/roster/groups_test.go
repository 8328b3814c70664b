package roster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/blocking"
	"github.com/muster-im/muster/internal/groupfile"
	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// cast are the people of a realm.
var cast = []jid.JID{romeo, juliet, nurse, jid.MustParse("tybalt@example.org"), jid.MustParse("paris@example.org")}

// realm is a server with managed groups, without streams, that can crash.
type realm struct {
	t       *testing.T
	db      *sqlstore.DB
	router  *router.Router
	blocks  *blocking.Service
	roster  *Service
	groups  *groups.Service
	file    *groupfile.Source
	cuts    *cutStore
	viewers map[jid.JID]*viewer
}

// everyEngine runs a test on every storage engine there is.
func everyEngine(t *testing.T, f func(t *testing.T, db *sqlstore.DB)) {
	t.Helper()
	open := func(t *testing.T, o sqlstore.Options) *sqlstore.DB {
		t.Helper()
		o.Durability = sqlstore.DurabilityProcess
		db, err := sqlstore.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		for _, j := range cast {
			if err := db.CreateAccount(t.Context(), store.Account{JID: j}); err != nil {
				t.Fatal(err)
			}
		}
		return db
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, open(t, sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir()}))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn, schema := pgtest.Schema(t)
		f(t, open(t, sqlstore.Options{Driver: sqlstore.Postgres, URL: dsn, Schema: schema, MaxConns: 8}))
	})
}

// begin starts a server on what is stored.
func begin(t *testing.T, db *sqlstore.DB) *realm {
	t.Helper()
	w := &realm{t: t, db: db, viewers: make(map[jid.JID]*viewer)}
	w.router = router.New(router.Options{Accounts: accounts(cast)})
	w.router.AddHost("example.org")
	w.blocks = blocking.New(blocking.Options{Store: db, Router: w.router})
	w.router.SetBlocking(w.blocks)
	w.cuts = &cutStore{DB: db}
	w.groups = groups.New(groups.Options{Store: w.cuts, Accounts: w.router, Changed: func(ctx context.Context, list []jid.JID) {
		w.roster.GroupsChanged(ctx, list)
	}})
	w.file = groupfile.New(groupfile.Options{IsHost: w.router.IsHost, Changed: func(ctx context.Context, list []jid.JID) {
		w.roster.GroupsChanged(ctx, list)
	}})
	w.roster = New(Options{Store: db, Router: w.router, Blocks: w.blocks, Groups: shared.NewDirectory(w.groups, w.file)})
	w.blocks.SetPresence(w.roster)
	w.router.SetContacts(w.roster)
	w.router.HandleAccount(stanza.NSRoster, stanza.TypeGet, w.roster.Get)
	w.router.HandleAccount(stanza.NSRoster, stanza.TypeSet, w.roster.Set)
	if err := w.groups.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// crash ends the server as it is.
func (w *realm) crash() {
	w.router.Close()
	w.groups.Close()
}

// viewer is a client that shows what it has been told.
type viewer struct {
	w     *realm
	jid   jid.JID
	state router.PresenceState

	mu        sync.Mutex
	roster    map[string]string // items by address
	presence  map[jid.JID]string
	ver       string
	pushed    map[string]int // pushes per contact in this step
	redundant string         // a push of what was known
	unchanged bool           // what the last request was answered with
}

func (v *viewer) JID() jid.JID                 { return v.jid }
func (v *viewer) State() *router.PresenceState { return &v.state }
func (v *viewer) Replace()                     {}

func (v *viewer) Deliver(batch []*stanza.Encoded) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range batch {
		st, err := stanza.Parse(e.AppendTo(nil, stanza.EscapeAttr(v.jid.String())))
		if err != nil {
			v.w.t.Errorf("%s gets what it cannot read: %v", v.jid, err)
		}
		if v.state.BlockList().Blocks(st.From) {
			continue // as a session does
		}
		switch {
		case st.Kind == stanza.Presence && st.Type == "":
			v.presence[st.From] = st.ChildText(stanza.NSClient, "show")
		case st.Kind == stanza.Presence && st.Type == stanza.TypeUnavailable:
			delete(v.presence, st.From)
		case st.Kind == stanza.IQ && st.Type != stanza.TypeError && st.Payload() != nil && st.Payload().Name.Space == stanza.NSRoster:
			v.take(&st)
		case st.Kind == stanza.IQ && st.ID == "roster":
			v.unchanged = true
		}
	}
}

// take reads a roster or a push.
func (v *viewer) take(st *stanza.Stanza) {
	if st.Type == stanza.TypeResult {
		clear(v.roster)
	}
	v.ver = st.Payload().Attr("ver")
	for item := range st.Payload().Elements() {
		who, text := item.Attr("jid"), describeItem(item)
		if st.Type == stanza.TypeSet {
			if v.pushed[who]++; v.roster[who] == text {
				v.redundant = text
			}
		}
		v.roster[who] = text
		if item.Attr("subscription") == "remove" {
			delete(v.roster, who)
			maps.DeleteFunc(v.presence, func(j jid.JID, _ string) bool { return j.Bare().String() == who })
		}
	}
}

func (v *viewer) send(xml string) {
	v.w.t.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		v.w.t.Fatalf("%s: %v", xml, err)
	}
	if st.From = v.jid; st.Kind == stanza.Presence {
		v.w.roster.Outbound(v.w.t.Context(), v, st)
		if !isAvailable(v) { // it hears of nobody, and knows nothing
			clear(v.presence)
		}
		return
	}
	if st.To = v.jid.Bare(); st.Payload().Name.Space == stanza.NSBlocking {
		if _, err := v.w.blocks.Set(v.w.t.Context(), &st); err != nil && !errors.Is(err, router.ErrAnswered) {
			v.w.t.Fatal(err)
		}
		return
	}
	v.w.router.Route(v.w.t.Context(), st)
}

// login connects somebody, who asks for his roster with a version that he may
// have from before.
func (w *realm) login(account jid.JID, ver string, known map[string]string) *viewer {
	w.t.Helper()
	full, err := account.WithResource("x")
	if err != nil {
		w.t.Fatal(err)
	}
	v := &viewer{w: w, jid: full, roster: make(map[string]string), presence: make(map[jid.JID]string), pushed: make(map[string]int), ver: ver}
	maps.Copy(v.roster, known)
	list, err := w.blocks.Open(w.t.Context(), account)
	if err != nil {
		w.t.Fatal(err)
	}
	v.state.SetBlockList(list)
	w.router.Bind(v)
	v.send(`<iq type="get" id="roster"><query xmlns="jabber:iq:roster" ver="` + ver + `"/></iq>`)
	return v
}

// logout ends somebody's session.
func (w *realm) logout(v *viewer) {
	w.router.Unbind(v)
	w.roster.Ended(w.t.Context(), v)
	w.blocks.Close(v.state.BlockList())
	delete(w.viewers, v.jid.Bare())
}

// check compares what everybody has been told with what is stored.
func (w *realm) check(step string) {
	w.t.Helper()
	fresh := begin(w.t, w.db)
	defer fresh.crash()
	for account, v := range w.viewers {
		f := fresh.login(account, v.ver, nil)
		if !f.unchanged {
			w.t.Fatalf("after %s: the version %s of %s is not that of what it has been told\nhas  %q\nwant %q", step, v.ver, account, v.roster, f.roster)
		}
		f.send(`<iq type="get" id="again"><query xmlns="jabber:iq:roster"/></iq>`)
		if !maps.Equal(f.roster, v.roster) {
			w.t.Fatalf("after %s: %s\nhas  %q\nwant %q", step, account, v.roster, f.roster)
		}
		want := map[jid.JID]string{}
		for other, o := range w.viewers {
			p, _, ok := o.state.Presence()
			text := v.roster[other.String()]
			sees := other == account || strings.Contains(text, " both") || strings.Contains(text, " to")
			blocked := v.state.BlockList().Blocks(o.jid) || o.state.BlockList().Blocks(v.jid)
			if ok && sees && !blocked && isAvailable(v) {
				want[o.jid] = p.ChildText(stanza.NSClient, "show")
			}
		}
		for j := range v.presence { // what came before somebody was blocked is the client's to drop
			if v.state.BlockList().Blocks(j) {
				delete(v.presence, j)
			}
		}
		if !maps.Equal(v.presence, want) {
			w.t.Fatalf("after %s: %s with %q\nsees     %v\nshould see %v", step, account, v.roster, v.presence, want)
		}
	}
}

// forgetPushes begins a step.
func (w *realm) forgetPushes() {
	for _, v := range w.viewers {
		clear(v.pushed)
		v.redundant = ""
	}
}

// checkPushes says whether a change of groups was one push per item that is
// different.
func (w *realm) checkPushes(step string) {
	w.t.Helper()
	for account, v := range w.viewers {
		for who, n := range v.pushed {
			if n > 1 {
				w.t.Fatalf("after %s: %s was told of %s %d times", step, account, who, n)
			}
		}
		if v.redundant != "" {
			w.t.Fatalf("after %s: %s was told again of %s", step, account, v.redundant)
		}
	}
}

// TestGroupsAndRosters: after any sequence of changes of groups, edits of
// rosters, subscriptions, blocks, logins and crashes, everybody's roster, its
// version, pushes and presence are what groups and rosters say.
func TestGroupsAndRosters(t *testing.T) {
	t.Parallel()
	everyEngine(t, func(t *testing.T, db *sqlstore.DB) {
		steps := 700
		if testing.Short() {
			steps = 100
		}
		w := begin(t, db)
		defer func() { w.crash() }()
		r := mathrand.New(mathrand.NewPCG(3, 9)) //nolint:gosec // a test that repeats itself
		d := &dice{Rand: r, left: make(map[jid.JID]*viewer)}
		for _, id := range []groups.ID{"0", "1", "2"} {
			contract := groups.Permanent
			if id == "1" {
				contract = groups.Overlay
			}
			if _, err := w.groups.Create(t.Context(), groups.NewGroup{ID: id, Name: "G" + string(id), Contract: contract}, groups.Cause{}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range steps {
			w.forgetPushes()
			var step string
			if r.IntN(100) == 0 {
				w.crash()
				maps.Copy(d.left, w.viewers)
				w = begin(t, db)
				step = "a crash"
			} else {
				step = d.step(w, i)
			}
			w.check(fmt.Sprintf("step %d, %s", i, step))
		}
	})
}

// dice decide what happens.
type dice struct {
	*mathrand.Rand

	left map[jid.JID]*viewer // what people knew when they went
}

func (d *dice) one() jid.JID { return cast[d.IntN(len(cast))] }

func (d *dice) step(w *realm, i int) string {
	w.t.Helper()
	if d.IntN(2) == 0 {
		step, err := d.regroup(w, i)
		if err != nil {
			w.t.Fatalf("%s: %v", step, err)
		}
		w.checkPushes(fmt.Sprintf("step %d, %s", i, step))
		return step
	}
	who, other := d.one(), d.one()
	v := w.viewers[who]
	if v == nil {
		ver, known := "", map[string]string(nil)
		if l := d.left[who]; l != nil {
			ver, known = l.ver, l.roster
		}
		v = w.login(who, ver, known)
		w.viewers[who] = v
		v.send(`<presence/>`)
		return "login of " + who.String()
	}
	return d.act(w, v, other)
}

// regroup changes a group.
func (d *dice) regroup(w *realm, i int) (string, error) {
	ctx, id, who := w.t.Context(), groups.ID(fmt.Sprint(d.IntN(3))), d.one()
	var err error
	step := ""
	switch n := d.IntN(16); {
	case n < 6:
		step = fmt.Sprintf("add %s to %s", who, id)
		_, err = w.groups.AddMember(ctx, id, groups.Joining{User: who, Delayed: n == 0}, groups.Cause{})
	case n < 11:
		step = fmt.Sprintf("remove %s from %s", who, id)
		_, err = w.groups.RemoveMember(ctx, id, who, groups.Cause{})
	case n == 11:
		name := []string{"Verona", "Mantua", "own", fmt.Sprint("G", i)}[d.IntN(4)]
		step = fmt.Sprintf("rename %s to %s", id, name)
		_, err = w.groups.SetInfo(ctx, id, groups.Update{Name: &name}, groups.Cause{})
	case n == 12:
		contract := []groups.Contract{groups.Permanent, groups.Overlay}[d.IntN(2)]
		step = fmt.Sprintf("make %s %s", id, contract)
		_, err = w.groups.SetInfo(ctx, id, groups.Update{Contract: &contract}, groups.Cause{})
	case n == 13:
		step = fmt.Sprintf("sync %s", id)
		_, err = w.groups.Sync(ctx, id, groups.Cause{})
	case n == 14:
		step = fmt.Sprintf("delete %s", id)
		if err = w.groups.Delete(ctx, id, groups.Cause{}); err == nil {
			_, err = w.groups.Create(ctx, groups.NewGroup{ID: id, Name: "New" + string(id)}, groups.Cause{})
		}
	default:
		other := d.one()
		step = fmt.Sprintf("set %s to %s and %s", id, who, other)
		_, err = w.groups.SetMembers(ctx, id, []groups.Joining{{User: who}, {User: other}}, groups.Cause{})
	}
	return step, err
}

// act lets somebody do something.
func (d *dice) act(w *realm, v *viewer, other jid.JID) string {
	item := func(attrs, children string) string {
		return `<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="` + other.String() + `" ` + attrs + `>` + children + `</item></query></iq>`
	}
	xml := ""
	switch d.IntN(12) {
	case 0:
		w.logout(v)
		d.left[v.jid.Bare()] = v
		return "logout of " + v.jid.String()
	case 1:
		xml = `<presence><show>` + []string{"away", "dnd", "xa"}[d.IntN(3)] + `</show></presence>`
	case 2:
		xml = `<presence type="unavailable"/>`
	case 3:
		xml = item(`name="N`+fmt.Sprint(d.IntN(3))+`"`, "<group>own</group><group>G0</group>")
	case 4:
		xml = item("", "<group>Verona</group>")
	case 5, 6:
		xml = item(`subscription="remove"`, "")
	case 7:
		list := "block"
		if v.state.BlockList().Blocks(other) {
			list = "unblock"
		}
		if other == v.jid.Bare() {
			return "nothing"
		}
		xml = `<iq type="set" id="b"><` + list + ` xmlns="urn:xmpp:blocking"><item jid="` + other.String() + `"/></` + list + `></iq>`
	default:
		typ := []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"}[d.IntN(4)]
		xml = `<presence type="` + typ + `" to="` + other.String() + `"/>`
	}
	v.send(xml)
	return v.jid.String() + ": " + xml
}
