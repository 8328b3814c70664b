// Package tasks runs what a service does in goroutines that end and are waited
// for: each by itself, so many at a time, one of each person's in turn, page by
// page, or when its time has come. The goroutines belong to the service that asks
// for them; nothing here blocks but the functions that are run.
package tasks

import "sync"

// Group counts what a service has under way: goroutines, and commits that
// report back. Unlike with a sync.WaitGroup, more may begin while somebody
// waits: a stanza that comes late does so.
type Group struct {
	mu sync.Mutex
	// Guarded by mu.
	n    int
	idle []chan struct{} // closed when nothing is under way
}

// Begin counts one more.
func (t *Group) Begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

// End counts one less.
func (t *Group) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n > 0 {
		return
	}
	for _, c := range t.idle {
		close(c)
	}
	t.idle = nil
}

// Run runs fn in a goroutine of its own.
func (t *Group) Run(fn func()) {
	t.Begin()
	go func() {
		defer t.End()
		fn()
	}()
}

// Settled returns a channel that is closed once nothing is under way.
func (t *Group) Settled() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := make(chan struct{})
	if t.n == 0 {
		close(c)
	} else {
		t.idle = append(t.idle, c)
	}
	return c
}

// Pool runs functions that may block, in order of arrival and so many at a time.
// What waits for its turn costs no goroutine.
type Pool struct {
	tasks *Group
	size  int

	mu sync.Mutex
	// Guarded by mu.
	queue   []func()
	workers int
}

// NewPool returns a pool for so many at a time.
func NewPool(t *Group, size int) *Pool { return &Pool{tasks: t, size: size} }

// Run runs fn when it is its turn.
func (p *Pool) Run(fn func()) {
	p.tasks.Begin()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, fn)
	if p.workers < p.size {
		p.workers++
		go p.work()
	}
}

// work runs functions until none waits.
func (p *Pool) work() {
	for fn := p.next(); fn != nil; fn = p.next() {
		fn()
		p.tasks.End()
	}
}

func (p *Pool) next() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.queue = nil // a burst's memory is given back
		p.workers--
		return nil
	}
	fn := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	return fn
}

// Len is how many functions wait for their turn.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}
