// Package settings reads, stores and compares the settings of rooms, whose values
// come as the words of a form. What a setting means is the business of whoever
// has it. It holds no state and does not block.
package settings

import (
	"errors"
	"fmt"
	"maps"

	"github.com/muster-im/muster/stanza"
)

// Setting is one setting, without its type.
type Setting struct {
	Var    string // form variable
	Stored string // key of the stored value
	Hidden bool   // it is stored but not shown

	Initial any
	Parse   func(values []string) (any, error)
	Format  func(v any) []string // nil: there is no value, it stands for something else
}

// Of gives a setting the type of its values.
func Of[T comparable](s Setting, kind Kind[T], initial T) Setting {
	s.Initial = initial
	s.Parse = func(values []string) (any, error) { return kind.Parse(values) }
	s.Format = func(v any) []string { return kind.Format(v.(T)) } //nolint:errcheck,forcetypeassert // Parse and whoever sets it only ever give a T
	return s
}

// Schema is all settings of a service. A value stands at the place of its setting.
type Schema []Setting

// Defaults are the values of new rooms: initial ones, or those given instead by
// variable.
func (s Schema) Defaults(given map[string][]string) ([]any, error) {
	values := make([]any, len(s))
	known := make(map[string]bool, len(s))
	for i := range s {
		f := &s[i]
		if known[f.Var] {
			return nil, fmt.Errorf("two fields have the variable %s", f.Var)
		}
		known[f.Var] = true
		values[i] = f.Initial
		words, ok := given[f.Var]
		if !ok || f.Format == nil {
			continue
		}
		v, err := f.Parse(words)
		if refused := stanza.AsError(err); refused != nil {
			err = errors.New(refused.Text) // its condition is for who fills in a form
		}
		if err != nil {
			return nil, fmt.Errorf("default of %s: %w", f.Var, err)
		}
		values[i] = v
	}
	for variable := range given {
		if !known[variable] {
			return nil, fmt.Errorf("default of %s: no feature has this setting", variable)
		}
	}
	return values, nil
}

// Load puts stored values over values. What is not usable is given to bad and
// left as it is; rest is what nothing of today has.
func (s Schema) Load(values []any, stored map[string][]string, bad func(variable string, err error)) (rest map[string][]string) {
	rest = maps.Clone(stored)
	for i := range s {
		f := &s[i]
		words, ok := rest[f.Stored]
		if !ok || f.Format == nil {
			continue
		}
		v, err := f.Parse(words)
		if err != nil {
			bad(f.Var, err)
			continue
		}
		values[i] = v
		delete(rest, f.Stored)
	}
	return rest
}

// Store is what is to be stored: values, and what Load has left.
func (s Schema) Store(values []any, rest map[string][]string) map[string][]string {
	stored := maps.Clone(rest)
	if stored == nil {
		stored = make(map[string][]string, len(values))
	}
	for i := range s {
		if s[i].Format != nil {
			stored[s[i].Stored] = s[i].Format(values[i])
		}
	}
	return stored
}

// Shown is what everybody may know of values, by variable.
func (s Schema) Shown(values []any) map[string][]string {
	shown := make(map[string][]string, len(values))
	for i := range s {
		if f := &s[i]; !f.Hidden && f.Format != nil {
			shown[f.Var] = f.Format(values[i])
		}
	}
	return shown
}
