package roster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/stanza"
)

func TestSet(t *testing.T) {
	t.Parallel()
	item := func(s string) string {
		return `<iq type="set" id="i"><query xmlns="jabber:iq:roster">` + s + `</query></iq>`
	}
	long := strings.Repeat("x", 11)
	tests := []struct {
		name, send string
		want       []string
	}{
		{
			"new", item(`<item jid="peer@elsewhere.test/x" name="Peer"><group>Friends</group><group>Work</group></item>`),
			[]string{"push peer@elsewhere.test none name=Peer [Friends] [Work]", "result"},
		},
		{
			"states are not the client's to say", item(`<item jid="peer@elsewhere.test" subscription="both" ask="subscribe" approved="true"/>`),
			[]string{"push peer@elsewhere.test none", "result"},
		},
		{"changed", item(`<item jid="juliet@example.org" name="J"/>`), []string{"push juliet@example.org both name=J", "result"}},
		{"removed that is not there", item(`<item jid="peer@elsewhere.test" subscription="remove"/>`), []string{"iq error item-not-found"}},
		{"no item", item(``), []string{"iq error bad-request"}},
		{"two items", item(`<item jid="a@b.test"/><item jid="c@b.test"/>`), []string{"iq error bad-request"}},
		{"something else", item(`<thing jid="a@b.test"/>`), []string{"iq error bad-request"}},
		{"something besides", item(`<thing xmlns="urn:x"/><item jid="peer@elsewhere.test"/>`), []string{"push peer@elsewhere.test none", "result"}},
		{"oneself", item(`<item jid="romeo@example.org/any"/>`), []string{"iq error not-allowed"}},
		{"oneself, removed", item(`<item jid="romeo@example.org" subscription="remove"/>`), []string{"iq error item-not-found"}},
		{"no address", item(`<item/>`), []string{"iq error bad-request"}},
		{"malformed address", item(`<item jid="@b.test"/>`), []string{"iq error jid-malformed"}},
		{"long name", item(`<item jid="a@b.test" name="` + long + `"/>`), []string{"iq error not-acceptable"}},
		{"long group", item(`<item jid="a@b.test"><group>` + long + `</group></item>`), []string{"iq error not-acceptable"}},
		{"empty group", item(`<item jid="a@b.test"><group/></item>`), []string{"iq error not-acceptable"}},
		{"group twice", item(`<item jid="a@b.test"><group>A</group><group>A</group></item>`), []string{"iq error bad-request"}},
		{"group twice, written otherwise", item(`<item jid="a@b.test"><group>e&#x301;</group><group>&#xe9;</group></item>`), []string{"iq error bad-request"}},
		{"too many groups", item(`<item jid="a@b.test"><group>A</group><group>B</group><group>C</group></item>`), []string{"iq error not-acceptable"}},
		{
			"somebody else's", `<iq type="set" id="i" to="juliet@example.org"><query xmlns="jabber:iq:roster"><item jid="a@b.test"/></query></iq>`,
			[]string{"iq error forbidden"},
		},
		{
			"get of somebody else's", `<iq type="get" id="i" to="juliet@example.org"><query xmlns="jabber:iq:roster"/></iq>`,
			[]string{"iq error forbidden"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *Options) { o.MaxName, o.MaxGroups = 10, 2 })
			w.friends(romeo, juliet)
			w.online(juliet, "balcony")
			r := w.online(romeo, "orchard")
			r.send(test.send)
			w.router.Close()
			r.expect(test.want...)
			if pushed := strings.HasPrefix(test.want[0], "push"); !pushed && w.item(romeo, juliet).Name != "" {
				t.Error("something was stored")
			}
		})
	}
}

// TestRosterBytes: names and groups have so many bytes together; what is short
// may always be.
func TestRosterBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.MaxBytes = 1000 })
	r := w.online(romeo, "orchard")
	set := func(contact, name, want string) {
		t.Helper()
		r.send(`<iq type="set" id="i"><query xmlns="jabber:iq:roster"><item jid="` + contact + `@b.test" name="` + name + `"/></query></iq>`)
		w.router.Close()
		got := strings.Join(r.take(), " ")
		if !strings.Contains(got, want) {
			t.Errorf("%s with %d bytes: got %s, want %s", contact, len(name), got, want)
		}
	}
	set("a", strings.Repeat("n", 600), "result")
	set("b", strings.Repeat("n", 600), "resource-constraint")
	set("b", strings.Repeat("n", 300), "result")
	set("a", strings.Repeat("n", 690), "result") // its own old name does not count
	set("c", strings.Repeat("n", smallItem+1), "resource-constraint")
	set("c", "short", "result")
}

// TestPresenceSize: presence is kept for each session, and has its limit.
func TestPresenceSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.MaxPresence = 1000 })
	w.friends(romeo, juliet)
	r, j := w.online(romeo, "orchard"), w.online(juliet, "balcony")
	r.take()
	j.take()
	for _, to := range []string{"", " to='juliet@example.org'", " to='room@elsewhere.test/n'"} {
		r.send("<presence" + to + "><status>" + strings.Repeat("s", 1000) + "</status></presence>")
		w.router.Close()
		if got := strings.Join(r.take(), " "); !strings.Contains(got, "not-acceptable") {
			t.Errorf("presence%s: got %s", to, got)
		}
	}
	if got := j.take(); len(got) != 0 {
		t.Errorf("juliet saw %v", got)
	}
	r.send("<presence><status>" + strings.Repeat("s", 900) + "</status></presence>")
	if got := j.take(); len(got) != 1 {
		t.Errorf("juliet saw %v", got)
	}
}

// TestPushes: to every session that has asked for the roster, and no other.
func TestPushes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	phone, desk, idle := w.online(romeo, "phone"), w.connect(romeo, "desk"), w.connect(romeo, "idle")
	desk.send(`<iq type="get" id="r"><query xmlns="jabber:iq:roster"/></iq>`)
	desk.expect("result")
	idle.send(`<presence/>`)
	phone.take()
	idle.take()
	phone.send(`<iq type="set" id="i"><query xmlns="jabber:iq:roster"><item jid="peer@elsewhere.test"/></query></iq>`)
	phone.expect("push peer@elsewhere.test none", "result")
	desk.expect("push peer@elsewhere.test none")
	idle.expect()
	// An answer to a push, or an error, harms nothing.
	phone.send(`<iq type="result" id="push-1"/>`)
	phone.send(`<iq type="error" id="push-1" to="romeo@example.org"/>`)
	phone.expect()
}

// TestRemove follows RFC 6121 §2.5.2: both subscriptions end.
func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.friends(romeo, juliet)
	r := w.online(romeo, "orchard")
	j := w.online(juliet, "balcony")
	r.take()
	r.send(`<iq type="set" id="i"><query xmlns="jabber:iq:roster"><item jid="juliet@example.org" subscription="remove"/></query></iq>`)
	r.expect("push juliet@example.org remove", "unavailable from juliet@example.org/balcony", "result")
	j.expect("unavailable from romeo@example.org/orchard", "unsubscribe from romeo@example.org", "push romeo@example.org to",
		"unsubscribed from romeo@example.org", "push romeo@example.org none")
}

// TestVersions follows RFC 6121 §2.6 through all that can change meanwhile.
func TestVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r := w.online(romeo, "orchard")
	get := func(ver string) string {
		return fmt.Sprintf(`<iq type="get" id="r"><query xmlns="jabber:iq:roster" ver="%s"/></iq>`, ver)
	}
	version := func() string {
		_, v, err := w.db.Roster(t.Context(), romeo)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(v)
	}
	set := func(attrs string) {
		r.send(`<iq type="set" id="i"><query xmlns="jabber:iq:roster"><item ` + attrs + `/></query></iq>`)
	}
	set(`jid="a@elsewhere.test"`)
	set(`jid="b@elsewhere.test"`)
	v1 := version()
	set(`jid="a@elsewhere.test" subscription="remove"`)
	v2 := version()
	set(`jid="c@elsewhere.test"`)
	// a, who was removed, and a stranger ask; that is no change of the roster.
	for _, from := range []string{"a@elsewhere.test", "stranger@elsewhere.test"} {
		st, err := stanza.Parse([]byte(fmt.Sprintf("<presence type='subscribe' from='%s' to='romeo@example.org'/>", from)))
		if err != nil {
			t.Fatal(err)
		}
		w.router.Route(t.Context(), st)
	}
	v3 := version()
	r.drop()
	tests := []struct {
		name, ver string
		want      []string
	}{
		{"current", v3, []string{"result"}},
		{"before c came", v2, []string{"result", "push c@elsewhere.test none"}},
		{"before a went", v1, []string{"result", "push a@elsewhere.test remove", "push c@elsewhere.test none"}},
		{"none", "", []string{"result b@elsewhere.test none c@elsewhere.test none"}},
		{"nonsense", "x", []string{"result b@elsewhere.test none c@elsewhere.test none"}},
		{"of the future", v3 + "0", []string{"result b@elsewhere.test none c@elsewhere.test none"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := w.connect(romeo, "phone")
			defer c.drop()
			c.send(get(test.ver))
			c.mu.Lock()
			first := c.got[0]
			c.mu.Unlock()
			if p := first.Payload(); p != nil && p.Attr("ver") != v3 {
				t.Errorf("ver %q, want %q", p.Attr("ver"), v3)
			}
			c.expect(test.want...)
		})
	}
}

// TestVersionedOnlyIfAsked: without ver the result has none (RFC 6121 §2.6.2).
func TestVersionedOnlyIfAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.put(romeo, store.RosterItem{Contact: juliet, Subscription: store.SubNone, InRoster: true})
	c := w.connect(romeo, "phone")
	c.send(`<iq type="get" id="r"><query xmlns="jabber:iq:roster"/></iq>`)
	if _, ok := c.got[0].Payload().LookupAttr("ver"); ok {
		t.Errorf("got %+v", c.got[0])
	}
}
