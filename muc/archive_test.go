package muc

import (
	"testing"
	"time"

	"github.com/muster-im/muster/internal/stanzaid"
)

// TestQueryByID: what a client sees as a message's time, which is in
// milliseconds, selects it by its ID.
func TestQueryByID(t *testing.T) {
	var ids stanzaid.Maker
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_912_345, time.UTC)
	const ms = time.Millisecond
	id, at := ids.Next(now), now.Truncate(ms)
	for _, test := range []struct {
		name       string
		start, end time.Time
		want       bool
	}{
		{"from its time on", at, time.Time{}, true},
		{"up to its time", time.Time{}, at, true},
		{"its time alone", at, at, true},
		{"from a moment later", at.Add(1), time.Time{}, false},
		{"from the next millisecond", at.Add(ms), time.Time{}, false},
		{"from the one before", at.Add(-ms), time.Time{}, true},
		{"up to the one before", time.Time{}, at.Add(-ms), false},
		{"up to a moment before", time.Time{}, at.Add(-1), false},
		{"the first and the last time there is", time.Time{}.AddDate(0, 0, 1), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), true},
	} {
		q := ArchiveQuery{Start: test.start, End: test.end}.ByID()
		if got := id > q.AfterID && (q.BeforeID == "" || id < q.BeforeID); got != test.want {
			t.Errorf("%s: %v, want %v: %q, %q", test.name, got, test.want, q.AfterID, q.BeforeID)
		}
		if in := !at.Before(q.Start) && (q.End.IsZero() || !at.After(q.End)); in != test.want {
			t.Errorf("%s, by time: %v, want %v", test.name, in, test.want)
		}
	}
}
