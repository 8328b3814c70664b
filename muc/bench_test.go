package muc_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// crowd is a router that counts what people are given, and lets a benchmark
// wait for it.
type crowd struct {
	*muc.Service
	got atomic.Int64

	mu sync.Mutex
	// Guarded by mu.
	want    int64
	reached chan struct{}
}

func (c *crowd) Target(jid.JID) stanza.Target { return c }

func (c *crowd) Send(stanza.Stanza) { c.count(1) }

func (c *crowd) Deliver(batch []*stanza.Encoded) { c.count(len(batch)) }

func (c *crowd) count(n int) {
	got := c.got.Add(int64(n))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reached != nil && got >= c.want {
		close(c.reached)
		c.reached = nil
	}
}

// wait waits until n more stanzas than base have been delivered.
func (c *crowd) wait(b testing.TB, base, n int64) {
	b.Helper()
	reached := make(chan struct{})
	c.mu.Lock()
	c.want, c.reached = base+n, reached
	c.mu.Unlock()
	c.count(0)
	select {
	case <-reached:
	case <-time.After(time.Minute):
		b.Fatalf("%d stanzas of %d", c.got.Load()-base, n)
	}
}

// handle hands over a stanza as a session's reader would.
func (c *crowd) handle(b testing.TB, xml string) {
	b.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		b.Fatal(err)
	}
	if busy := c.Handle(st); busy != nil {
		<-busy
	}
}

func enterBig(i int) string {
	return fmt.Sprintf("<presence from='u%[1]d@test/r' to='coven@conf.test/u%[1]d'><x xmlns='http://jabber.org/protocol/muc'/>"+
		"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://example.org' ver='hLe1oP5v0ZAdEHiKVdGe5fHSgEw='/></presence>", i)
}

func leaveBig(i int) string {
	return fmt.Sprintf("<presence type='unavailable' from='u%[1]d@test/r' to='coven@conf.test/u%[1]d'/>", i)
}

func newCrowd(b testing.TB, o muc.Options) *crowd {
	b.Helper()
	c := &crowd{}
	o.Domain, o.Router, o.MaxUsers = "conf.test", c, 10_000
	o.Extensions = roomfeatures.All(roomfeatures.Options{HistorySize: 20, OccupantIDKey: []byte("key")})
	s, err := muc.New(o)
	if err != nil {
		b.Fatal(err)
	}
	c.Service = s
	b.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return c
}

// open lets u0 create the room.
func (c *crowd) open(b testing.TB) {
	b.Helper()
	base := c.got.Load()
	c.handle(b, enterBig(0))
	c.handle(b, "<iq type='set' id='cfg' from='u0@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
	c.wait(b, base, 3) // presence, subject, result
}

// BenchmarkJoin is 1,000 people who enter a room one after the other without
// waiting, and leave it again: per presence that somebody is given.
func BenchmarkJoin(b *testing.B) {
	const people = 1000
	// Each newcomer gets everybody before him, himself and a subject, and everybody
	// before him gets his presence. Leaving: those who stay, and himself.
	const entering, leaving = people*(people+1) + people, people*(people+1)/2 + people
	c := newCrowd(b, muc.Options{})
	c.open(b)
	enter, leave := make([]stanza.Stanza, people), make([]stanza.Stanza, people)
	for i := range people {
		enter[i], leave[i] = parsed(b, enterBig(i+1)), parsed(b, leaveBig(i+1))
	}
	all := func(list []stanza.Stanza, n int64) (time.Duration, uint64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		base, begun := c.got.Load(), time.Now()
		for _, st := range list {
			if busy := c.Handle(st); busy != nil {
				<-busy
			}
		}
		c.wait(b, base, n)
		took := time.Since(begun)
		runtime.ReadMemStats(&after)
		return took, after.Mallocs - before.Mallocs
	}
	var in, out time.Duration
	var allocsIn, allocsOut uint64
	for b.Loop() {
		took, allocs := all(enter, entering)
		in, allocsIn = in+took, allocsIn+allocs
		took, allocs = all(leave, leaving)
		out, allocsOut = out+took, allocsOut+allocs
	}
	per := func(d time.Duration, n int) float64 { return float64(d.Nanoseconds()) / float64(b.N*n) }
	b.ReportMetric(per(in, entering), "ns/presence-in")
	b.ReportMetric(float64(allocsIn)/float64(b.N*entering), "allocs/presence-in")
	b.ReportMetric(float64(allocsIn)/float64(b.N*people), "allocs/join")
	b.ReportMetric(per(out, leaving), "ns/presence-out")
	b.ReportMetric(float64(allocsOut)/float64(b.N*people), "allocs/leave")
}

// BenchmarkBroadcast is a message to 1,000 people.
func BenchmarkBroadcast(b *testing.B) {
	const people = 1000
	c := newCrowd(b, muc.Options{})
	c.open(b)
	base := c.got.Load()
	for i := range people {
		c.handle(b, enterBig(i+1))
	}
	c.wait(b, base, people*(people+1)+people)
	st := parsed(b, "<message type='groupchat' id='fb2e8a6c-2b4e-4f8e-9a3b' from='u0@test/r' to='coven@conf.test'><body>What is the time?</body></message>")
	b.ReportAllocs()
	for b.Loop() {
		base := c.got.Load()
		if busy := c.Handle(st); busy != nil {
			<-busy
		}
		c.wait(b, base, people+1)
	}
}

func parsed(b testing.TB, xml string) stanza.Stanza {
	b.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		b.Fatal(err)
	}
	return st
}

// BenchmarkAffiliations is a room with 100,000 members: how long it takes to
// wake, and then to answer what is asked of it.
func BenchmarkAffiliations(b *testing.B) {
	store := &crowded{members: 100_000}
	rec, err := store.Room(b.Context(), jid.MustParse("coven@conf.test"))
	if err != nil {
		b.Fatal(err)
	}
	store.record = rec
	awake := func(b *testing.B) *crowd {
		c := newCrowd(b, muc.Options{Store: store})
		c.ask(b, strings.ReplaceAll(enter("anna"), "coven@conf.test/anna", "coven@conf.test/Anna"), 2) // presence and subject
		return c
	}
	b.Run("wake", func(b *testing.B) {
		for b.Loop() {
			awake(b)
		}
	})
	nobody := strings.ReplaceAll(enter("zed"), "coven@conf.test/zed", "coven@conf.test/Nick 5")
	for _, what := range []struct {
		name, xml string
		n         int64
	}{
		{"refused-nickname", nobody, 1},
		{"page", adminGet("p", "<set xmlns='http://jabber.org/protocol/rsm'><max>100</max><after>m050000@test</after></set>"), 1},
		{"unpaged", adminGet("p", ""), 1},
		{"change", "", 2}, // result, and word of it to those who see addresses
	} {
		b.Run(what.name, func(b *testing.B) {
			c := awake(b)
			store.changes = nil
			n := 0
			b.ResetTimer()
			for b.Loop() {
				n++
				if what.name != "change" {
					c.ask(b, what.xml, what.n)
					continue
				}
				affiliation := [...]string{"member", "admin"}[n%2]
				c.ask(b, adminSet("s", "<item affiliation='"+affiliation+"' jid='m050000@test'/>"), what.n)
			}
		})
	}
}

// ask hands over a stanza and waits for what comes of it.
func (c *crowd) ask(b testing.TB, xml string, n int64) {
	b.Helper()
	base := c.got.Load()
	c.handle(b, xml)
	c.wait(b, base, n)
}

// forgetful is a store that keeps nothing, so that only rooms are measured.
type forgetful struct{ troubled }

func (*forgetful) ApplyRoomChange(context.Context, jid.JID, int64, muc.RoomChange) error { return nil }

// BenchmarkMemory is the heap that an occupant of a room of 1,000 takes, and a
// room in which nobody is.
func BenchmarkMemory(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b.Run("occupant", func(b *testing.B) {
		const people = 1000
		var total uint64
		for b.Loop() {
			c := newCrowd(b, muc.Options{})
			c.open(b)
			base, before := c.got.Load(), heap()
			for i := range people {
				c.handle(b, enterBig(i+1))
			}
			c.wait(b, base, people*(people+1)+people)
			total += heap() - before
			runtime.KeepAlive(c)
		}
		b.ReportMetric(float64(total)/float64(b.N*people), "B/occupant")
	})
	b.Run("room", func(b *testing.B) {
		const rooms = 1000
		var total uint64
		for b.Loop() {
			c, before := newCrowd(b, muc.Options{Store: &forgetful{}, Defaults: map[string][]string{muc.FieldPersistent: {"1"}}}), heap()
			for i := range rooms {
				j, err := jid.New(fmt.Sprintf("room%d", i), "conf.test", "")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.CreateRoom(b.Context(), j, nil); err != nil {
					b.Fatal(err)
				}
			}
			total += heap() - before
			runtime.KeepAlive(c)
		}
		b.ReportMetric(float64(total)/float64(b.N*rooms), "B/room")
	})
}
