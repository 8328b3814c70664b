package entity

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
		Sessions: func(j jid.JID) []router.Session {
			if j != juliet {
				return nil
			}
			return []router.Session{newSession("juliet@example.org/z", true), newSession("juliet@example.org/hidden", false), newSession("juliet@example.org/a", true)}
		},
	})
}

// session is a session with nothing but a presence state.
type session struct {
	router.Session
	jid   jid.JID
	state router.PresenceState
}

func newSession(full string, available bool) *session {
	s := &session{jid: jid.MustParse(full)}
	s.state.SetPresence(stanza.Stanza{Kind: stanza.Presence, From: s.jid}, 0, available)
	return s
}

func (s *session) JID() jid.JID                 { return s.jid }
func (s *session) State() *router.PresenceState { return &s.state }

func query(space, node string, from, to jid.JID) *stanza.Stanza {
	name := map[string]string{stanza.NSPing: "ping", stanza.NSTime: "time"}[space]
	if name == "" {
		name = "query"
	}
	e := stanza.NewElement(space, name)
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
	want := []string{
		stanza.NSCaps, stanza.NSDiscoInfo, stanza.NSDiscoItems, stanza.NSLast, stanza.NSVersion, "urn:a", "urn:b",
		stanza.NSPing, stanza.NSTime,
	}
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
	e, err = s.HostTime(t.Context(), query(stanza.NSTime, "", romeo, host))
	if err != nil {
		t.Fatal(err)
	}
	if at, err := stanza.ParseTime(e.ChildText(stanza.NSTime, "utc")); err != nil || time.Since(at).Abs() > time.Minute || e.ChildText(stanza.NSTime, "tzo") != "+00:00" {
		t.Errorf("time %+v, %v", e, err)
	}
	if e, err := s.HostPing(t.Context(), query(stanza.NSPing, "", romeo, host)); e != nil || err != nil {
		t.Errorf("ping %+v, %v", e, err)
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	s := newService()
	handlers := map[string]func(context.Context, *stanza.Stanza) (*stanza.Element, error){
		stanza.NSDiscoInfo: s.AccountInfo, stanza.NSPing: s.AccountPing,
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

// TestAccountItems: who sees somebody's presence sees his available resources;
// nobody else can tell an account from none (XEP-0030 §8).
func TestAccountItems(t *testing.T) {
	t.Parallel()
	s := newService()
	full := "<query xmlns='http://jabber.org/protocol/disco#items'>" +
		"<item jid='juliet@example.org/a'/><item jid='juliet@example.org/z'/></query>"
	const none = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
	for _, test := range []struct {
		name, node string
		from       jid.JID
		want       string
	}{
		{"oneself", "", jid.MustParse("juliet@example.org/z"), full},
		{"a contact", "", friend, full},
		{"a stranger", "", romeo, none},
		{"a stranger asking for a node", "n", romeo, "<query xmlns='http://jabber.org/protocol/disco#items' node='n'/>"},
	} {
		iq := query(stanza.NSDiscoItems, test.node, test.from, juliet)
		e, err := s.AccountItems(t.Context(), iq)
		if err != nil || e.String() != test.want {
			t.Errorf("%s: %v, %v\nwant %s", test.name, e, err, test.want)
		}
		if test.from != romeo {
			continue
		}
		if nobody, err := s.NobodyItems(t.Context(), iq); err != nil || nobody.String() != e.String() {
			t.Errorf("%s: an account answers %v, none answers %v, %v", test.name, e, nobody, err)
		}
	}
}

// TestWrongElement: a namespace is not enough (RFC 6120 §8.3.3.1).
func TestWrongElement(t *testing.T) {
	t.Parallel()
	s := newService()
	a := NewActivity(ActivityOptions{Router: world{}})
	bad := stanza.NewError(stanza.Modify, stanza.BadRequest, "")
	for name, handle := range map[string]router.IQHandler{
		"host info": s.HostInfo, "host items": s.HostItems, "host version": s.HostVersion, "host time": s.HostTime,
		"host ping": s.HostPing, "host last": a.HostLast, "account info": s.AccountInfo, "account items": s.AccountItems,
		"nobody's items": s.NobodyItems, "account ping": s.AccountPing, "account last": a.AccountLast,
	} {
		iq := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: "i", From: romeo, To: romeo.Bare()}.With(stanza.NewElement("x", "nonsense"))
		if e, err := handle(t.Context(), &iq); e != nil || !errors.Is(err, bad) {
			t.Errorf("%s: %v, %v, want bad-request", name, e, err)
		}
	}
}

// TestCapsVersion: the examples of XEP-0115 §5.2 and §5.3.
func TestCapsVersion(t *testing.T) {
	t.Parallel()
	const features = "<feature var='http://jabber.org/protocol/muc'/><feature var='http://jabber.org/protocol/disco#info'/>" +
		"<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/caps'/>"
	for _, test := range []struct{ name, inside, want string }{
		{"simple", "<identity category='client' name='Exodus 0.9.1' type='pc'/>" + features, "QgayPKawpkPSDYmwT/WM94uAlu0="},
		{
			"complex", "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>" +
				"<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>" + features +
				"<x xmlns='jabber:x:data' type='result'>" +
				"<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>" +
				"<field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>" +
				"<field var='software'><value>Psi</value></field><field var='os'><value>Mac</value></field>" +
				"<field var='software_version'><value>0.11</value></field><field var='os_version'><value>10.5.1</value></field></x>" +
				"<x xmlns='jabber:x:data' type='result'><field var='ignored'><value>without type</value></field></x>",
			"q07IKJEyjvHSyhy//CH0CxmKi8w=",
		},
		{ // printf 'server/im//<muc<muc#user<' | sha1sum, in base64
			"a feature that begins like another", "<identity category='server' type='im'/><feature var='muc#user'/><feature var='muc'/>",
			"kPUB0swygg1p7zsk5qnO0VDjnqo=",
		},
	} {
		q, err := stanza.ParseDocument([]byte("<query xmlns='http://jabber.org/protocol/disco#info'>" + test.inside + "</query>"))
		if err != nil {
			t.Fatal(err)
		}
		if got := capsVersion(q); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestCaps: what the stream feature promises is what the node says (XEP-0115
// §6.2, §6.3).
func TestCaps(t *testing.T) {
	t.Parallel()
	s := newService()
	c := s.Caps()
	node := c.Attr("node") + "#" + c.Attr("ver")
	e, err := s.HostInfo(t.Context(), query(stanza.NSDiscoInfo, node, romeo, host))
	if err != nil || e.Attr("node") != node || capsVersion(e) != c.Attr("ver") || c.Attr("hash") != "sha-1" {
		t.Errorf("%s: %v, %v", c, e, err)
	}
	other := New(Options{Version: "1.3", Features: []string{"urn:a"}}).Caps()
	if other.Attr("ver") == c.Attr("ver") {
		t.Error("other features have the same verification string")
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
