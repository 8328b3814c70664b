package roster

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

var nurse = jid.MustParse("nurse@example.org")

// teams are groups that a test sets.
type teams struct {
	mu   sync.Mutex
	list map[shared.Key]*shared.Snapshot
	keys []shared.Key
}

func (g *teams) Snapshots(_ context.Context, account jid.JID, _ bool) (list []*shared.Snapshot, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range g.keys {
		snapshot := g.list[k]
		_, in := slices.BinarySearchFunc(snapshot.Entries(), account, func(e shared.Entry, j jid.JID) int { return shared.Compare(e.JID, j) })
		if in || snapshot.Public() {
			list = append(list, snapshot)
		}
	}
	return list, nil
}

func (*teams) Release(jid.JID) {}

// withTeams is a world with groups.
func withTeams(t *testing.T) (*world, *teams) {
	t.Helper()
	g := &teams{list: make(map[shared.Key]*shared.Snapshot)}
	w := newWorld(t, func(o *Options) { o.Groups = shared.NewDirectory(g) })
	return w, g
}

// set makes a group what it is, without telling anybody.
func (g *teams) set(o shared.SnapshotOptions) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.list[o.Key]; !ok {
		g.keys = append(g.keys, o.Key)
		slices.Sort(g.keys)
	}
	g.list[o.Key] = shared.NewSnapshot(o)
}

func (w *world) regroup(g *teams, o shared.SnapshotOptions) {
	w.t.Helper()
	g.set(o)
	w.roster.GroupsChanged(w.t.Context(), nil)
}

// team is an overlay group.
func team(label string, members ...jid.JID) shared.SnapshotOptions {
	o := shared.SnapshotOptions{Key: "team", Label: label, Contract: shared.Overlay}
	for _, m := range members {
		o.Entries = append(o.Entries, shared.Entry{JID: m})
	}
	return o
}

func (c *client) roster() {
	c.send(`<iq type="get" id="roster"><query xmlns="jabber:iq:roster"/></iq>`)
}

// TestTeamAppears: who is put into a group with others sees them at once, and
// they him, in one push each (RFC 6121 §2.1.6), then presence.
func TestTeamAppears(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	w.regroup(g, team("Verona", romeo, juliet))
	r.expect("push juliet@example.org both [Verona]", "available from juliet@example.org/balcony")
	j.expect("push romeo@example.org both [Verona]", "available from romeo@example.org/orchard")
	r.send(`<presence><show>away</show></presence>`)
	j.expect("available away from romeo@example.org/orchard")
	w.regroup(g, team("Mantua", romeo, juliet))
	j.expect("push romeo@example.org both [Mantua]")
	w.regroup(g, team("Mantua", romeo))
	j.expect("push romeo@example.org remove", "unavailable from romeo@example.org/orchard")
	r.take()
	r.send(`<presence/>`)
	j.expect()
	if _, err := w.db.RosterItem(t.Context(), juliet, romeo); err == nil {
		t.Error("something is stored of a contact from a group")
	}
}

// TestTeamAtLogin: who comes sees who is there, and is seen.
func TestTeamAtLogin(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	g.set(team("Verona", romeo, juliet))
	r := w.online(romeo, "orchard")
	j := w.connect(juliet, "balcony")
	j.roster()
	j.expect("result romeo@example.org both [Verona]")
	j.send(`<presence/>`)
	j.expect("available from juliet@example.org/balcony", "available from romeo@example.org/orchard")
	r.expect("available from juliet@example.org/balcony")
	j.drop()
	r.expect("unavailable from juliet@example.org/balcony")
}

// TestOwnNameAndLabels: what somebody has made of a contact from a group wins,
// follows a rename in all else, and is not seen once the contact is gone.
func TestOwnNameAndLabels(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	g.set(team("Verona", romeo, juliet))
	j := w.online(juliet, "balcony")
	j.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="romeo@example.org" name="Ro"><group>Love</group><group>Verona</group></item></query></iq>`)
	j.expect("push romeo@example.org both name=Ro [Love] [Verona]", "result")
	w.regroup(g, team("Mantua", romeo, juliet))
	j.expect("push romeo@example.org both name=Ro [Love] [Mantua]")
	j.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="romeo@example.org" name="Ro"><group>Love</group></item></query></iq>`)
	j.expect("push romeo@example.org both name=Ro [Love]", "result")
	w.regroup(g, team("Padua", romeo, juliet))
	j.expect()
	w.regroup(g, team("Padua", juliet))
	j.expect("push romeo@example.org remove")
	j.roster()
	j.expect("result")
	w.regroup(g, team("Padua", juliet, romeo))
	j.expect("push romeo@example.org both name=Ro [Love]")
}

// TestOwnAsTheGroupHasIt: a name and a label that somebody had given himself stay
// his own though the group says the same when he edits the contact; what he has
// never had is the group's, though his client repeats it.
func TestOwnAsTheGroupHasIt(t *testing.T) {
	t.Parallel()
	called := func(name, label string) shared.SnapshotOptions {
		o := team(label, romeo, juliet)
		o.Entries[0].Name = name
		return o
	}
	const item = `<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="romeo@example.org" name="Ro">`
	const both, one = item + `<group>Verona</group><group>Love</group></item></query></iq>`, item + `<group>Verona</group></item></query></iq>`
	t.Run("had before", func(t *testing.T) {
		t.Parallel()
		w, g := withTeams(t)
		j := w.online(juliet, "balcony")
		j.send(both)
		j.expect("push romeo@example.org none name=Ro [Verona] [Love]", "result")
		w.regroup(g, called("Ro", "Verona"))
		j.expect("push romeo@example.org both name=Ro [Verona] [Love]")
		j.send(one)
		j.expect("push romeo@example.org both name=Ro [Verona]", "result")
		w.regroup(g, called("Romeo", "Mantua"))
		j.expect("push romeo@example.org both name=Ro [Verona] [Mantua]")
		w.regroup(g, team("Mantua", juliet))
		j.expect("push romeo@example.org none name=Ro [Verona]", "unavailable from romeo@example.org")
	})
	t.Run("repeated", func(t *testing.T) {
		t.Parallel()
		w, g := withTeams(t)
		g.set(called("Ro", "Verona"))
		j := w.online(juliet, "balcony")
		j.send(one)
		j.take()
		w.regroup(g, called("Romeo", "Mantua"))
		j.expect("push romeo@example.org both name=Romeo [Mantua]")
	})
	t.Run("taken off and given again", func(t *testing.T) {
		t.Parallel()
		w, g := withTeams(t)
		j := w.online(juliet, "balcony")
		j.send(both)
		w.regroup(g, called("Ro", "Verona"))
		j.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="romeo@example.org"/></query></iq>`)
		j.send(one)
		j.take()
		w.regroup(g, called("Romeo", "Mantua"))
		j.expect("push romeo@example.org both name=Romeo [Mantua]")
	})
}

// TestGoneWhileLeaving: who goes while he ceases to be seen, and stays in somebody's
// contact list, is seen to go. His own presence reaches nobody any more who has been
// told that he is not seen.
func TestGoneWhileLeaving(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	j.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="romeo@example.org" name="Ro"/></query></iq>`)
	j.expect("push romeo@example.org none name=Ro", "result")
	w.regroup(g, team("Verona", romeo, juliet))
	j.expect("push romeo@example.org both name=Ro [Verona]", "available from romeo@example.org/orchard")
	g.set(team("Verona", juliet))
	seen, err := w.roster.follow(t.Context(), juliet)
	if err != nil {
		t.Fatal(err)
	}
	r.send(`<presence type="unavailable"/>`)
	w.roster.showChange(t.Context(), juliet, &seen)
	seen.release()
	j.expect("push romeo@example.org none name=Ro", "unavailable from romeo@example.org")
}

// TestGoneWhileRemoved: the same for a contact who is taken out: he may be back soon,
// and is not shown as he was.
func TestGoneWhileRemoved(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	w.regroup(g, team("Verona", romeo, juliet))
	j.expect("push romeo@example.org both [Verona]", "available from romeo@example.org/orchard")
	g.set(team("Verona", juliet))
	seen, err := w.roster.follow(t.Context(), juliet)
	if err != nil {
		t.Fatal(err)
	}
	r.send(`<presence type="unavailable"/>`)
	w.roster.showChange(t.Context(), juliet, &seen)
	seen.release()
	j.expect("push romeo@example.org remove", "unavailable from romeo@example.org")
	w.regroup(g, team("Verona", romeo, juliet))
	j.expect("push romeo@example.org both [Verona]")
}

// TestGoneBeforeFollowing: who goes after a group has ended for him, and before anybody
// has followed that, is seen to go by those who still see him.
func TestGoneBeforeFollowing(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	w.regroup(g, team("Verona", romeo, juliet))
	j.expect("push romeo@example.org both [Verona]", "available from romeo@example.org/orchard")
	g.set(team("Verona", juliet))
	r.drop()
	j.expect("unavailable from romeo@example.org/orchard")
	w.roster.GroupsChanged(t.Context(), nil)
	j.expect("push romeo@example.org remove")
}

// TestRemovalHurtsNobody: a contact from a group who is removed sees nothing of
// it.
func TestRemovalHurtsNobody(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	g.set(team("Verona", romeo, juliet))
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.take()
	j.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="romeo@example.org" subscription="remove"/></query></iq>`)
	j.expect("push romeo@example.org remove", "unavailable from romeo@example.org/orchard", "result")
	r.send(`<presence><show>away</show></presence>`)
	j.expect()
	j.send(`<presence><show>dnd</show></presence>`)
	r.expect("available away from romeo@example.org/orchard", "available dnd from juliet@example.org/balcony")
	r.roster()
	r.expect("result juliet@example.org both [Verona]")
	j.take()
	j.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="romeo@example.org" subscription="remove"/></query></iq>`)
	j.expect("iq error item-not-found")
	w.online(juliet, "chamber")
	j.roster()
	j.take()
	// Whoever adds him again has what the group says.
	j.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="romeo@example.org"><group>Verona</group></item></query></iq>`)
	j.expect("push romeo@example.org both [Verona]", "available away from romeo@example.org/orchard", "result")
	// So it is if he is added to a group again.
	j.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="romeo@example.org" subscription="remove"/></query></iq>`)
	j.take()
	again := team("Verona", romeo, juliet)
	again.Entries[0].Span = shared.Span{Joined: 7}
	w.regroup(g, again)
	j.expect("push romeo@example.org both [Verona]", "available away from romeo@example.org/orchard")
}

// TestSubscriptionsBetweenMembers: groups decide about what they bring; no
// stanza of a member changes that or leaves something behind.
func TestSubscriptionsBetweenMembers(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	g.set(team("Verona", romeo, juliet))
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.take()
	for _, typ := range []string{"unsubscribe", "unsubscribed", "subscribed", "unsubscribe"} {
		j.send(`<presence type="` + typ + `" to="romeo@example.org"/>`)
		j.expect()
		r.expect()
	}
	j.send(`<presence type="subscribe" to="romeo@example.org"/>`)
	j.expect("available from romeo@example.org/orchard")
	r.expect()
	j.send(`<presence type="probe" to="romeo@example.org"/>`)
	j.expect("available from romeo@example.org/orchard")
	w.regroup(g, team("Verona", juliet))
	r.take()
	j.take()
	r.roster()
	r.expect("result")
	j.roster()
	j.expect("result")
}

// TestFriendsInATeam: what two people have between them outlives the group, and
// what one of them ends meanwhile is ended without a sign.
func TestFriendsInATeam(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	w.friends(romeo, juliet)
	g.set(team("Verona", romeo, juliet))
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.take()
	w.regroup(g, team("Verona", romeo))
	j.expect("push romeo@example.org both")
	r.expect("push juliet@example.org both")
	w.regroup(g, team("Verona", romeo, juliet))
	j.expect("push romeo@example.org both [Verona]")
	r.take()
	j.send(`<presence type="unsubscribe" to="romeo@example.org"/>`)
	j.expect()
	r.expect()
	w.regroup(g, team("Verona", romeo))
	j.expect("push romeo@example.org from", "unavailable from romeo@example.org/orchard")
	r.expect("push juliet@example.org to")
}

// TestRequestBecomesMembership: a request that waits is not shown while groups
// give what it asks for.
func TestRequestBecomesMembership(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	r := w.online(romeo, "orchard")
	r.send(`<presence type="subscribe" to="juliet@example.org"/>`)
	r.expect("push juliet@example.org none ask=subscribe")
	w.regroup(g, team("Verona", romeo, juliet))
	r.expect("push juliet@example.org both [Verona]")
	j := w.connect(juliet, "balcony")
	j.send(`<presence/>`)
	j.expect("available from juliet@example.org/balcony", "available from romeo@example.org/orchard")
	r.take()
	w.regroup(g, team("Verona", romeo))
	r.expect("push juliet@example.org none ask=subscribe", "unavailable from juliet@example.org/balcony")
}

// TestPublicTeam: everybody sees the members of a public group, who do not see
// those who look.
func TestPublicTeam(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	desk := team("Desk", juliet)
	desk.Public = true
	g.set(desk)
	j := w.online(juliet, "balcony")
	r := w.connect(romeo, "orchard")
	r.roster()
	r.expect("result juliet@example.org to [Desk]")
	r.send(`<presence/>`)
	r.expect("available from romeo@example.org/orchard", "available from juliet@example.org/balcony")
	j.expect()
	j.send(`<presence><show>away</show></presence>`)
	r.expect("available away from juliet@example.org/balcony")
	j.roster()
	j.take()
	r.send(`<presence type="probe" to="juliet@example.org"/>`)
	r.expect("available away from juliet@example.org/balcony")
	j.send(`<presence type="unavailable"/>`)
	r.expect("unavailable from juliet@example.org/balcony")
}

// TestVersionsWithTeams: RFC 6121 §2.6.3: the result is empty exactly when
// nothing has changed.
func TestVersionsWithTeams(t *testing.T) {
	t.Parallel()
	w, g := withTeams(t)
	w.put(romeo, store.RosterItem{Contact: nurse, Subscription: store.SubNone, InRoster: true})
	g.set(team("Verona", romeo, juliet))
	r := w.connect(romeo, "orchard")
	ask := func(ver string) string {
		r.send(`<iq type="get" id="roster"><query xmlns="jabber:iq:roster" ver="` + ver + `"/></iq>`)
		r.mu.Lock()
		defer r.mu.Unlock()
		last := r.got[len(r.got)-1]
		r.got = nil
		if last.Payload() == nil {
			return "unchanged"
		}
		return last.Payload().Attr("ver")
	}
	pushed := func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		last := r.got[len(r.got)-1]
		r.got = nil
		return last.Payload().Attr("ver")
	}
	first := ask("")
	if got := ask(first); got != "unchanged" {
		t.Errorf("nothing has changed, got %q", got)
	}
	w.regroup(g, team("Mantua", romeo, juliet))
	second := pushed()
	if got := ask(second); got != "unchanged" {
		t.Errorf("after a push: got %q", got)
	}
	if got := ask(first); got != second {
		t.Errorf("the version before: got %q, want all of %q", got, second)
	}
	r.drop()
	w.regroup(g, team("Padua", romeo, juliet))
	r = w.connect(romeo, "orchard")
	if got := ask(second); got == "unchanged" {
		t.Error("a label has changed while he was away")
	}
	w.regroup(g, team("Mantua", romeo, juliet))
	if got := ask(second); got != "unchanged" {
		t.Errorf("all is as it was, got %q", got)
	}
	r.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="juliet@example.org" name="Jule"/></query></iq>`)
	r.mu.Lock()
	named := r.got[0].Payload().Attr("ver")
	r.got = nil
	r.mu.Unlock()
	if got := ask(named); got != "unchanged" {
		t.Errorf("after an edit: got %q", got)
	}
	if got := ask(second); got != named {
		t.Errorf("before an edit: got %q, want all of %q", got, named)
	}
	r.send(`<iq type="set" id="s"><query xmlns="jabber:iq:roster"><item jid="nurse@example.org" name="N"/></query></iq>`)
	r.take()
	r.send(`<iq type="get" id="roster"><query xmlns="jabber:iq:roster" ver="` + named + `"/></iq>`)
	r.expect("result", "push nurse@example.org none name=N")
}
