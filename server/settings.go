package server

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
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
// An extension runs with its defaults if there is no table. What stands in a file
// is checked as strictly as the rest of it, at the start, by muster check, and
// when the server reloads. One of general.hosts may have a table of its own,
// [host_config.modules.NAME], which takes nothing from the one for all. It is safe
// for concurrent use.
type Settings[T any] struct {
	initial T
	name    string
	current atomic.Pointer[tables[T]]
	changed []func(T) (func(), error)
}

// tables are the table for all hosts, and those that hosts have of their own, by
// their domains and those of their rooms.
type tables[T any] struct {
	all *T
	own map[string]*T
}

// of returns the table that holds for a domain.
func (t *tables[T]) of(domain string) *T {
	if own := t.own[domain]; own != nil {
		return own
	}
	return t.all
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
func (s *Settings[T]) Load() *T { return s.current.Load().all }

// Of is Load of what holds for a host, or for the rooms of a host, by the domain of
// either: its own table if it has one.
func (s *Settings[T]) Of(domain string) *T { return s.current.Load().of(domain) }

// OnReload adds what is done whenever the server reloads its configuration,
// changed or not. prepare gets the settings to come (Of has those of hosts once they
// are in use), may take some seconds, and changes nothing yet; an error refuses the whole reload. use, which may be nil, is
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

// read decodes and checks the tables.
func (s *Settings[T]) read(cfg *config.Config) (*tables[T], error) {
	all, problems := s.initial, config.Problems(nil)
	note := func(path string, v *T, err error) error {
		if list, ok := errors.AsType[config.Problems](err); ok {
			problems = append(problems, list...)
			return nil
		}
		if c, ok := any(v).(Checker); ok && err == nil {
			c.Check(func(key, text string) { problems = append(problems, cfg.Problem(path+"."+key, text)) })
		}
		return err
	}
	t := &tables[T]{all: &all, own: make(map[string]*T)}
	if err := note("modules."+s.name, &all, cfg.DecodeModule(s.name, &all)); err != nil {
		return nil, err
	}
	for _, h := range cfg.HostTables(s.name) {
		own := s.initial
		if err := note(h.Path, &own, cfg.DecodeHostTable(h, &own)); err != nil {
			return nil, err
		}
		t.own[h.Host] = &own
		for _, at := range cfg.RoomServices() {
			if at.Host == h.Host {
				t.own[at.Domain] = &own
			}
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return t, nil
}

func (s *Settings[T]) reload(next *config.Config) (use []func(), err error) {
	v, err := s.read(next)
	if err != nil {
		return nil, err
	}
	if problems := s.needRestart(next, v); len(problems) > 0 {
		return nil, problems
	}
	use = []func(){func() { s.current.Store(v) }}
	for _, prepare := range s.changed {
		f, err := prepare(*v.all)
		if err != nil {
			return nil, fmt.Errorf("reload: %w", err)
		}
		if f != nil {
			use = append(use, f)
		}
	}
	return use, nil
}

// needRestart says what has changed and cannot while the server runs.
func (s *Settings[T]) needRestart(next *config.Config, v *tables[T]) (problems config.Problems) {
	now, all, paths := s.current.Load(), "modules."+s.name, make(map[string]string)
	for _, h := range next.HostTables(s.name) {
		paths[h.Host] = h.Path
	}
	keys := config.ModuleNeedsRestart(all, *now.all, *v.all)
	for _, host := range next.General.Hosts {
		for _, key := range config.ModuleNeedsRestart(cmp.Or(paths[host], all), *now.of(host), *v.of(host)) {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	for _, key := range keys {
		problems = append(problems, needsRestart(next, key))
	}
	return problems.With()
}

// needsRestart says that a setting cannot change while the server runs.
func needsRestart(next *config.Config, key string) config.Problem {
	return next.Problem(key, "this has changed and takes effect only when the server starts: restart it, or take the change back")
}

var _ table = (*Settings[struct{}])(nil)
