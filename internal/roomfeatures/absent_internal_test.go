package roomfeatures

import (
	"testing"
	"time"
)

// TestAbsentPace: a room tells so many people at once, and then one in a while.
func TestAbsentPace(t *testing.T) {
	var q told
	now := time.Unix(1000, 0)
	count := func() (n int) {
		for range 3 * maxAbsent {
			if q.spend(now) {
				n++
			}
		}
		return n
	}
	if n := count(); n != maxAbsent {
		t.Errorf("%d are told at once, want %d", n, maxAbsent)
	}
	now = now.Add(3 * absentPause)
	if n := count(); n != 3 {
		t.Errorf("%d are told after three pauses, want 3", n)
	}
	now = now.Add(time.Hour)
	if n := count(); n != maxAbsent {
		t.Errorf("%d are told after an hour, want %d", n, maxAbsent)
	}
}
