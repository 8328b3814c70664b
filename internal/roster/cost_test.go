package roster

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// crowd is a roster service with groups, and romeo, who is online.
type crowd struct {
	*Service
	teams *teams
	me    *sink
}

func newCrowd(tb testing.TB) *crowd {
	tb.Helper()
	db, err := sqlstore.Open(tb.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: tb.TempDir(), Durability: "process"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	r := router.New(router.Options{Accounts: accounts{romeo}})
	r.AddHost("example.org")
	c := &crowd{teams: &teams{list: make(map[shared.Key]*shared.Snapshot)}, me: &sink{jid: jid.MustParse("romeo@example.org/orchard")}}
	c.Service = New(Options{Store: db, Router: r, Groups: shared.NewDirectory(c.teams)})
	r.Bind(c.me)
	return c
}

// people are the addresses of a group's members.
func people(group, n int) (list []jid.JID) {
	for i := range n {
		list = append(list, jid.MustParse(fmt.Sprintf("member%d-%d@example.org", group, i)))
	}
	return list
}

// set makes a group of people.
func (c *crowd) set(name string, revision int64, members ...jid.JID) {
	o := team(name, members...)
	o.Key, o.Revision = shared.Key(name), revision
	c.teams.set(o)
}

// ask asks for romeo's contact list.
func (c *crowd) ask(tb testing.TB) {
	tb.Helper()
	iq := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: "a", From: c.me.jid, To: romeo}.With(stanza.NewElement(stanza.NSRoster, "query"))
	if _, err := c.Get(tb.Context(), &iq); !errors.Is(err, router.ErrAnswered) {
		tb.Fatal(err)
	}
}

// TestListAllocations: what a long contact list takes is taken at once, and not
// for each contact.
func TestListAllocations(t *testing.T) {
	c := newCrowd(t)
	const contacts = 2000
	for i := range 2 {
		c.set(fmt.Sprint("Team ", i), 1, append(people(i, contacts/2), romeo)...)
	}
	c.ask(t)
	if allocs := testing.AllocsPerRun(5, func() { c.ask(t) }); allocs > contacts/5 {
		t.Errorf("a list of %d contacts takes %v allocations", contacts, allocs)
	}
}

// TestNewcomerAllocations: somebody online who comes into a large group is told of
// each member with little more than the id of the push, and of all at once: that is what
// his connection takes, however much it is.
func TestNewcomerAllocations(t *testing.T) {
	c := newCrowd(t)
	const members = 2000
	others := people(0, members)
	c.set("Team", 1, others...)
	c.ask(t)
	revision := int64(1)
	comeAndGo := func() {
		revision++
		c.set("Team", revision, append(slices.Clip(others), romeo)...)
		c.GroupsChanged(t.Context(), []jid.JID{romeo})
		revision++
		c.set("Team", revision, others...)
		c.GroupsChanged(t.Context(), []jid.JID{romeo})
	}
	comeAndGo()
	c.me.n, c.me.calls = 0, 0
	comeAndGo()
	if n, calls := c.me.n, c.me.calls; n != 2*members || calls != 2 {
		t.Fatalf("%d pushes in %d pieces, want %d in two", n, calls, 2*members)
	}
	if allocs := testing.AllocsPerRun(5, comeAndGo) / (2 * members); allocs > 3 {
		t.Errorf("%.1f allocations for each push", allocs)
	}
}

// TestPushAllocations: a change that is told to many sessions of somebody is encoded
// once, and another session allocates nothing but room for itself in lists.
func TestPushAllocations(t *testing.T) {
	measure := func(sessions int) float64 {
		r := router.New(router.Options{})
		s := New(Options{Router: r})
		for i := range sessions {
			session := &sink{jid: jid.MustParse(fmt.Sprintf("busy@example.org/r%d", i))}
			session.state.SetInterested()
			r.Bind(session)
		}
		busy := jid.MustParse("busy@example.org")
		item := &store.RosterItem{
			Contact: romeo, Name: "Romeo", Groups: []string{"Montagues"}, Subscription: store.SubBoth, InRoster: true, Version: 946684800000000,
		}
		push := func() {
			unlock := s.lock(busy)
			defer unlock()
			s.push(busy, item)
		}
		least := math.Inf(1)
		for range 30 {
			least = min(least, testing.AllocsPerRun(1, push))
		}
		return least
	}
	one, many := measure(1), measure(101)
	t.Logf("%v allocations for a push to one session, %v to 101", one, many)
	if per := (many - one) / 100; per > 0.1 {
		t.Errorf("%v allocations for each other session", per)
	}
}
