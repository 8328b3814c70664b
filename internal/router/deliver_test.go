package router

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// enableCarbons does what a client asks for.
func (w *world) enableCarbons(sessions ...*fakeSession) {
	w.t.Helper()
	for _, s := range sessions {
		iq := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeSet, From: s.jid, To: s.jid.Bare()}
		iq = iq.With(stanza.NewElement(stanza.NSCarbons, "enable"))
		if _, err := w.SetCarbons(w.t.Context(), &iq); err != nil {
			w.t.Fatal(err)
		}
	}
}

// die takes a session out and lets it hand back what it was given, as one whose
// client has acknowledged nothing.
func (w *world) die(ctx context.Context, s *fakeSession, given time.Time) {
	w.Unbind(s)
	for _, e := range s.encoded {
		if st, ok := e.Lost(s.jid, given); ok {
			w.Redeliver(ctx, st)
		}
	}
	s.take()
}

// TestRedeliver: what a session has not acknowledged when it dies goes where it
// would have gone without it, and to nobody twice. Session 0 dies, then those
// of also.
func TestRedeliver(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		kind     stanza.Kind
		typ      stanza.Type
		to       string
		sessions string // priorities before
		carbons  []int  // who wants them
		later    string // priorities of sessions that come before it dies
		also     []int  // who dies afterwards
		want     string
	}{
		{"chat to the bare address, nobody else", stanza.Message, "chat", "bare", "0", nil, ".", nil, "stored"},
		{"chat to the full address, nobody else", stanza.Message, "chat", "full", "0", nil, ".", nil, "stored"},
		{"normal to the bare address, nobody else", stanza.Message, "normal", "bare", "0", nil, ".", nil, "stored"},
		{"normal to the full address", stanza.Message, "normal", "full", "0,0", nil, ".", nil, "service-unavailable"},
		{"chat to the bare address, all have it", stanza.Message, "chat", "bare", "0,1", nil, ".", nil, "silence"},
		{"chat to the bare address, all die", stanza.Message, "chat", "bare", "0,1", nil, ".", []int{1}, "stored"},
		{"chat to the bare address, all that have it die, another has come", stanza.Message, "chat", "bare", "0,1", nil, "2", []int{1}, "2"},
		{"chat to the full address, others without carbons", stanza.Message, "chat", "full", "0,1,-1,-", nil, ".", nil, "1"},
		{"chat to the full address, another has a copy", stanza.Message, "chat", "full", "0,1", []int{1}, ".", nil, "silence"},
		{"chat to the full address, the one with the copy dies, too", stanza.Message, "chat", "full", "0,1", []int{1}, ".", []int{1}, "stored"},
		{"the copy is lost, the message is not", stanza.Message, "chat", "1", "0,1", []int{0}, ".", nil, "silence"},
		{"headline", stanza.Message, "headline", "bare", "0", nil, ".", nil, "silence"},
		{"headline to the full address", stanza.Message, "headline", "full", "0", nil, ".", nil, "service-unavailable"},
		{"groupchat", stanza.Message, "groupchat", "full", "0,1", nil, ".", nil, "silence"},
		{"error", stanza.Message, "error", "full", "0,1", nil, ".", nil, "silence"},
		{"get", stanza.IQ, "get", "full", "0,1", nil, ".", nil, "service-unavailable"},
		{"set", stanza.IQ, "set", "full", "0,1", nil, ".", nil, "service-unavailable"},
		{"result", stanza.IQ, "result", "full", "0,1", nil, ".", nil, "silence"},
		{"presence", stanza.Presence, "", "full", "0,1", nil, ".", nil, "silence"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			sessions := w.juliets(prioritiesOf(t, test.sessions))
			for _, i := range test.carbons {
				w.enableCarbons(sessions[i])
			}
			to := jid.MustParse("juliet@example.org/" + test.to)
			switch test.to {
			case "bare":
				to = juliet
			case "full":
				to = sessions[0].jid
			}
			w.Route(t.Context(), newStanza(test.kind, test.typ, to))
			for i, p := range prioritiesOf(t, test.later) {
				full, err := juliet.WithResource(fmt.Sprint(len(sessions) + i))
				if err != nil {
					t.Fatal(err)
				}
				s := w.bind(full)
				s.available(int8(p))
				sessions = append(sessions, s)
			}
			for _, s := range sessions {
				s.take()
			}
			for _, i := range append([]int{0}, test.also...) {
				w.die(t.Context(), sessions[i], time.Now())
			}
			if got := w.whatHappened(sessions); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestRedeliverTime: the store learns since when a message has been waiting,
// from us and not from the sender; and not twice.
func TestRedeliverTime(t *testing.T) {
	t.Parallel()
	given := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	forged := stanza.Delay(juliet.DomainOnly(), given.Add(-time.Hour))
	st := newStanza(stanza.Message, stanza.TypeChat, juliet).With(forged)

	w := newWorld(t)
	w.juliets([]int{0})
	w.Route(t.Context(), st)
	w.die(t.Context(), w.Sessions(juliet)[0].(*fakeSession), given)
	if got := w.offline.since; !slices.Equal(got, []time.Time{given}) {
		t.Errorf("since %v, want %v", got, given)
	}
	if got := w.offline.last; len(got.Children) != 1 || got.Children[0].Element != forged {
		t.Errorf("stored %v, want it as it was sent", got.Children)
	}

	// What comes from the store keeps the time that it had there.
	s := w.bind(jid.MustParse("juliet@example.org/again"))
	s.available(0)
	s.Deliver([]*stanza.Encoded{stanza.EncodeDelayed(st, juliet.DomainOnly(), given)})
	w.die(t.Context(), s, given.Add(time.Hour))
	if got := w.offline.since; !slices.Equal(got, []time.Time{given, given}) {
		t.Errorf("since %v, want %v twice", got, given)
	}
	if got := w.offline.last; len(got.Children) != 1 {
		t.Errorf("stored %v, want it as it was sent", got.Children)
	}
}

// TestRedeliverToNewSession: a new session with the same name gets it, with its
// time.
func TestRedeliverToNewSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.juliets([]int{0})[0]
	w.Route(t.Context(), newStanza(stanza.Message, stanza.TypeNormal, old.jid))
	w.Unbind(old)
	again := w.bind(old.jid)
	w.die(t.Context(), old, time.Now())
	if got := again.take(); !slices.Equal(got, []string{"message normal id"}) {
		t.Fatalf("got %q", got)
	}
	if delay := again.encoded[0].Stanza.Child(stanza.NSDelay, "delay"); delay.Attr("from") != "example.org" {
		t.Errorf("delay %v", delay)
	}
}

// TestRedeliverPrivate: a room gives a private message to all the sessions that
// are in it. If one of them loses it, the others have it.
func TestRedeliverPrivate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sessions := w.juliets([]int{0, 0, 0})
	st := newStanza(stanza.Message, stanza.TypeChat, jid.JID{})
	st.From = room
	e := stanza.Encode(st)
	e.SharedBy(2)
	gone := w.Target(jid.MustParse("juliet@example.org/gone"))
	gone.Deliver([]*stanza.Encoded{e})
	sessions[0].Deliver([]*stanza.Encoded{e})
	w.Close()
	if got := w.whatHappened(sessions); got != "0" {
		t.Errorf("one of two was not there: %s, want 0", got)
	}
	w.die(t.Context(), sessions[0], time.Now())
	if got := w.whatHappened(sessions); got != "1,2" {
		t.Errorf("the other has lost it: %s, want 1,2", got)
	}
}
