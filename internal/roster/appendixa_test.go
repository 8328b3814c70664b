package roster_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/xmpptest"
)

// cellKey is one stanza in one state.
type cellKey struct {
	way, typ, state string // way is sent or received
}

// cell is what Appendix A says of it.
type cell struct {
	pass  bool
	after string
}

// appendixA reads the tables.
func appendixA(t *testing.T) map[cellKey]cell {
	t.Helper()
	data, err := os.ReadFile("testdata/appendix-a.txt")
	if err != nil {
		t.Fatal(err)
	}
	cells := make(map[cellKey]cell)
	var way, typ string
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		switch {
		case f[0] == "#":
		case strings.HasPrefix(f[0], "A."):
			way, typ = f[1], f[2]
		default:
			c := cell{f[1] == "MUST", f[2]}
			if c.after == "-" {
				c.after = f[0]
			}
			cells[cellKey{way, typ, f[0]}] = c
		}
	}
	if len(cells) != 72 {
		t.Fatalf("%d cells, want 72", len(cells))
	}
	return cells
}

func states() []string {
	return []string{"none", "none+out", "none+in", "none+out+in", "to", "to+in", "from", "from+out", "both"}
}

func subscriptionTypes() []string {
	return []string{"subscribe", "unsubscribe", "subscribed", "unsubscribed"}
}

// standing is what one side's server is to know of the other.
type standing struct {
	state            string
	listed, approved bool
}

func (s standing) sees() bool { return strings.HasPrefix(s.state, "to") || s.state == "both" }
func (s standing) seen() bool { return strings.HasPrefix(s.state, "from") || s.state == "both" }
func (s standing) asked() bool {
	return strings.HasSuffix(s.state, "+in")
}

func (s standing) subscription() string {
	sub, _, _ := strings.Cut(s.state, "+")
	return sub
}

// item is the roster item.
func (s standing) item(contact string) string {
	text := fmt.Sprintf("<item jid='%s' subscription='%s'", contact, s.subscription())
	if strings.Contains(s.state, "+out") {
		text += " ask='subscribe'"
	}
	if s.approved {
		text += " approved='true'"
	}
	return text + "/>"
}

// person is one side of a script. An account on the server has two clients: one
// called like it, available and interested, and one that has only asked for the
// roster. Somebody at far.test has neither.
type person struct {
	name, jid  string
	far        bool
	deskOnline bool // the other client is available, too
	standing
}

// full is the address of the available client.
func (p *person) full() string { return p.jid + "/" + p.name }

// script writes a transcript and keeps account of what the RFC makes of it.
type script struct {
	strings.Builder
	cells   map[cellKey]cell
	clients []string
	n       int
}

func (s *script) line(format string, args ...any) {
	s.WriteString(fmt.Sprintf(format, args...) + "\n")
}

// log in both clients of a person.
func (s *script) online(p *person) {
	s.line("connect %s", p.name)
	s.line("connect %s-desk %s desk", p.name, p.name)
	s.clients = append(s.clients, p.name, p.name+"-desk")
	for _, client := range []string{p.name, p.name + "-desk"} {
		s.line("C %s: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", client)
		s.line("S %s: <iq type='result' id='r' …><query xmlns='jabber:iq:roster'/></iq>", client)
	}
	s.line("C %s: <presence/>", p.name)
	s.line("S %s: <presence from='%s'/>", p.name, p.full())
}

// list puts the other side into a person's roster.
func (s *script) list(p, other *person) {
	s.n++
	s.line("C %s: <iq type='set' id='s%d'><query xmlns='jabber:iq:roster'><item jid='%s'/></query></iq>", p.name, s.n, other.jid)
	p.listed = true
	s.push(p, other)
	s.line("S %s: <iq type='result' id='s%d' …/>", p.name, s.n)
}

// push expects a roster push.
func (s *script) push(p, other *person) {
	for _, client := range []string{p.name, p.name + "-desk"} {
		s.line("S %s: <iq type='set' id='*' from='%s' …><query xmlns='jabber:iq:roster' ver='*'>%s</query></iq>", client, p.jid, p.item(other.jid))
	}
}

// send lets p send a subscription stanza, and expects what follows.
func (s *script) send(p, other *person, typ string) {
	if p.far {
		s.line("C verona: <presence type='%s' from='%s' to='%s'/>", typ, p.jid, other.jid)
		s.receive(other, p, typ)
		return
	}
	s.line("C %s: <presence type='%s' to='%s/any'/>", p.name, typ, other.jid)
	before, c := p.standing, s.cells[cellKey{"sent", typ, p.state}]
	p.state = c.after
	switch typ {
	case "subscribe":
		p.listed = true // §3.1.2
	case "subscribed":
		p.approved = p.approved || !c.pass && !before.seen() // §3.4.2
		p.listed = p.listed || c.pass || p.approved
	case "unsubscribed":
		p.approved = false // §3.2.2
	}
	if p.visiblyNot(before) {
		s.push(p, other)
	}
	if before.seen() && !p.seen() { // §3.2.2: before he is told
		s.presence(p, other, "unavailable")
	}
	if c.pass {
		s.arrive(p, other, typ)
	}
	if p.seen() && !before.seen() { // §3.1.5
		s.presence(p, other, "")
	}
}

// visiblyNot reports whether a roster item is not what it was.
func (s standing) visiblyNot(before standing) bool {
	return s.item("") != before.item("") || s.listed != before.listed
}

// arrive expects that a stanza of p reaches the other side.
func (s *script) arrive(p, other *person, typ string) {
	if other.far {
		s.line("S verona: <presence type='%s' from='%s' to='%s'/>", typ, p.jid, other.jid)
		return
	}
	s.receive(other, p, typ)
}

// receive expects what a subscription stanza of the other side does to p, and
// reports whether p's clients are told of it.
func (s *script) receive(p, other *person, typ string) (told bool) {
	before, c := p.standing, s.cells[cellKey{"received", typ, p.state}]
	answered := typ == "subscribe" && (before.seen() || before.approved)
	if answered && !before.seen() { // §3.4.2
		c.pass = false
		c.after = map[string]string{"none": "from", "none+out": "from+out", "to": "both"}[before.state]
	}
	p.state = c.after
	if c.pass {
		s.line("S %s: <presence type='%s' from='%s' to='%s'/>", p.name, typ, other.jid, p.jid)
		if typ != "subscribe" {
			s.line("S %s-desk: <presence type='%s' from='%s' to='%s'/>", p.name, typ, other.jid, p.jid)
		}
	}
	if p.visiblyNot(before) {
		s.push(p, other)
	}
	if before.seen() && !p.seen() { // §3.3.3
		s.presence(p, other, "unavailable")
	}
	if answered { // §3.1.3
		if other.far {
			s.line("S verona: <presence type='subscribed' from='%s' to='%s'/>", p.jid, other.jid)
			s.presence(p, other, "")
		} else if s.receive(other, p, "subscribed") {
			s.presence(p, other, "")
		}
	}
	return c.pass
}

// presence expects that p's presence reaches the other side.
func (s *script) presence(p, other *person, typ string) {
	if typ != "" {
		typ = " type='" + typ + "'"
	}
	who := other.name
	if other.far {
		who = "verona"
	}
	s.line("S %s: <presence%s from='%s' to='%s'/>", who, typ, p.full(), other.jid)
}

// reach brings p into a state by stanzas of both sides.
func (s *script) reach(p, other *person, state string) {
	steps := map[string][]string{
		"none":        {},
		"none+out":    {"> subscribe"},
		"none+in":     {"< subscribe"},
		"none+out+in": {"> subscribe", "< subscribe"},
		"to":          {"> subscribe", "< subscribed"},
		"to+in":       {"> subscribe", "< subscribed", "< subscribe"},
		"from":        {"< subscribe", "> subscribed"},
		"from+out":    {"< subscribe", "> subscribed", "> subscribe"},
		"both":        {"< subscribe", "> subscribed", "> subscribe", "< subscribed"},
	}[state]
	for _, step := range steps {
		way, typ, _ := strings.Cut(step, " ")
		if way == ">" {
			s.send(p, other, typ)
		} else {
			s.send(other, p, typ)
		}
	}
}

// prove shows that the server holds what the RFC wants: by the roster, and by
// what a client gets that comes now.
func (s *script) prove(p, other *person) {
	s.line("# The state is now %s.", p.state)
	item := ""
	if p.listed {
		item = p.item(other.jid)
	}
	s.line("C %s-desk: <iq type='get' id='e'><query xmlns='jabber:iq:roster'/></iq>", p.name)
	s.line("S %s-desk: <iq type='result' id='e' …><query xmlns='jabber:iq:roster'>%s</query></iq>", p.name, item)
	desk := p.jid + "/desk"
	s.line("C %s-desk: <presence/>", p.name)
	s.line("S any {\n  S %s: <presence from='%s'/>\n  S %s-desk: <presence from='%s'/>\n  S %s-desk: <presence from='%s'/>",
		p.name, desk, p.name, desk, p.name, p.full())
	if p.asked() {
		s.line("  S %s-desk: <presence type='subscribe' from='%s' to='%s'/>", p.name, other.jid, p.jid)
	}
	switch {
	case other.far:
		if p.sees() { // §4.3.1
			s.line("  S verona: <presence type='probe' id='*' from='%s' to='%s'/>", p.jid, other.jid)
		}
		if p.seen() {
			s.line("  S verona: <presence from='%s' to='%s'/>", desk, other.jid)
		}
	default:
		if p.sees() {
			s.line("  S %s-desk: <presence from='%s'/>", p.name, other.full())
		}
		if p.sees() && other.deskOnline {
			s.line("  S %s-desk: <presence from='%s/desk'/>", p.name, other.jid)
		}
		if p.seen() {
			s.line("  S %s: <presence from='%s'/>", other.name, desk)
		}
		if p.seen() && other.deskOnline {
			s.line("  S %s-desk: <presence from='%s'/>", other.name, desk)
		}
	}
	s.line("}")
	p.deskOnline = true
}

// TestAppendixA has a transcript for each cell of RFC 6121 Appendix A, with a
// contact elsewhere who can send anything in any state.
func TestAppendixA(t *testing.T) {
	t.Parallel()
	cells := appendixA(t)
	for _, state := range states() {
		for _, typ := range subscriptionTypes() {
			for _, way := range []string{"sent", "received"} {
				s, romeo, juliet := farScript(cells)
				s.list(romeo, juliet)
				s.reach(romeo, juliet, state)
				s.line("# %s %s in %s.", way, typ, state)
				if way == "sent" {
					s.send(romeo, juliet, typ)
				} else {
					s.send(juliet, romeo, typ)
				}
				s.prove(romeo, juliet)
				xmpptest.RunText(t, fmt.Sprintf("%s %s in %s", way, typ, state), s.String(), xmpptest.NewServer)
			}
		}
	}
}

func localPerson(name string) *person {
	return &person{name: name, jid: name + "@localhost", standing: standing{state: "none"}}
}

func farScript(cells map[cellKey]cell) (s *script, romeo, juliet *person) {
	s = &script{cells: cells}
	romeo = localPerson("romeo")
	juliet = &person{name: "juliet", jid: "juliet@" + xmpptest.Far, far: true, standing: standing{state: "none"}}
	s.line("remote verona")
	s.online(romeo)
	return s, romeo, juliet
}

// TestStrangers: the same for somebody who is in no roster.
func TestStrangers(t *testing.T) {
	t.Parallel()
	cells := appendixA(t)
	for _, state := range []string{"none", "none+in"} {
		for _, typ := range subscriptionTypes() {
			for _, way := range []string{"sent", "received"} {
				s, romeo, juliet := farScript(cells)
				s.reach(romeo, juliet, state)
				if way == "sent" {
					s.send(romeo, juliet, typ)
				} else {
					s.send(juliet, romeo, typ)
				}
				s.prove(romeo, juliet)
				xmpptest.RunText(t, fmt.Sprintf("%s %s in %s", way, typ, state), s.String(), xmpptest.NewServer)
			}
		}
	}
}

// TestPreApproval: RFC 6121 §3.4.2 and §3.2.2, each stanza in each state with a
// pre-approval.
func TestPreApproval(t *testing.T) {
	t.Parallel()
	cells := appendixA(t)
	for _, state := range []string{"unlisted", "none", "none+out", "to", "from", "from+out", "both"} {
		for _, typ := range subscriptionTypes() {
			for _, way := range []string{"sent", "received"} {
				s, romeo, juliet := farScript(cells)
				s.approve(romeo, juliet, state)
				s.line("# %s %s in %s, pre-approved.", way, typ, state)
				if way == "sent" {
					s.send(romeo, juliet, typ)
				} else {
					s.send(juliet, romeo, typ)
				}
				s.prove(romeo, juliet)
				xmpptest.RunText(t, fmt.Sprintf("%s %s in %s", way, typ, state), s.String(), xmpptest.NewServer)
			}
		}
	}
}

// approve brings p into a state with a pre-approval.
func (s *script) approve(p, other *person, state string) {
	if state != "unlisted" {
		s.list(p, other)
	}
	s.send(p, other, "subscribed")
	steps := map[string][]string{
		"none+out": {"> subscribe"},
		"to":       {"> subscribe", "< subscribed"},
		"from":     {"< subscribe"},
		"from+out": {"< subscribe", "> subscribe"},
		"both":     {"< subscribe", "> subscribe", "< subscribed"},
	}[state]
	for _, step := range steps {
		if typ, ok := strings.CutPrefix(step, "> "); ok {
			s.send(p, other, typ)
		} else {
			s.send(other, p, strings.TrimPrefix(step, "< "))
		}
	}
}

// TestTwoAccounts goes through Appendix A with clients of two accounts of one
// server: what one side sends, in each state that the two can be in.
func TestTwoAccounts(t *testing.T) {
	t.Parallel()
	cells := appendixA(t)
	for _, state := range states() {
		for _, typ := range subscriptionTypes() {
			for _, listed := range []bool{true, false} {
				if !listed && !slices.Contains([]string{"none", "none+in"}, state) {
					continue
				}
				s := &script{cells: cells}
				romeo, juliet := localPerson("romeo"), localPerson("juliet")
				s.online(romeo)
				s.online(juliet)
				if listed {
					s.list(romeo, juliet)
				}
				s.reach(romeo, juliet, state)
				s.line("# romeo sends %s in %s.", typ, state)
				s.send(romeo, juliet, typ)
				s.prove(romeo, juliet)
				s.line("# juliet's side.")
				s.prove(juliet, romeo)
				xmpptest.RunText(t, fmt.Sprintf("%s in %s, listed %t", typ, state, listed), s.String(), xmpptest.NewServer)
			}
		}
	}
}

// remove lets p take the other side out of the roster (RFC 6121 §2.5.2): the
// subscriptions and requests of both directions end.
func (s *script) remove(p, other *person) {
	s.n++
	s.line("C %s: <iq type='set' id='s%d'><query xmlns='jabber:iq:roster'><item jid='%s' subscription='remove'/></query></iq>", p.name, s.n, other.jid)
	for _, client := range []string{p.name, p.name + "-desk"} {
		s.line("S %s: <iq type='set' id='*' from='%s' …><query xmlns='jabber:iq:roster' ver='*'><item jid='%s' subscription='remove'/></query></iq>",
			client, p.jid, other.jid)
	}
	before := p.standing
	p.standing = standing{state: "none"}
	if before.seen() { // §3.2.2
		s.presence(p, other, "unavailable")
	}
	if before.sees() || strings.Contains(before.state, "+out") {
		s.arrive(p, other, "unsubscribe")
	}
	if before.seen() || before.asked() {
		s.arrive(p, other, "unsubscribed")
	}
	s.line("S %s: <iq type='result' id='s%d' …/>", p.name, s.n)
}

// TestRemoval: RFC 6121 §2.5.2 in every state.
func TestRemoval(t *testing.T) {
	t.Parallel()
	cells := appendixA(t)
	for _, state := range states() {
		s, romeo, juliet := farScript(cells)
		s.list(romeo, juliet)
		s.reach(romeo, juliet, state)
		s.remove(romeo, juliet)
		s.prove(romeo, juliet)
		xmpptest.RunText(t, "elsewhere in "+state, s.String(), xmpptest.NewServer)

		s = &script{cells: cells}
		romeo, juliet = localPerson("romeo"), localPerson("juliet")
		s.online(romeo)
		s.online(juliet)
		s.list(romeo, juliet)
		s.reach(romeo, juliet, state)
		s.remove(romeo, juliet)
		s.prove(romeo, juliet)
		s.prove(juliet, romeo)
		xmpptest.RunText(t, "here in "+state, s.String(), xmpptest.NewServer)
	}
}

// TestLongConversations: what two accounts here, and one here and one elsewhere,
// may send each other in any order, for as long as one cares to watch.
func TestLongConversations(t *testing.T) {
	t.Parallel()
	cells := appendixA(t)
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 6121))
		s, romeo, juliet := farScript(cells)
		if seed%2 == 0 {
			s = &script{cells: cells}
			romeo, juliet = localPerson("romeo"), localPerson("juliet")
			s.online(romeo)
			s.online(juliet)
		}
		for range 60 {
			p, other := romeo, juliet
			if random.IntN(2) == 0 {
				p, other = juliet, romeo
			}
			typ := subscriptionTypes()[random.IntN(4)]
			s.line("# %s sends %s in %s.", p.name, typ, p.state)
			if random.IntN(10) == 0 && p.listed {
				s.remove(p, other)
			} else {
				s.send(p, other, typ)
			}
			for _, client := range s.clients {
				s.line("S %s: nothing", client) // which also waits
			}
		}
		s.prove(romeo, juliet)
		if !juliet.far {
			s.prove(juliet, romeo)
		}
		xmpptest.RunText(t, fmt.Sprint("seed ", seed), s.String(), xmpptest.NewServer)
	}
}
