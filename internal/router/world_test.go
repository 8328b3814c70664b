package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	romeo  = jid.MustParse("romeo@example.org/orchard")
	juliet = jid.MustParse("juliet@example.org")
	ghost  = jid.MustParse("ghost@example.org")
	room   = jid.MustParse("room@rooms.test/Nick")
)

// recorder keeps stanzas.
type recorder struct {
	mu  sync.Mutex
	got []string
}

func (r *recorder) add(st stanza.Stanza) {
	text := fmt.Sprintf("%s %s %s", st.Kind, st.Type, st.ID)
	if se := st.ParseError(); se != nil {
		text = fmt.Sprintf("%s error %s/%s", st.Kind, se.Type, se.Condition)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, text)
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

type fakeSession struct {
	recorder
	jid       jid.JID
	state     PresenceState
	replaced  int
	addressed []string
	encoded   []*stanza.Encoded
	found     func() // runs once, when somebody looks whether this is the one
}

func (s *fakeSession) JID() jid.JID {
	if found := s.found; found != nil {
		s.found = nil
		found()
	}
	return s.jid
}

func (s *fakeSession) State() *PresenceState { return &s.state }
func (s *fakeSession) Replace()              { s.replaced++ }

func (s *fakeSession) Deliver(batch []*stanza.Encoded) {
	for _, e := range batch {
		st, err := stanza.Parse(e.AppendTo(nil, stanza.EscapeAttr(s.jid.String())))
		if err != nil {
			panic(err)
		}
		s.add(st)
		s.mu.Lock()
		s.addressed = append(s.addressed, st.To.String())
		s.encoded = append(s.encoded, e)
		s.mu.Unlock()
	}
}

// available makes the session available with a priority.
func (s *fakeSession) available(priority int8) {
	s.state.SetPresence(stanza.Stanza{Kind: stanza.Presence, From: s.jid}, priority, true)
}

var errStore = errors.New("store is down")

type fakeAccounts struct{ err error }

func (f *fakeAccounts) Exists(_ context.Context, j jid.JID) (bool, error) {
	return slices.Contains([]jid.JID{romeo.Bare(), juliet}, j), f.err
}

type fakeOffline struct {
	recorder
	refuse  error
	before  func() // runs before the last look at who is there
	waiting chan struct{}
	since   []time.Time
	last    stanza.Stanza
}

func (f *fakeOffline) Store(_ context.Context, st stanza.Stanza, since time.Time, deliver func() bool) error {
	if f.waiting != nil {
		<-f.waiting
	}
	if f.before != nil {
		f.before()
	}
	if deliver() {
		return nil
	}
	if f.refuse == nil {
		f.add(st)
		f.since, f.last = append(f.since, since), st
	}
	return f.refuse
}

type fakeContacts struct{ recorder }

func (f *fakeContacts) Inbound(_ context.Context, st stanza.Stanza) { f.add(st) }

type fakeService struct {
	recorder
	busy chan struct{}
}

func (f *fakeService) Handle(st stanza.Stanza) <-chan struct{} {
	if st.ID == "panic" {
		panic("in the service")
	}
	f.add(st)
	return f.busy
}

type world struct {
	*Router
	t        *testing.T
	accounts *fakeAccounts
	offline  *fakeOffline
	contacts *fakeContacts
	rooms    *fakeService
	romeo    *fakeSession
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, accounts: &fakeAccounts{}, offline: &fakeOffline{}, contacts: &fakeContacts{}, rooms: &fakeService{}}
	w.Router = New(Options{Accounts: w.accounts})
	w.AddHost("example.org")
	w.AddService("rooms.test", w.rooms)
	w.SetOffline(w.offline)
	w.SetContacts(w.contacts)
	w.romeo = w.bind(romeo)
	t.Cleanup(w.Close)
	return w
}

func (w *world) bind(full jid.JID) *fakeSession {
	s := &fakeSession{jid: full}
	w.Bind(s)
	return s
}

// juliets binds sessions of juliet named by their number, with priorities.
func (w *world) juliets(priorities []int) []*fakeSession {
	var list []*fakeSession
	for i, p := range priorities {
		full, err := juliet.WithResource(fmt.Sprint(i))
		if err != nil {
			w.t.Fatal(err)
		}
		s := w.bind(full)
		if p != away {
			s.available(int8(p))
		}
		list = append(list, s)
	}
	return list
}

// away is the priority of a session that is not available.
const away = 1000

// newStanza returns a stanza from romeo.
func newStanza(kind stanza.Kind, t stanza.Type, to jid.JID) stanza.Stanza {
	st := stanza.Stanza{Kind: kind, Type: t, ID: "id", From: romeo, To: to}
	if kind == stanza.IQ {
		return st.With(stanza.NewElement("urn:test", "query"))
	}
	return st
}
