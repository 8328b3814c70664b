package adhoc

import "github.com/muster-im/muster/stanza"

// Kinds of notes (XEP-0050 §4.3).
const (
	NoteInfo  = "info"
	NoteError = "error"
)

// Note is a result in words (XEP-0050 §4.3).
func Note(kind, text string) *stanza.Element {
	return stanza.NewElement(NS, "note", "type", kind).AddText(text)
}

// Ask is a form with fields.
func Ask(title string, fields ...stanza.Field) *stanza.Form {
	return &stanza.Form{Type: stanza.FormForm, Title: title, Fields: fields}
}

// Text is a field for one line.
func Text(variable, label string, required bool) stanza.Field {
	return stanza.Field{Var: variable, Type: stanza.FieldTextSingle, Label: label, Required: required}
}

// Choice is a field for one of some words, the first unless another is chosen.
func Choice(variable, label string, words ...string) stanza.Field {
	f := stanza.Field{Var: variable, Type: stanza.FieldListSingle, Label: label, Values: words[:1]}
	for _, w := range words {
		f.Options = append(f.Options, stanza.Option{Label: w, Value: w})
	}
	return f
}

// Table is a result with rows (XEP-0004 §3.4).
type Table struct {
	Columns []stanza.Field
	Rows    [][]string
}

// Element is the table as a form.
func (t *Table) Element(title string) *stanza.Element {
	x := stanza.NewElement(stanza.NSData, "x", "type", "result").AddTextElement("title", title)
	reported := stanza.NewElement(stanza.NSData, "reported")
	for _, c := range t.Columns {
		e := stanza.NewElement(stanza.NSData, "field", "var", c.Var, "label", c.Label)
		if c.Type != "" {
			e.SetAttr("type", string(c.Type))
		}
		reported.Add(e)
	}
	x.Add(reported)
	for _, row := range t.Rows {
		item := stanza.NewElement(stanza.NSData, "item")
		for i, v := range row {
			item.Add(stanza.NewElement(stanza.NSData, "field", "var", t.Columns[i].Var).AddTextElement("value", v))
		}
		x.Add(item)
	}
	return x
}
