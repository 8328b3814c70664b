package roster

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// TestPresence follows RFC 6121 §4: who comes, changes, and goes is seen by
// contacts with from or both and by the account's own sessions.
func TestPresence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.friends(romeo, juliet)
	w.put(romeo, store.RosterItem{Contact: peer, Subscription: store.SubFrom, InRoster: true})
	w.put(romeo, store.RosterItem{Contact: jid.MustParse("other@elsewhere.test"), Subscription: store.SubTo, InRoster: true})
	desk, j := w.online(romeo, "desk"), w.online(juliet, "balcony")
	hidden := w.connect(juliet, "hidden") // not available: sees nothing
	desk.take()
	w.elsewhere.take()

	phone := w.connect(romeo, "phone")
	phone.send(`<presence><priority> -1 </priority></presence>`)
	phone.expect("available from romeo@example.org/phone", "available from romeo@example.org/desk", "available from juliet@example.org/balcony")
	desk.expect("available from romeo@example.org/phone")
	j.expect("available from romeo@example.org/phone")

	phone.send(`<presence><show>away</show></presence>`)
	phone.expect("available away from romeo@example.org/phone") // §4.4: nobody is looked at again
	desk.expect("available away from romeo@example.org/phone")
	j.expect("available away from romeo@example.org/phone")

	phone.send(`<presence type="unavailable"/>`)
	phone.expect("unavailable from romeo@example.org/phone")
	desk.expect("unavailable from romeo@example.org/phone")
	j.expect("unavailable from romeo@example.org/phone")
	phone.send(`<presence type="unavailable"/>`)
	phone.drop()
	j.expect() // once

	desk.drop() // §4.5.2: the connection is lost
	j.expect("unavailable from romeo@example.org/desk")
	hidden.expect()
	want := fmt.Sprintf("%q", []string{
		"available from romeo@example.org/phone", "probe from romeo@example.org", "available away from romeo@example.org/phone",
		"unavailable from romeo@example.org/phone", "unavailable from romeo@example.org/desk",
	})
	if got := fmt.Sprintf("%q", w.elsewhere.take()); got != want {
		t.Errorf("the contact elsewhere got %s\nwant %s", got, want)
	}
}

// TestDirected follows RFC 6121 §4.6: who has directed presence gets no
// changes, but the end.
func TestDirected(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"drop", "unavailable"} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, initial presence %t", end, first), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				r, j := w.connect(romeo, "orchard"), w.online(juliet, "balcony")
				if first {
					r.send(`<presence/>`)
				}
				for _, room := range []string{"room@elsewhere.test/Nick", "left@elsewhere.test/Nick"} {
					r.send(`<presence to="` + room + `"/>`)
				}
				r.send(`<presence to="juliet@example.org"/>`)
				r.send(`<presence type="unavailable" to="left@elsewhere.test/Nick"/>`)
				j.expect("available from romeo@example.org/orchard")
				w.elsewhere.take()
				if first {
					r.send(`<presence><show>away</show></presence>`)
				}
				j.expect()
				if end == "drop" {
					r.drop()
				} else {
					r.send(`<presence type="unavailable"/>`)
					r.drop() // and not again
				}
				j.expect("unavailable from romeo@example.org/orchard")
				if got := w.elsewhere.take(); len(got) != 1 || got[0] != "unavailable from romeo@example.org/orchard" {
					t.Errorf("the rooms got %q", got)
				}
			})
		}
	}
}

// TestDirectedToContact: one who sees the account anyway hears of the end once,
// also one whose session was not available when it got directed presence.
func TestDirectedToContact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.friends(romeo, juliet)
	j, quiet := w.online(juliet, "balcony"), w.connect(juliet, "quiet")
	r := w.online(romeo, "orchard")
	r.send(`<presence to="juliet@example.org/balcony"/>`)
	r.send(`<presence to="juliet@example.org/quiet"/>`)
	j.take()
	quiet.take()
	r.drop()
	j.expect("unavailable from romeo@example.org/orchard")
	quiet.expect("unavailable from romeo@example.org/orchard")
}

func TestDirectedIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.MaxDirected = 2 })
	r := w.connect(romeo, "orchard")
	for i := range 3 {
		r.send(fmt.Sprintf(`<presence to="r%d@elsewhere.test/n"/>`, i))
	}
	r.expect("presence error resource-constraint")
	r.send(`<presence to="r0@elsewhere.test/n"/>`) // again, or after leaving one, is no more
	r.send(`<presence type="unavailable" to="r0@elsewhere.test/n"/>`)
	r.send(`<presence to="r3@elsewhere.test/n"/>`)
	r.expect()
}

// TestProbe follows RFC 6121 §4.3.2.
func TestProbe(t *testing.T) {
	t.Parallel()
	viewer := jid.MustParse("viewer@elsewhere.test/x")
	tests := []struct {
		name, to string
		sub      store.Subscription
		online   bool
		directed bool
		want     []string
	}{
		{"who sees", "romeo@example.org", store.SubFrom, true, false, []string{"available from romeo@example.org/a", "available from romeo@example.org/b"}},
		{"who sees, full address", "romeo@example.org/b", store.SubBoth, true, false, []string{"available from romeo@example.org/b"}},
		{"who sees, nobody there", "romeo@example.org", store.SubFrom, false, false, []string{"unavailable from romeo@example.org"}},
		{"who sees, no such resource", "romeo@example.org/c", store.SubFrom, true, false, []string{"unavailable from romeo@example.org/c"}},
		{"who does not", "romeo@example.org", store.SubTo, true, false, []string{"unsubscribed from romeo@example.org"}},
		{"who does not, full address", "romeo@example.org/a", store.SubTo, true, false, []string{"unsubscribed from romeo@example.org"}},
		{"no such account", "ghost@example.org", store.SubNone, true, false, []string{"unsubscribed from ghost@example.org"}},
		{"directed presence", "romeo@example.org", store.SubNone, true, true, []string{"available from romeo@example.org/a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.put(romeo, store.RosterItem{Contact: viewer.Bare(), Subscription: test.sub, InRoster: true})
			if test.online {
				a := w.online(romeo, "a")
				w.online(romeo, "b")
				if test.directed {
					a.send(fmt.Sprintf(`<presence to="%s"/>`, viewer))
				}
			}
			w.elsewhere.take()
			w.router.Route(t.Context(), stanza.Stanza{Kind: stanza.Presence, Type: stanza.TypeProbe, From: viewer, To: jid.MustParse(test.to)})
			if got := fmt.Sprintf("%q", w.elsewhere.take()); got != fmt.Sprintf("%q", test.want) {
				t.Errorf("got %s\nwant %q", got, test.want)
			}
		})
	}
}

// TestOfflineMessages: XEP-0160 §2 (5), to who comes with a priority that is
// not negative, once.
func TestOfflineMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.online(romeo, "orchard").send(`<message type="chat" to="juliet@example.org"><body>one</body></message>`)
	j := w.connect(juliet, "balcony")
	j.send(`<presence><priority>-1</priority></presence>`)
	j.expect("available from juliet@example.org/balcony")
	j.send(`<presence><priority>1</priority></presence>`)
	j.expect("available from juliet@example.org/balcony", `message "one" from romeo@example.org/orchard`)
	w.connect(juliet, "chamber").send(`<presence/>`)
	j.send(`<presence/>`)
	j.expect("available from juliet@example.org/chamber", "available from juliet@example.org/balcony")
}

// TestNoStalePresence: juliet goes while romeo is being shown that she is
// there. What he gets last is that she is gone.
func TestNoStalePresence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.friends(romeo, juliet)
	j, r := w.online(juliet, "balcony"), w.connect(romeo, "orchard")
	reached, release, gone := make(chan struct{}), make(chan struct{}), make(chan struct{})
	r.hold = func(st stanza.Stanza) {
		if st.From == j.jid && st.Type == "" {
			close(reached)
			<-release
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.send(`<presence/>`) })
	<-reached
	wg.Go(func() { j.drop(); close(gone) })
	for range 100_000 { // long enough for her, if nothing makes her wait
		select {
		case <-gone:
		default:
			runtime.Gosched()
		}
	}
	close(release)
	wg.Wait()
	r.expect("available from romeo@example.org/orchard", "available from juliet@example.org/balcony",
		"unavailable from juliet@example.org/balcony")
}

// TestNoGhosts: people come and go at once; in the end each sees the others
// who are there, and nobody who is not.
func TestNoGhosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.friends(romeo, juliet)
	watcher := w.online(juliet, "watcher")
	var wg sync.WaitGroup
	clients := make([]*client, 6)
	for i := range clients {
		account := romeo
		if i%2 == 1 {
			account = juliet
		}
		clients[i] = w.connect(account, fmt.Sprint("r", i))
		wg.Go(func() {
			for range 60 {
				clients[i].send(`<presence/>`)
				clients[i].send(`<presence type="unavailable"/>`)
			}
			if i < 3 {
				clients[i].send(`<presence/>`)
			}
		})
	}
	wg.Wait()
	for _, c := range append([]*client{watcher}, clients[:3]...) {
		seen := make(map[jid.JID]bool)
		for _, st := range c.got {
			switch {
			case st.Kind != stanza.Presence:
			case st.From == c.jid && st.Type == "" && !seen[c.jid]:
				clear(seen) // who comes anew is shown all that there is
				seen[c.jid] = true
			default:
				seen[st.From] = st.Type == ""
			}
		}
		for i, other := range clients {
			if there := i < 3; seen[other.jid] != there {
				t.Errorf("%s sees %s as available %t, want %t", c.jid, other.jid, seen[other.jid], there)
			}
		}
	}
}
