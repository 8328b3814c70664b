package roster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// appendixA is RFC 6121 Appendix A as printed: state, whether the stanza is
// routed or delivered, the new state ("-" is no change).
const appendixA = `
A.2.1 sent subscribe
none     MUST     none+out
none+out MUST     -
none+in  MUST     none+out+in
none+out+in MUST  -
to       MUST     -
to+in    MUST     -
from     MUST     from+out
from+out MUST     -
both     MUST     -
A.2.2 sent unsubscribe
none     MUST     -
none+out MUST     none
none+in  MUST     -
none+out+in MUST  none+in
to       MUST     none
to+in    MUST     none+in
from     MUST     -
from+out MUST     from
both     MUST     from
A.2.3 sent subscribed
none     MUST-NOT -
none+out MUST-NOT -
none+in  MUST     from
none+out+in MUST  from+out
to       MUST-NOT -
to+in    MUST     both
from     MUST-NOT -
from+out MUST-NOT -
both     MUST-NOT -
A.2.4 sent unsubscribed
none     MUST-NOT -
none+out MUST-NOT -
none+in  MUST     none
none+out+in MUST  none+out
to       MUST-NOT -
to+in    MUST     to
from     MUST     none
from+out MUST     none+out
both     MUST     to
A.3.1 received subscribe
none     MUST     none+in
none+out MUST     none+out+in
none+in  MUST-NOT -
none+out+in MUST-NOT -
to       MUST     to+in
to+in    MUST-NOT -
from     MUST-NOT -
from+out MUST-NOT -
both     MUST-NOT -
A.3.2 received unsubscribe
none     MUST-NOT -
none+out MUST-NOT -
none+in  MUST     none
none+out+in MUST  none+out
to       MUST-NOT -
to+in    MUST     to
from     MUST     none
from+out MUST     none+out
both     MUST     to
A.3.3 received subscribed
none     MUST-NOT -
none+out MUST     to
none+in  MUST-NOT -
none+out+in MUST  to+in
to       MUST-NOT -
to+in    MUST-NOT -
from     MUST-NOT -
from+out MUST     both
both     MUST-NOT -
A.3.4 received unsubscribed
none     MUST-NOT -
none+out MUST     none
none+in  MUST-NOT -
none+out+in MUST  none+in
to       MUST     none
to+in    MUST     none+in
from     MUST-NOT -
from+out MUST     from
both     MUST     from
`

// stateCase is one cell of the tables.
type stateCase struct {
	sent          bool
	typ           stanza.Type
	before, after string
	pass          bool
}

func stateCases(t *testing.T) []stateCase {
	t.Helper()
	var cases []stateCase
	var c stateCase
	for line := range strings.Lines(strings.TrimSpace(appendixA)) {
		f := strings.Fields(line)
		if strings.HasPrefix(f[0], "A.") {
			c.sent, c.typ = f[1] == "sent", stanza.Type(f[2])
			continue
		}
		c.before, c.pass, c.after = f[0], f[1] == "MUST", f[2]
		if c.after == "-" {
			c.after = c.before
		}
		cases = append(cases, c)
	}
	if len(cases) != 72 {
		t.Fatalf("%d cells, want 72", len(cases))
	}
	return cases
}

// named returns the item of a state as appendixA writes it.
func named(name string, contact jid.JID) store.RosterItem {
	parts := strings.Split(name, "+")
	item := store.RosterItem{
		Contact: contact, Subscription: store.Subscription(parts[0]), InRoster: true,
		PendingOut: slices.Contains(parts, "out"), PendingIn: slices.Contains(parts, "in"),
	}
	if item.PendingIn {
		item.Request = []byte(fmt.Sprintf("<presence type='subscribe' from='%s'/>", contact))
	}
	return item
}

func nameOf(item store.RosterItem) string {
	name := string(item.Subscription)
	if item.PendingOut {
		name += "+out"
	}
	if item.PendingIn {
		name += "+in"
	}
	return name
}

// TestAppendixA goes through every cell with a contact elsewhere, where what is
// routed can be seen, and one session that is told what is delivered.
func TestAppendixA(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	me := w.online(romeo, "balcony")
	for _, c := range stateCases(t) {
		who := "received"
		if c.sent {
			who = "sent"
		}
		t.Run(fmt.Sprintf("%s %s in %s", who, c.typ, c.before), func(t *testing.T) {
			item := named(c.before, peer)
			w.put(romeo, item)
			w.elsewhere.take()
			me.take()
			var want, wantElsewhere []string
			news := fmt.Sprintf("%s from %s", c.typ, peer)
			if c.sent {
				me.send(fmt.Sprintf("<presence type='%s' to='%s/any'/>", c.typ, peer))
				news = fmt.Sprintf("%s from %s", c.typ, romeo)
			} else {
				w.router.Route(t.Context(), stanza.Stanza{Kind: stanza.Presence, Type: c.typ, From: peer, To: romeo})
			}
			after := w.item(romeo, peer)
			if got := nameOf(after); got != c.after {
				t.Errorf("now %s, want %s", got, c.after)
			}
			if !after.PendingIn && after.Request != nil {
				t.Error("an answered request is kept")
			}
			switch {
			case c.pass && c.sent:
				wantElsewhere = append(wantElsewhere, news)
			case c.pass:
				want = append(want, news)
			}
			approves := c.sent && c.typ == stanza.TypeSubscribed && !c.pass && !strings.HasPrefix(c.before, "from") && c.before != "both"
			if approves != after.Approved {
				t.Errorf("approved %t, want %t (§3.4.2)", after.Approved, approves)
			}
			// §3.1.3: only what shows is pushed, and a request does not.
			shown := named(c.after, peer)
			if shown.Subscription != item.Subscription || shown.PendingOut != item.PendingOut || approves {
				shown.Approved = approves
				want = append(want, "push "+describeItem(itemElement(&shown)))
			}
			wantElsewhere = withPresence(wantElsewhere, c, me)
			if got := me.take(); !slices.Equal(got, want) {
				t.Errorf("the client got %q\nwant %q", got, want)
			}
			if got := w.elsewhere.take(); !slices.Equal(got, wantElsewhere) {
				t.Errorf("the contact got %q\nwant %q", got, wantElsewhere)
			}
		})
	}
}

// withPresence adds to what the contact is sent what the server sends him by
// its own doing.
func withPresence(sent []string, c stateCase, me *client) []string {
	saw := strings.HasPrefix(c.before, "from") || c.before == "both"
	sees := strings.HasPrefix(c.after, "from") || c.after == "both"
	switch {
	case !c.sent && c.typ == stanza.TypeSubscribe && saw: // §3.1.3: answered for the account
		return append(sent, "subscribed from "+romeo.String(), "available from "+me.jid.String())
	case sees && !saw: // §3.1.5
		return append(sent, "available from "+me.jid.String())
	case saw && !sees: // §3.2.2: before he is told; §3.3.3
		return append([]string{"unavailable from " + me.jid.String()}, sent...)
	}
	return sent
}

// TestAppendixAUnlisted: the same with a contact who is no part of the roster,
// as strangers are who ask.
func TestAppendixAUnlisted(t *testing.T) {
	t.Parallel()
	for _, c := range stateCases(t) {
		if c.before != "none" && c.before != "none+in" {
			continue
		}
		item := named(c.before, peer)
		item.InRoster = false
		apply, who := applyReceived, "received"
		if c.sent {
			apply, who = applySent, "sent"
		}
		o := apply(&item, c.typ)
		if nameOf(item) != c.after || o.pass != c.pass {
			t.Errorf("%s %s in %s: %s, passed %t\nwant %s, %t", who, c.typ, c.before, nameOf(item), o.pass, c.after, c.pass)
		}
		wantListed := c.sent && (c.typ == stanza.TypeSubscribe || c.typ == stanza.TypeSubscribed)
		if item.InRoster != wantListed {
			t.Errorf("%s %s in %s: in roster %t", who, c.typ, c.before, item.InRoster)
		}
	}
}
