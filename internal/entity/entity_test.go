package entity

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

var (
	host   = jid.MustParse("example.org")
	romeo  = jid.MustParse("romeo@example.org/orchard")
	juliet = jid.MustParse("juliet@example.org")
	friend = jid.MustParse("friend@example.org/x")
)

func newService() *Service {
	return New(Options{
		Version: "1.2", Features: []string{"urn:b", "urn:a", "urn:a"},
		Items:    func(jid.JID) []Item { return []Item{{jid.MustParse("rooms.example.org"), "Chat rooms"}} },
		Contacts: map[string][]string{"abuse-addresses": {"mailto:a@example.org", "xmpp:a@example.org"}},
		MaySee: func(_ context.Context, who, _ jid.JID) (bool, error) {
			return who == friend.Bare(), nil
		},
	})
}

func query(space, node string, from, to jid.JID) *stanza.Stanza {
	e := stanza.NewElement(space, "query")
	if node != "" {
		e.SetAttr("node", node)
	}
	st := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: "i", From: from, To: to}.With(e)
	return &st
}

func features(e *stanza.Element) (list []string) {
	for c := range e.Elements() {
		if c.Is(stanza.NSDiscoInfo, "feature") {
			list = append(list, c.Attr("var"))
		}
	}
	return list
}

func TestHost(t *testing.T) {
	t.Parallel()
	s := newService()
	e, err := s.HostInfo(t.Context(), query(stanza.NSDiscoInfo, "", romeo, host))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{stanza.NSDiscoInfo, stanza.NSDiscoItems, stanza.NSVersion, "urn:a", "urn:b", stanza.NSPing}
	if got := features(e); !slices.Equal(got, want) {
		t.Errorf("features %q\nwant %q", got, want)
	}
	if id := e.Child(stanza.NSDiscoInfo, "identity"); id.Attr("category") != "server" || id.Attr("type") != "im" || id.Attr("name") != "Muster" {
		t.Errorf("identity %+v", id)
	}
	form, err := stanza.ParseForm(e.Child(stanza.NSData, "x")) // XEP-0157
	if err != nil {
		t.Fatal(err)
	}
	if got := form.Field("abuse-addresses"); got == nil || !slices.Equal(got.Values, []string{"mailto:a@example.org", "xmpp:a@example.org"}) {
		t.Errorf("contact addresses %+v", got)
	}
	e, err = s.HostItems(t.Context(), query(stanza.NSDiscoItems, "", romeo, host))
	if err != nil || e.FirstElement().Attr("jid") != "rooms.example.org" || e.FirstElement().Attr("name") != "Chat rooms" {
		t.Errorf("items %+v, %v", e, err)
	}
	e, err = s.HostVersion(t.Context(), query(stanza.NSVersion, "", romeo, host))
	if err != nil || e.ChildText(stanza.NSVersion, "name") != "Muster" || e.ChildText(stanza.NSVersion, "version") != "1.2" {
		t.Errorf("version %+v, %v", e, err)
	}
	if e, err := s.Ping(t.Context(), query(stanza.NSPing, "", romeo, host)); e != nil || err != nil {
		t.Errorf("ping %+v, %v", e, err)
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	s := newService()
	handlers := map[string]func(context.Context, *stanza.Stanza) (*stanza.Element, error){
		stanza.NSDiscoInfo: s.AccountInfo, stanza.NSDiscoItems: s.AccountItems, stanza.NSPing: s.AccountPing,
	}
	hidden := stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "") // the same as for no account
	for space, handle := range handlers {
		for _, test := range []struct {
			name     string
			from, to jid.JID
			want     error
		}{
			{"oneself", romeo, romeo.Bare(), nil},
			{"a contact", friend, juliet, nil},
			{"a stranger", romeo, juliet, hidden},
		} {
			if _, err := handle(t.Context(), query(space, "", test.from, test.to)); !errors.Is(err, test.want) {
				t.Errorf("%s by %s: %v, want %v", space, test.name, err, test.want)
			}
		}
	}
	e, err := s.AccountInfo(t.Context(), query(stanza.NSDiscoInfo, "", romeo, romeo.Bare()))
	if err != nil {
		t.Fatal(err)
	}
	if id := e.Child(stanza.NSDiscoInfo, "identity"); id.Attr("category") != "account" || id.Attr("type") != "registered" {
		t.Errorf("identity %+v", id)
	}
}

// TestNodes: nobody here has nodes (XEP-0030 §7).
func TestNodes(t *testing.T) {
	t.Parallel()
	s := newService()
	missing := stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "")
	for name, ask := range map[string]func() (*stanza.Element, error){
		"host info": func() (*stanza.Element, error) {
			return s.HostInfo(t.Context(), query(stanza.NSDiscoInfo, "n", romeo, host))
		},
		"host items": func() (*stanza.Element, error) {
			return s.HostItems(t.Context(), query(stanza.NSDiscoItems, "n", romeo, host))
		},
		"account info": func() (*stanza.Element, error) {
			return s.AccountInfo(t.Context(), query(stanza.NSDiscoInfo, "n", romeo, romeo.Bare()))
		},
		"account items": func() (*stanza.Element, error) {
			return s.AccountItems(t.Context(), query(stanza.NSDiscoItems, "n", romeo, romeo.Bare()))
		},
	} {
		if _, err := ask(); !errors.Is(err, missing) {
			t.Errorf("%s: %v, want %v", name, err, missing)
		}
	}
}
