package tasks

import (
	"context"
	"sync"
	"time"
)

// Pages works off a long list page by page, at a pace that leaves others room.
type Pages[T any] struct {
	Size    int           // of a page
	Workers int           // who work on one
	Pace    time.Duration // that a page takes at least
	Retry   time.Duration // the wait after one could not be read
	// Read returns the first items behind one, nil: from the beginning. Fewer than
	// limit are the last.
	Read func(ctx context.Context, after *T, limit int) ([]T, error)
	Do   func(T)
	// Report is called after each page with how many items are done, and with why
	// one could not be read.
	Report func(done int, err error)
}

// Run returns when everything is done or ctx has ended, and how much is done.
func (p *Pages[T]) Run(ctx context.Context) (done int) {
	var last *T
	for ctx.Err() == nil {
		next := time.After(p.Pace)
		page, err := p.Read(ctx, last, p.Size)
		if err != nil {
			p.Report(done, err)
			wait(ctx, time.After(p.Retry))
			continue
		}
		done += p.work(ctx, page)
		p.Report(done, nil)
		if len(page) < p.Size {
			break
		}
		last = &page[len(page)-1]
		wait(ctx, next)
	}
	return done
}

// work returns how many of the items are done.
func (p *Pages[T]) work(ctx context.Context, page []T) (done int) {
	items := make(chan T)
	var workers sync.WaitGroup
	for range p.Workers {
		workers.Go(func() {
			for v := range items {
				p.Do(v)
			}
		})
	}
	for ; done < len(page) && ctx.Err() == nil; done++ {
		items <- page[done]
	}
	close(items)
	workers.Wait()
	return done
}

func wait(ctx context.Context, c <-chan time.Time) {
	select {
	case <-c:
	case <-ctx.Done():
	}
}
