package blocking

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// TestListInMemory: the sessions of an account share one list, which is read
// once, follows changes and goes with the last of them.
func TestListInMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	phone, laptop := w.connect(juliet, "phone"), w.connect(juliet, "laptop")
	if w.db.reads != 1 || phone.state.BlockList() != laptop.state.BlockList() {
		t.Errorf("%d reads for two sessions", w.db.reads)
	}
	phone.block(romeo)
	if !laptop.state.BlockList().Blocks(romeo) {
		t.Error("the laptop does not know what the phone has blocked")
	}
	phone.drop()
	if l, err := w.Read(t.Context(), juliet); err != nil || l != laptop.state.BlockList() || w.db.reads != 1 {
		t.Errorf("with one session left: %v, %d reads", err, w.db.reads)
	}
	laptop.drop()
	if len(w.open) != 0 {
		t.Error("a list stays in memory without a session")
	}
	if l, err := w.Read(t.Context(), juliet); err != nil || !l.Blocks(romeo) || w.db.reads != 2 {
		t.Errorf("without a session: %v, %d reads", err, w.db.reads)
	}
}

// TestChangesAreTold: to the roster service, with what it was and what it is.
func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	j := w.connect(juliet, "balcony")
	j.block(romeo, nurse)
	j.block(romeo)
	j.send(`<iq type="set" id="u"><unblock xmlns="urn:xmpp:blocking"><item jid="nurse@example.org"/></unblock></iq>`)
	j.send(`<iq type="set" id="u"><unblock xmlns="urn:xmpp:blocking"/></iq>`)
	want := []string{
		"juliet@example.org [romeo@example.org nurse@example.org]: 0 to 2",
		"juliet@example.org [romeo@example.org]: 2 to 2",
		"juliet@example.org [nurse@example.org]: 2 to 1",
		"juliet@example.org [romeo@example.org]: 1 to 0",
	}
	if !slices.Equal(w.presence.got, want) {
		t.Errorf("got  %q\nwant %q", w.presence.got, want)
	}
}

// TestLimit: a list that would be too long is refused whole.
func TestLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{MaxItems: 2})
	j := w.connect(juliet, "balcony")
	j.block(romeo)
	j.send(`<iq type="set" id="b"><block xmlns="urn:xmpp:blocking"><item jid="a@b.test"/><item jid="b@b.test"/></block></iq>`)
	j.expect("iq error from juliet@example.org cancel/resource-constraint")
	if l := j.state.BlockList(); l.Len() != 1 {
		t.Errorf("blocked: %v", l.Items())
	}
	j.block("a@b.test", romeo)
	w.db.err = errStore
	j.block(romeo, "a@b.test") // nothing to write
	w.db.err = nil
	j.send(`<iq type="get" id="l"><blocklist xmlns="urn:xmpp:blocking"/></iq>`)
	j.expect("iq result from juliet@example.org blocklist a@b.test romeo@example.org")
}

// TestStoreFails: nothing changes, nobody gets what may have been blocked, and
// the sender learns that it is our trouble.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	j, r := w.connect(juliet, "balcony"), w.connect(romeo, "orchard")
	w.db.err = errStore
	j.send(`<iq type="get" id="l"><blocklist xmlns="urn:xmpp:blocking"/></iq>`)
	j.send(`<iq type="set" id="b"><block xmlns="urn:xmpp:blocking"><item jid="romeo@example.org"/></block></iq>`)
	j.send(`<iq type="set" id="u"><unblock xmlns="urn:xmpp:blocking"/></iq>`)
	trouble := "iq error from juliet@example.org wait/internal-server-error"
	j.expect(trouble, trouble, trouble)
	r.send(`<message to="juliet@example.org"><body/></message>`)
	j.expect("message  from romeo@example.org/orchard") // her list is in memory
	r.send(`<message to="nurse@example.org"><body/></message>`)
	r.expect("message error from nurse@example.org wait/internal-server-error")
	if len(w.presence.got) != 0 {
		t.Errorf("presence changes by what has failed: %q", w.presence.got)
	}
	if _, err := w.Open(t.Context(), nurse); !errors.Is(err, errStore) || len(w.open) != 2 {
		t.Errorf("a list that cannot be read: %v", err)
	}
}

// TestAccountDeleted: who registers the name anew has blocked nobody.
func TestAccountDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	j := w.connect(juliet, "balcony")
	j.block(romeo)
	if err := w.AccountDeleted(t.Context(), juliet); err != nil {
		t.Fatal(err)
	}
	if !j.state.BlockList().Empty() {
		t.Error("a session that ends late has its list still")
	}
	j.drop()
	if l, err := w.Read(t.Context(), juliet); err != nil || !l.Empty() {
		t.Errorf("left: %v, %v", l.Items(), err)
	}
}

// TestScreen: what sessions get of rooms and of what was under way.
func TestScreen(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, xml   string
		blocked     []any
		get, answer []string
	}{
		{"message of an occupant", `<message type="groupchat" from="coven@rooms.test/Moon"><body/></message>`, []any{moon}, nil, nil},
		{"of another", `<message type="groupchat" from="coven@rooms.test/Sun"><body/></message>`, []any{moon}, []string{"message groupchat from coven@rooms.test/Sun"}, nil},
		{"of the room", `<message type="groupchat" from="coven@rooms.test"><body/></message>`, []any{moon}, []string{"message groupchat from coven@rooms.test"}, nil},
		{"subject", `<message type="groupchat" from="coven@rooms.test/Moon"><subject>x</subject></message>`, []any{moon}, []string{"message groupchat from coven@rooms.test"}, nil},
		{"subject with a body", `<message type="groupchat" from="coven@rooms.test/Moon"><subject>x</subject><body/></message>`, []any{moon}, nil, nil},
		{"subject in a room that is blocked", `<message type="groupchat" from="coven@rooms.test/Moon"><subject>x</subject></message>`, []any{moon, coven}, nil, nil},
		{"presence of an occupant", `<presence from="coven@rooms.test/Moon"><x xmlns="http://jabber.org/protocol/muc#user"/></presence>`, []any{moon}, nil, nil},
		{
			"one's own presence", `<presence from="coven@rooms.test/Moon"><x xmlns="http://jabber.org/protocol/muc#user"><status code="110"/></x></presence>`,
			[]any{coven},
			[]string{"presence  from coven@rooms.test/Moon"},
			nil,
		},
		{"private message", `<message type="chat" from="coven@rooms.test/Moon"><body/></message>`, []any{moon}, nil, []string{"message error from juliet@example.org/balcony cancel/service-unavailable"}},
		{"request", `<iq type="get" id="i" from="coven@rooms.test/Moon"><query xmlns="urn:x"/></iq>`, []any{"rooms.test"}, nil, []string{"iq error from juliet@example.org/balcony cancel/service-unavailable"}},
		{"result", `<iq type="result" id="i" from="coven@rooms.test/Moon"/>`, []any{moon}, nil, nil},
		{"error", `<message type="error" from="coven@rooms.test/Moon"><error type="cancel"><gone xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>`, []any{moon}, nil, nil},
		{
			"invitation by somebody through a room", `<message from="coven@rooms.test"><x xmlns="http://jabber.org/protocol/muc#user"><invite from="romeo@example.org/x"/></x></message>`,
			[]any{romeo},
			nil, nil,
		},
		{
			"invitation by another", `<message from="coven@rooms.test"><x xmlns="http://jabber.org/protocol/muc#user"><invite from="nurse@example.org/x"/></x></message>`,
			[]any{romeo},
			[]string{"message  from coven@rooms.test"},
			nil,
		},
		{
			"stored before", `<message from="coven@rooms.test/Moon"><body/><delay xmlns="urn:xmpp:delay" from="example.org" stamp="2026-01-01T00:00:00Z"/></message>`,
			[]any{moon},
			nil, nil,
		},
		{"of a person to the session", `<presence from="romeo@example.org/x"/>`, []any{"example.org"}, nil, nil},
		{"of the server", `<message from="example.org"><body/></message>`, []any{"example.org"}, []string{"message  from example.org"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{})
			j := w.connect(juliet, "balcony")
			j.block(test.blocked...)
			st, err := stanza.Parse([]byte(test.xml))
			if err != nil {
				t.Fatal(err)
			}
			harmless := stanza.Encode(stanza.Stanza{Kind: stanza.Presence, From: nurse})
			if slices.Contains(test.blocked, any("example.org")) {
				harmless = stanza.Encode(stanza.Stanza{Kind: stanza.Presence, From: sun})
			}
			batch := []*stanza.Encoded{harmless, stanza.Encode(st), harmless}
			kept := slices.Clone(batch)
			j.Deliver(batch)
			if !slices.Equal(batch, kept) {
				t.Error("the batch, which is shared, has changed")
			}
			got := j.take()
			if len(got) < 2 || !slices.Equal(got[1:len(got)-1], test.get) {
				t.Errorf("got  %q\nwant %q", got, test.get)
			}
			if got := w.rooms.take(); !slices.Equal(got, test.answer) {
				t.Errorf("the sender gets %q\nwant %q", got, test.answer)
			}
		})
	}
}

// TestInvitationToAccount: the router stops an invitation by somebody blocked,
// too, and does not tell the room.
func TestInvitationToAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	j := w.connect(juliet, "balcony")
	j.block(romeo)
	for _, by := range []jid.JID{romeo, nurse} {
		st := stanza.Stanza{Kind: stanza.Message, From: coven, To: juliet}
		invite := stanza.NewElement(stanza.NSMUCUser, "invite", "from", by.String())
		w.router.Route(t.Context(), st.With(stanza.NewElement(stanza.NSMUCUser, "x").Add(invite)))
	}
	j.expect("message  from coven@rooms.test")
	if got := w.rooms.take(); len(got) != 0 {
		t.Errorf("the room gets %q", got)
	}
}

// TestCostsNothing: to ask an account that has blocked nobody takes no memory.
func TestCostsNothing(t *testing.T) {
	w := newWorld(t, Options{})
	j := w.connect(juliet, "balcony")
	st := stanza.Stanza{Kind: stanza.Message, From: romeo, To: juliet}
	batch := []*stanza.Encoded{stanza.Encode(st)}
	if n := testing.AllocsPerRun(100, func() { ask(t, w, j, &st, batch) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// ask does what routing a stanza to and from an account adds.
func ask(t testing.TB, w *world, s *client, st *stanza.Stanza, batch []*stanza.Encoded) {
	if stops, err := w.Stops(t.Context(), *st); stops || err != nil {
		t.Fatal(stops, err)
	}
	if s.state.BlockList().Blocks(st.From) || len(w.Screen(s, batch)) != 1 {
		t.Fatal("blocked")
	}
}

func BenchmarkAsk(b *testing.B) {
	for _, blocked := range []string{"nobody", "romeo@example.org"} {
		b.Run(strings.ReplaceAll(blocked, "@", " at "), func(b *testing.B) {
			w := newWorld(b, Options{})
			s := w.connect(juliet, "balcony")
			if blocked != "nobody" {
				s.block(blocked)
			}
			st := stanza.Stanza{Kind: stanza.Message, From: nurse, To: juliet}
			batch := []*stanza.Encoded{stanza.Encode(st)}
			b.ReportAllocs()
			for b.Loop() {
				ask(b, w, s, &st, batch)
			}
		})
	}
}
