package shaper

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	b := NewBucket(1000, start)
	for _, step := range []struct {
		name string
		at   time.Duration
		take int
		want time.Duration
	}{
		{"what a second brings at once", 0, 1000, 0},
		{"then every byte waits", 0, 500, 500 * time.Millisecond},
		{"half of it is over", 250 * time.Millisecond, 0, 250 * time.Millisecond},
		{"all is over", 500 * time.Millisecond, 0, 0},
		{"a pause fills it", 3 * time.Second, 1000, 0},
		{"no more than full", 60 * time.Second, 1500, 500 * time.Millisecond},
		{"something huge is granted and paid for", 62 * time.Second, 11_000, 10 * time.Second},
		{"a clock that goes back", 61 * time.Second, 0, 10 * time.Second},
	} {
		now := start.Add(step.at)
		b.Take(step.take, now)
		if got := b.Wait(now).Truncate(time.Microsecond); got != step.want {
			t.Errorf("%s: wait %v, want %v", step.name, got, step.want)
		}
	}
}
