// Package hook holds the three kinds of extension point: a Filter may change
// or refuse an event, a Notify only learns of it, a Decide answers a question.
// Functions are added while a service is built and sealed before it starts, so
// that running them takes no lock. Higher priority runs first, then order of
// addition. A hook that is run with no function costs one comparison.
package hook

import (
	"errors"
	"slices"
)

// Handled is returned by a Filter function to swallow the event: nothing more
// happens to it and its sender gets no answer from the service.
var Handled = errors.New("handled") //nolint:errname,staticcheck // reads as a verdict: hook.Handled

type entry[F any] struct {
	name     string
	priority int
	fn       F
}

// list is the ordered functions of one hook.
type list[F any] struct {
	entries []entry[F]
	sealed  bool
}

func (l *list[F]) add(name string, priority int, fn F) {
	if l.sealed {
		panic("hook: " + name + " added after the service has started; add hooks in Register")
	}
	i := len(l.entries)
	for i > 0 && l.entries[i-1].priority < priority {
		i--
	}
	l.entries = slices.Insert(l.entries, i, entry[F]{name, priority, fn})
}

// Seal refuses further functions. Services call it when they start.
func (l *list[F]) Seal() { l.sealed = true }

// Len returns the number of functions.
func (l *list[F]) Len() int { return len(l.entries) }

// A Runner runs the named function of a hook, to time it and to catch its
// panic; it returns what the function returned. A nil Runner just calls.
type Runner func(name string, fn func() error) error

func (run Runner) call(name string, fn func() error) error {
	if run == nil {
		return fn()
	}
	return run(name, fn)
}

// Filter is a hook whose functions may change the event, refuse it with an
// error (a *stanza.Error is what the sender sees) or swallow it with Handled.
// The first function that returns an error ends the run.
type Filter[E any] struct{ list[func(*E) error] }

// Add adds fn under a name that logs and metrics show.
func (h *Filter[E]) Add(name string, priority int, fn func(*E) error) { h.add(name, priority, fn) }

// Run runs all functions in order until one returns an error.
func (h *Filter[E]) Run(run Runner, ev *E) error {
	for i := range h.entries {
		e := &h.entries[i]
		if err := run.call(e.name, func() error { return e.fn(ev) }); err != nil {
			return err
		}
	}
	return nil
}

// Notify is a hook whose functions only learn of an event.
type Notify[E any] struct{ list[func(*E)] }

// Add adds fn under a name that logs and metrics show.
func (h *Notify[E]) Add(name string, priority int, fn func(*E)) { h.add(name, priority, fn) }

// Run runs all functions in order. An error can only come from run itself (a
// caught panic); the other functions run all the same and the first such error
// is returned.
func (h *Notify[E]) Run(run Runner, ev *E) error {
	var first error
	for i := range h.entries {
		e := &h.entries[i]
		err := run.call(e.name, func() error { e.fn(ev); return nil })
		if first == nil {
			first = err
		}
	}
	return first
}

// Decide is a hook whose functions answer a question; the first that has an
// answer (its second result) gives it.
type Decide[E, R any] struct{ list[func(*E) (R, bool)] }

// Add adds fn under a name that logs and metrics show.
func (h *Decide[E, R]) Add(name string, priority int, fn func(*E) (R, bool)) {
	h.add(name, priority, fn)
}

// Run asks the functions in order and returns the first answer, or otherwise.
func (h *Decide[E, R]) Run(run Runner, ev *E, otherwise R) (R, error) {
	for i := range h.entries {
		e := &h.entries[i]
		var answer R
		var ok bool
		err := run.call(e.name, func() error { answer, ok = e.fn(ev); return nil })
		if err != nil {
			return otherwise, err
		}
		if ok {
			return answer, nil
		}
	}
	return otherwise, nil
}
