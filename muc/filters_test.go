package muc

import (
	"testing"
	"time"

	"github.com/muster-im/muster/hook"
)

// filtered is a message that passes n filters, each timed as in a room.
func filtered(n int) func() {
	s := &Service{opts: Options{SlowHook: time.Hour}, began: time.Now(), metrics: newMetrics(nil, "rooms.test")}
	r := &Room{svc: s, open: &open{}}
	r.watch.room = r
	var f hook.Filter[MessageEvent]
	for range n {
		f.Add("filter", 0, func(ev *MessageEvent) error {
			if ev.Room == nil {
				panic("no room")
			}
			return nil
		})
	}
	ev := MessageEvent{Event: Event{Room: r}}
	return func() {
		if err := f.Run(&r.watch, &ev); err != nil {
			panic(err)
		}
	}
}

func TestFiltersAllocateNothing(t *testing.T) {
	for _, n := range []int{0, 1, 10} {
		if allocs := testing.AllocsPerRun(100, filtered(n)); allocs != 0 {
			t.Errorf("%d filters, timed: %v allocations, want 0", n, allocs)
		}
	}
}

// BenchmarkFilters is one message and its filters: no filter must cost nothing
// measurable, ten at most 2 µs.
func BenchmarkFilters(b *testing.B) {
	for _, bench := range []struct {
		name string
		n    int
	}{{"none", 0}, {"ten", 10}} {
		b.Run(bench.name, func(b *testing.B) {
			run := filtered(bench.n)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
