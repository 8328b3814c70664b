package stanza

import (
	"testing"
	"time"

	"github.com/muster-im/muster/jid"
)

// TestLost: the last of those who have a message hands it back, as it was sent
// and with its time; until then somebody has it.
func TestLost(t *testing.T) {
	t.Parallel()
	juliet := jid.MustParse("juliet@example.org/balcony")
	given := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	message := Stanza{Kind: Message, Type: TypeChat, ID: "m"}.With(NewElement(NSClient, "body").AddText("hello"))
	const stamped = `<message type='chat' id='m' to='juliet@example.org/balcony'><body>hello</body>` +
		`<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2026-01-02T03:04:05Z'/></message>`
	whole := message
	whole.To = juliet
	shared := func(n int) *Encoded {
		e := EncodeAddressed(whole)
		e.SharedBy(n)
		return e
	}
	pair, late := shared(2), EncodeDelayed(whole, juliet.DomainOnly(), given)
	alone := shared(1)
	tests := []struct {
		name  string
		lost  []*Encoded
		want  string
		given time.Time
	}{
		{"one", []*Encoded{alone}, stamped, given},
		{"to many, each its own", []*Encoded{Encode(message)}, stamped, given},
		{"one of two", []*Encoded{shared(2)}, "", given},
		{"both", []*Encoded{pair, pair}, stamped, given},
		{"copy and message", copyAnd(shared(2), true), stamped, given},
		{"message and copy", copyAnd(shared(2), false), stamped, given},
		{"a copy that nobody misses", []*Encoded{EncodeCopy(message, nil)}, "", given},
		{"from the store, later", []*Encoded{late}, stamped, given.Add(time.Hour)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			for i, e := range test.lost {
				st, ok := e.Lost(juliet, test.given)
				if last := i == len(test.lost)-1; ok && !last {
					t.Fatal("handed back while another has it")
				}
				if ok {
					got = string(st.AppendXML(nil))
				}
			}
			if got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
		})
	}
}

// copyAnd returns a message and a copy in the order in which they are lost.
func copyAnd(e *Encoded, copyFirst bool) []*Encoded {
	other := EncodeCopy(Stanza{Kind: Message}, e)
	if copyFirst {
		return []*Encoded{other, e}
	}
	return []*Encoded{e, other}
}

// TestStanzaElement: a stanza as an element is the stanza.
func TestStanzaElement(t *testing.T) {
	t.Parallel()
	const text = `<message type='chat' id='m' from='a@b/c' to='d@e' xml:lang='en' x='y'><body>hello</body></message>`
	st, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(st.Element().AppendXML(nil, NSClient)); got != text {
		t.Errorf("got %s\nwant %s", got, text)
	}
}

func TestMessageType(t *testing.T) {
	t.Parallel()
	for typ, want := range map[Type]Type{
		"": TypeNormal, "normal": TypeNormal, "strange": TypeNormal, "chat": TypeChat,
		"error": TypeError, "groupchat": TypeGroupchat, "headline": TypeHeadline,
	} {
		if got := (&Stanza{Kind: Message, Type: typ}).MessageType(); got != want {
			t.Errorf("%q is %q, want %q", typ, got, want)
		}
	}
}
