package blocking_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-im/muster/jid"
)

// model is what three people and their clients should see, said as simply as
// possible. It writes a transcript: what a client does, and all that anybody
// receives because of it.
type model struct {
	script strings.Builder
	serial int

	people  []string
	sees    map[string]map[string]bool // who has whose presence
	blocked map[string]map[string]bool // whom each has blocked
	waiting map[string][]waiting       // for whom
	clients []*modelClient             // all there are, connected or not
	expects []string                   // of the step under way
}

type waiting struct{ from, id string }

// modelClient is one client; its name is its resource.
type modelClient struct {
	person, name string
	connected    bool
	follows      bool
	status       string          // of its presence; "" while it is not available
	directed     map[string]bool // full addresses that have its directed presence
}

func (c *modelClient) bare() string { return c.person + "@localhost" }
func (c *modelClient) full() string { return c.bare() + "/" + c.name }

func newModel() *model {
	m := &model{
		people: []string{"romeo", "juliet", "nurse"},
		sees:   make(map[string]map[string]bool), blocked: make(map[string]map[string]bool), waiting: make(map[string][]waiting),
	}
	for _, p := range m.people {
		m.sees[p], m.blocked[p] = make(map[string]bool), make(map[string]bool)
		for _, name := range []string{p, p + "2"} {
			m.clients = append(m.clients, &modelClient{person: p, name: name, directed: make(map[string]bool)})
		}
	}
	return m
}

func (m *model) line(format string, args ...any) { fmt.Fprintf(&m.script, format+"\n", args...) }

// id returns a name for something new.
func (m *model) id() string {
	m.serial++
	return fmt.Sprintf("x%d", m.serial)
}

// get notes that a client receives something; one that is not there does not.
func (m *model) get(c *modelClient, format string, args ...any) {
	if c.connected {
		m.expects = append(m.expects, fmt.Sprintf("S %s: %s", c.name, fmt.Sprintf(format, args...)))
	}
}

// done ends a step: what is expected comes, in any order, and nothing else.
func (m *model) done() {
	if len(m.expects) > 0 {
		m.line("S any {")
		for _, e := range m.expects {
			m.line("  %s", e)
		}
		m.line("}")
	}
	m.expects = nil
	for _, c := range m.clients {
		if c.connected {
			m.line("S %s: nothing", c.name)
		}
	}
}

// blocks is XEP-0191 §6.
func (m *model) blocks(person, address string) bool {
	j := jid.MustParse(address)
	if j.Local() == person {
		return false
	}
	b := m.blocked[person]
	return b[address] || b[j.Bare().String()] || b[j.Domain()]
}

// between reports whether presence of one client is not for the other.
func (m *model) between(from, to *modelClient) bool {
	return m.blocks(from.person, to.full()) || m.blocks(to.person, from.full())
}

func (m *model) of(person string) (list []*modelClient) {
	for _, c := range m.clients {
		if c.person == person {
			list = append(list, c)
		}
	}
	return list
}

func (m *model) available(person string) []*modelClient {
	return slices.DeleteFunc(m.of(person), func(c *modelClient) bool { return c.status == "" })
}

func (m *model) client(full string) *modelClient {
	for _, c := range m.clients {
		if c.full() == full && c.connected {
			return c
		}
	}
	return nil
}

const (
	available = "<presence from='%s'><status>%s</status></presence>"
	gone      = "<presence type='unavailable' from='%s'>…</presence>"
	refused   = "<%s type='error' from='%s' …>…<not-acceptable …/>…<blocked xmlns='urn:xmpp:blocking:errors'/>…</%s>"
	unheard   = "<%s type='error' from='%s' id='%s' …>…<service-unavailable …/>…</%s>"
)

// befriend lets a person see another's presence, before any client is
// available, so that nobody hears of it.
func (m *model) befriend(person, friend string) {
	c, f := m.of(person)[0], m.of(friend)[0]
	m.line("C %s: <presence type='subscribe' to='%s'/>", c.name, f.bare())
	m.line("C %s: <presence type='subscribed' to='%s'/>", f.name, c.bare())
	m.sees[person][friend] = true
}

// estrange ends what a client's person sees of another, or what that one sees
// of him (type unsubscribed). That is so whoever is blocked by the other.
func (m *model) estrange(c *modelClient, typ, other string) {
	to := other + "@localhost"
	m.line("C %s: <presence type='%s' to='%s'/>", c.name, typ, to)
	if m.blocks(c.person, to) {
		m.get(c, refused, "presence", to, "presence")
		return
	}
	viewer, viewed := c.person, other
	if typ == "unsubscribed" {
		viewer, viewed = other, c.person
	}
	if m.sees[viewer][viewed] {
		for _, t := range m.available(viewed) {
			for _, v := range m.available(viewer) {
				if !m.between(t, v) {
					m.get(v, gone, t.full())
				}
			}
		}
	}
	m.sees[viewer][viewed] = false
}

// probe asks for what a client may see of a person.
func (m *model) probe(c *modelClient, person string) {
	to := person + "@localhost"
	m.line("C %s: <presence type='probe' to='%s'/>", c.name, to)
	switch {
	case m.blocks(c.person, to):
		m.get(c, refused, "presence", to, "presence")
		return
	case m.blocks(person, c.full()):
		return
	}
	sees, shown := m.sees[c.person][person], false
	for _, t := range m.available(person) {
		if !sees && !t.directed[c.full()] {
			continue
		}
		shown = true
		if !m.between(t, c) {
			m.get(c, available, t.full(), t.status)
		}
	}
	if sees && !shown {
		m.get(c, gone, to)
	}
}

func (m *model) connect(c *modelClient) {
	m.line("connect %s %s %s", c.name, c.person, c.name)
	c.connected, c.follows, c.status = true, false, ""
	c.directed = make(map[string]bool)
}

// audience are the clients that a client's presence goes to: the person's own,
// and those of friends that are not kept apart.
func (m *model) audience(c *modelClient) []*modelClient {
	list := m.available(c.person)
	for _, p := range m.people {
		if !m.sees[p][c.person] {
			continue
		}
		for _, t := range m.available(p) {
			if !m.between(c, t) {
				list = append(list, t)
			}
		}
	}
	return list
}

// announce makes a client available, or changes its presence.
func (m *model) announce(c *modelClient) {
	initial := c.status == ""
	c.status = m.id()
	m.line("C %s: <presence><status>%s</status></presence>", c.name, c.status)
	for _, t := range m.audience(c) {
		m.get(t, available, c.full(), c.status)
	}
	if !initial {
		return
	}
	for _, p := range m.people {
		if p != c.person && !m.sees[c.person][p] {
			continue
		}
		for _, t := range m.available(p) {
			if t != c && !m.between(c, t) {
				m.get(c, available, t.full(), t.status)
			}
		}
	}
	for _, w := range m.waiting[c.person] {
		if !m.blocks(c.person, w.from) {
			m.get(c, "<message type='chat' from='%s' id='%s' …>…<delay xmlns='urn:xmpp:delay' …/>…</message>", w.from, w.id)
		}
	}
	m.waiting[c.person] = nil
}

// leave is the end of a client's presence, said or not.
func (m *model) leave(c *modelClient) {
	var told []*modelClient
	if c.status != "" {
		told = m.audience(c)
		for _, t := range told {
			m.get(t, gone, c.full())
		}
	}
	for _, full := range slices.Sorted(maps.Keys(c.directed)) {
		if t := m.client(full); t != nil && !slices.Contains(told, t) && !m.between(c, t) {
			m.get(t, gone, c.full())
		}
	}
	c.status, c.directed = "", make(map[string]bool)
}

func (m *model) farewell(c *modelClient) {
	m.line("C %s: <presence type='unavailable'/>", c.name)
	m.leave(c)
}

func (m *model) drop(c *modelClient) {
	m.line("drop %s", c.name)
	c.connected = false
	m.leave(c)
}

// direct sends presence to one client.
func (m *model) direct(c, t *modelClient) {
	status := m.id()
	m.line("C %s: <presence to='%s'><status>%s</status></presence>", c.name, t.full(), status)
	if m.blocks(c.person, t.full()) {
		m.get(c, refused, "presence", t.full(), "presence")
		return
	}
	c.directed[t.full()] = true
	if !m.between(c, t) {
		m.get(t, available, c.full(), status)
	}
}

// message sends a message of type chat to a person or to one client.
func (m *model) message(c *modelClient, person string, t *modelClient) {
	to, id := person+"@localhost", m.id()
	if t != nil {
		to = t.full()
	}
	m.line("C %s: <message type='chat' to='%s' id='%s'><body>%s</body></message>", c.name, to, id, id)
	switch {
	case m.blocks(c.person, to):
		m.get(c, refused, "message", to, "message")
	case m.blocks(person, c.full()):
		m.get(c, unheard, "message", to, id, "message")
	case t != nil && t.connected:
		m.get(t, "<message type='chat' from='%s' id='%s' …>…</message>", c.full(), id)
	case len(m.available(person)) == 0:
		m.waiting[person] = append(m.waiting[person], waiting{c.full(), id})
	default:
		for _, t := range m.available(person) {
			m.get(t, "<message type='chat' from='%s' id='%s' …>…</message>", c.full(), id)
		}
	}
}

// ask sends a request to a client, which does not answer.
func (m *model) ask(c, t *modelClient) {
	id := m.id()
	m.line("C %s: <iq type='get' to='%s' id='%s'><query xmlns='urn:x'/></iq>", c.name, t.full(), id)
	switch {
	case m.blocks(c.person, t.full()):
		m.get(c, refused, "iq", t.full(), "iq")
	case m.blocks(t.person, c.full()) || !t.connected:
		m.get(c, unheard, "iq", t.full(), id, "iq")
	default:
		m.get(t, "<iq type='get' from='%s' id='%s' …><query xmlns='urn:x'/></iq>", c.full(), id)
	}
}

// follow asks for the block list.
func (m *model) follow(c *modelClient) {
	id := m.id()
	m.line("C %s: <iq type='get' id='%s'><blocklist xmlns='urn:xmpp:blocking'/></iq>", c.name, id)
	m.get(c, "<iq type='result' id='%s' …>%s</iq>", id, listOf("blocklist", slices.Sorted(maps.Keys(m.blocked[c.person]))))
	c.follows = true
}

func listOf(name string, items []string) string {
	text := "<" + name + " xmlns='urn:xmpp:blocking'>"
	for _, item := range items {
		text += "<item jid='" + item + "'/>"
	}
	return text + "</" + name + ">"
}

// change blocks or unblocks addresses; none to unblock are all.
func (m *model) change(c *modelClient, name string, items []string) {
	id := m.id()
	m.line("C %s: <iq type='set' id='%s'>%s</iq>", c.name, id, listOf(name, items))
	m.get(c, "<iq type='result' id='%s' …/>", id)
	for _, f := range m.of(c.person) {
		if f.follows {
			m.get(f, "<iq type='set' id='*' from='%s'>%s</iq>", c.bare(), listOf(name, items))
		}
	}
	var was []*modelClient // whom the person kept away
	back := make(map[string]bool)
	for _, t := range m.clients {
		if m.blocks(c.person, t.full()) {
			was = append(was, t)
		}
	}
	for _, p := range m.people {
		back[p] = m.blocks(c.person, p+"@localhost")
	}
	b := m.blocked[c.person]
	if name == "unblock" && len(items) == 0 {
		clear(b)
	}
	for _, item := range items {
		if name == "block" {
			b[item] = true
		} else {
			delete(b, item)
		}
	}
	for _, t := range m.clients {
		before, after := slices.Contains(was, t), m.blocks(c.person, t.full())
		switch {
		case before == after:
		case after:
			m.vanish(c.person, t)
		case t.status != "":
			back[t.person] = true
			m.appear(c.person, t)
		}
	}
	for _, p := range m.people {
		if back[p] && m.sees[c.person][p] && !m.blocks(c.person, p+"@localhost") {
			m.seeAgain(c.person, p)
		}
	}
}

// vanish shows a client that a person has just blocked all that it saw of him
// go.
func (m *model) vanish(person string, t *modelClient) {
	for _, c := range m.of(person) {
		seen := c.status != "" && t.status != "" && m.sees[t.person][person]
		if (seen || c.directed[t.full()]) && !m.blocks(t.person, c.full()) {
			m.get(t, gone, c.full())
		}
		delete(c.directed, t.full())
	}
}

// appear shows a client the person who no longer blocks it.
func (m *model) appear(person string, t *modelClient) {
	for _, c := range m.available(person) {
		if m.sees[t.person][person] && !m.between(c, t) {
			m.get(t, available, c.full(), c.status)
		}
	}
}

// seeAgain shows a person who it is that he no longer blocks.
func (m *model) seeAgain(person, friend string) {
	for _, c := range m.available(person) {
		shown := false
		for _, t := range m.available(friend) {
			if m.blocks(friend, c.full()) {
				continue
			}
			shown = true
			if !m.between(c, t) {
				m.get(c, available, t.full(), t.status)
			}
		}
		if !shown {
			m.get(c, gone, friend+"@localhost")
		}
	}
}
