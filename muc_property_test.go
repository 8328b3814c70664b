package muster_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/internal/xmpptest"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

const coven = "coven@conf.test"

// guest is a client that knows of a room what it has been told.
type guest struct {
	*roamer
	view    map[string]string // affiliation and role by nickname, while inside
	heard   []string          // stanza ids of what was said, in order, history left out
	answers map[string]*stanza.Stanza
	found   []string // stanza ids of an archive query
}

// party is a room, and those who go in and out of it.
type party struct {
	t           *testing.T
	rand        *rand.Rand
	guests      []*guest
	membersOnly bool
	next        int
}

// TestRoomInvariants: whatever people do to a room, it keeps an owner (XEP-0045
// §10.4), nobody is inside who may not be (§7.2.6, §7.2.7), admins and owners
// are moderators (§5.1.2), what each occupant has been told (§7.2.2) is what the
// room is, and all hear messages in the order in which the archive has them.
func TestRoomInvariants(t *testing.T) {
	t.Parallel()
	for seed := range 12 {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { haveParty(t, uint64(seed)) })
		})
	}
}

func haveParty(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // to be repeatable
	w := &roaming{t: t, rand: random, sys: xmpptest.NewServer(t, map[string]string{"muster.toml": `
[general]
hosts = ["localhost"]
[[listen.c2s]]
tls.mode = "none"
[auth]
allow_plain_without_tls = true
[modules.mod_muc]
host = "conf.test"
`})}
	defer func() {
		if err := w.sys.Close(); err != nil {
			t.Error(err)
		}
	}()
	p := &party{t: t, rand: random}
	for _, name := range []string{"anna", "ben", "carla", "dora"} {
		account := jid.MustParse(name + "@localhost")
		if err := w.sys.AddUser(account, "secret"); err != nil {
			t.Fatal(err)
		}
		g := &guest{roamer: &roamer{w: w, account: account, resource: "r", inbox: make(map[string]int)}, answers: make(map[string]*stanza.Stanza)}
		g.connect()
		p.guests = append(p.guests, g)
	}
	p.say(p.guests[0], `<presence to='coven@conf.test/A'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
	p.configure(p.guests[0], "muc#roomconfig_persistentroom", "1")
	if !p.configure(p.guests[0], "muc#roomconfig_enablelogging", "1") {
		t.Fatal("the room cannot be configured")
	}
	for range 80 {
		p.step(p.guests[random.IntN(len(p.guests))])
		p.check()
	}
	p.checkOrder()
	for _, g := range p.guests {
		g.drop()
	}
}

func pick(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }

// step lets somebody do something, which may be refused.
func (p *party) step(g *guest) {
	nick := pick(p.rand, "A", "B", "C", "D", "E")
	whom := p.guests[p.rand.IntN(len(p.guests))].account
	affiliation := pick(p.rand, "outcast", "none", "member", "admin", "owner", "owner")
	switch n := p.rand.IntN(24); {
	case n < 7:
		p.say(g, `<presence to='coven@conf.test/`+nick+`'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
	case n < 8:
		p.say(g, `<presence to='coven@conf.test/`+nick+`'/>`)
	case n < 10:
		p.say(g, `<presence type='unavailable' to='coven@conf.test/`+nick+`'/>`)
	case n < 15:
		p.say(g, `<message type='groupchat' to='coven@conf.test'><body>`+nick+`</body></message>`)
	case n < 18:
		p.ask(g, "set", fmt.Sprintf(mucAdmin, fmt.Sprintf("<item jid='%s' affiliation='%s'/>", whom, affiliation)))
	case n < 19:
		p.ask(g, "set", fmt.Sprintf(mucAdmin, fmt.Sprintf("<item jid='%s' affiliation='%s'/><item jid='%s' affiliation='none'/>", whom, affiliation, g.account)))
	case n < 21:
		p.ask(g, "set", fmt.Sprintf(mucAdmin, fmt.Sprintf("<item nick='%s' role='%s'/>", nick, pick(p.rand, "none", "visitor", "participant", "moderator"))))
	case n < 22:
		value := pick(p.rand, "0", "0", "1")
		if p.configure(g, "muc#roomconfig_membersonly", value) {
			p.membersOnly = value == "1"
		}
	default:
		g.drop()
		g.view = nil
		g.roamer = &roamer{w: g.w, account: g.account, resource: "r", inbox: make(map[string]int)} // who takes the old session's place
		g.connect()
		p.settle()
	}
}

func (p *party) configure(g *guest, field, value string) bool {
	st := p.ask(g, "set", fmt.Sprintf(mucForm, "<field var='"+field+"'><value>"+value+"</value></field>"))
	return st.Type == stanza.TypeResult
}

// say sends something and takes what comes of it.
func (p *party) say(g *guest, xml string) {
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		p.t.Fatal(err)
	}
	g.send(st.Element())
	p.settle()
}

// ask sends an IQ to the room and returns its answer.
func (p *party) ask(g *guest, kind, payload string) *stanza.Stanza {
	p.next++
	id := "q" + strconv.Itoa(p.next)
	p.say(g, `<iq type='`+kind+`' id='`+id+`' to='coven@conf.test'>`+payload+`</iq>`)
	st := g.answers[id]
	if st == nil {
		p.t.Fatalf("%s has got no answer to %s", g.account, payload)
	}
	delete(g.answers, id)
	return st
}

func (p *party) settle() {
	synctest.Wait()
	for _, g := range p.guests {
		for g.conn != nil && len(g.got) > 0 {
			if st, ok, _ := stanza.FromElement(<-g.got); ok {
				g.learn(&st)
			}
		}
	}
}

func (g *guest) learn(st *stanza.Stanza) {
	switch {
	case st.Kind == stanza.IQ:
		g.answers[st.ID] = st
	case st.From.Bare().String() != coven || st.Type == stanza.TypeError:
	case st.Kind == stanza.Presence:
		g.see(st)
	case st.Child("urn:xmpp:mam:2", "result") != nil:
		g.found = append(g.found, st.Child("urn:xmpp:mam:2", "result").Attr("id"))
	case st.Child(stanza.NSDelay, "delay") == nil && st.Child(stanza.NSStanzaID, "stanza-id") != nil:
		g.heard = append(g.heard, st.Child(stanza.NSStanzaID, "stanza-id").Attr("id"))
	}
}

// see brings the view in line with a presence.
func (g *guest) see(st *stanza.Stanza) {
	x := st.Child(stanza.NSMUCUser, "x")
	codes := make(map[string]bool)
	for e := range x.Elements() {
		codes[e.Attr("code")] = true
	}
	if st.Type == stanza.TypeUnavailable {
		delete(g.view, st.From.Resource())
		if codes["110"] && !codes["303"] {
			g.view = nil
		}
		return
	}
	if g.view == nil {
		g.view = make(map[string]string)
	}
	item := x.Child(stanza.NSMUCUser, "item")
	g.view[st.From.Resource()] = item.Attr("affiliation") + " " + item.Attr("role")
}

// check compares what everybody has been told with each other and the rules.
func (p *party) check() {
	var first *guest
	inside := 0
	for _, g := range p.guests {
		if g.view == nil {
			continue
		}
		inside++
		if first == nil {
			first = g
		}
		if !maps.Equal(first.view, g.view) {
			p.t.Fatalf("%s sees %v, %s sees %v", first.account, first.view, g.account, g.view)
		}
	}
	if first != nil && len(first.view) > inside {
		p.t.Fatalf("%s sees %v, but %d are inside", first.account, first.view, inside)
	}
	if first != nil {
		p.checkRights(first.view)
	}
	p.checkOwners()
}

func (p *party) checkRights(view map[string]string) {
	for nick, rights := range view {
		switch rights {
		case "owner moderator", "admin moderator", "member moderator", "member participant", "member visitor":
		case "none moderator", "none participant", "none visitor":
			if p.membersOnly {
				p.t.Fatalf("%s is in a members-only room as %s", nick, rights)
			}
		default:
			p.t.Fatalf("%s is in the room as %s", nick, rights)
		}
	}
}

// checkOwners: one of the guests may read who owns the room, and somebody does.
func (p *party) checkOwners() {
	for _, g := range p.guests {
		st := p.ask(g, "get", fmt.Sprintf(mucAdmin, "<item affiliation='owner'/>"))
		if st.Type == stanza.TypeResult && st.Payload().FirstElement() != nil {
			return
		}
	}
	p.t.Fatal("nobody owns the room")
}

// checkOrder compares what everybody has heard with the archive.
func (p *party) checkOrder() {
	place := make(map[string]int)
	for _, g := range p.guests {
		g.found = nil
		st := p.ask(g, "set", `<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>100</max></set></query>`)
		if st.Type == stanza.TypeResult {
			for i, id := range g.found {
				place[id] = i
			}
			break
		}
	}
	if len(place) == 0 {
		p.t.Error("nobody has said anything")
	}
	for _, g := range p.guests {
		for _, id := range g.heard {
			if _, ok := place[id]; !ok {
				p.t.Errorf("%s has heard %s, which the archive has not", g.account, id)
			}
		}
		if !slices.IsSortedFunc(g.heard, func(a, b string) int { return place[a] - place[b] }) {
			p.t.Errorf("%s has heard %v, in another order than the archive", g.account, g.heard)
		}
	}
}
