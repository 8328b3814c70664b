package muc

import (
	"cmp"

	"github.com/muster-im/muster/internal/settings"
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
	Alias    Alias // another variable, which counts where Var is absent
}

// Alias is another variable of a field.
type Alias = settings.Alias

// fieldCore is a setting without its type.
type fieldCore struct {
	settings.Setting
	spec     FieldSpec
	index    int // in Room.values
	kind     stanza.FieldType
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

func addField[T comparable](h *Hooks, spec FieldSpec, kind settings.Kind[T], initial T) *Field[T] {
	c := h.addCore(spec, kind.Type)
	c.Setting = settings.Of(c.Setting, kind, initial)
	return &Field[T]{c}
}

func (h *Hooks) addCore(spec FieldSpec, kind stanza.FieldType) *fieldCore {
	h.mustBeOpen("field " + spec.Var)
	c := &fieldCore{spec: spec, index: len(h.fields), kind: kind}
	c.Setting = settings.Setting{Var: spec.Var, Stored: cmp.Or(spec.Stored, spec.Var), Hidden: spec.Label == ""}
	h.fields = append(h.fields, c)
	return c
}

// schema is what the fields are to whoever reads and stores them.
func schema(fields []*fieldCore) settings.Schema {
	list := make(settings.Schema, len(fields))
	for i, f := range fields {
		list[i] = f.Setting
	}
	return list
}

// NewBoolField adds a yes-or-no setting.
func NewBoolField(h *Hooks, spec FieldSpec, initial bool) *Field[bool] {
	return addField(h, spec, settings.Bool(), initial)
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
	return addField(h, spec, settings.Text(kind, spec.Max), initial)
}

// NewIntField adds a whole number between spec.Min and spec.Max.
func NewIntField(h *Hooks, spec FieldSpec, initial int) *Field[int] {
	return addField(h, spec, settings.Int(spec.Min, spec.Max), initial)
}

// NewChoiceField adds a setting with one of spec.Choices.
func NewChoiceField(h *Hooks, spec FieldSpec, initial string) *Field[string] {
	return addField(h, spec, settings.Choice(spec.Choices), initial)
}

// NewChoicesField adds a setting with any number of spec.Choices, held as the
// words in the order of spec.Choices with a space between them.
func NewChoicesField(h *Hooks, spec FieldSpec, initial string) *Field[string] {
	return addField(h, spec, settings.Choices(spec.Choices), initial)
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
	h.addCore(spec, kind).computed = &c
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
