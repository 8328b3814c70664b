package tasks_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/tasks"
)

// TestPages: everything is done once, at the pace given, and a page that cannot
// be read is tried again.
func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var did, reports []int
		fails := 1
		p := tasks.Pages[int]{
			Size: 10, Workers: 3, Pace: time.Second, Retry: time.Minute,
			Read: func(_ context.Context, after *int, limit int) ([]int, error) {
				if after != nil && *after == 10 && fails > 0 {
					fails--
					return nil, errors.New("busy")
				}
				first := 1
				if after != nil {
					first = *after + 1
				}
				var page []int
				for i := first; i <= 25 && len(page) < limit; i++ {
					page = append(page, i)
				}
				return page, nil
			},
			Do: func(i int) {
				mu.Lock()
				did = append(did, i)
				mu.Unlock()
			},
			Report: func(done int, err error) {
				if err != nil {
					done = -done
				}
				reports = append(reports, done)
			},
		}
		begun := time.Now()
		if n := p.Run(t.Context()); n != 25 {
			t.Errorf("%d are done", n)
		}
		slices.Sort(did)
		if len(did) != 25 || did[0] != 1 || did[24] != 25 || len(slices.Compact(did)) != 25 {
			t.Errorf("did %v", did)
		}
		if want := []int{10, -10, 20, 25}; !slices.Equal(reports, want) {
			t.Errorf("reports %v, want %v", reports, want)
		}
		if took := time.Since(begun); took != time.Minute+2*time.Second {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if n := p.Run(ctx); n != 0 {
			t.Errorf("%d are done of what has ended", n)
		}
	})
}

// TestBatch: everything is taken once, by one at a time.
func TestBatch(t *testing.T) {
	t.Parallel()
	var b tasks.Batch[int]
	starts := 0
	start := func() { starts++ }
	b.Add(1, start)
	b.Add(2, start)
	if got := b.Take(); !slices.Equal(got, []int{1, 2}) || starts != 1 {
		t.Errorf("took %v, started %d times", got, starts)
	}
	b.Add(3, start)
	if got := b.Take(); !slices.Equal(got, []int{3}) || starts != 1 {
		t.Errorf("took %v, started %d times", got, starts)
	}
	if got := b.Take(); len(got) > 0 {
		t.Errorf("took %v", got)
	}
	if b.Add(4, start); starts != 2 {
		t.Error("nobody has begun anew")
	}
}
