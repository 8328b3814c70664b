package router_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// session is a client that keeps what it gets.
type session struct {
	addr  jid.JID
	state router.PresenceState

	mu sync.Mutex
	// Guarded by mu.
	got      []stanza.Stanza
	replaced bool
}

func (s *session) JID() jid.JID                 { return s.addr }
func (s *session) State() *router.PresenceState { return &s.state }

func (s *session) Replace() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replaced = true
}

func (s *session) Deliver(batch []*stanza.Encoded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range batch {
		s.got = append(s.got, e.Stanza)
	}
}

// take returns what has come since the last call.
func (s *session) take() []stanza.Stanza {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// accounts are those that exist.
type accounts []string

func (a accounts) Exists(_ context.Context, bare jid.JID) (bool, error) {
	return slices.Contains(a, bare.String()), nil
}

// mailbag keeps what is stored for later, and presence to accounts.
type mailbag struct {
	mu sync.Mutex
	// Guarded by mu.
	stored, presence []stanza.Stanza
}

func (m *mailbag) Store(_ context.Context, st stanza.Stanza, _ func() bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored = append(m.stored, st)
	return nil
}

func (m *mailbag) Inbound(_ context.Context, st stanza.Stanza) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.presence = append(m.presence, st)
}

// world is a router with romeo, who sends, and juliet with some sessions.
type world struct {
	*router.Router
	bag    *mailbag
	romeo  *session
	juliet []*session
}

// newWorld gives juliet one session per priority; "away" is one that has not
// sent presence.
func newWorld(priorities ...int) *world {
	w := &world{Router: router.New(router.Options{Accounts: accounts{"romeo@a.test", "juliet@a.test"}}), bag: &mailbag{}}
	w.AddHost("a.test")
	w.SetOffline(w.bag)
	w.SetContacts(w.bag)
	w.romeo = &session{addr: jid.MustParse("romeo@a.test/r")}
	w.Bind(w.romeo)
	for i, p := range priorities {
		s := &session{addr: jid.MustParse("juliet@a.test/" + string(rune('a'+i)))}
		if p != away {
			s.state.SetPresence(stanza.Stanza{Kind: stanza.Presence, From: s.addr}, int8(p), true)
		}
		w.Bind(s)
		w.juliet = append(w.juliet, s)
	}
	return w
}

const away = 1000

// TestDelivery is RFC 6121 §8.5: who gets a stanza of romeo's to juliet.
func TestDelivery(t *testing.T) {
	t.Parallel()
	none, stored := []int{}, -1
	const refused = -2
	tests := []struct {
		name       string
		priorities []int
		xml        string
		want       any // sessions of juliet's, or stored, or refused
	}{
		// §8.5.2.1: bare JID with available resources.
		{"chat to all that are not negative", []int{5, 0, -1}, "<message type='chat' to='juliet@a.test'><body/></message>", []int{0, 1}},
		{"normal", []int{0}, "<message to='juliet@a.test'><body/></message>", []int{0}},
		{"headline", []int{0, -1}, "<message type='headline' to='juliet@a.test'/>", []int{0}},
		{"groupchat", []int{0}, "<message type='groupchat' to='juliet@a.test'/>", refused},
		{"error", []int{0}, "<message type='error' to='juliet@a.test'/>", none},
		{"request nobody knows", []int{0}, "<iq type='get' id='1' to='juliet@a.test'><q xmlns='u'/></iq>", refused},
		{"result", []int{0}, "<iq type='result' id='1' to='juliet@a.test'/>", none},
		// §8.5.2.2: without.
		{"chat to negative ones only", []int{-1}, "<message type='chat' to='juliet@a.test'><body/></message>", stored},
		{"chat to one without presence", []int{away}, "<message type='chat' to='juliet@a.test'><body/></message>", stored},
		{"chat to nobody there", nil, "<message type='chat' to='juliet@a.test'><body/></message>", stored},
		{"headline to nobody there", nil, "<message type='headline' to='juliet@a.test'/>", none},
		// §8.5.3.1: full JID that matches, whatever its presence.
		{"chat to a resource", []int{-1, 5}, "<message type='chat' to='juliet@a.test/a'/>", []int{0}},
		{"groupchat to a resource", []int{away}, "<message type='groupchat' to='juliet@a.test/a'/>", []int{0}},
		{"error to a resource", []int{0}, "<message type='error' to='juliet@a.test/a'/>", []int{0}},
		{"request to a resource", []int{0, 0}, "<iq type='get' id='1' to='juliet@a.test/b'><q xmlns='u'/></iq>", []int{1}},
		{"presence to a resource", []int{0, 0}, "<presence to='juliet@a.test/b'/>", []int{1}},
		// §8.5.3.2: full JID that does not.
		{"chat to a resource that is gone", []int{0, 0}, "<message type='chat' to='juliet@a.test/z'><body/></message>", []int{0, 1}},
		{"chat to a resource of nobody there", nil, "<message type='chat' to='juliet@a.test/z'><body/></message>", stored},
		{"groupchat to a resource that is gone", []int{0}, "<message type='groupchat' to='juliet@a.test/z'/>", refused},
		{"error to a resource that is gone", []int{0}, "<message type='error' to='juliet@a.test/z'/>", none},
		{"request to a resource that is gone", []int{0}, "<iq type='set' id='1' to='juliet@a.test/z'><q xmlns='u'/></iq>", refused},
		{"presence to a resource that is gone", []int{0}, "<presence to='juliet@a.test/z'/>", none},
		// §8.5.1: no such account.
		{"message to no account", nil, "<message to='nobody@a.test'><body/></message>", refused},
		{"request to no account", nil, "<iq type='get' id='1' to='nobody@a.test'><q xmlns='u'/></iq>", refused},
		// Elsewhere.
		{"another domain", nil, "<message to='juliet@b.test'><body/></message>", refused},
		{"the server", nil, "<message to='a.test'><body/></message>", refused},
		{"an error to another domain", nil, "<message type='error' to='juliet@b.test'/>", none},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(test.priorities...)
			st, err := stanza.Parse([]byte(test.xml))
			if err != nil {
				t.Fatal(err)
			}
			st.From = w.romeo.addr
			w.Route(t.Context(), st)
			w.Close()
			var got []int
			for i, s := range w.juliet {
				for _, in := range s.take() {
					if in.To != st.To {
						t.Errorf("delivered to=%s, was sent to %s", in.To, st.To)
					}
					got = append(got, i)
				}
			}
			answers := w.romeo.take()
			isRefused := len(answers) == 1 && answers[0].Type == stanza.TypeError
			wantSessions, _ := test.want.([]int)
			if !slices.Equal(got, wantSessions) || isRefused != (test.want == refused) || len(answers) > 1 ||
				(len(w.bag.stored) == 1) != (test.want == stored) {
				t.Errorf("juliet's sessions %v, answers %v, stored %d; want %v", got, answers, len(w.bag.stored), test.want)
			}
		})
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	w := newWorld(0)
	old := w.juliet[0]
	newer := &session{addr: old.addr}
	w.Bind(newer)
	if !old.replaced {
		t.Error("the older session was not told")
	}
	w.Unbind(old) // late: the resource is the newer one's
	if w.Session(old.addr) != newer {
		t.Error("the newer session lost its resource to the end of the older one")
	}
	w.Unbind(newer)
	if list := w.Sessions(old.addr.Bare()); len(list) != 0 {
		t.Errorf("%d sessions are left", len(list))
	}
}

func TestPanicCostsOneStanza(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.HandleHost("urn:bad", stanza.TypeGet, func(context.Context, *stanza.Stanza) (*stanza.Element, error) { panic("boom") })
	st, _ := stanza.Parse([]byte("<iq type='get' id='1' to='a.test'><q xmlns='urn:bad'/></iq>"))
	st.From = w.romeo.addr
	w.Route(t.Context(), st)
	answers := w.romeo.take()
	if len(answers) != 1 || answers[0].ParseError() == nil || answers[0].ParseError().Condition != stanza.InternalServerError {
		t.Errorf("got %v, want internal-server-error", answers)
	}
	w.Close()
}

// TestSendKeepsOrder: what a room sends to somebody without a session arrives
// in order, and Send does not wait for it.
func TestSendKeepsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for i := range 100 {
			w.Send(stanza.Stanza{
				Kind: stanza.Message, From: jid.MustParse("room@a.test"), To: jid.MustParse("juliet@a.test"), ID: string(rune('0' + i)),
			})
		}
		w.Close()
		for i, st := range w.bag.stored {
			if st.ID != string(rune('0'+i)) {
				t.Fatalf("message %d is %q", i, st.ID)
			}
		}
		if len(w.bag.stored) != 100 {
			t.Errorf("%d of 100 messages arrived", len(w.bag.stored))
		}
	})
}
