package roomfeatures_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// world is a router that keeps what everybody has received.
type world struct {
	mu sync.Mutex
	// Guarded by mu.
	got map[jid.JID][]string
}

type person struct {
	w    *world
	addr jid.JID
}

func (p person) Deliver(batch []*stanza.Encoded) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	for _, e := range batch {
		p.w.got[p.addr] = append(p.w.got[p.addr], string(e.AppendTo(nil, p.addr.String())))
	}
}

func (w *world) Target(full jid.JID) stanza.Target { return person{w, full} }

func (w *world) Send(st stanza.Stanza) {
	person{w, st.To}.Deliver([]*stanza.Encoded{stanza.Encode(st)})
}

// take returns what addr has received since the last call.
func (w *world) take(addr string) string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	j := jid.MustParse(addr)
	all := strings.Join(w.got[j], "\n")
	delete(w.got, j)
	return all
}

func parse(t *testing.T, xml string) stanza.Stanza {
	t.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		t.Fatalf("%s: %v", xml, err)
	}
	return st
}

func expect(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in\n%s", w, got)
		}
	}
}

// TestFirstVisit walks through a room's life as two people see it.
func TestFirstVisit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{got: make(map[jid.JID][]string)}
		s, err := muc.New(muc.Options{
			Domain: "conf.test", Router: w, Extensions: roomfeatures.All(roomfeatures.Options{HistorySize: 20}),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		}()
		send := func(xml string) { s.Handle(parse(t, xml)) }
		const romeo, juliet = "romeo@test/a", "juliet@test/b"

		send(`<presence from='romeo@test/a' to='coven@conf.test/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
		expect(t, w.take(romeo), "<status code='110'/>", "<status code='201'/>", "affiliation='owner'", "<subject/>")
		send(`<presence from='juliet@test/b' to='coven@conf.test/Juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
		expect(t, w.take(juliet), "item-not-found") // §7.2.10: locked
		send(`<iq type='set' id='c' from='romeo@test/a' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>`)
		expect(t, w.take(romeo), "type='result' id='c'")
		send(`<message type='groupchat' id='m0' from='romeo@test/a' to='coven@conf.test'><body>But soft</body></message>`)
		expect(t, w.take(romeo), "But soft", "from='coven@conf.test/Romeo'")

		send(`<presence from='juliet@test/b' to='coven@conf.test/Juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
		got := w.take(juliet)
		expect(t, got, "from='coven@conf.test/Romeo'", "<status code='110'/>", "But soft", "urn:xmpp:delay", "<subject/>")
		if strings.Contains(got, romeo) {
			t.Errorf("a participant of a semi-anonymous room sees a real address:\n%s", got)
		}
		expect(t, w.take(romeo), "from='coven@conf.test/Juliet'", "jid='juliet@test/b'")
		send(`<iq type='set' id='k' from='romeo@test/a' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='Juliet' role='none'><reason>Away!</reason></item></query></iq>`)
		expect(t, w.take(juliet), "<status code='307'/>", "<status code='110'/>", "Away!", "type='unavailable'")
		expect(t, w.take(romeo), "<status code='307'/>", "type='result' id='k'")
	})
}
