// Package hook holds the three kinds of extension point: a Filter may change
// or refuse an event, a Notify only learns of it, a Decide answers a question.
// Functions are added while a service is built and sealed before it starts, so
// that running them takes no lock. Higher priority runs first, then order of
// addition. A function that panics is caught: the run ends with a *Panic and
// the caller decides what that costs. Nothing here allocates per event.
package hook

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
)

// Handled is returned by a Filter function to swallow the event: nothing more
// happens to it and its sender gets no answer from the service.
var Handled = errors.New("handled") //nolint:errname,gochecknoglobals,staticcheck // reads as a verdict: hook.Handled

// Panic is the error of a run in which a function panicked.
type Panic struct {
	Name  string // of the function, as given to Add
	Value any    // what it panicked with
	Stack []byte
}

// Error names the function, if it has a name, and the value.
func (p *Panic) Error() string {
	if p.Name == "" {
		return fmt.Sprintf("panic: %v", p.Value)
	}
	return fmt.Sprintf("hook %s: panic: %v", p.Name, p.Value)
}

// An Observer learns which function runs, to time it. It may be nil.
type Observer interface {
	// Enter is told a function by its name. The pointer tells it from all others,
	// also from those of that name.
	Enter(name *string)
	Leave(name *string)
}

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

func (l *list[F]) add(name string, priority int, fn F, missing bool) {
	if missing {
		panic("hook: " + name + " is nil: give Add a function")
	}
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

// enter and leave wrap one call; leave must be deferred with the address of the
// error result of the caller.
func enter(o Observer, name *string) {
	if o != nil {
		o.Enter(name)
	}
}

func leave(o Observer, name *string, err *error) {
	if o != nil {
		o.Leave(name)
	}
	if v := recover(); v != nil {
		*err = &Panic{Name: *name, Value: v, Stack: debug.Stack()}
	}
}

// Filter is a hook whose functions may change the event, refuse it with an
// error (a *stanza.Error is what the sender sees) or swallow it with Handled.
type Filter[E any] struct{ list[func(*E) error] }

// Add adds fn under a name that logs and metrics show.
func (h *Filter[E]) Add(name string, priority int, fn func(*E) error) {
	h.add(name, priority, fn, fn == nil)
}

// Run runs the functions in order until one returns an error or panics.
func (h *Filter[E]) Run(o Observer, ev *E) error {
	for i := range h.entries {
		if err := callFilter(o, &h.entries[i], ev); err != nil {
			return err
		}
	}
	return nil
}

func callFilter[E any](o Observer, e *entry[func(*E) error], ev *E) (err error) {
	enter(o, &e.name)
	defer leave(o, &e.name, &err)
	return e.fn(ev)
}

// Notify is a hook whose functions only learn of an event.
type Notify[E any] struct{ list[func(*E)] }

// Add adds fn under a name that logs and metrics show.
func (h *Notify[E]) Add(name string, priority int, fn func(*E)) { h.add(name, priority, fn, fn == nil) }

// Run runs all functions in order. A function that panics does not keep the
// others from running; the panics are joined in the result.
func (h *Notify[E]) Run(o Observer, ev *E) error {
	var errs []error
	for i := range h.entries {
		if err := callNotify(o, &h.entries[i], ev); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func callNotify[E any](o Observer, e *entry[func(*E)], ev *E) (err error) {
	enter(o, &e.name)
	defer leave(o, &e.name, &err)
	e.fn(ev)
	return nil
}

// Decide is a hook whose functions answer a question; the first that has an
// answer (its second result) gives it.
type Decide[E, R any] struct{ list[func(*E) (R, bool)] }

// Add adds fn under a name that logs and metrics show.
func (h *Decide[E, R]) Add(name string, priority int, fn func(*E) (R, bool)) {
	h.add(name, priority, fn, fn == nil)
}

// Run asks the functions in order and returns the first answer, or otherwise
// if there is none. A panic ends the run.
func (h *Decide[E, R]) Run(o Observer, ev *E, otherwise R) (R, error) {
	for i := range h.entries {
		answer, ok, err := callDecide(o, &h.entries[i], ev)
		if err != nil {
			return otherwise, err
		}
		if ok {
			return answer, nil
		}
	}
	return otherwise, nil
}

func callDecide[E, R any](o Observer, e *entry[func(*E) (R, bool)], ev *E) (answer R, ok bool, err error) {
	enter(o, &e.name)
	defer leave(o, &e.name, &err)
	answer, ok = e.fn(ev)
	return answer, ok, nil
}
