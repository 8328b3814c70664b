package tasks

import (
	"container/heap"
	"sync"
	"time"
)

// agendaBatch is how many are called at once; others whose time has come, too,
// have their turn after agendaPause.
const (
	agendaBatch = 1000
	agendaPause = time.Millisecond
)

// Agenda calls things when their time has come: a million of them with one timer.
// Times are reckoned since it was made, no matter what happens to the machine's
// clock. It is safe for concurrent use.
type Agenda[T any] struct {
	// Set at construction.
	born  time.Time
	entry func(T) *Entry
	call  func(T)

	mu sync.Mutex
	// Guarded by mu.
	queue agendaQueue[T]
	timer *time.Timer
	ended bool
}

// Entry is what an agenda keeps in a thing; nobody else touches it.
type Entry struct {
	due   time.Duration
	place int // in the queue, from 1; 0: not in it
}

// NewAgenda returns an agenda that lets call take what has come to its time; call
// is quick and safe for concurrent use. entry finds the Entry in a thing.
func NewAgenda[T any](entry func(T) *Entry, call func(T)) *Agenda[T] {
	return &Agenda[T]{born: time.Now(), entry: entry, call: call, queue: agendaQueue[T]{entry: entry}}
}

// Now is the time.
func (a *Agenda[T]) Now() time.Duration { return time.Since(a.born) }

// Time is what that was or will be.
func (a *Agenda[T]) Time(t time.Time) time.Duration { return t.Sub(a.born) }

// At has v called at a time, once, and at no other time.
func (a *Agenda[T]) At(v T, due time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return
	}
	e := a.entry(v)
	e.due = due
	if e.place == 0 {
		heap.Push(&a.queue, v)
	} else {
		heap.Fix(&a.queue, e.place-1)
	}
	if e.place == 1 {
		a.setTimer(due - a.Now())
	}
}

// Remove lets v not be called.
func (a *Agenda[T]) Remove(v T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.entry(v); e.place > 0 {
		heap.Remove(&a.queue, e.place-1)
	}
}

// Stop lets nothing be called any more.
func (a *Agenda[T]) Stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// setTimer lets the next sweep begin after a while. It needs mu.
func (a *Agenda[T]) setTimer(wait time.Duration) {
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, a.sweep)
	} else {
		a.timer.Reset(wait)
	}
}

func (a *Agenda[T]) sweep() {
	for _, v := range a.take() {
		a.call(v)
	}
}

// take takes out what has come to its time.
func (a *Agenda[T]) take() []T {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return nil
	}
	var list []T
	q, now := &a.queue, a.Now()
	for q.Len() > 0 && q.dueAt(0) <= now && len(list) < agendaBatch {
		list = append(list, heap.Pop(q).(T)) //nolint:errcheck,forcetypeassert // nothing else is in it
	}
	if q.Len() > 0 {
		a.setTimer(max(q.dueAt(0)-now, agendaPause))
	}
	return list
}

// agendaQueue is a heap.Interface, the next one first.
type agendaQueue[T any] struct {
	list  []T
	entry func(T) *Entry
}

func (q *agendaQueue[T]) dueAt(i int) time.Duration { return q.entry(q.list[i]).due }

func (q *agendaQueue[T]) Len() int           { return len(q.list) }
func (q *agendaQueue[T]) Less(i, j int) bool { return q.dueAt(i) < q.dueAt(j) }

func (q *agendaQueue[T]) Swap(i, j int) {
	q.list[i], q.list[j] = q.list[j], q.list[i]
	q.entry(q.list[i]).place, q.entry(q.list[j]).place = i+1, j+1
}

// Push appends v.
func (q *agendaQueue[T]) Push(v any) {
	thing := v.(T) //nolint:errcheck,forcetypeassert // At gives nothing else
	q.list = append(q.list, thing)
	q.entry(thing).place = len(q.list)
}

// Pop removes the last one.
func (q *agendaQueue[T]) Pop() any {
	last := len(q.list) - 1
	v := q.list[last]
	clear(q.list[last:])
	q.list = q.list[:last]
	q.entry(v).place = 0
	return v
}
