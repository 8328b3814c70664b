package api

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster-im/muster/jid"
)

// The types of values.
const (
	kindObject  = "object"
	kindArray   = "array"
	kindString  = "string"
	kindInteger = "integer"
	kindNumber  = "number"
	kindBoolean = "boolean"
	kindNull    = "null"
)

// Schema is the JSON schema of a Go type, in the part of the vocabulary that
// types need. It is what the document shows and what bodies are checked against.
// Field tags: json (omitempty or omitzero is optional), doc, enum (words with
// commas between), min and max (of integers; of a string its bytes, of a list
// its items), pattern, example.
type Schema struct {
	Ref         string             `json:"$ref,omitempty"`
	Type        string             `json:"type,omitempty"`
	Format      string             `json:"format,omitempty"`
	Description string             `json:"description,omitempty"`
	Properties  map[string]*Schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	// Additional is false in requests, the schema of the values of a map, or nil.
	Additional any      `json:"additionalProperties,omitempty"`
	Items      *Schema  `json:"items,omitempty"`
	MaxItems   int      `json:"maxItems,omitempty"`
	Enum       []string `json:"enum,omitempty"`
	Minimum    *int64   `json:"minimum,omitempty"`
	Maximum    *int64   `json:"maximum,omitempty"`
	MinLength  int      `json:"minLength,omitempty"`
	MaxLength  int      `json:"maxLength,omitempty"`
	Pattern    string   `json:"pattern,omitempty"`
	Default    any      `json:"default,omitempty"`

	target  *Schema        // of Ref
	values  *Schema        // of a map
	text    reflect.Type   // reads itself from a string
	matches *regexp.Regexp // Pattern
}

// Schemer is a type that says its own schema.
type Schemer interface{ JSONSchema() Schema }

// resolve follows a reference.
func (s *Schema) resolve() *Schema {
	if s.target != nil {
		return s.target
	}
	return s
}

// close says that an object in a request has no other fields, and so on for what
// is in it.
func (s *Schema) close() {
	s = s.resolve()
	if s.Additional == false {
		return
	}
	if s.Properties != nil {
		s.Additional = false
	}
	for _, inner := range s.Properties {
		inner.close()
	}
	for _, inner := range []*Schema{s.Items, s.values} {
		if inner != nil {
			inner.close()
		}
	}
}

// scalar says what is wrong with a string or a number, "" for nothing.
func (s *Schema) scalar(text string) string {
	switch {
	case s.Type == kindInteger:
		return s.integer(text)
	case s.Type == kindNumber:
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return "the number is too large"
		}
		return ""
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, text):
		return fmt.Sprintf("want one of %s, got %.80q", strings.Join(s.Enum, ", "), text)
	case s.MinLength > 0 && text == "":
		return "this must not be empty"
	case utf8.RuneCountInString(text) < s.MinLength:
		return fmt.Sprintf("want at least %d characters, got %d", s.MinLength, utf8.RuneCountInString(text))
	case s.MaxLength > 0 && utf8.RuneCountInString(text) > s.MaxLength:
		return fmt.Sprintf("want at most %d characters, got %d", s.MaxLength, utf8.RuneCountInString(text))
	case s.matches != nil && !s.matches.MatchString(text):
		return fmt.Sprintf("%.80q does not match %s", text, s.Pattern)
	case s.text != nil:
		into, _ := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(s.text))
		if err := into.UnmarshalText([]byte(text)); err != nil {
			return fmt.Sprintf("%.80q: %v", text, err)
		}
	}
	return ""
}

func (s *Schema) integer(text string) string {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || s.Minimum != nil && n < *s.Minimum || s.Maximum != nil && n > *s.Maximum {
		return fmt.Sprintf("want %s, got %.40s", s.span(), text)
	}
	return ""
}

// span puts the bounds of an integer into words.
func (s *Schema) span() string {
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf("an integer from %d to %d", *s.Minimum, *s.Maximum)
	case s.Minimum != nil:
		return fmt.Sprintf("an integer of at least %d", *s.Minimum)
	case s.Maximum != nil:
		return fmt.Sprintf("an integer of at most %d", *s.Maximum)
	}
	return "an integer"
}

// meant lists what the fields are, for somebody who has written another one.
func (s *Schema) meant(string) string {
	if len(s.Properties) == 0 || len(s.Properties) > 12 {
		return ""
	}
	return ": there are " + strings.Join(slices.Sorted(maps.Keys(s.Properties)), ", ")
}

func article(kind string) string {
	switch kind {
	case kindNull:
		return kind
	case kindObject, kindArray, kindInteger:
		return "an " + kind
	}
	return "a " + kind
}

// pointerEscape escapes a step of a JSON pointer (RFC 6901 §3).
func pointerEscape(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

// schemas are the schemas of types, those of structs by name.
type schemas struct {
	named map[string]*Schema
	types map[reflect.Type]*Schema // named ones
}

func newSchemas() *schemas {
	return &schemas{named: make(map[string]*Schema), types: make(map[reflect.Type]*Schema)}
}

// of returns the schema of a type.
func (c *schemas) of(t reflect.Type) *Schema {
	if t.Kind() == reflect.Pointer {
		return c.of(t.Elem())
	}
	if s := ofText(t); s != nil {
		return s
	}
	switch t.Kind() {
	case reflect.String:
		return &Schema{Type: kindString}
	case reflect.Bool:
		return &Schema{Type: kindBoolean}
	case reflect.Float32, reflect.Float64:
		return &Schema{Type: kindNumber}
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int16, reflect.Int8:
		return bounded(-1<<(t.Bits()-1), 1<<(t.Bits()-1)-1, t.Bits())
	case reflect.Uint32, reflect.Uint16, reflect.Uint8:
		return bounded(0, 1<<t.Bits()-1, t.Bits())
	case reflect.Slice:
		return &Schema{Type: kindArray, Items: c.of(t.Elem())}
	case reflect.Map:
		values := c.of(t.Elem())
		return &Schema{Type: kindObject, Additional: values, values: values}
	case reflect.Struct:
		return c.ofStruct(t)
	case reflect.Interface:
		return &Schema{}
	}
	panic("api: no JSON schema for " + t.String())
}

// bounded is an integer; the bounds of 64 bits go without saying.
func bounded(least, most int64, bits int) *Schema {
	if bits == 64 {
		return &Schema{Type: kindInteger, Format: "int64"}
	}
	return &Schema{Type: kindInteger, Minimum: &least, Maximum: &most}
}

// ofText returns the schema of a type that is not what its kind is in JSON, nil
// of any other.
func ofText(t reflect.Type) *Schema {
	if t == reflect.TypeFor[json.RawMessage]() {
		return &Schema{}
	}
	s := &Schema{Type: kindString}
	own, schemer := reflect.TypeAssert[Schemer](reflect.Zero(t))
	if schemer {
		*s = own.JSONSchema()
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		s.Format = "date-time"
	case t == reflect.TypeFor[jid.JID]():
		s.Format, s.Description = "jid", "An address of XMPP."
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		s.text = t
		return s
	}
	if schemer {
		return s
	}
	return nil
}

// ofStruct returns a reference to the schema of a struct, which is made when it
// is wanted first.
func (c *schemas) ofStruct(t reflect.Type) *Schema {
	name := schemaName(t)
	target := c.types[t]
	if target == nil {
		if c.named[name] != nil {
			panic("api: two types are called " + name)
		}
		target = &Schema{Type: kindObject, Properties: make(map[string]*Schema)}
		c.named[name], c.types[t] = target, target
		c.fields(target, t)
	}
	return &Schema{Ref: "#/components/schemas/" + name, target: target}
}

// fields adds the fields of a struct, those of embedded structs as its own.
func (c *schemas) fields(s *Schema, t reflect.Type) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			c.fields(s, f.Type)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			panic("api: " + t.String() + "." + f.Name + " has no name in JSON")
		}
		s.Properties[name] = c.of(f.Type).tagged(f.Tag)
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			s.Required = append(s.Required, name)
		}
	}
}

// tagged adds what the tags of a field say.
func (s *Schema) tagged(tag reflect.StructTag) *Schema {
	if doc := tag.Get("doc"); doc != "" {
		s.Description = doc
	}
	if words := tag.Get("enum"); words != "" {
		s.inner().Enum = strings.Split(words, ",")
	}
	if p := tag.Get("pattern"); p != "" {
		s.inner().Pattern, s.inner().matches = p, regexp.MustCompile(p)
	}
	s.bound(tag.Get("min"), tag.Get("max"))
	return s
}

// inner is the schema of a list's items, else s.
func (s *Schema) inner() *Schema {
	if s.Type == kindArray {
		return s.Items
	}
	return s
}

func (s *Schema) bound(least, most string) {
	a, hasLeast := tagNumber(least)
	b, hasMost := tagNumber(most)
	switch s.Type {
	case kindInteger:
		if hasLeast {
			s.Minimum = &a
		}
		if hasMost {
			s.Maximum = &b
		}
	case kindString:
		s.MinLength, s.MaxLength = int(a), int(b)
	case kindArray:
		s.MaxItems = int(b)
	}
}

func tagNumber(s string) (n int64, ok bool) {
	if s == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("api: bound " + s + " is no number")
	}
	return n, true
}

// schemaName is the name of a struct in the document: Page[admin.User] is
// UserPage.
func schemaName(t reflect.Type) string {
	name, param, generic := strings.Cut(t.Name(), "[")
	if !generic {
		return name
	}
	inner := path.Base(strings.TrimSuffix(param, "]"))
	return inner[strings.LastIndexByte(inner, '.')+1:] + name
}
