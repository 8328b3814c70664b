package muc_test

import (
	"math"
	"testing"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// leastAllocs returns the allocations of f; other goroutines and the race
// detector add some now and then.
func leastAllocs(f func()) float64 {
	least := math.Inf(1)
	for range 30 {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}

// filled is a room with u0 and so many others.
func filled(t *testing.T, others int) *crowd {
	t.Helper()
	c := newCrowd(t, muc.Options{})
	c.open(t)
	for i := range others {
		base := c.got.Load()
		c.handle(t, enterBig(i+1))
		c.wait(t, base, int64(i)+4) // the others, himself twice, the subject
	}
	return c
}

// do hands over stanzas one after the other and waits for what comes of each.
func (c *crowd) do(t *testing.T, want int64, list ...stanza.Stanza) {
	t.Helper()
	for _, st := range list {
		base := c.got.Load()
		c.Handle(st)
		c.wait(t, base, want)
	}
}

// TestBroadcastAllocations: what a message costs does not depend on how many are
// told.
func TestBroadcastAllocations(t *testing.T) {
	measure := func(others int) float64 {
		c := filled(t, others)
		st := parsed(t, "<message type='groupchat' id='m' from='u0@test/r' to='coven@conf.test'><body>Hail!</body></message>")
		c.do(t, int64(others)+1, st)
		return leastAllocs(func() { c.do(t, int64(others)+1, st) })
	}
	few, many := measure(10), measure(200)
	if few != many {
		t.Errorf("%v allocations for a message to 11, %v to 201", few, many)
	}
	t.Logf("%v allocations for a message", few)
}

// TestJoinAllocations: who enters and leaves costs as much in a large room as in a
// small one, but for the lists of who is told.
func TestJoinAllocations(t *testing.T) {
	measure := func(others int) float64 {
		c := filled(t, others)
		enter, leave := parsed(t, enterBig(others+1)), parsed(t, leaveBig(others+1))
		comeAndGo := func() {
			c.do(t, 2*int64(others)+4, enter) // all others, he to them and himself, the subject
			c.do(t, int64(others)+2, leave)
		}
		comeAndGo()
		return leastAllocs(comeAndGo)
	}
	few, many := measure(20), measure(400)
	t.Logf("%v allocations with 21 others, %v with 401", few, many)
	if per := (many - few) / 380; per > 0.05 {
		t.Errorf("%.2f allocations for each other occupant", per)
	}
}
