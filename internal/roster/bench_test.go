package roster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// sink is a session that counts.
type sink struct {
	jid   jid.JID
	state router.PresenceState
	n     int
	calls int
}

func (s *sink) JID() jid.JID                 { return s.jid }
func (s *sink) State() *router.PresenceState { return &s.state }
func (s *sink) Replace()                     {}
func (s *sink) Deliver(batch []*stanza.Encoded) {
	s.n += len(batch)
	s.calls++
}

// BenchmarkPresence is what one with 1,000 contacts online costs who changes
// his presence, and who comes.
func BenchmarkPresence(b *testing.B) {
	const contacts = 1000
	db, err := sqlstore.Open(b.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: b.TempDir(), Durability: "process"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	}()
	r := router.New(router.Options{Accounts: accounts{romeo}})
	r.AddHost("example.org")
	s := New(Options{Store: db, Router: r})
	both := store.RosterItem{Contact: romeo, Subscription: store.SubBoth, InRoster: true}
	for i := range contacts {
		contact := jid.MustParse(fmt.Sprintf("c%d@example.org", i))
		item := both
		item.Contact = contact
		if _, err := db.PutRosterItem(b.Context(), romeo, item); err != nil {
			b.Fatal(err)
		}
		if _, err := db.PutRosterItem(b.Context(), contact, both); err != nil {
			b.Fatal(err)
		}
		full, err := contact.WithResource("phone")
		if err != nil {
			b.Fatal(err)
		}
		session := &sink{jid: full}
		session.state.SetPresence(stanza.Stanza{Kind: stanza.Presence, From: full}, 0, true)
		r.Bind(session)
	}
	me := &sink{jid: jid.MustParse("romeo@example.org/orchard")}
	r.Bind(me)
	here := stanza.Stanza{Kind: stanza.Presence, From: me.jid}
	b.Run("change", func(b *testing.B) {
		s.Outbound(b.Context(), me, here)
		b.ReportAllocs()
		for b.Loop() {
			s.Outbound(b.Context(), me, here)
		}
	})
	b.Run("come and go", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Outbound(b.Context(), me, unavailable(me.jid, jid.JID{}))
			s.Outbound(b.Context(), me, here)
		}
	})
}

// BenchmarkPush is what it costs to tell 1,000 people who are online of a change
// in the roster of each, and one who is online 1,000 times of one in his.
func BenchmarkPush(b *testing.B) {
	const people = 1000
	r := router.New(router.Options{})
	s := New(Options{Router: r})
	owners := make([]jid.JID, people)
	connect := func(full string) jid.JID {
		session := &sink{jid: jid.MustParse(full)}
		session.state.SetInterested()
		r.Bind(session)
		return session.jid.Bare()
	}
	var busy jid.JID
	for i := range people {
		owners[i] = connect(fmt.Sprintf("c%d@example.org/phone", i))
		busy = connect(fmt.Sprintf("busy@example.org/r%d", i))
	}
	item := &store.RosterItem{
		Contact: romeo, Name: "Romeo", Groups: []string{"Montagues"}, Subscription: store.SubBoth, InRoster: true, Version: 946684800000000,
	}
	b.Run("to 1000 people", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, owner := range owners {
				unlock := s.lock(owner)
				s.push(owner, item)
				unlock()
			}
		}
	})
	b.Run("to 1000 sessions", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			unlock := s.lock(busy)
			s.push(busy, item)
			unlock()
		}
	})
}

// BenchmarkGroupList answers a request for the contact list of somebody in ten
// groups of a thousand.
func BenchmarkGroupList(b *testing.B) {
	c := newCrowd(b)
	for i := range 10 {
		c.set(fmt.Sprint("Team ", i), 1, append(people(i, 999), romeo)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.ask(b)
	}
}

// BenchmarkNewcomer puts somebody who is online into a group of ten thousand, of
// whom nobody else is, and takes him out.
func BenchmarkNewcomer(b *testing.B) {
	c := newCrowd(b)
	others := people(0, 10_000)
	with := append(slices.Clip(others), romeo)
	c.set("Team", 1, others...)
	c.ask(b)
	b.ReportAllocs()
	for n := int64(2); b.Loop(); n += 2 {
		c.set("Team", n, with...)
		c.GroupsChanged(b.Context(), []jid.JID{romeo})
		c.set("Team", n+1, others...)
		c.GroupsChanged(b.Context(), []jid.JID{romeo})
	}
}
