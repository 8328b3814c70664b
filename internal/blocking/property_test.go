package blocking_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-im/muster/internal/xmpptest"
)

// TestModel lets three people, each with two clients, block and unblock, come
// and go, and talk, in any order, with a whole server, which gives each client
// exactly what the model says.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel()
		start(rt, m)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			step(rt, m)
			m.done()
		}
		if err := xmpptest.Try(t, m.script.String(), xmpptest.NewServer); err != nil {
			rt.Fatal(err)
		}
	})
}

// start connects some clients of people who are friends or not.
func start(rt *rapid.T, m *model) {
	for _, p := range m.people {
		m.connect(m.of(p)[0])
	}
	for _, a := range m.people {
		for _, b := range m.people {
			if a != b && rapid.IntRange(0, 3).Draw(rt, "friends") > 0 {
				m.befriend(a, b)
			}
		}
	}
	for _, p := range m.people {
		if rapid.Bool().Draw(rt, "second client") {
			m.connect(m.of(p)[1])
		}
		for _, c := range m.of(p) {
			if c.connected && rapid.IntRange(0, 3).Draw(rt, "available") > 0 {
				m.announce(c)
				m.done()
			}
		}
	}
}

// step does one thing.
func step(rt *rapid.T, m *model) {
	c := rapid.SampledFrom(m.clients).Draw(rt, "client")
	other := rapid.SampledFrom(m.clients).Draw(rt, "other")
	if !c.connected {
		m.connect(c)
		return
	}
	what := rapid.SampledFrom([]string{
		"block", "block", "block", "unblock", "unblock", "unblock all", "follow", "announce", "announce", "farewell", "drop",
		"direct", "direct", "probe", "unsubscribe", "unsubscribed", "message", "message", "message to client", "message to client", "ask",
	}).Draw(rt, "step")
	switch what {
	case "block":
		m.change(c, "block", addresses(rt, m))
	case "unblock":
		m.change(c, "unblock", addresses(rt, m))
	case "unblock all":
		m.change(c, "unblock", nil)
	case "follow":
		m.follow(c)
	case "announce":
		m.announce(c)
	case "farewell":
		m.farewell(c)
	case "drop":
		m.drop(c)
	case "direct":
		if c.person != other.person {
			m.direct(c, other)
		}
	case "probe":
		if c.person != other.person {
			m.probe(c, other.person)
		}
	case "unsubscribe", "unsubscribed":
		if c.person != other.person {
			m.estrange(c, what, other.person)
		}
	case "message":
		if c.person != other.person {
			m.message(c, other.person, nil)
		}
	case "message to client":
		m.message(c, other.person, other)
	case "ask":
		if c != other {
			m.ask(c, other)
		}
	}
}

// addresses are one or two of those that mean something, in all forms.
func addresses(rt *rapid.T, m *model) []string {
	all := []string{"localhost", "localhost/romeo", "far.test"}
	for _, c := range m.clients {
		all = append(all, c.full(), c.bare(), c.bare())
	}
	list := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 2, rapid.ID[string]).Draw(rt, "addresses")
	return list
}
