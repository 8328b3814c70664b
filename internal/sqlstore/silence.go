package sqlstore

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errSilent refuses a call to a database that does not answer others.
var errSilent = errors.New("the database does not answer")

// silence notices that a database far away has gone silent: then one call at a
// time waits for it, and all others fail at once. Otherwise everybody would wait
// for as long as a call may take, and behind locks for many times that.
type silence struct {
	mu sync.Mutex
	// Guarded by mu.
	silent   bool
	probing  bool      // a call waits
	answered time.Time // the last time
}

// enter begins a call. probe is for leave.
func (s *silence) enter() (probe bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.silent:
		return false, nil
	case s.probing:
		return false, errSilent
	}
	s.probing = true
	return true, nil
}

// leave ends a call that began at a time: with an answer, of whatever kind, or
// because nobody waited any longer.
func (s *silence) leave(probe bool, began time.Time, answer, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if probe {
		s.probing = false
	}
	switch {
	case answer:
		s.silent, s.answered = false, time.Now()
	case late && s.answered.Before(began): // a call may be slow by itself
		s.silent = true
	}
}

// call gives f, which asks the database, as much time as it may take, unless the
// database is known not to answer.
func (d *database) call(ctx context.Context, f func(context.Context) error) error {
	if d.timeout == 0 {
		return d.count(f(ctx))
	}
	probe, err := d.silence.enter()
	if err != nil {
		return d.count(err)
	}
	began, answer, late := time.Now(), false, false
	defer func() { d.silence.leave(probe, began, answer, late) }()
	inner, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	err = f(inner)
	expired := inner.Err() != nil
	answer = err == nil || isAnswer(err) || !expired && known(err) != nil
	late = expired && errors.Is(err, context.DeadlineExceeded) && time.Since(began) > d.timeout/4
	return d.count(err)
}
