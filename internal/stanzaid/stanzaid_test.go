package stanzaid

import (
	"testing"
	"time"
)

// TestStanzaIDs: they rise in byte order, however often in one microsecond, if
// the clock goes back, and after a restart.
func TestStanzaIDs(t *testing.T) {
	var ids Maker
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	last := ""
	for i := range 2000 {
		switch i {
		case 1000:
			now = now.Add(-time.Hour)
		case 1500:
			now = now.Add(2 * time.Hour)
		}
		id := ids.Next(now)
		if len(id) != digits+random || id <= last {
			t.Fatalf("%q follows %q", id, last)
		}
		last = id
	}
	a := new(Maker).Next(now)
	if b := new(Maker).Next(now); a == b || a[:digits] != b[:digits] {
		t.Errorf("two rooms made %q and %q at one time: want ids that nobody can guess", a, b)
	}
	var again Maker
	again.Resume(last)
	if id := again.Next(time.Unix(0, 0)); id <= last {
		t.Errorf("after a restart %q follows %q", id, last)
	}
	for _, odd := range []string{"", "x", "ABCDEFGHIJKLM", "zzzzzzzzzzzz!"} {
		var fresh Maker
		fresh.Resume(odd)
		if got := fresh.Next(now); got[:digits] != From(now) {
			t.Errorf("an id of other making, %q, led to %q", odd, got)
		}
	}
}
