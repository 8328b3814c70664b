package roster

import (
	"fmt"
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
}

func (s *sink) JID() jid.JID                    { return s.jid }
func (s *sink) State() *router.PresenceState    { return &s.state }
func (s *sink) Replace()                        {}
func (s *sink) Deliver(batch []*stanza.Encoded) { s.n += len(batch) }

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
