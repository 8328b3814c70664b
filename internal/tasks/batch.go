package tasks

import "sync"

// Batch collects what can be done for many at once: while one batch is being
// done, the next forms. Its zero value is empty.
type Batch[T any] struct {
	mu sync.Mutex
	// Guarded by mu.
	waiting []T
	running bool
}

// Add lets v be done, by a task that start begins if there is none.
func (b *Batch[T]) Add(v T, start func()) {
	b.mu.Lock()
	b.waiting = append(b.waiting, v)
	begin := !b.running
	b.running = true
	b.mu.Unlock()
	if begin {
		start()
	}
}

// Take returns what is to be done; nothing ends the turn of who does it.
func (b *Batch[T]) Take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.waiting
	b.waiting, b.running = nil, len(list) > 0
	return list
}
