package router

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestBind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.juliets([]int{0, 0})
	newer := &fakeSession{jid: first[0].jid}
	w.Bind(newer)
	if first[0].replaced != 1 || first[1].replaced != 0 {
		t.Errorf("replaced %d and %d times, want 1 and 0", first[0].replaced, first[1].replaced)
	}
	w.Unbind(first[0]) // its end must not take the newer one out
	if got := w.Session(newer.jid); got != Session(newer) {
		t.Errorf("session of the resource: %v", got)
	}
	w.Unbind(newer)
	w.Unbind(newer)
	if got := w.Sessions(juliet); len(got) != 1 || got[0] != Session(first[1]) {
		t.Errorf("sessions left: %v", got)
	}
	w.Unbind(first[1])
	if got := w.Sessions(juliet); len(got) != 0 {
		t.Errorf("sessions left: %v", got)
	}
}

// TestAddressIsKept: RFC 6121 §8.5.2.1.1, what is sent to an account comes
// with that address.
func TestAddressIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.juliets([]int{0})[0]
	w.Route(t.Context(), newStanza(stanza.Message, stanza.TypeChat, juliet))
	w.Route(t.Context(), newStanza(stanza.Message, stanza.TypeChat, s.jid))
	if want := []string{juliet.String(), s.jid.String()}; !slices.Equal(s.addressed, want) {
		t.Errorf("got %q\nwant %q", s.addressed, want)
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rooms.busy = make(chan struct{})
	if got := w.Route(t.Context(), newStanza(stanza.Message, stanza.TypeGroupchat, room)); got != (<-chan struct{})(w.rooms.busy) {
		t.Error("that the room is busy is not passed on")
	}
}

// TestSend: never waits, keeps the order of each recipient, and one whose
// storage takes long delays no other.
func TestSend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.offline.waiting = make(chan struct{})
		s := w.juliets([]int{away})[0]
		send := func(n int, to jid.JID) {
			st := newStanza(stanza.Message, stanza.TypeChat, to)
			st.ID = fmt.Sprint(n)
			w.Send(st)
		}
		send(1, juliet)
		synctest.Wait() // the store has it
		send(2, juliet)
		send(3, s.jid) // must not overtake
		send(4, romeo) // must not wait
		if got := w.romeo.take(); !slices.Equal(got, []string{"message chat 4"}) {
			t.Errorf("romeo got %q", got)
		}
		if got := s.take(); got != nil {
			t.Errorf("juliet got %q too early", got)
		}
		close(w.offline.waiting)
		synctest.Wait()
		if got, want := w.offline.take(), []string{"message chat 1", "message chat 2"}; !slices.Equal(got, want) {
			t.Errorf("stored %q\nwant %q", got, want)
		}
		if got := s.take(); !slices.Equal(got, []string{"message chat 3"}) {
			t.Errorf("juliet got %q", got)
		}
		send(5, s.jid) // nothing is before it any more
		if got := s.take(); !slices.Equal(got, []string{"message chat 5"}) {
			t.Errorf("juliet got %q", got)
		}
		w.Close()
	})
}

// TestSendFull: what finds no room is refused, to a session as to a room, and
// only the account that caused it is concerned.
func TestSendFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.offline.waiting = make(chan struct{})
		w.Send(newStanza(stanza.Message, stanza.TypeChat, juliet))
		synctest.Wait()
		for range laterEach {
			w.Send(newStanza(stanza.Message, stanza.TypeChat, juliet))
		}
		if got := w.romeo.take(); got != nil {
			t.Fatalf("refused too early: %q", got)
		}
		w.Send(newStanza(stanza.Message, stanza.TypeChat, juliet))
		w.Send(newStanza(stanza.Message, stanza.TypeError, juliet)) // no answer to an error
		fromRoom := newStanza(stanza.Message, stanza.TypeNormal, juliet)
		fromRoom.From = room
		w.Send(fromRoom)
		if got := w.romeo.take(); !slices.Equal(got, []string{"message error wait/resource-constraint"}) {
			t.Errorf("romeo got %q", got)
		}
		if got := w.rooms.take(); !slices.Equal(got, []string{"message error wait/resource-constraint"}) {
			t.Errorf("the room got %q", got)
		}
		toGhost := newStanza(stanza.IQ, stanza.TypeGet, ghost)
		w.Send(toGhost)
		synctest.Wait()
		if got := w.romeo.take(); !slices.Equal(got, []string{"iq error cancel/service-unavailable"}) {
			t.Errorf("romeo got %q", got)
		}
		close(w.offline.waiting)
		w.Close()
		if got := w.offline.take(); len(got) != laterEach+1 {
			t.Errorf("%d stored, want %d: Close waits", len(got), laterEach+1)
		}
		w.Send(newStanza(stanza.Message, stanza.TypeChat, juliet))
		if got := w.romeo.take(); len(got) != 1 {
			t.Errorf("after Close romeo got %q", got)
		}
	})
}

// TestWhoGoesIsGiven: a session that ends, or is replaced, while somebody who has
// found it is about to give it something is given that: what it does not take it
// hands back (Redeliver, Send), and nothing is lost.
func TestWhoGoesIsGiven(t *testing.T) {
	t.Parallel()
	ways := map[string]func(w *world, st stanza.Stanza){
		"route":     func(w *world, st stanza.Stanza) { w.Route(w.t.Context(), st) },
		"send":      func(w *world, st stanza.Stanza) { w.Send(st) },
		"redeliver": func(w *world, st stanza.Stanza) { w.Redeliver(w.t.Context(), st) },
	}
	ends := map[string]func(w *world, s *fakeSession){
		"ends":        func(w *world, s *fakeSession) { w.Unbind(s) },
		"is replaced": func(w *world, s *fakeSession) { w.bind(s.jid) },
	}
	for way, give := range ways {
		for end, leave := range ends {
			t.Run(way+" to one who "+end, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				s := w.juliets([]int{0})[0]
				s.found = func() { leave(w, s) }
				give(w, newStanza(stanza.Message, stanza.TypeChat, s.jid))
				if got := s.take(); !slices.Equal(got, []string{"message chat id"}) {
					t.Errorf("the session got %q", got)
				}
				if got := w.offline.take(); got != nil {
					t.Errorf("stored, too: %q", got)
				}
			})
		}
	}
}

// TestTarget: to a live session without a detour, to others by the rules: a
// room learns that its occupant is gone.
func TestTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.Target(romeo); got != Target(w.romeo) {
		t.Errorf("target of a session: %v", got)
	}
	gone := w.Target(jid.MustParse("juliet@example.org/gone"))
	st := newStanza(stanza.Message, stanza.TypeGroupchat, jid.JID{})
	st.From = room
	gone.Deliver([]*stanza.Encoded{stanza.Encode(st)})
	w.Close()
	if got := w.rooms.take(); !slices.Equal(got, []string{"message error cancel/service-unavailable"}) {
		t.Errorf("the room got %q", got)
	}
	other := w.Target(jid.MustParse("other@rooms.test/x"))
	other.Deliver([]*stanza.Encoded{stanza.Encode(st)})
	if got := w.rooms.take(); !slices.Equal(got, []string{"message groupchat id"}) {
		t.Errorf("the service got %q", got)
	}
}

// TestSendSubscription: Send keeps to the rules for what is not for a
// session, though it has its address.
func TestSendSubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.juliets([]int{0})[0]
	w.Send(newStanza(stanza.Presence, stanza.TypeSubscribe, s.jid))
	w.Close()
	if got := w.contacts.take(); len(got) != 1 || s.take() != nil {
		t.Errorf("contacts got %q", got)
	}
}

// TestManyAtOnce binds, sends and unbinds from many goroutines.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			full := jid.MustParse(fmt.Sprintf("juliet@example.org/%d", i%4))
			for range 100 {
				s := &fakeSession{jid: full}
				w.Bind(s)
				s.available(0)
				w.Route(t.Context(), newStanza(stanza.Message, stanza.TypeChat, juliet))
				w.Send(newStanza(stanza.Message, stanza.TypeChat, full))
				w.Unbind(s)
			}
		})
	}
	wg.Wait()
	if got := w.Sessions(juliet); len(got) != 0 {
		t.Errorf("%d sessions left", len(got))
	}
}

func BenchmarkLookup(b *testing.B) {
	r := New(Options{})
	var all []jid.JID
	for i := range 10_000 {
		full := jid.MustParse(fmt.Sprintf("user%d@example.org/phone", i))
		r.Bind(&fakeSession{jid: full})
		all = append(all, full)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if r.Session(all[i%len(all)]) == nil {
			b.Fatal("not found")
		}
	}
}
