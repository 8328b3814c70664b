package roster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// TestSubscribe follows RFC 6121 §3.1 from the request to both.
func TestSubscribe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.send(`<presence type="subscribe" to="juliet@example.org/chamber" id="s1"/>`)
	r.expect("push juliet@example.org none ask=subscribe")
	j.expect("subscribe from romeo@example.org")
	j.send(`<presence type="subscribed" to="romeo@example.org"/>`)
	j.expect("push romeo@example.org from")
	r.expect("subscribed from juliet@example.org", "push juliet@example.org to", "available from juliet@example.org/balcony")
	j.send(`<presence type="subscribe" to="romeo@example.org"/>`)
	j.expect("push romeo@example.org from ask=subscribe")
	r.expect("subscribe from juliet@example.org")
	r.send(`<presence type="subscribed" to="juliet@example.org"/>`)
	r.expect("push juliet@example.org both")
	j.expect("subscribed from romeo@example.org", "push romeo@example.org both", "available from romeo@example.org/orchard")

	// §3.3: romeo does not want to see her any more; she still sees him.
	r.send(`<presence type="unsubscribe" to="juliet@example.org"/>`)
	r.expect("push juliet@example.org from", "unavailable from juliet@example.org/balcony")
	j.expect("unsubscribe from romeo@example.org", "push romeo@example.org to")
	// §3.2: nor is she to see him.
	r.send(`<presence type="unsubscribed" to="juliet@example.org"/>`)
	r.expect("push juliet@example.org none")
	j.expect("unavailable from romeo@example.org/orchard", "unsubscribed from romeo@example.org", "push romeo@example.org none")
}

// TestRequestWaits: RFC 6121 §3.1.3, a request is shown whole on each login
// until it is answered.
func TestRequestWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r := w.online(romeo, "orchard")
	r.send(`<presence type="subscribe" to="juliet@example.org"><nick xmlns="http://jabber.org/protocol/nick">Romeo</nick></presence>`)
	for _, resource := range []string{"balcony", "chamber"} {
		j := w.connect(juliet, resource)
		j.send(`<iq type="get" id="r"><query xmlns="jabber:iq:roster"/></iq>`)
		j.expect("result") // who only asks is no contact
		j.send(`<presence/>`)
		j.mu.Lock()
		last := j.got[len(j.got)-1]
		j.mu.Unlock()
		if last.Type != stanza.TypeSubscribe || last.From != romeo || last.ChildText("http://jabber.org/protocol/nick", "nick") != "Romeo" {
			t.Errorf("%s got %+v", resource, last)
		}
		j.drop()
	}
	j := w.online(juliet, "balcony")
	j.send(`<presence type="unsubscribed" to="romeo@example.org"/>`)
	j.expect() // he never was in her roster
	r.take()
	if _, err := w.db.RosterItem(t.Context(), juliet, romeo); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a denied request is remembered: %v", err)
	}
	j.drop()
	j = w.connect(juliet, "balcony")
	j.send(`<presence/>`)
	j.expect("available from juliet@example.org/balcony")
}

// TestWhoIsTold: a request is for available sessions (RFC 6121 §3.1.3), what
// comes of it for those that have asked for the roster (§3.1.6, §3.2.3, §3.3.3).
func TestWhoIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	interested, available := w.connect(juliet, "interested"), w.connect(juliet, "available")
	interested.send(`<iq type="get" id="r"><query xmlns="jabber:iq:roster"/></iq>`)
	available.send(`<presence/>`)
	interested.take()
	available.take()
	r := w.online(romeo, "orchard")
	r.send(`<presence type="subscribe" to="juliet@example.org"/>`)
	interested.expect()
	available.expect("subscribe from romeo@example.org")
	available.send(`<presence type="subscribed" to="romeo@example.org"/>`)
	available.send(`<presence type="subscribe" to="romeo@example.org"/>`)
	r.send(`<presence type="subscribed" to="juliet@example.org"/>`)
	r.send(`<presence type="unsubscribe" to="juliet@example.org"/>`)
	r.send(`<presence type="unsubscribed" to="juliet@example.org"/>`)
	interested.expect("push romeo@example.org from", "push romeo@example.org from ask=subscribe",
		"subscribed from romeo@example.org", "push romeo@example.org both",
		"unsubscribe from romeo@example.org", "push romeo@example.org to",
		"unsubscribed from romeo@example.org", "push romeo@example.org none")
	available.expect("available from romeo@example.org/orchard", "unavailable from romeo@example.org/orchard")
}

func TestPreApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	j.send(`<presence type="subscribed" to="romeo@example.org"/>`)
	j.expect("push romeo@example.org none approved=true")
	r.expect() // §3.4.2: not routed
	r.send(`<presence type="subscribe" to="juliet@example.org"/>`)
	j.expect("push romeo@example.org from approved=true") // §3.4.2: she is not asked
	r.expect("push juliet@example.org none ask=subscribe", "subscribed from juliet@example.org",
		"push juliet@example.org to", "available from juliet@example.org/balcony")

	// Taken back before it is used (§3.4.2).
	j.send(`<presence type="unsubscribed" to="romeo@example.org"/>`)
	j.expect("push romeo@example.org none")
	r.take()
	r.send(`<presence type="subscribe" to="juliet@example.org"/>`)
	j.expect("subscribe from romeo@example.org")
}

func TestSubscriptionErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, send string
		want       []string
	}{
		{"to oneself", `<presence type="subscribe" to="romeo@example.org"/>`, []string{"presence error not-allowed"}},
		{"without address", `<presence type="subscribe"/>`, []string{"presence error bad-request"}},
		{"probe without address", `<presence type="probe"/>`, []string{"presence error bad-request"}},
		{
			"no such account (§8.5.1: silence)", `<presence type="subscribe" to="ghost@example.org"/>`,
			[]string{"push ghost@example.org none ask=subscribe"},
		},
		{
			"unknown domain", `<presence type="subscribe" to="peer@far.test"/>`,
			[]string{"push peer@far.test none ask=subscribe", "presence error remote-server-not-found"},
		},
		{"priority that is none", `<presence><priority>high</priority></presence>`, []string{"presence error bad-request"}},
		{"priority too high", `<presence><priority>128</priority></presence>`, []string{"presence error bad-request"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			r := w.online(romeo, "orchard")
			r.send(test.send)
			w.router.Close() // replies to bare addresses are queued
			r.expect(test.want...)
			if item := w.item(ghost, romeo); item.PendingIn {
				t.Error("somebody who is not there has a request stored")
			}
		})
	}
}

// TestWaitingIsBounded: strangers cannot fill the store, and not keep the owner
// from adding contacts.
func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.MaxWaiting, o.MaxItems = 2, 2 })
	for i := range 3 {
		from := jid.MustParse(fmt.Sprintf("p%d@elsewhere.test", i))
		w.router.Route(t.Context(), stanza.Stanza{Kind: stanza.Presence, Type: stanza.TypeSubscribe, From: from, To: juliet})
	}
	if got := w.elsewhere.take(); len(got) != 1 || got[0] != "presence error resource-constraint" {
		t.Errorf("the third got %q", got)
	}
	j := w.online(juliet, "balcony")
	for i := range 3 {
		j.send(fmt.Sprintf(`<iq type="set" id="i"><query xmlns="jabber:iq:roster"><item jid="c%d@example.org"/></query></iq>`, i))
	}
	j.expect("push c0@example.org none", "result", "push c1@example.org none", "result", "iq error resource-constraint")
	j.send(`<presence type="subscribe" to="c9@example.org"/>`)
	j.expect("presence error resource-constraint")
}

// TestStoreFails: what cannot be stored has not happened, and the sender knows.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	w.db.err = errors.New("disk is full")
	r.send(`<presence type="subscribe" to="juliet@example.org"/>`)
	r.expect("presence error internal-server-error")
	r.send(`<iq type="set" id="i"><query xmlns="jabber:iq:roster"><item jid="juliet@example.org"/></query></iq>`)
	r.expect("iq error internal-server-error")
	j.expect()
	w.db.err = nil
	r.send(`<presence type="subscribe" to="juliet@example.org"/>`)
	r.expect("push juliet@example.org none ask=subscribe")
}

// TestRepair: a subscription that only one side knows of, as a crash between
// the two halves leaves it, ends at the next login and shows nothing.
func TestRepair(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.put(romeo, store.RosterItem{Contact: juliet, Subscription: store.SubTo, InRoster: true})
	w.online(juliet, "balcony")
	r := w.connect(romeo, "orchard")
	r.send(`<iq type="get" id="r"><query xmlns="jabber:iq:roster"/></iq>`)
	r.expect("result juliet@example.org to")
	r.send(`<presence/>`)
	r.expect("available from romeo@example.org/orchard", "unsubscribed from juliet@example.org", "push juliet@example.org none")
}

func TestAccountDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.friends(romeo, juliet)
	r := w.online(romeo, "orchard")
	if err := w.roster.AccountDeleted(t.Context(), juliet); err != nil {
		t.Fatal(err)
	}
	r.expect("unsubscribe from juliet@example.org", "push juliet@example.org to",
		"unsubscribed from juliet@example.org", "push juliet@example.org none")
}

// TestBothSidesAgree lets clients of two people send all that the protocol has
// at once. Afterwards each sees the other exactly if the other's roster says
// so, and each client's picture is what its roster says.
func TestBothSidesAgree(t *testing.T) {
	t.Parallel()
	types := []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"}
	for round := range 20 {
		w := newWorld(t, nil)
		clients := []*client{
			w.online(romeo, "a"), w.online(romeo, "b"), w.online(juliet, "a"), w.online(juliet, "b"),
		}
		var wg sync.WaitGroup
		for i, c := range clients {
			other := juliet
			if i > 1 {
				other = romeo
			}
			random := rand.New(rand.NewPCG(uint64(round), uint64(i)))
			wg.Go(func() {
				for range 30 {
					if random.IntN(8) == 0 {
						c.send(fmt.Sprintf(`<iq type="set" id="i"><query xmlns="jabber:iq:roster"><item jid="%s" subscription="remove"/></query></iq>`, other))
						continue
					}
					c.send(fmt.Sprintf(`<presence type="%s" to="%s"/>`, types[random.IntN(4)], other))
				}
			})
		}
		wg.Wait()
		w.router.Close()
		w.agreesWithStore(romeo)
		w.agreesWithStore(juliet)
		r, j := w.item(romeo, juliet), w.item(juliet, romeo)
		rs, js := stateOf(&r), stateOf(&j)
		if (rs&to != 0) != (js&from != 0) || (rs&from != 0) != (js&to != 0) {
			t.Fatalf("round %d: romeo has %+v, juliet %+v", round, r, j)
		}
		for i, c := range clients {
			mine, theirs := r, juliet
			if i > 1 {
				mine, theirs = j, romeo
			}
			if err := c.agrees(mine, theirs); err != nil {
				t.Fatalf("round %d, %s: %v", round, c.jid, err)
			}
		}
	}
}

// agrees compares the pushes and presence that a client has got with an item.
func (c *client) agrees(item store.RosterItem, contact jid.JID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown, available := "", map[jid.JID]bool{}
	for _, st := range c.got {
		switch {
		case st.Kind == stanza.IQ && st.Type == stanza.TypeSet:
			shown = describeItem(st.Payload().FirstElement())
		case st.Kind == stanza.Presence && st.From.Bare() == contact && !st.From.IsBare():
			available[st.From] = st.Type == ""
		}
	}
	if want := describeItem(itemElement(&item)); shown != want {
		return fmt.Errorf("the last push is %q, the roster has %q", shown, want)
	}
	for j, on := range available {
		if sees := stateOf(&item)&to != 0; on != sees {
			return fmt.Errorf("%s is shown as available %t, and is to be seen %t", j, on, sees)
		}
	}
	return nil
}
