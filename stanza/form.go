package stanza

import (
	"fmt"
)

// FormType is the type of a data form (XEP-0004 §3.1).
type FormType string

// The form types.
const (
	FormForm   FormType = "form"
	FormSubmit FormType = "submit"
	FormCancel FormType = "cancel"
	FormResult FormType = "result"
)

// FieldType is the type of a form field (XEP-0004 §3.3).
type FieldType string

// The field types.
const (
	FieldBoolean     FieldType = "boolean"
	FieldFixed       FieldType = "fixed"
	FieldHidden      FieldType = "hidden"
	FieldJIDMulti    FieldType = "jid-multi"
	FieldJIDSingle   FieldType = "jid-single"
	FieldListMulti   FieldType = "list-multi"
	FieldListSingle  FieldType = "list-single"
	FieldTextMulti   FieldType = "text-multi"
	FieldTextPrivate FieldType = "text-private"
	FieldTextSingle  FieldType = "text-single"
)

// Form is a data form (XEP-0004).
type Form struct {
	Type         FormType
	Title        string
	Instructions []string
	Fields       []Field
}

// Field is one field of a form.
type Field struct {
	Var      string
	Type     FieldType // "" if not told, as in most submissions
	Label    string
	Desc     string
	Required bool
	Values   []string
	Options  []Option
}

// Option is a choice of a list field.
type Option struct {
	Label string
	Value string
}

// NewForm returns a form whose first field is the FORM_TYPE (XEP-0068).
func NewForm(t FormType, formType string) *Form {
	return &Form{Type: t, Fields: []Field{{Var: "FORM_TYPE", Type: FieldHidden, Values: []string{formType}}}}
}

// Add appends a field and returns f.
func (f *Form) Add(fields ...Field) *Form {
	f.Fields = append(f.Fields, fields...)
	return f
}

// Field returns the first field with that variable, nil if there is none.
func (f *Form) Field(variable string) *Field {
	for i := range f.Fields {
		if f.Fields[i].Var == variable {
			return &f.Fields[i]
		}
	}
	return nil
}

// Value returns the first value of a field, "" if there is none.
func (f *Form) Value(variable string) string { return f.Field(variable).Value() }

// FormType returns the FORM_TYPE, "" if the form has none.
func (f *Form) FormType() string { return f.Value("FORM_TYPE") }

// Value returns the field's first value, "" if there is none.
func (f *Field) Value() string {
	if f == nil || len(f.Values) == 0 {
		return ""
	}
	return f.Values[0]
}

// Bool returns the value of a boolean field (XEP-0004 §3.3: 0, 1, true,
// false).
func (f *Field) Bool() (bool, error) {
	switch v := f.Value(); v {
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	default:
		return false, fmt.Errorf("field %s: want 0, 1, true or false, got %q", f.Var, v)
	}
}

// Element returns the form as XML.
func (f *Form) Element() *Element {
	x := NewElement(NSData, "x", "type", string(f.Type))
	if f.Title != "" {
		x.AddTextElement("title", f.Title)
	}
	for _, line := range f.Instructions {
		x.AddTextElement("instructions", line)
	}
	for i := range f.Fields {
		x.Add(f.Fields[i].element())
	}
	return x
}

func (f *Field) element() *Element {
	e := NewElement(NSData, "field")
	for _, a := range [...]Attr{{Name{"", "var"}, f.Var}, {Name{"", "type"}, string(f.Type)}, {Name{"", "label"}, f.Label}} {
		if a.Value != "" {
			e.Attrs = append(e.Attrs, a)
		}
	}
	if f.Desc != "" {
		e.AddTextElement("desc", f.Desc)
	}
	if f.Required {
		e.Add(NewElement(NSData, "required"))
	}
	for _, v := range f.Values {
		e.AddTextElement("value", v)
	}
	for _, o := range f.Options {
		option := NewElement(NSData, "option")
		if o.Label != "" {
			option.SetAttr("label", o.Label)
		}
		e.Add(option.AddTextElement("value", o.Value))
	}
	return e
}

// ParseForm reads an <x xmlns='jabber:x:data'/>. Items and reported fields of
// result tables are passed over.
func ParseForm(x *Element) (*Form, error) {
	if !x.Is(NSData, "x") {
		return nil, fmt.Errorf("not a data form")
	}
	f := &Form{Type: FormType(x.Attr("type")), Title: x.ChildText(NSData, "title")}
	switch f.Type {
	case FormForm, FormSubmit, FormCancel, FormResult:
	default:
		return nil, fmt.Errorf("form type %q: want form, submit, cancel or result", f.Type)
	}
	for c := range x.Elements() {
		switch {
		case c.Is(NSData, "instructions"):
			f.Instructions = append(f.Instructions, c.Text())
		case c.Is(NSData, "field"):
			field := parseField(c)
			if field.Var == "" && field.Type != FieldFixed {
				continue // clients send headings back without their type
			}
			if field.Type != FieldFixed && f.Field(field.Var) != nil { // XEP-0004 §3.2
				return nil, fmt.Errorf("%s: the form has two fields of this name", field.Var)
			}
			f.Fields = append(f.Fields, field)
		}
	}
	return f, nil
}

func parseField(e *Element) Field {
	f := Field{
		Var: e.Attr("var"), Type: FieldType(e.Attr("type")), Label: e.Attr("label"),
		Desc: e.ChildText(NSData, "desc"), Required: e.Child(NSData, "required") != nil,
	}
	for c := range e.Elements() {
		switch {
		case c.Is(NSData, "value"):
			f.Values = append(f.Values, c.Text())
		case c.Is(NSData, "option"):
			f.Options = append(f.Options, Option{c.Attr("label"), c.ChildText(NSData, "value")})
		}
	}
	return f
}
