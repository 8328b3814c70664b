package muster_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/xmpptest"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

const (
	coven = "coven@conf.test"
	// remembered is longer than a service remembers destroyed rooms.
	remembered = 32 * 24 * time.Hour
	enterRoom  = `<presence to='coven@conf.test/%s'><x xmlns='http://jabber.org/protocol/muc'>%s</x></presence>`
)

// party is a room, and those who go in and out of it.
type party struct {
	t      *testing.T
	rand   *rand.Rand
	sys    xmpptest.System
	guests []*guest
	log    []string // what was done
	next   int

	// Of the room.
	password    string          // that it wants, "" for none
	membersOnly bool            // it lets only members in
	model       *model          // nil: there is none
	said        []string        // ids of messages in the order in which they were heard
	kept        []string        // those of them that the archive should have
	past        map[string]bool // those of rooms that there were before at this address
}

// TestRoomInvariants: whatever people do to a room, it keeps an owner (XEP-0045
// §10.4), nobody is inside who may not be (§7.2.5, §7.2.6, §7.2.7), roles fit
// affiliations (§5.1.2), what each client has been told (§7.2.2) is what the
// room is, real addresses are for those who may see them (§7.2.4), all hear the
// same in the order in which the archive has it, what is stored survives a
// restart, and of a room that is gone nothing is left. A seed that fails fails
// again:
//
//	go test -run 'TestRoomInvariants/sqlite/seed=3$' .
func TestRoomInvariants(t *testing.T) {
	t.Parallel()
	xmpptest.OnEngines(t, func(t *testing.T, start xmpptest.Start) {
		t.Helper()
		seeds := []uint64{43, 114} // people go from whom much has come back
		for seed := range uint64(24) {
			seeds = append(seeds, seed)
		}
		for _, seed := range seeds {
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { haveParty(t, seed, start) })
			})
		}
	})
}

func haveParty(t *testing.T, seed uint64, start xmpptest.Start) {
	p := &party{t: t, rand: rand.New(rand.NewPCG(seed, 7)), past: make(map[string]bool)} //nolint:gosec // to be repeatable
	p.sys = start(t, map[string]string{"muster.toml": `
[general]
hosts = ["localhost"]
[[listen.c2s]]
tls.mode = "none"
[auth]
allow_plain_without_tls = true
[modules.mod_muc]
host = "conf.test"
[modules.mod_muc.default_room]
allow_multiple_sessions = true
`})
	defer func() {
		if err := p.sys.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("seed %d: %s", seed, strings.Join(p.log, "\n"))
		}
	}()
	w := &roaming{t: t, rand: p.rand, sys: p.sys}
	for _, name := range []string{"anna", "ben", "carla", "dora"} {
		account := jid.MustParse(name + "@localhost")
		if err := p.sys.AddUser(account, "secret"); err != nil {
			t.Fatal(err)
		}
		for _, resource := range []string{"desk", "phone"} {
			p.guests = append(p.guests, newGuest(w, account, resource))
		}
	}
	p.connectAll()
	for range 150 {
		p.step(p.guests[p.rand.IntN(len(p.guests))])
		p.check()
	}
	for _, g := range p.guests {
		g.drop()
	}
}

func pick(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }

// step lets somebody do something, which may be refused.
func (p *party) step(g *guest) {
	nick := pick(p.rand, "A", "B", "C", "D", "E")
	password := pick(p.rand, "", "<password>x</password>", "<password>y</password>")
	switch n := p.rand.IntN(100); {
	case n < 26:
		p.enter(g, nick, password)
	case n < 32:
		p.say(g, `<presence to='coven@conf.test/`+nick+`'><status>`+nick+`</status></presence>`) // a new nickname for who is inside
	case n < 37:
		p.say(g, `<presence type='unavailable' to='coven@conf.test/`+nick+`'/>`)
	case n < 44:
		p.say(g, `<message type='groupchat' to='coven@conf.test'><body>`+nick+`</body></message>`)
	case n < 52:
		p.babble()
	case n < 54:
		p.say(g, `<message type='groupchat' to='coven@conf.test'><subject>`+nick+`</subject></message>`)
	case n < 68:
		p.govern(g, nick)
	case n < 76:
		before := p.inspect()
		p.ask(g, "set", fmt.Sprintf(mucAdmin, fmt.Sprintf("<item nick='%s' role='%s'/>", nick, pick(p.rand, "none", "visitor", "participant", "moderator"))))
		p.checkExits(before, func(string) string { return "307" })
	case n < 88:
		p.configure(g)
	case n < 90:
		p.destroy(g)
	case n < 92:
		p.restart()
	default:
		p.log = append(p.log, g.name()+" is cut off")
		g.drop()
		g.forget()
		g.connect()
		p.settle()
	}
}

// babble lets several speak at once, each without a pause, so that some are still
// being stored when the next come.
func (p *party) babble() {
	const words = `<message type='groupchat' to='coven@conf.test'><body>hear me</body></message>`
	for range 4 {
		g := p.guests[p.rand.IntN(len(p.guests))]
		p.log = append(p.log, g.name()+" speaks with others")
		if err := g.stream.SendRaw([]byte(strings.Repeat(words, 1+p.rand.IntN(5)))); err != nil {
			p.t.Fatal(err)
		}
	}
	p.settle()
}

// enter lets somebody into the room, who opens it if it is new.
func (p *party) enter(g *guest, nick, password string) {
	outside := g.view == nil
	persistent := pick(p.rand, "0", "1", "1")
	p.say(g, fmt.Sprintf(enterRoom, nick, password))
	if outside && g.view != nil && p.password != "" && password != "<password>"+p.password+"</password>" {
		p.t.Fatalf("%s has entered with %q, not with the password", g.name(), password)
	}
	if g.created {
		g.created, p.model = false, newModel(g.account.String())
		p.ask(g, "set", fmt.Sprintf(mucForm, "<field var='muc#roomconfig_persistentroom'><value>"+persistent+"</value></field>"))
	}
}

// govern changes one affiliation or two.
func (p *party) govern(g *guest, nick string) {
	item := func() wish {
		whom := p.guests[p.rand.IntN(len(p.guests))].account
		return wish{whom: whom.String(), affiliation: pick(p.rand, "outcast", "none", "member", "member", "admin", "owner", "owner"), reason: pick(p.rand, "", "", "so")}
	}
	list := []wish{item()}
	switch p.rand.IntN(8) {
	case 0:
		list = append(list, item())
	case 1:
		p.governNick(g, nick)
		return
	case 2:
		list[0] = wish{whom: "localhost", affiliation: pick(p.rand, "outcast", "none", "none", "member")}
	case 3:
		list[0].affiliation, list[0].nick = "member", nick
	}
	var items string
	for _, w := range list {
		items += w.xml()
	}
	p.change(g, items, list)
}

// change asks for the items that list describes.
func (p *party) change(g *guest, items string, list []wish) {
	before := p.inspect()
	if p.ask(g, "set", fmt.Sprintf(mucAdmin, items)).Type == stanza.TypeResult {
		p.model.agreed(list)
		p.checkExits(before, p.model.why)
	}
}

// governNick changes the affiliation of whoever has a nickname.
func (p *party) governNick(g *guest, nick string) {
	w := wish{affiliation: pick(p.rand, "outcast", "none", "member", "admin", "owner")}
	if s := p.inspect(); s != nil && len(s.people[nick].sessions) > 0 {
		w.whom, _, _ = strings.Cut(s.people[nick].sessions[0], "/")
	}
	item := "<item nick='" + nick + "' affiliation='" + w.affiliation + "'/>"
	p.change(g, item, []wish{w})
}

// configure changes a setting or two.
func (p *party) configure(g *guest) {
	word := pick(p.rand, "x", "y")
	bit := pick(p.rand, "0", "1")
	set := make(map[string]string)
	switch p.rand.IntN(8) {
	case 0, 1:
		set["membersonly"] = bit
	case 2:
		set["persistentroom"] = pick(p.rand, "1", bit)
	case 3:
		set["passwordprotectedroom"], set["roomsecret"] = pick(p.rand, "0", bit), word
	case 4:
		set["moderatedroom"] = bit
	case 5:
		set["whois"] = pick(p.rand, "anyone", "moderators")
	case 6:
		set["maxusers"], set["persistentroom"] = pick(p.rand, "2", "10"), "1"
	case 7:
		set["roomname"] = word
	}
	var form string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		form += "<field var='muc#roomconfig_" + name + "'><value>" + set[name] + "</value></field>"
	}
	before := p.inspect()
	if p.ask(g, "set", fmt.Sprintf(mucForm, form)).Type != stanza.TypeResult {
		return
	}
	p.checkExits(before, func(string) string { return "322" })
	for name, value := range set {
		p.model.settings["muc#roomconfig_"+name] = []string{value}
	}
	if only, ok := set["membersonly"]; ok {
		p.membersOnly = only == "1"
	}
	if protected, ok := set["passwordprotectedroom"]; ok {
		p.password = ""
		if protected == "1" {
			p.password = word
		}
	}
}

// destroy ends the room, and waits until its address is free again.
func (p *party) destroy(g *guest) {
	if p.ask(g, "set", fmt.Sprintf(mucOwner, "<destroy/>")).Type != stanza.TypeResult {
		return
	}
	p.check()
	for _, g := range p.guests {
		g.drop()
		g.forget()
	}
	time.Sleep(remembered) // virtual
	p.connectAll()
}

// restart starts the server again on the same data.
func (p *party) restart() {
	p.log = append(p.log, "restart")
	before := p.stored()
	if err := p.sys.Restart(); err != nil {
		p.t.Fatal(err)
	}
	p.settle()
	for _, g := range p.guests {
		g.drop()
		g.forget()
	}
	p.connectAll()
	if after := p.stored(); before != after {
		p.t.Fatalf("the restart has made %s of %s", after, before)
	}
}

func (p *party) connectAll() {
	for _, g := range p.guests {
		g.connect()
	}
	p.settle()
}

// say sends something and takes what comes of it.
func (p *party) say(g *guest, xml string) {
	p.log = append(p.log, g.name()+": "+xml)
	for _, g := range p.guests {
		g.exits = make(map[string]string)
	}
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
		p.t.Fatalf("%s has got no answer to %s", g.name(), payload)
	}
	delete(g.answers, id)
	if st.Type == stanza.TypeResult {
		p.log = append(p.log, "  done")
	}
	return st
}

func (p *party) settle() {
	synctest.Wait()
	for _, g := range p.guests {
		g.listen()
	}
}

// guest is a client that knows of a room what it has been told.
type guest struct {
	*roamer
	view    map[string]sight // by nickname, while inside
	created bool             // has been told that the room is new
	subject string           // the last one, while inside
	heard   []string         // ids of what was said, history included, since it entered
	answers map[string]*stanza.Stanza
	found   []string          // ids of an archive query
	exits   map[string]string // status codes of those who have left since somebody did something, by nickname
	leaked  bool              // somebody else's address has come since the last check
	knew    bool              // might see addresses in the last check
}

// sight is what a client knows of an occupant.
type sight struct{ affiliation, role, address string }

func newGuest(w *roaming, account jid.JID, resource string) *guest {
	g := &guest{roamer: &roamer{w: w, account: account, resource: resource}}
	g.forget()
	return g
}

func (g *guest) name() string { return g.account.Local() + "/" + g.resource }

// forget begins a new session, which will take the old one's place.
func (g *guest) forget() {
	g.roamer = &roamer{w: g.w, account: g.account, resource: g.resource, inbox: make(map[string]int)}
	g.view, g.heard, g.answers, g.exits, g.created = nil, nil, make(map[string]*stanza.Stanza), make(map[string]string), false
}

// listen takes what has come.
func (g *guest) listen() {
	for g.conn != nil && len(g.got) > 0 {
		if st, ok, _ := stanza.FromElement(<-g.got); ok {
			g.learn(&st)
		}
	}
}

func (g *guest) learn(st *stanza.Stanza) {
	result := st.Child("urn:xmpp:mam:2", "result")
	if st.Kind == stanza.Message && st.Type == stanza.TypeGroupchat && st.Child(stanza.NSClient, "subject") != nil {
		g.subject = st.ChildText(stanza.NSClient, "subject")
	}
	switch {
	case st.Kind == stanza.IQ:
		g.answers[st.ID] = st
	case st.From.Bare().String() != coven || st.Type == stanza.TypeError:
	case st.Kind == stanza.Presence:
		g.see(st)
	case result != nil:
		if said := result.Child("urn:xmpp:forward:0", "forwarded").Child(stanza.NSClient, "message"); said.Child(stanza.NSClient, "body") != nil {
			g.found = append(g.found, result.Attr("id"))
		}
	case st.Child(stanza.NSClient, "body") != nil && st.Child(stanza.NSStanzaID, "stanza-id") != nil:
		id := st.Child(stanza.NSStanzaID, "stanza-id").Attr("id")
		if st.Child(stanza.NSDelay, "delay") != nil && slices.Contains(g.heard, id) { // it has entered again, and gets all anew
			g.heard = nil
		}
		g.heard = append(g.heard, id)
	}
}

// see brings the view in line with a presence.
func (g *guest) see(st *stanza.Stanza) {
	x := st.Child(stanza.NSMUCUser, "x")
	var codes []string
	for e := range x.Elements() {
		codes = append(codes, e.Attr("code"))
	}
	self := slices.Contains(codes, "110")
	if st.Type == stanza.TypeUnavailable {
		g.exits[st.From.Resource()] = strings.Join(slices.DeleteFunc(slices.Clone(codes), func(c string) bool { return c == "" || c == "110" }), " ")
		delete(g.view, st.From.Resource())
		if self && !slices.Contains(codes, "303") {
			g.view, g.heard = nil, nil
		}
		return
	}
	if g.view == nil {
		g.view = make(map[string]sight)
	}
	g.created = g.created || slices.Contains(codes, "201")
	item := x.Child(stanza.NSMUCUser, "item")
	s := sight{item.Attr("affiliation"), item.Attr("role"), item.Attr("jid")}
	g.view[st.From.Resource()] = s
	g.leaked = g.leaked || s.address != "" && !self
}

// rooms is the service of the system's rooms.
func (p *party) rooms() *muc.Service {
	return p.sys.(interface {
		Rooms(domain string) *muc.Service
	}).Rooms("conf.test") //nolint:forcetypeassert // a whole server
}
