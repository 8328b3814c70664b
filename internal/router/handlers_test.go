package router

import (
	"context"
	"slices"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// request is a get with a payload of the namespace that tests use.
func request(to jid.JID, namespace string) stanza.Stanza {
	return stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: "q", From: romeo, To: to}.
		With(stanza.NewElement(namespace, "query"))
}

func TestHandleNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	empty := func(context.Context, *stanza.Stanza) (*stanza.Element, error) { return nil, nil }
	w.HandleNobody("urn:for-nobody", stanza.TypeGet, empty)
	for _, test := range []struct {
		name, namespace string
		to              jid.JID
		want            string
	}{
		{"nobody", "urn:for-nobody", ghost, "iq result q"},
		{"nobody, something else", "urn:other", ghost, "iq error cancel/service-unavailable"},
		{"somebody", "urn:for-nobody", juliet, "iq error cancel/service-unavailable"},
	} {
		w.Route(t.Context(), request(test.to, test.namespace))
		if got := w.romeo.take(); !slices.Equal(got, []string{test.want}) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestGuardSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	balcony := &fakeSession{jid: jid.MustParse("juliet@example.org/balcony")}
	w.Bind(balcony)
	var guarded []string
	allowed := false
	w.GuardSessions("urn:guarded", stanza.TypeGet, func(_ context.Context, iq *stanza.Stanza) error {
		guarded = append(guarded, iq.To.String())
		if allowed {
			return nil
		}
		return stanza.NewError(stanza.Auth, stanza.Forbidden, "")
	})
	for _, test := range []struct {
		name, namespace, to string
		allowed             bool
		answer              string // to romeo; "": the session gets it
		asked               bool
	}{
		{"refused", "urn:guarded", "juliet@example.org/balcony", false, "iq error auth/forbidden", true},
		{"refused without a session", "urn:guarded", "juliet@example.org/tomb", false, "iq error auth/forbidden", true},
		{"allowed", "urn:guarded", "juliet@example.org/balcony", true, "", true},
		{"allowed without a session", "urn:guarded", "juliet@example.org/tomb", true, "iq error cancel/service-unavailable", true},
		{"nobody", "urn:guarded", "ghost@example.org/x", true, "iq error cancel/service-unavailable", true},
		{"nobody, refused like somebody", "urn:guarded", "ghost@example.org/x", false, "iq error auth/forbidden", true},
		{"something else", "urn:other", "juliet@example.org/balcony", false, "", false},
	} {
		guarded, allowed = nil, test.allowed
		w.Route(t.Context(), request(jid.MustParse(test.to), test.namespace))
		var answer, delivered []string
		if test.answer != "" {
			answer = []string{test.answer}
		} else {
			delivered = []string{"iq get q"}
		}
		if got := w.romeo.take(); !slices.Equal(got, answer) {
			t.Errorf("%s: answer %q, want %q", test.name, got, answer)
		}
		if got := balcony.take(); !slices.Equal(got, delivered) {
			t.Errorf("%s: delivered %q, want %q", test.name, got, delivered)
		}
		if asked := len(guarded) > 0; asked != test.asked {
			t.Errorf("%s: guard asked %t, want %t", test.name, asked, test.asked)
		}
	}
	// An answer is no request.
	result := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeResult, ID: "r", From: romeo, To: balcony.jid}.
		With(stanza.NewElement("urn:guarded", "query"))
	w.Route(t.Context(), result)
	if got := balcony.take(); !slices.Equal(got, []string{"iq result r"}) {
		t.Errorf("an answer: %q", got)
	}
}
