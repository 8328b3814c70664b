package muc

import "sync"

// tasks counts what a service has under way: goroutines, and commits that
// report back. Unlike with a sync.WaitGroup, more may begin while somebody
// waits: a stanza that comes late does so.
type tasks struct {
	mu sync.Mutex
	// Guarded by mu.
	n    int
	idle []chan struct{} // closed when nothing is under way
}

func (t *tasks) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

func (t *tasks) end() {
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

// run runs fn in a goroutine of its own.
func (t *tasks) run(fn func()) {
	t.begin()
	go func() {
		defer t.end()
		fn()
	}()
}

// settled returns a channel that is closed once nothing is under way.
func (t *tasks) settled() <-chan struct{} {
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

// pool runs functions that may block, in order of arrival and so many at a time.
// What waits for its turn costs no goroutine.
type pool struct {
	tasks *tasks
	size  int

	mu sync.Mutex
	// Guarded by mu.
	queue   []func()
	workers int
}

func newPool(t *tasks, size int) *pool { return &pool{tasks: t, size: size} }

func (p *pool) run(fn func()) {
	p.tasks.begin()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, fn)
	if p.workers < p.size {
		p.workers++
		go p.work()
	}
}

// work runs functions until none waits.
func (p *pool) work() {
	for fn := p.next(); fn != nil; fn = p.next() {
		fn()
		p.tasks.end()
	}
}

func (p *pool) next() func() {
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

// length is how many functions wait for their turn.
func (p *pool) length() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}
