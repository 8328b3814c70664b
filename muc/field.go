package muc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-im/muster/stanza"
)

// Section is a part of the configuration form.
type Section int

// The sections of the form, in order.
const (
	SectionRoom Section = iota
	SectionAccess
	SectionPermissions
	SectionOther
)

var sectionNames = [...]string{"About the room", "Who may enter", "What people may do", "Further settings"} //nolint:gochecknoglobals // a table

// Status codes that announce a change of configuration (XEP-0045 §15.6).
const (
	StatusConfigChanged   = 104
	StatusLoggingOn       = 170
	StatusLoggingOff      = 171
	StatusNonAnonymous    = 172
	StatusSemiAnonymous   = 173
	statusSelf            = 110
	statusNonAnonymousNow = 100
	statusLoggedNow       = 170
	statusCreated         = 201
	statusNickChanged     = 210
	statusBanned          = 301
	statusNewNick         = 303
	statusKicked          = 307
	statusAffiliationLost = 321
	statusMembersOnly     = 322
	statusShutdown        = 332
)

// FieldSpec describes one setting: how it stands in the form, how it is read
// and what its change means. A setting with no Label is stored but not shown.
type FieldSpec struct {
	Var     string // form variable
	Stored  string // key of the stored value; "" is Var
	Section Section
	Order   int // within the section; equal ones keep the order of creation
	Label   string
	// Choices are the accepted words of a list, with their labels.
	Choices []stanza.Option
	// Private marks a secret: text-private.
	Private bool
	// Multiline makes a text text-multi.
	Multiline bool
	// Min and Max bound an integer, or the length of a text in bytes (Max
	// only); Max 0 is no bound.
	Min, Max int
	// Check says what else of somebody's form is refused. Defaults and stored
	// values have been set by those whom it does not concern.
	Check func(values []string) error
	// Allowed says who may see and set the field; nil: every owner. The
	// variable of a field that is not allowed is refused as not-acceptable.
	Allowed func(r *Room, actor Actor) bool
	// Announce returns the status code of a change, which runs after it; nil:
	// StatusConfigChanged.
	Announce func(r *Room) int
}

// stored is the key of the stored value.
func (s *FieldSpec) stored() string {
	if s.Stored != "" {
		return s.Stored
	}
	return s.Var
}

// fieldCore is a setting without its type.
type fieldCore struct {
	spec     FieldSpec
	index    int // in Room.values
	kind     stanza.FieldType
	initial  any
	parse    func(values []string) (any, error)
	format   func(v any) []string
	computed *Computed // a field that stands for something else
}

// Field is a typed setting of a room.
type Field[T comparable] struct{ core *fieldCore }

// Get returns the value in r, as it will be once the event at hand takes
// effect.
func (f *Field[T]) Get(r *Room) T {
	return r.value(f.core).(T) //nolint:errcheck,forcetypeassert // parse and Set only ever store a T
}

// Set stages a value and reports whether it differs. It takes effect, is
// stored and announced together with the event at hand.
func (f *Field[T]) Set(r *Room, v T) bool { return r.setValue(f.core, v) }

// Key is the setting's key, which ConfiguredEvent.Changed takes.
func (f *Field[T]) Key() string { return f.core.spec.Var }

func addField[T comparable](h *Hooks, spec FieldSpec, kind stanza.FieldType, initial T,
	parse func([]string) (T, error), format func(T) []string,
) *Field[T] {
	c := &fieldCore{
		spec: spec, index: len(h.fields), kind: kind, initial: initial,
		parse:  func(values []string) (any, error) { return parse(values) },
		format: func(v any) []string { return format(v.(T)) }, //nolint:errcheck,forcetypeassert // see Field.Get
	}
	h.fields = append(h.fields, c)
	return &Field[T]{c}
}

// NewBoolField adds a yes-or-no setting.
func NewBoolField(h *Hooks, spec FieldSpec, initial bool) *Field[bool] {
	return addField(h, spec, stanza.FieldBoolean, initial, parseBool, func(v bool) []string {
		if v {
			return []string{"1"}
		}
		return []string{"0"}
	})
}

func parseBool(values []string) (bool, error) {
	if len(values) == 1 {
		switch values[0] {
		case "1", "true":
			return true, nil
		case "0", "false":
			return false, nil
		}
	}
	return false, fmt.Errorf("want 0, 1, true or false, got %q", strings.Join(values, ", "))
}

// NewTextField adds a text setting. Its length is bounded by spec.Max bytes.
func NewTextField(h *Hooks, spec FieldSpec, initial string) *Field[string] {
	kind := stanza.FieldTextSingle
	switch {
	case spec.Private:
		kind = stanza.FieldTextPrivate
	case spec.Multiline:
		kind = stanza.FieldTextMulti
	}
	parse := func(values []string) (string, error) {
		text := strings.Join(values, "\n")
		switch {
		case spec.Max > 0 && len(text) > spec.Max:
			return "", fmt.Errorf("at most %d bytes, got %d", spec.Max, len(text))
		case len(values) > 1 && !spec.Multiline:
			return "", fmt.Errorf("want one value, got %d", len(values))
		}
		return text, nil
	}
	return addField(h, spec, kind, initial, parse, func(v string) []string {
		if spec.Multiline {
			return strings.Split(v, "\n")
		}
		return []string{v}
	})
}

// NewIntField adds a whole number between spec.Min and spec.Max.
func NewIntField(h *Hooks, spec FieldSpec, initial int) *Field[int] {
	parse := func(values []string) (int, error) {
		text := strings.Join(values, ", ")
		n, err := strconv.Atoi(text)
		if err != nil || n < spec.Min || spec.Max > 0 && n > spec.Max {
			return 0, fmt.Errorf("want %s, got %q", bounds(spec), text)
		}
		return n, nil
	}
	return addField(h, spec, stanza.FieldTextSingle, initial, parse, func(v int) []string {
		return []string{strconv.Itoa(v)}
	})
}

func bounds(spec FieldSpec) string {
	if spec.Max > 0 {
		return fmt.Sprintf("a whole number from %d to %d", spec.Min, spec.Max)
	}
	return fmt.Sprintf("a whole number, at least %d", spec.Min)
}

// NewChoiceField adds a setting with one of spec.Choices.
func NewChoiceField(h *Hooks, spec FieldSpec, initial string) *Field[string] {
	parse := func(values []string) (string, error) {
		if len(values) == 1 && hasChoice(spec.Choices, values[0]) {
			return values[0], nil
		}
		return "", fmt.Errorf("want one of %s, got %q", choiceWords(spec.Choices), strings.Join(values, ", "))
	}
	return addField(h, spec, stanza.FieldListSingle, initial, parse, func(v string) []string { return []string{v} })
}

// NewChoicesField adds a setting with any number of spec.Choices, held as the
// words in the order of spec.Choices with a space between them.
func NewChoicesField(h *Hooks, spec FieldSpec, initial string) *Field[string] {
	parse := func(values []string) (string, error) {
		for _, v := range values {
			if !hasChoice(spec.Choices, v) {
				return "", fmt.Errorf("want some of %s, got %q", choiceWords(spec.Choices), v)
			}
		}
		var words []string
		for _, c := range spec.Choices {
			if slices.Contains(values, c.Value) {
				words = append(words, c.Value)
			}
		}
		return strings.Join(words, " "), nil
	}
	return addField(h, spec, stanza.FieldListMulti, initial, parse, strings.Fields)
}

func hasChoice(choices []stanza.Option, word string) bool {
	return slices.ContainsFunc(choices, func(o stanza.Option) bool { return o.Value == word })
}

func choiceWords(choices []stanza.Option) string {
	words := make([]string, len(choices))
	for i, c := range choices {
		words[i] = c.Value
	}
	return strings.Join(words, ", ")
}

// Computed is a field of the form that is not stored itself but stands for
// something else: another setting, or a list of affiliations.
type Computed struct {
	Get func(r *Room) []string
	// Set stages what the values mean; an error refuses the form.
	Set func(r *Room, actor Actor, values []string) error
}

// AddComputed adds a computed field of the given type to the form.
func AddComputed(h *Hooks, spec FieldSpec, kind stanza.FieldType, c Computed) {
	h.fields = append(h.fields, &fieldCore{spec: spec, index: len(h.fields), kind: kind, computed: &c})
}

// value returns a setting: staged, else set, else the service's default.
func (r *Room) value(f *fieldCore) any {
	if r.staged.values != nil {
		if v, ok := r.staged.values[f.index]; ok {
			return v
		}
	}
	return r.values[f.index]
}

// setValue stages a setting and reports whether it differs.
func (r *Room) setValue(f *fieldCore, v any) bool {
	if r.value(f) == v {
		return false
	}
	if r.staged.values == nil {
		r.staged.values = make(map[int]any)
	}
	if r.values[f.index] == v {
		delete(r.staged.values, f.index)
	} else {
		r.staged.values[f.index] = v
	}
	return true
}

// defaultValues are the values of new rooms: each field's initial value, or
// what the service's options say instead.
func defaultValues(fields []*fieldCore, options map[string][]string) ([]any, error) {
	values := make([]any, len(fields))
	known := make(map[string]bool, len(fields))
	for i, f := range fields {
		if known[f.spec.Var] {
			return nil, fmt.Errorf("two fields have the variable %s", f.spec.Var)
		}
		known[f.spec.Var] = true
		values[i] = f.initial
		given, ok := options[f.spec.Var]
		if !ok || f.computed != nil {
			continue
		}
		v, err := f.parse(given)
		if err != nil {
			return nil, fmt.Errorf("default of %s: %w", f.spec.Var, err)
		}
		values[i] = v
	}
	for key := range options {
		if !known[key] {
			return nil, fmt.Errorf("default of %s: no feature has this setting", key)
		}
	}
	return values, nil
}
