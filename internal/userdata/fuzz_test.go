package userdata

import (
	"errors"
	"testing"

	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/stanza"
)

// FuzzPrivate stores whatever can be parsed: it is refused for a reason, or
// comes back as it was.
func FuzzPrivate(f *testing.F) {
	for _, seed := range []string{
		"<exodus xmlns='exodus:prefs'><defaultnick>Hamlet &amp; co</defaultnick></exodus>",
		"<a xmlns='n' i='1'/><b xmlns='n'/><a xmlns='n'> x </a><a xmlns='m'/>",
		"<p:a xmlns:p='urn:p' p:q='r' xml:lang='de'><b xmlns=''/><p:c/>text<!-- --></p:a>",
		"<a xmlns='u'><![CDATA[<]]><b xmlns='jabber:client'/></a>", "<x/>", "<x xmlns='jabber:x'/>", "", "text",
		"<a xmlns='u' xmlns:n0='v' n0:n0='w'><n0:b n0:c=''/></a>",
	} {
		f.Add(seed)
	}
	db, err := sqlstore.Open(f.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: f.TempDir(), Durability: sqlstore.DurabilityProcess})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = db.Close() })
	if err := db.CreateAccount(f.Context(), store.Account{JID: romeo.Bare()}); err != nil {
		f.Fatal(err)
	}
	s := New(Options{Store: db})
	f.Fuzz(func(t *testing.T, inside string) {
		query, err := stanza.ParseDocument([]byte(privately(inside)))
		if err != nil {
			return
		}
		iq := stanza.Stanza{Kind: stanza.IQ, ID: "i", From: romeo, To: romeo.Bare()}.With(query)
		if _, err := s.SetPrivate(t.Context(), &iq); err != nil {
			if !errors.Is(err, unacceptable) && !errors.Is(err, badRequestError) {
				t.Fatalf("%q: %v", inside, err)
			}
			return
		}
		want := make(map[stanza.Name]string)
		for e := range query.Elements() {
			if len(e.Children)+len(e.Attrs) > 0 {
				want[e.Name] += e.String()
			}
		}
		for e := range query.Elements() {
			empty := stanza.NewElement(e.Name.Space, e.Name.Local)
			iq := stanza.Stanza{Kind: stanza.IQ, ID: "i", From: romeo, To: romeo.Bare()}.
				With(stanza.NewElement(stanza.NSPrivate, "query").Add(empty))
			result, err := s.GetPrivate(t.Context(), &iq)
			if err != nil {
				t.Fatalf("%q: %v", inside, err)
			}
			if want[e.Name] == "" {
				want[e.Name] = empty.String()
			}
			got := ""
			for c := range result.Elements() {
				got += c.String()
			}
			if got != want[e.Name] {
				t.Errorf("%q: got %s, want %s", inside, got, want[e.Name])
			}
		}
	})
}
