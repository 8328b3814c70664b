package muc_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// deferring lets joins wait for a check that takes a second; it counts those that
// run.
func deferring(running, most *atomic.Int64) muc.Extension {
	return extension(func(h *muc.Hooks) {
		h.BeforeJoin.Add("asking", -200, func(ev *muc.JoinEvent) error {
			return ev.Defer(func(ctx context.Context) error {
				raise(most, running.Add(1))
				defer running.Add(-1)
				select {
				case <-time.After(time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	})
}

func enterRoom(name string, room int) string {
	return fmt.Sprintf("<presence from='%s@test/r' to='room%d@conf.test/%[1]s'><x xmlns='http://jabber.org/protocol/muc'/></presence>", name, room)
}

// TestDeferredTurns: somebody who asks for much at once keeps nobody waiting but
// himself, and what is too much is refused.
func TestDeferredTurns(t *testing.T) {
	var running, most atomic.Int64
	run(t, muc.Options{Extensions: []muc.Extension{deferring(&running, &most)}, DeferTimeout: time.Minute}, func(w *world) {
		for i := range 500 { // 64 run, 256 wait
			w.send(enterRoom("greedy", i))
		}
		synctest.Wait()
		refused := w.take("greedy@test/r")
		if len(refused) != 500-64-256 || !strings.Contains(refused[0], "<resource-constraint") {
			t.Errorf("%d refused: %.300q", len(refused), refused)
		}
		w.send(enterRoom("modest", 1000))
		time.Sleep(2 * time.Second)
		w.expect("modest@test/r", "<status code='201'/>")
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got := strings.Count(strings.Join(w.take("greedy@test/r"), ""), "<status code='201'/>"); got != 320 || most.Load() != 64 {
			t.Errorf("greedy has entered %d rooms, want 320, with %d checks at a time, want 64", got, most.Load())
		}
	})
}

// TestDeferredAgain: who asks again and again for the same has one check at a
// time, whatever his speed.
func TestDeferredAgain(t *testing.T) {
	var running, most atomic.Int64
	run(t, muc.Options{Extensions: []muc.Extension{deferring(&running, &most)}, DeferTimeout: time.Minute}, func(w *world) {
		for range 1000 {
			w.send(enterRoom("eager", 1))
		}
		synctest.Wait()
		if running.Load() != 1 {
			t.Errorf("%d checks run", running.Load())
		}
		time.Sleep(time.Second)
		w.expect("eager@test/r", "<status code='201'/>")
		w.send(enterRoom("fickle", 2))
		w.send("<presence type='unavailable' from='fickle@test/r' to='room2@conf.test/fickle'/>")
		synctest.Wait()
		if running.Load() != 0 {
			t.Errorf("%d checks run for who does not want to enter any more", running.Load())
		}
		time.Sleep(time.Minute)
		w.expectNothing("fickle@test/r")
	})
}

// TestDeferredShutdown: a service that ends does not wait for checks, and says so.
func TestDeferredShutdown(t *testing.T) {
	var running, most atomic.Int64
	run(t, muc.Options{Extensions: []muc.Extension{deferring(&running, &most)}, DeferTimeout: time.Minute}, func(w *world) {
		for i := range 100 {
			w.send(enterRoom("anna", i))
		}
		synctest.Wait()
		begin := time.Now()
		if err := w.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		got := w.take("anna@test/r")
		if time.Since(begin) > 0 || len(got) != 100 || !strings.Contains(got[99], "shutting down") {
			t.Errorf("after %v: %d answers, the last %s", time.Since(begin), len(got), got[len(got)-1])
		}
	})
}

// TestDeferredAccess: who may not use the service any more when his check is
// done does not enter.
func TestDeferredAccess(t *testing.T) {
	var running, most atomic.Int64
	var closed atomic.Bool
	o := muc.Options{
		Extensions: []muc.Extension{deferring(&running, &most)}, DeferTimeout: time.Minute,
		MayUse: func(jid.JID) bool { return !closed.Load() },
	}
	run(t, o, func(w *world) {
		w.send(enterRoom("anna", 1))
		synctest.Wait()
		closed.Store(true)
		time.Sleep(time.Second)
		w.expect("anna@test/r", "<forbidden")
	})
}

// raise makes most at least n.
func raise(most *atomic.Int64, n int64) {
	for {
		m := most.Load()
		if m >= n || most.CompareAndSwap(m, n) {
			return
		}
	}
}
