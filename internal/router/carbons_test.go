package router

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// nullSession drops what it gets.
type nullSession struct {
	jid   jid.JID
	state PresenceState
	bytes int
}

func (s *nullSession) JID() jid.JID          { return s.jid }
func (s *nullSession) State() *PresenceState { return &s.state }
func (s *nullSession) Replace()              {}
func (s *nullSession) Deliver(batch []*stanza.Encoded) {
	for _, e := range batch {
		s.bytes += e.Size()
	}
}

// chatPair is a router with romeo and juliet on it, her with more devices.
func chatPair(devices int, carbons bool) (*Router, *nullSession, stanza.Stanza) {
	r := New(Options{})
	r.AddHost("example.org")
	r.Bind(&nullSession{jid: romeo})
	first := &nullSession{jid: jid.MustParse("juliet@example.org/0")}
	r.Bind(first)
	for i := range devices {
		s := &nullSession{jid: jid.MustParse(fmt.Sprintf("juliet@example.org/more%d", i))}
		s.state.carbons.enabled.Store(carbons)
		r.Bind(s)
	}
	st := newStanza(stanza.Message, stanza.TypeChat, first.jid)
	return r, first, st.With(stanza.NewElement(stanza.NSClient, "body").AddText("hello"))
}

// leastAllocs returns the allocations of f; other goroutines and the race
// detector add some now and then.
func leastAllocs(f func()) float64 {
	least := math.Inf(1)
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}

// TestMessageAllocations: who has no use for carbons pays nothing for them, and
// a copy is encoded once, however many there are.
func TestMessageAllocations(t *testing.T) {
	r, _, st := chatPair(0, false)
	first := r.Session(st.To)
	plain := leastAllocs(func() {
		first.Deliver([]*stanza.Encoded{stanza.EncodeAddressed(st)})
	})
	measure := func(devices int, carbons bool) float64 {
		r, _, st = chatPair(devices, carbons)
		r.Route(t.Context(), st) // what is allocated once
		return leastAllocs(func() { r.Route(t.Context(), st) })
	}
	if got := measure(0, false); got != plain {
		t.Errorf("%v allocations for a message between two, %v for its delivery alone", got, plain)
	}
	if got := measure(3, false); got != plain {
		t.Errorf("%v allocations with more devices, %v for its delivery alone", got, plain)
	}
	if one, six := measure(1, true), measure(6, true); one != six {
		t.Errorf("%v allocations for one copy, %v for six", one, six)
	}
}

func BenchmarkMessage(b *testing.B) {
	for _, bench := range []struct {
		name    string
		devices int
		carbons bool
	}{{"two people", 0, false}, {"three more devices", 3, false}, {"three copies", 3, true}} {
		b.Run(bench.name, func(b *testing.B) {
			r, _, st := chatPair(bench.devices, bench.carbons)
			b.ReportAllocs()
			for b.Loop() {
				r.Route(b.Context(), st)
			}
		})
	}
}

// TestCopiesRemembered: of what a session has copies of, the latest are
// remembered, for errors; what has no id cannot be meant by one.
func TestCopiesRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sessions := w.juliets([]int{0, 0})
	w.enableCarbons(sessions[1])
	send := func(typ stanza.Type, id string) {
		st := newStanza(stanza.Message, typ, sessions[0].jid)
		st.ID = id
		w.Route(t.Context(), st)
	}
	for i := range rememberedCopies + 1 {
		send(stanza.TypeChat, fmt.Sprint(i))
	}
	send(stanza.TypeChat, "")
	sessions[1].take()
	for _, id := range []string{"0", "", "unheard of", "1"} {
		send(stanza.TypeError, id)
	}
	if got := sessions[1].take(); !slices.Equal(got, []string{"message error "}) {
		t.Errorf("got %q, want one copy of an error", got)
	}
}
