// Package lanes holds what waits for its time, one thing of each kind at a time
// and more behind it. It holds no locks; its timer runs only while something
// waits, and what it calls must not block.
package lanes

import (
	"slices"
	"time"
)

// Item is what waits, and what came after it and waits behind it.
type Item[K comparable, V any] struct {
	Lane   K
	Value  V
	Behind []V
	at     time.Time
}

// All returns the item's values in order.
func (e *Item[K, V]) All() []V { return append([]V{e.Value}, e.Behind...) }

// Queue is what waits, by lane and by time. Its zero value is empty.
type Queue[K comparable, V any] struct {
	lanes map[K]*Item[K, V]
	order []*Item[K, V] // next first
	timer *time.Timer
	armed bool // the timer's call is to come
}

// Len returns how many lanes are taken.
func (q *Queue[K, V]) Len() int { return len(q.order) }

// Idle reports whether nothing waits and no call of the timer is to come.
func (q *Queue[K, V]) Idle() bool { return len(q.order) == 0 && !q.armed }

// In returns what waits in a lane, nil if nothing does.
func (q *Queue[K, V]) In(lane K) *Item[K, V] { return q.lanes[lane] }

// Add lets v wait in a lane that is free, behind what waits until the same time.
func (q *Queue[K, V]) Add(lane K, v V, at time.Time) {
	if q.lanes == nil {
		q.lanes = make(map[K]*Item[K, V])
	}
	e := &Item[K, V]{Lane: lane, Value: v, at: at}
	q.lanes[lane] = e
	i, _ := slices.BinarySearchFunc(q.order, at, func(o *Item[K, V], at time.Time) int {
		if o.at.After(at) {
			return 1
		}
		return -1
	})
	q.order = slices.Insert(q.order, i, e)
}

// Remove takes out what waits in a lane, nil if nothing does.
func (q *Queue[K, V]) Remove(lane K) *Item[K, V] {
	e := q.lanes[lane]
	if e != nil {
		delete(q.lanes, lane)
		q.order = slices.DeleteFunc(q.order, func(o *Item[K, V]) bool { return o == e })
	}
	return e
}

// Due takes out the first that has waited until now, nil if none has.
func (q *Queue[K, V]) Due(now time.Time) *Item[K, V] {
	if len(q.order) == 0 || q.order[0].at.After(now) {
		return nil
	}
	e := q.order[0]
	q.order = slices.Delete(q.order, 0, 1)
	delete(q.lanes, e.Lane)
	return e
}

// Clear takes out everything, in order.
func (q *Queue[K, V]) Clear() []V {
	var list []V
	for _, e := range q.order {
		list = append(list, e.All()...)
	}
	q.order, q.lanes = nil, nil
	return list
}

// Arm sets the timer for the first that waits: ring is called then, in a
// goroutine of its own, and Rang must follow.
func (q *Queue[K, V]) Arm(ring func()) {
	if q.armed && !q.timer.Stop() {
		return // its call comes
	}
	q.armed = len(q.order) > 0
	if !q.armed {
		*q = Queue[K, V]{}
		return
	}
	wait := time.Until(q.order[0].at)
	if q.timer == nil {
		q.timer = time.AfterFunc(wait, ring)
	} else {
		q.timer.Reset(wait)
	}
}

// Rang says that the timer's call has come.
func (q *Queue[K, V]) Rang() { q.armed = false }
