package router

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// prioritiesOf reads the priorities of sessions, "-" is one that is not
// available and "." says that there is none.
func prioritiesOf(t *testing.T, list string) (priorities []int) {
	t.Helper()
	if list == "." {
		return nil
	}
	for p := range strings.SplitSeq(list, ",") {
		n := away
		if p != "-" {
			if _, err := fmt.Sscan(p, &n); err != nil {
				t.Fatal(err)
			}
		}
		priorities = append(priorities, n)
	}
	return priorities
}

// whatHappened returns the one thing that became of a stanza from romeo.
func (w *world) whatHappened(sessions []*fakeSession) string {
	var all, to []string
	for i, s := range sessions {
		if got := s.take(); len(got) == 1 {
			to = append(to, fmt.Sprint(i))
		} else if len(got) > 1 {
			all = append(all, fmt.Sprintf("%d got %q", i, got))
		}
	}
	if to != nil {
		all = append(all, strings.Join(to, ","))
	}
	if w.offline.take() != nil {
		all = append(all, "stored")
	}
	if w.contacts.take() != nil {
		all = append(all, "contacts")
	}
	for _, st := range w.romeo.take() {
		if _, condition, isError := strings.Cut(st, "/"); isError {
			all = append(all, condition)
		} else {
			all = append(all, "handler")
		}
	}
	if all == nil {
		return "silence"
	}
	return strings.Join(all, " and ")
}

// TestElsewhere: everything that is not a local account.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	host := jid.MustParse("example.org")
	tests := []struct {
		name string
		st   stanza.Stanza
		want []string
	}{
		{"message to an unknown domain", newStanza(stanza.Message, stanza.TypeChat, jid.MustParse("a@far.test")), []string{"message error cancel/remote-server-not-found"}},
		{"IQ to an unknown domain", newStanza(stanza.IQ, stanza.TypeGet, jid.MustParse("far.test")), []string{"iq error cancel/remote-server-not-found"}},
		{"presence to an unknown domain", newStanza(stanza.Presence, "", jid.MustParse("a@far.test/x")), []string{"presence error cancel/remote-server-not-found"}},
		{"request to an unknown domain", newStanza(stanza.Presence, stanza.TypeSubscribe, jid.MustParse("a@far.test")), []string{"presence error cancel/remote-server-not-found"}},
		{"error to an unknown domain", newStanza(stanza.Message, stanza.TypeError, jid.MustParse("a@far.test")), nil},
		{"result to an unknown domain", newStanza(stanza.IQ, stanza.TypeResult, jid.MustParse("far.test")), nil},
		{"message to the host", newStanza(stanza.Message, stanza.TypeNormal, host), []string{"message error cancel/service-unavailable"}},
		{"presence to the host", newStanza(stanza.Presence, "", host), nil},
		{"request that the host knows", newStanza(stanza.IQ, stanza.TypeGet, host), []string{"iq result id"}},
		{"request that the host does not know", newStanza(stanza.IQ, stanza.TypeSet, host), []string{"iq error cancel/service-unavailable"}},
		{"request without payload", stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: "id", From: romeo, To: host}, []string{"iq error modify/bad-request"}},
		{"result to the host", newStanza(stanza.IQ, stanza.TypeResult, host), nil},
		{"error to the host", newStanza(stanza.IQ, stanza.TypeError, host), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.HandleHost("urn:test", stanza.TypeGet, func(context.Context, *stanza.Stanza) (*stanza.Element, error) { return nil, nil })
			w.Route(t.Context(), test.st)
			if got := w.romeo.take(); !slices.Equal(got, test.want) {
				t.Errorf("got %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestHandlers: whatever a handler does, its request has one answer.
func TestHandlers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		handler IQHandler
		want    []string
	}{
		{"result", func(context.Context, *stanza.Stanza) (*stanza.Element, error) { return nil, nil }, []string{"iq result id"}},
		{"stanza error", func(context.Context, *stanza.Stanza) (*stanza.Element, error) {
			return nil, fmt.Errorf("wrapped: %w", stanza.NewError(stanza.Auth, stanza.Forbidden, ""))
		}, []string{"iq error auth/forbidden"}},
		{"our own trouble", func(context.Context, *stanza.Stanza) (*stanza.Element, error) { return nil, errStore }, []string{"iq error wait/internal-server-error"}},
		{"panic", func(context.Context, *stanza.Stanza) (*stanza.Element, error) { panic("in the handler") }, []string{"iq error cancel/internal-server-error"}},
		{"answered", func(context.Context, *stanza.Stanza) (*stanza.Element, error) { return nil, ErrAnswered }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.HandleHost("urn:test", stanza.TypeGet, test.handler)
			w.Route(t.Context(), newStanza(stanza.IQ, stanza.TypeGet, jid.MustParse("example.org")))
			if got := w.romeo.take(); !slices.Equal(got, test.want) {
				t.Errorf("got %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestTroubleBelow: a store that fails is told to the sender, and a message is
// never lost without a word.
func TestTroubleBelow(t *testing.T) {
	t.Parallel()
	t.Run("accounts", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.accounts.err = errStore
		w.Route(t.Context(), newStanza(stanza.Message, stanza.TypeChat, juliet))
		w.Route(t.Context(), newStanza(stanza.IQ, stanza.TypeGet, juliet))
		want := []string{"message error wait/internal-server-error", "iq error wait/internal-server-error"}
		if got := w.romeo.take(); !slices.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	})
	for name, err := range map[string]error{"internal-server-error": errStore, "resource-constraint": stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "")} {
		t.Run("offline "+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.offline.refuse = err
			w.Route(t.Context(), newStanza(stanza.Message, stanza.TypeChat, juliet))
			if got, want := w.romeo.take(), []string{"message error wait/" + name}; !slices.Equal(got, want) {
				t.Errorf("got %q\nwant %q", got, want)
			}
		})
	}
	t.Run("juliet comes while her message is stored", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.juliets([]int{away})[0]
		w.offline.before = func() { s.available(0) }
		w.Route(t.Context(), newStanza(stanza.Message, stanza.TypeChat, juliet))
		if got := s.take(); len(got) != 1 || w.offline.take() != nil {
			t.Errorf("got %q", got)
		}
	})
}

// TestServicePanics: so does one of a local service.
func TestServicePanics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	st := newStanza(stanza.Message, stanza.TypeGroupchat, room)
	st.ID = "panic"
	w.Route(t.Context(), st)
	if got := w.romeo.take(); !slices.Equal(got, []string{"message error cancel/internal-server-error"}) {
		t.Errorf("got %q", got)
	}
}
