package tasks

import (
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/jid"
)

// TestTurnsAtOnce: what asks at once is run as far as there is room for it, and
// as much again as may wait is not refused, whether its goroutines have been
// given time by then or not.
func TestTurnsAtOnce(t *testing.T) {
	t.Parallel()
	const size = 64
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var group Group
			turns := NewTurns(&group, size)
			greedy := jid.MustParse("greedy@test")
			goOn := make(chan struct{})
			defer func() { close(goOn); synctest.Wait() }()
			for i := range size + maxTurns {
				if _, ok := turns.Run(greedy, func() { <-goOn }); !ok {
					t.Fatalf("%d are too many", i+1)
				}
			}
			if _, ok := turns.Run(greedy, func() {}); ok {
				t.Error("there is no end")
			}
			stop, ok := turns.Run(jid.MustParse("modest@test"), func() { t.Error("run, though stopped") })
			if !ok {
				t.Fatal("one keeps the other from waiting")
			}
			stop()
		})
	}
}
