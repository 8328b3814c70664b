package server

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/muster-im/muster/config"
)

// Settings is the table of an extension in the configuration, [modules.NAME], as
// a struct whose fields say keys, defaults and documentation (see
// config.CheckModule):
//
//	type settings struct {
//		Words []string `toml:"words" reload:"yes" doc:"Words that nobody says."`
//	}
//
// An extension runs with its defaults if there is no table. What stands in a file is checked as strictly as the rest of it, at the start,
// by muster check, and when the server reloads. It is safe for concurrent use.
type Settings[T any] struct {
	initial T
	name    string
	current atomic.Pointer[T]
	changed []func(T) (func(), error)
}

// A Checker is a struct of settings that knows what else is wrong with them.
// Check is called on a pointer to it; problem takes a key, such as words or
// rules[2].word, and what is wrong and what would be right.
type Checker interface {
	Check(problem func(key, text string))
}

// ReadSettings reads the table of the extension that r is of; defaults hold where
// it says nothing. It is called once, in Register; an error is to be returned
// there.
func ReadSettings[T any](r *Registrar, defaults T) (*Settings[T], error) {
	if r.table != nil {
		return nil, errors.New("settings are read once")
	}
	s := &Settings[T]{initial: defaults, name: r.name}
	if err := config.CheckModule(defaults); err != nil {
		return nil, err
	}
	r.table = s
	v, err := s.read(r.config)
	if err != nil {
		return nil, err
	}
	s.current.Store(v)
	return s, nil
}

// Load returns the settings as they are now. They are not to be changed.
func (s *Settings[T]) Load() *T { return s.current.Load() }

// OnReload adds what is done whenever the server reloads its configuration,
// changed or not. prepare gets the settings to come, may take some seconds, and
// changes nothing yet; an error refuses the whole reload. use, which may be nil, is
// called once nothing can refuse it any more.
func (s *Settings[T]) OnReload(prepare func(next T) (use func(), err error)) {
	s.changed = append(s.changed, prepare)
}

// table is Settings without its type.
type table interface {
	defaults() any
	// reload returns what takes the table of next into use.
	reload(next *config.Config) (use []func(), err error)
}

func (s *Settings[T]) defaults() any { return s.initial }

// read decodes and checks the table.
func (s *Settings[T]) read(cfg *config.Config) (*T, error) {
	v := s.initial
	if err := cfg.DecodeModule(s.name, &v); err != nil {
		return nil, err
	}
	var problems config.Problems
	if c, ok := any(&v).(Checker); ok {
		c.Check(func(key, text string) { problems = append(problems, cfg.Problem("modules."+s.name+"."+key, text)) })
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return &v, nil
}

func (s *Settings[T]) reload(next *config.Config) (use []func(), err error) {
	v, err := s.read(next)
	if err != nil {
		return nil, err
	}
	var problems config.Problems
	for _, key := range config.ModuleNeedsRestart(s.name, *s.Load(), *v) {
		problems = append(problems, needsRestart(next, key))
	}
	if len(problems) > 0 {
		return nil, problems
	}
	use = []func(){func() { s.current.Store(v) }}
	for _, prepare := range s.changed {
		f, err := prepare(*v)
		if err != nil {
			return nil, fmt.Errorf("reload: %w", err)
		}
		if f != nil {
			use = append(use, f)
		}
	}
	return use, nil
}

// needsRestart says that a setting cannot change while the server runs.
func needsRestart(next *config.Config, key string) config.Problem {
	return next.Problem(key, "this has changed and takes effect only when the server starts: restart it, or take the change back")
}

var _ table = (*Settings[struct{}])(nil)
