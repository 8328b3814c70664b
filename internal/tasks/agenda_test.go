package tasks

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type thing struct {
	entry Entry
	name  string
}

// TestAgenda: things are called when their time has come, the last one that was
// given, and not when they were taken out or the agenda has stopped.
func TestAgenda(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		start := time.Now()
		a := NewAgenda(func(x *thing) *Entry { return &x.entry }, func(x *thing) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, x.name+time.Since(start).String())
		})
		first, moved, removed, late := &thing{name: "first "}, &thing{name: "moved "}, &thing{name: "removed "}, &thing{name: "late "}
		a.At(moved, 5*time.Second)
		a.At(removed, 2*time.Second)
		a.At(first, time.Second)
		a.At(moved, 3*time.Second)
		a.At(late, time.Hour)
		a.Remove(removed)
		a.Remove(removed)
		time.Sleep(time.Minute)
		synctest.Wait()
		a.Stop()
		a.At(first, 2*time.Minute)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if want := []string{"first 1s", "moved 3s"}; !slices.Equal(got, want) {
			t.Errorf("called %q, want %q", got, want)
		}
	})
}

// TestAgendaOfMany: many are all called, in the order of their times.
func TestAgendaOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 5000
		var mu sync.Mutex
		var got []time.Duration
		var a *Agenda[*thing]
		a = NewAgenda(func(x *thing) *Entry { return &x.entry }, func(*thing) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, a.Now())
		})
		for range many {
			a.At(&thing{}, rand.N(time.Second))
		}
		a.At(&thing{}, time.Second)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(got) != many+1 || !slices.IsSorted(got) {
			t.Errorf("%d are called, want %d", len(got), many+1)
		}
	})
}
