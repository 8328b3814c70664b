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
