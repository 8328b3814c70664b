package roster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// blockLists are the lists of accounts, as the blocking service keeps them.
type blockLists struct {
	lists map[jid.JID]*router.BlockList
	err   error
}

func (b *blockLists) Read(_ context.Context, account jid.JID) (*router.BlockList, error) {
	return b.lists[account], b.err
}

// blockingWorld is a world in which juliet may block; her sessions know.
func blockingWorld(t *testing.T) (*world, *blockLists) {
	t.Helper()
	blocks := &blockLists{lists: map[jid.JID]*router.BlockList{juliet: router.NewBlockList(juliet, nil)}}
	w := newWorld(t, func(o *Options) { o.Blocks = blocks })
	w.connected = func(c *client) { c.state.SetBlockList(blocks.lists[c.jid.Bare()]) }
	return w, blocks
}

// block changes juliet's list to what is named.
func (w *world) block(blocks *blockLists, names ...string) {
	w.t.Helper()
	l := blocks.lists[juliet]
	was := l.Clone()
	changed := was.Items()
	l.Clear()
	for _, name := range names {
		j := jid.MustParse(name)
		changed = append(changed, j)
		l.Block([]jid.JID{j})
	}
	w.roster.BlocksChanged(w.t.Context(), juliet, changed, was, l)
}

// expectElsewhere compares all that other domains have got, in any order.
func (w *world) expectElsewhere(want ...string) {
	w.t.Helper()
	w.elsewhere.mu.Lock()
	defer w.elsewhere.mu.Unlock()
	var got []string
	for _, st := range w.elsewhere.got {
		got = append(got, describe(st)+" to "+st.To.String())
	}
	w.elsewhere.got = nil
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("elsewhere\ngot  %q\nwant %q", got, want)
	}
}

// TestBlockedContact: XEP-0191 §3.3, §3.4, for what is named in each way.
func TestBlockedContact(t *testing.T) {
	t.Parallel()
	const gone, here = "unavailable from juliet@example.org/balcony", "available from juliet@example.org/balcony"
	tests := []struct {
		name  string
		block []string
		phone bool // whether the other session sees her go
	}{
		{"account", []string{"romeo@example.org"}, true},
		{"server", []string{"example.org"}, true},
		{"one session", []string{"romeo@example.org/orchard"}, false},
		{"all ways at once", []string{"romeo@example.org/orchard", "romeo@example.org", "example.org"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, blocks := blockingWorld(t)
			w.friends(romeo, juliet)
			r, phone, j := w.online(romeo, "orchard"), w.online(romeo, "phone"), w.online(juliet, "balcony")
			hidden := w.connect(juliet, "hidden")
			r.take()
			phone.take()
			j.take()
			w.block(blocks, test.block...)
			w.block(blocks, append(test.block, "nurse@example.org")...) // nothing more of romeo's
			j.send(`<presence><show>away</show></presence>`)
			r.expect(gone)
			if test.phone {
				phone.expect(gone)
			} else {
				phone.expect("available away from juliet@example.org/balcony")
			}
			j.send(`<presence/>`)
			phone.take()
			j.take()

			w.block(blocks)
			r.expect(here)
			if test.phone {
				phone.expect(here)
			} else {
				phone.expect()
			}
			j.expect("available from romeo@example.org/orchard", "available from romeo@example.org/phone")
			hidden.expect() // not available: it has shown nothing and sees nobody
		})
	}
}

// TestBlockedStranger: who does not see her presence is told nothing.
func TestBlockedStranger(t *testing.T) {
	t.Parallel()
	w, blocks := blockingWorld(t)
	w.put(juliet, store.RosterItem{Contact: romeo, Subscription: store.SubTo, InRoster: true})
	w.put(romeo, store.RosterItem{Contact: juliet, Subscription: store.SubFrom, InRoster: true})
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.take()
	w.block(blocks, "romeo@example.org")
	r.expect()
	w.block(blocks)
	r.expect()
	j.expect("available from romeo@example.org/orchard")
	r.drop()
	j.take()
	w.block(blocks, "romeo@example.org")
	w.block(blocks)
	j.expect("unavailable from romeo@example.org") // he went while she did not see it
}

// TestBlockedElsewhere: presence for contacts of other domains is routed: to
// their accounts, or to what has been named of them.
func TestBlockedElsewhere(t *testing.T) {
	t.Parallel()
	w, blocks := blockingWorld(t)
	nurse := jid.MustParse("nurse@elsewhere.test")
	w.put(juliet, store.RosterItem{Contact: nurse, Subscription: store.SubBoth, InRoster: true})
	j := w.online(juliet, "balcony")
	w.elsewhere.take()
	w.block(blocks, "nurse@elsewhere.test/kitchen")
	w.expectElsewhere("unavailable from juliet@example.org/balcony to nurse@elsewhere.test/kitchen")
	w.block(blocks, "elsewhere.test")
	w.expectElsewhere("unavailable from juliet@example.org/balcony to nurse@elsewhere.test")
	j.send(`<presence><show>away</show></presence>`)
	j.drop()
	w.online(juliet, "balcony")
	w.expectElsewhere()
	w.block(blocks)
	w.expectElsewhere("available from juliet@example.org/balcony to nurse@elsewhere.test",
		"probe from juliet@example.org to nurse@elsewhere.test")
}

// TestBlockedDirected: directed presence is taken back once; a room is left only
// if no nickname of the session's in it is left.
func TestBlockedDirected(t *testing.T) {
	t.Parallel()
	w, blocks := blockingWorld(t)
	w.friends(romeo, juliet)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	j.send(`<presence to="romeo@example.org/orchard"/>`)
	r.take()
	w.block(blocks, "romeo@example.org")
	r.expect("unavailable from juliet@example.org/balcony")
	j.send(`<presence to="coven@elsewhere.test/Sun"/>`)
	j.send(`<presence to="coven@elsewhere.test/Moon"/>`)
	w.elsewhere.take()
	w.block(blocks, "coven@elsewhere.test/Sun")
	w.expectElsewhere()
	w.block(blocks, "coven@elsewhere.test")
	w.expectElsewhere("unavailable from juliet@example.org/balcony to coven@elsewhere.test/Sun",
		"unavailable from juliet@example.org/balcony to coven@elsewhere.test/Moon")
	j.drop()
	w.expectElsewhere()
}

// TestBlockedBetween: a block that comes while directed presence is under way
// is not outrun by it.
func TestBlockedBetween(t *testing.T) {
	t.Parallel()
	w, blocks := blockingWorld(t)
	j, r := w.online(juliet, "balcony"), w.online(romeo, "orchard")
	blocks.lists[juliet].Block([]jid.JID{romeo}) // behind the check of her session
	j.send(`<presence to="romeo@example.org/orchard"/>`)
	r.expect("available from juliet@example.org/balcony", "unavailable from juliet@example.org/balcony")
	if j.state.HasDirected(r.jid) {
		t.Error("romeo is remembered as somebody who sees her")
	}
}

// TestBlockedWhileEnding: a session that is not bound any more, and has not
// taken its leave yet, does so of whoever is blocked in between.
func TestBlockedWhileEnding(t *testing.T) {
	t.Parallel()
	w, blocks := blockingWorld(t)
	w.friends(romeo, juliet)
	r, phone := w.online(romeo, "orchard"), w.online(juliet, "phone")
	w.online(juliet, "balcony")
	r.take()
	w.router.Unbind(phone)
	w.block(blocks, "romeo@example.org")
	r.expect("unavailable from juliet@example.org/balcony")
	w.roster.Ended(t.Context(), phone)
	r.expect("unavailable from juliet@example.org/phone")
}

// TestBlockedDuringBroadcast: romeo is blocked while presence is on its way to
// him; he does not see it after he has seen her go.
func TestBlockedDuringBroadcast(t *testing.T) {
	t.Parallel()
	w, blocks := blockingWorld(t)
	w.friends(romeo, juliet)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.take()
	var wg sync.WaitGroup
	r.hold = func(st stanza.Stanza) {
		if st.Child(stanza.NSClient, "show") == nil {
			return
		}
		wg.Go(func() { w.block(blocks, "romeo@example.org") })
		for range 10_000 { // as far as it can go
			runtime.Gosched()
		}
	}
	j.send(`<presence><show>away</show></presence>`)
	wg.Wait()
	r.expect("available away from juliet@example.org/balcony", "unavailable from juliet@example.org/balcony")
}

// TestBlockedAtOnce: while juliet blocks and unblocks romeo, her sessions change
// their presence, come and go, and he does, too. Whatever he saw last of her is
// how things stand in the end.
func TestBlockedAtOnce(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"blocked", "not blocked"} {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			w, blocks := blockingWorld(t)
			w.friends(romeo, juliet)
			r, balcony := w.online(romeo, "orchard"), w.online(juliet, "balcony")
			var wg sync.WaitGroup
			wg.Go(func() {
				for range 50 {
					w.block(blocks, "romeo@example.org")
					w.block(blocks)
				}
				if last == "blocked" {
					w.block(blocks, "example.org")
				}
			})
			wg.Go(func() {
				for i := range 100 {
					balcony.send(fmt.Sprintf(`<presence><status>%d</status></presence>`, i))
				}
			})
			wg.Go(func() {
				for range 20 {
					w.online(juliet, "phone").drop()
				}
			})
			wg.Go(func() {
				for range 30 {
					r.send(`<presence type="unavailable"/>`)
					r.send(`<presence/>`)
				}
			})
			wg.Wait()
			want := map[string]string{"juliet@example.org/balcony": "99"}
			if last == "blocked" {
				want = map[string]string{}
			}
			if got := r.sees(juliet); !maps.Equal(got, want) {
				t.Errorf("romeo sees %q, want %q", got, want)
			}
		})
	}
}

// sees returns the sessions of an account that a client takes to be available,
// after all that it got since its own presence ended last, and their status.
func (c *client) sees(account jid.JID) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := make(map[string]string)
	for _, st := range c.got {
		switch {
		case st.From == c.jid && st.Type == stanza.TypeUnavailable:
			clear(seen)
		case st.From.Bare() != account || st.Kind != stanza.Presence:
		case st.Type == stanza.TypeUnavailable:
			delete(seen, st.From.String())
		case st.Type == "":
			seen[st.From.String()] = st.ChildText(stanza.NSClient, "status")
		}
	}
	return seen
}

// TestBlockedSubscriptions: what somebody blocked asks for is lost; what he
// grants or ends is so, on both sides, and only the roster says it.
func TestBlockedSubscriptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		send, before, after string
		want                []string
	}{
		{"subscribe", "none", "none", nil},
		{"subscribe", "from", "from", nil}, // not even an answer
		{"subscribed", "none+out", "to", []string{"push romeo@example.org to"}},
		{"unsubscribe", "both", "to", []string{"push romeo@example.org to"}},
		{"unsubscribed", "both", "from", []string{"push romeo@example.org from"}},
	}
	for _, test := range tests {
		t.Run(test.send+" in "+test.before, func(t *testing.T) {
			t.Parallel()
			w, blocks := blockingWorld(t)
			item := store.RosterItem{Contact: romeo, Subscription: store.Subscription(test.before), InRoster: true}
			if test.before == "none+out" {
				item.Subscription, item.PendingOut = store.SubNone, true
			}
			if item.Subscription == store.SubBoth {
				w.friends(romeo, juliet)
			} else {
				w.put(juliet, item)
			}
			r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
			w.block(blocks, "romeo@example.org")
			r.take()
			w.roster.Inbound(t.Context(), subscription(stanza.Type(test.send), romeo, juliet))
			j.expect(test.want...)
			r.expect()
			if got := w.item(juliet, romeo); string(got.Subscription) != test.after || got.PendingIn {
				t.Errorf("juliet's item: %+v", got)
			}
		})
	}
}

// TestBlockedUnknown: while nobody knows who is blocked, nobody is answered as
// if he were not.
func TestBlockedUnknown(t *testing.T) {
	t.Parallel()
	w, blocks := blockingWorld(t)
	w.friends(romeo, juliet)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.take()
	j.take()
	blocks.err = errors.New("the disk is on fire")
	r.send(`<presence type="probe" to="juliet@example.org"/>`)
	r.expect()
	r.send(`<presence type="subscribe" to="juliet@example.org"/>`)
	r.expect("presence error internal-server-error")
	j.expect()
}
