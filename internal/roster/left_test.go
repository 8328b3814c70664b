package roster

import (
	"testing"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// spell is a permanent group that romeo and juliet have joined at one revision and
// left at another, 0 if they are still in it.
func spell(label string, joined, left int64) shared.SnapshotOptions {
	o := team(label, romeo, juliet)
	o.Contract = shared.Permanent
	for i := range o.Entries {
		o.Entries[i].Span = shared.Span{Joined: joined, Left: left}
	}
	return o
}

func subscribe(typ stanza.Type, to jid.JID) string {
	return `<presence type="` + string(typ) + `" to="` + to.String() + `"/>`
}

func removeItem(contact jid.JID) string {
	return `<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="` + contact.String() + `" subscription="remove"/></query></iq>`
}

// TestLeftContacts: whom a group has left as contacts can end that as people do who
// have added each other (RFC 6121 §2.5, §3.2, §3.3), and nobody sees presence that
// has been taken back.
func TestLeftContacts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		send          []string // by romeo
		romeo, juliet string   // what their rosters have then
		seen          bool     // juliet sees romeo
		sees          bool     // and he her
	}{
		{"nothing", nil, " juliet@example.org both", " romeo@example.org both", true, true},
		{"unsubscribed", []string{subscribe("unsubscribed", juliet)}, " juliet@example.org to", " romeo@example.org from", false, true},
		{"unsubscribe", []string{subscribe("unsubscribe", juliet)}, " juliet@example.org from", " romeo@example.org to", true, false},
		{"both", []string{subscribe("unsubscribe", juliet), subscribe("unsubscribed", juliet)}, " juliet@example.org none", " romeo@example.org none", false, false},
		{"removed", []string{removeItem(juliet)}, "", " romeo@example.org none", false, false},
		{"nothing new asked or granted", []string{subscribe("subscribe", juliet), subscribe("subscribed", juliet)}, " juliet@example.org both", " romeo@example.org both", true, true},
		{
			"asked for again",
			[]string{removeItem(juliet), subscribe("subscribe", juliet)},
			" juliet@example.org none ask=subscribe", " romeo@example.org none", false, false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, g := withTeams(t)
			g.set(spell("Verona", 1, 5))
			r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
			for _, xml := range tt.send {
				r.send(xml)
			}
			has := func(when string) {
				t.Helper()
				for c, want := range map[*client]string{r: tt.romeo, j: tt.juliet} {
					c.take()
					c.roster()
					c.expect("result" + want)
				}
				for _, look := range []struct {
					by, at *client
					sees   bool
				}{{j, r, tt.seen}, {r, j, tt.sees}} {
					look.by.take()
					look.at.send(`<presence><show>away</show></presence>`)
					got := look.by.take()
					if sees := len(got) > 0; sees != look.sees {
						t.Errorf("%s: %s gets %q of %s", when, look.by.jid, got, look.at.jid)
					}
					sees, err := w.roster.Sees(t.Context(), look.by.jid, look.at.jid)
					if err != nil || sees != look.sees {
						t.Errorf("%s: %s may see %s: %v, %v", when, look.by.jid, look.at.jid, sees, err)
					}
				}
			}
			has("at once")
			r.drop()
			j.drop()
			r, j = w.online(romeo, "orchard"), w.online(juliet, "balcony")
			has("later")
			// Who joins a group together again is a contact again.
			r.take()
			w.regroup(g, spell("Verona", 9, 0))
			w.regroup(g, spell("Verona", 9, 12))
			r.take()
			r.roster()
			r.expect("result juliet@example.org both")
		})
	}
}

// TestLeftContactsPushes: an end is told once on each side, like one between people
// who have added each other, and the versions of both rosters are right.
func TestLeftContactsPushes(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	g.set(spell("Verona", 1, 5))
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.take()
	r.send(subscribe("unsubscribed", juliet))
	r.expect("push juliet@example.org to")
	j.expect("unavailable from romeo@example.org/orchard", "unsubscribed from romeo@example.org", "push romeo@example.org from")
	r.send(subscribe("unsubscribed", juliet))
	r.expect()
	j.expect()
	j.send(subscribe("subscribe", romeo))
	j.expect("push romeo@example.org from ask=subscribe")
	r.expect("subscribe from juliet@example.org")
	r.send(removeItem(juliet))
	r.expect("push juliet@example.org remove", "unavailable from juliet@example.org/balcony", "result")
	j.send(`<presence type="probe" to="romeo@example.org"/>`)
	j.send(`<presence/>`)
	r.expect()
}

// TestRemovedInATeam: whom somebody has removed while both were members is no contact
// of his when that ends, and he none of theirs, unless he was taken back.
func TestRemovedInATeam(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	g.set(spell("Verona", 1, 0))
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.send(removeItem(juliet))
	r.take()
	j.take()
	j.roster()
	j.expect("result romeo@example.org both [Verona]")
	w.regroup(g, spell("Verona", 1, 5))
	r.expect()
	j.expect("push romeo@example.org remove", "unavailable from romeo@example.org/orchard")
	r.send(`<presence/>`)
	r.take()
	j.expect()
	r.drop()
	j.drop()
	r, j = w.online(romeo, "orchard"), w.online(juliet, "balcony")
	j.roster()
	j.expect("result")

	w.regroup(g, spell("Verona", 9, 0))
	r.send(removeItem(juliet))
	r.send(subscribe("subscribe", juliet))
	w.regroup(g, spell("Verona", 9, 12))
	r.take()
	r.roster()
	r.expect("result juliet@example.org both")
	j.take()
	j.roster()
	j.expect("result romeo@example.org both")

	w.regroup(g, spell("Verona", 15, 0))
	r.send(removeItem(juliet))
	r.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="juliet@example.org"/></query></iq>`)
	w.regroup(g, spell("Verona", 15, 17))
	j.take()
	j.roster()
	j.expect("result romeo@example.org both")
}

// TestRemovedAndInAnotherGroup: a removal is undone by a group that was none when it
// happened, also of a file, whose groups have no revisions; not by those there were.
func TestRemovedAndInAnotherGroup(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	g.set(team("Verona", romeo, juliet))
	r := w.online(romeo, "orchard")
	r.send(removeItem(juliet))
	r.take()
	w.regroup(g, team("Verona", romeo, juliet, nurse))
	r.expect("push nurse@example.org both [Verona]")
	r.drop()
	other := team("Mantua", romeo, juliet)
	other.Key = "other"
	g.set(other)
	r = w.online(romeo, "orchard")
	r.roster()
	r.expect("result juliet@example.org both [Mantua] [Verona] nurse@example.org both [Verona]")
	other.Entries = other.Entries[:1]
	w.regroup(g, other)
	r.expect("push juliet@example.org remove")
}
