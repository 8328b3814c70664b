package roster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// agreesWithStore compares an account's book with its roster.
func (w *world) agreesWithStore(account jid.JID) {
	w.t.Helper()
	items, _, err := w.db.DB.Roster(w.t.Context(), account)
	if err != nil {
		w.t.Fatal(err)
	}
	defer w.roster.lock(account)()
	got, err := w.roster.contacts(w.t.Context(), account)
	if want := contactsOf(items); err != nil || !slices.Equal(got, want) {
		w.t.Errorf("the book of %s: got %v, %v\nwant %v", account, got, err, want)
	}
}

// TestWith compares a book that is changed with one that is made anew.
func TestWith(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var contacts []contact
	items := make(map[jid.JID]state)
	for range 2000 {
		who := jid.MustParse(fmt.Sprintf("c%d@d%d.test", random.IntN(9), random.IntN(3)))
		st := []state{none, pendOut, toIn, both}[random.IntN(4)]
		before := slices.Clone(contacts)
		changed := with(contacts, who, st, st == none)
		if !slices.Equal(contacts, before) {
			t.Fatal("a list that others may be reading was changed")
		}
		items[who] = st
		contacts = changed
	}
	var want []contact
	for who, st := range items {
		if st != none {
			want = append(want, contact{jid: who, state: st})
		}
		if got := standing(contacts, who); got != st {
			t.Errorf("%s stands as %b, want %b", who, got, st)
		}
	}
	slices.SortFunc(want, func(a, b contact) int { return compare(a, b.jid) })
	if !slices.Equal(contacts, want) {
		t.Errorf("got %v\nwant %v", contacts, want)
	}
}

// TestStoreIsAway: RFC 6121 §4.4, §4.5 without a database. Who is there can
// change his presence, and when he goes all hear of it, those in no roster too.
func TestStoreIsAway(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"drop", "unavailable"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.friends(romeo, juliet)
			w.put(romeo, store.RosterItem{Contact: peer, Subscription: store.SubFrom, InRoster: true})
			r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
			r.send(`<presence to="stranger@elsewhere.test"/>`)
			w.elsewhere.take()
			w.db.err, w.db.readErr = errors.New("connection refused"), errors.New("connection refused")
			// A change that may have been stored or not does not matter.
			r.send(`<iq type="set" id="i"><query xmlns="jabber:iq:roster"><item jid="juliet@example.org" name="J"/></query></iq>`)
			r.take()
			r.send(`<presence><show>away</show></presence>`)
			j.expect("available away from romeo@example.org/orchard")
			if end == "drop" {
				r.drop()
			} else {
				r.send(`<presence type="unavailable"/>`)
			}
			j.expect("unavailable from romeo@example.org/orchard")
			want := []string{
				"available away from romeo@example.org/orchard",
				"unavailable from romeo@example.org/orchard", "unavailable from romeo@example.org/orchard",
			}
			if got := w.elsewhere.take(); !slices.Equal(got, want) {
				t.Errorf("elsewhere they got %q\nwant %q", got, want)
			}
		})
	}
}

// TestComingWhileStoreIsAway: nobody is half there.
func TestComingWhileStoreIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.friends(romeo, juliet)
	j := w.online(juliet, "balcony")
	r := w.connect(romeo, "orchard")
	w.db.readErr = errors.New("connection refused")
	r.send(`<presence/>`)
	r.expect("presence error internal-server-error")
	j.expect()
	w.db.readErr = nil
	r.send(`<presence/>`)
	r.expect("available from romeo@example.org/orchard", "available from juliet@example.org/balcony")
	j.expect("available from romeo@example.org/orchard")
}

// TestDoubtfulWrite: what was stored although the store said no counts from the
// next presence on.
func TestDoubtfulWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.friends(romeo, juliet)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.take()
	w.db.err, w.db.late = errors.New("connection lost"), true
	r.send(`<presence type="unsubscribed" to="juliet@example.org"/>`)
	r.expect("presence error internal-server-error")
	w.db.err = nil
	r.send(`<presence><show>away</show></presence>`)
	j.expect()
	w.agreesWithStore(romeo)
}

// TestBooksAreForgotten: nothing is kept for who has no session, and no more
// than there is room for; presence goes where it should all the same.
func TestBooksAreForgotten(t *testing.T) {
	t.Parallel()
	for _, room := range []int{1, 100} {
		t.Run(fmt.Sprint("room for ", room), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *Options) { o.MaxKept = room })
			w.friends(romeo, juliet)
			w.put(romeo, store.RosterItem{Contact: peer, Subscription: store.SubFrom, InRoster: true})
			r, other, j := w.online(romeo, "orchard"), w.online(romeo, "hall"), w.online(juliet, "balcony")
			r.take()
			if got, want := w.roster.kept.Load(), int64(min(room, 3)); got != want {
				t.Errorf("%d contacts are kept, want %d", got, want)
			}
			r.send(`<presence><show>away</show></presence>`)
			j.expect("available away from romeo@example.org/orchard")
			r.send(`<presence type="unsubscribed" to="juliet@example.org"/>`)
			j.expect("unavailable from romeo@example.org/orchard", "unavailable from romeo@example.org/hall",
				"unsubscribed from romeo@example.org", "push romeo@example.org from")
			other.drop()
			j.expect()
			w.agreesWithStore(romeo)
			r.drop()
			j.drop()
			if got := w.roster.kept.Load(); got != 0 {
				t.Errorf("%d contacts are kept for nobody", got)
			}
		})
	}
}
