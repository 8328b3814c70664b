package s2s

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testDomain = "rooms.example.org"
	testSecret = "a secret that both have"
)

// fakeRooms is a room service with people in one room.
type fakeRooms struct {
	link *Link

	mu  sync.Mutex
	in  map[jid.JID]jid.JID // where they are in the room, by real address
	got []string
	at  map[jid.JID]time.Time // when they were taken out
}

func newFakeRooms(people ...string) *fakeRooms {
	f := &fakeRooms{in: make(map[jid.JID]jid.JID), at: make(map[jid.JID]time.Time)}
	for _, p := range people {
		real := jid.MustParse(p)
		f.in[real] = jid.MustParse("lobby@" + testDomain + "/" + real.Local())
	}
	return f
}

func (f *fakeRooms) HandleShared(st stanza.Stanza) {
	if st.ID == "panic" {
		panic("in the rooms")
	}
	f.mu.Lock()
	f.got = append(f.got, fmt.Sprintf("%s %s %s", st.Kind, st.Type, st.ID))
	occupant, inside := f.in[st.From]
	gone := inside && st.Kind == stanza.Presence && st.Type == stanza.TypeError && st.To == occupant
	if gone {
		delete(f.in, st.From)
		f.at[st.From] = time.Now()
	}
	f.mu.Unlock()
	if gone {
		x := stanza.NewElement(stanza.NSMUCUser, "x").Add(stanza.NewElement(stanza.NSMUCUser, "status", "code", "110"))
		out := stanza.Stanza{Kind: stanza.Presence, Type: stanza.TypeUnavailable, From: occupant}.With(x)
		f.link.Target(st.From).Deliver([]*stanza.Encoded{stanza.Encode(out)})
	}
}

func (f *fakeRooms) EachSession(visit func(occupant, real jid.JID)) {
	f.mu.Lock()
	list := maps.Clone(f.in)
	f.mu.Unlock()
	for real, occupant := range list {
		visit(occupant, real)
	}
}

func (f *fakeRooms) people() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for real := range f.in {
		list = append(list, real.Local())
	}
	slices.Sort(list)
	return list
}

// fakeServer is what a link is attached to.
type fakeServer struct {
	t      *testing.T
	conns  chan net.Conn // that links have dialled; nil: refused
	down   atomic.Bool
	stream *stream.Stream
	conn   net.Conn
	got    []stanza.Stanza
	mute   atomic.Bool // nothing is answered
}

func (f *fakeServer) dial(context.Context) (net.Conn, error) {
	if f.down.Load() {
		return nil, fmt.Errorf("connection refused")
	}
	a, b := net.Pipe()
	f.conns <- b
	return a, nil
}

// accept takes a connection and answers questions with answer until it ends.
func (f *fakeServer) accept(answer func(st *stanza.Stanza) *stanza.Stanza) {
	conn := <-f.conns
	f.conn = conn
	s := stream.New(conn, stream.Options{Content: nsComponent})
	defer s.Release()
	f.stream = s
	if _, err := s.ReadHeader(); err != nil {
		return
	}
	self := jid.MustParse(testDomain)
	_ = s.SendHeader(stream.Header{From: self, ID: "3BF96D32"})
	e, err := s.Next()
	if err != nil || !proves(e.Text(), "3BF96D32", testSecret) {
		s.Fail(&stream.Error{Condition: stream.NotAuthorized})
		return
	}
	_ = s.Send(handshakeElement(""))
	for {
		e, err := s.Next()
		if err != nil {
			return
		}
		st, ok, _ := stanza.FromElement(e)
		if !ok || f.mute.Load() {
			continue
		}
		if st.To == self { // it is routed as everything else
			_ = s.SendStanza(&st)
			continue
		}
		f.got = append(f.got, st)
		if reply := answer(&st); reply != nil {
			_ = s.SendStanza(reply)
		}
	}
}

// world is a link between rooms and a server.
type world struct {
	*fakeServer
	rooms *fakeRooms
	link  *Link
	done  chan error
}

func newWorld(t *testing.T, secret string, people ...string) *world {
	t.Helper()
	w := &world{fakeServer: &fakeServer{t: t, conns: make(chan net.Conn, 1)}, rooms: newFakeRooms(people...), done: make(chan error, 1)}
	var err error
	w.link, err = NewLink(LinkOptions{Server: "example.org:5347", Domain: testDomain, Secret: secret, Dial: w.dial})
	if err != nil {
		t.Fatal(err)
	}
	w.rooms.link = w.link
	w.link.Attach(w.rooms)
	return w
}

func (w *world) run(ctx context.Context) { go func() { w.done <- w.link.Run(ctx) }() }

func (w *world) wantPeople(list ...string) {
	w.t.Helper()
	if got := w.rooms.people(); !slices.Equal(got, list) {
		w.t.Errorf("in the room: %q, want %q", got, list)
	}
}

// pass lets time pass, and everything happen that does by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func silent(*stanza.Stanza) *stanza.Stanza { return nil }

// TestLinkDown: who was in a room when the link went down is out of it within a
// minute if it stays down, and is told when it is up again.
func TestLinkDown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		lose func(w *world)
	}{
		{"connection lost", func(w *world) { _ = w.conn.Close() }},
		{"server falls silent", func(w *world) { w.mute.Store(true) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				w := newWorld(t, testSecret, "romeo@example.org/orchard", "juliet@example.org/balcony")
				w.run(ctx)
				go w.accept(silent)
				pass(5 * time.Minute)
				w.wantPeople("juliet", "romeo")
				lost := time.Now()
				w.down.Store(true)
				test.lose(w)
				pass(time.Minute)
				w.wantPeople()
				for who, at := range w.rooms.at {
					if at.Sub(lost) >= time.Minute {
						t.Errorf("%s was there for %v", who, at.Sub(lost))
					}
				}
				w.down.Store(false)
				w.mute.Store(false)
				w.got = nil
				go w.accept(silent)
				pass(time.Minute)
				if n := len(w.got); n != 2 || !isFarewell(&w.got[0]) || !isFarewell(&w.got[1]) {
					t.Errorf("after it is up again: %+v", w.got)
				}
				cancel()
				if err := <-w.done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestLinkBack: who is there after a short interruption stays, and who gives no
// sign of life or is gone is out within a minute.
func TestLinkBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWorld(t, testSecret, "romeo@example.org/orchard", "juliet@example.org/balcony", "nurse@example.org/hall", "tybalt@example.org/street", "paris@example.org/tomb")
		w.run(ctx)
		go w.accept(silent)
		pass(5 * time.Minute)
		_ = w.conn.Close()
		go w.accept(func(st *stanza.Stanza) *stanza.Stanza {
			reply := st.Result(nil)
			switch st.To.Local() {
			case "juliet": // her server says that she has gone
				reply, _ = st.ErrorReply(stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
			case "nurse": // her client knows no pings
				reply, _ = st.ErrorReply(stanza.NewError(stanza.Cancel, stanza.FeatureNotImplemented, ""))
			case "tybalt":
				return nil
			case "paris": // what he says shows that he is there
				reply = stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat, ID: "alive", From: st.To, To: jid.MustParse("lobby@" + testDomain)}
			}
			return &reply
		})
		pass(time.Minute)
		w.wantPeople("nurse", "paris", "romeo")
		if !slices.Contains(w.rooms.got, "message groupchat alive") || slices.ContainsFunc(w.rooms.got, func(s string) bool { return strings.HasPrefix(s, "iq") }) {
			t.Errorf("the rooms were given %q", w.rooms.got)
		}
		cancel()
		if err := <-w.done; err != nil {
			t.Error(err)
		}
	})
}

// TestLinkRefused: a wrong secret ends the attempt with words that help, and
// without the secret in them.
func TestLinkRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "another secret")
		go w.accept(silent)
		err := w.link.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "not-authorized") || !strings.Contains(err.Error(), "another secret for rooms.example.org") {
			t.Errorf("got %v", err)
		}
	})
}

// TestLinkTakes: what the rooms are given, and what not.
func TestLinkTakes(t *testing.T) {
	t.Parallel()
	romeo, room := jid.MustParse("romeo@example.org/orchard"), jid.MustParse("lobby@"+testDomain)
	tests := []struct {
		name string
		st   stanza.Stanza
		want []string
		back string // condition of the answer
	}{
		{"message", stanza.Stanza{Kind: stanza.Message, ID: "1", From: romeo, To: room}, []string{"message  1"}, ""},
		{"without sender", stanza.Stanza{Kind: stanza.Message, ID: "1", To: room}, nil, ""},
		{"in our own name", stanza.Stanza{Kind: stanza.Message, ID: "1", From: room, To: room}, nil, ""},
		{"for another domain", stanza.Stanza{Kind: stanza.Message, ID: "1", From: romeo, To: jid.MustParse("x@elsewhere.example")}, nil, "item-not-found"},
		{"IQ of no type", stanza.Stanza{Kind: stanza.IQ, ID: "1", From: romeo, To: room}, nil, "bad-request"},
		{"that panics", stanza.Stanza{Kind: stanza.Message, ID: "panic", From: romeo, To: room}, nil, "internal-server-error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				w := newWorld(t, testSecret)
				w.run(ctx)
				go w.accept(silent)
				synctest.Wait()
				if err := w.stream.SendStanza(&test.st); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if !slices.Equal(w.rooms.got, test.want) {
					t.Errorf("the rooms got %q, want %q", w.rooms.got, test.want)
				}
				back := ""
				if len(w.got) > 0 {
					back = string(w.got[0].ParseError().Condition)
				}
				if back != test.back {
					t.Errorf("answered %q, want %q", back, test.back)
				}
				w.link.Close()
				if err := <-w.done; err != nil {
					t.Error(err)
				}
				cancel()
			})
		})
	}
}

// TestHalfOpenLink: a connection of which only our side still knows is noticed
// and replaced within a minute, whether nothing comes on an idle link, or nothing
// can be sent any more either; who answers on the new one stays in his room.
func TestHalfOpenLink(t *testing.T) {
	t.Parallel()
	here := func(st *stanza.Stanza) *stanza.Stanza {
		reply := st.Result(nil)
		return &reply
	}
	for _, test := range []struct {
		name  string
		stuck bool // what is sent is not even taken
	}{{"idle", false}, {"stuck", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				w := newWorld(t, testSecret, "romeo@example.org/orchard")
				release := make(chan struct{})
				var dialled time.Time
				w.link.opts.Dial = func(ctx context.Context) (net.Conn, error) {
					w.mute.Store(false)
					dialled = time.Now()
					return w.dial(ctx)
				}
				w.run(ctx)
				go w.accept(func(*stanza.Stanza) *stanza.Stanza {
					<-release
					return nil
				})
				pass(5 * time.Minute)
				w.wantPeople("romeo")
				broken := time.Now()
				if test.stuck {
					w.link.Send(stanza.Stanza{Kind: stanza.Message, From: jid.MustParse("lobby@" + testDomain), To: jid.MustParse("romeo@example.org/orchard")})
				} else {
					w.mute.Store(true)
				}
				go (&fakeServer{conns: w.conns}).accept(here)
				pass(2 * time.Minute)
				if took := dialled.Sub(broken); took <= 0 || took > time.Minute {
					t.Errorf("replaced after %v", took)
				}
				w.wantPeople("romeo")
				if !w.link.Attached() {
					t.Error("not attached again")
				}
				close(release)
				cancel()
				if err := <-w.done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
