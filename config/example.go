package config

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
)

// Example returns the file that `muster init` writes: every setting with what
// it means, set as is sensible today, for the host example.org. The tables of
// extensions come last.
func Example(modules ...Module) []byte {
	c := Modern("example.org")
	c.Modules.Disco = &Disco{ServerInfo: []ServerInfo{{Name: "abuse-addresses", URLs: []string{"mailto:abuse@example.org"}}}}
	w := &writer{}
	w.line("# Configuration of Muster. `muster check` says what is wrong with it, line by line;")
	w.line("# docs/config.md explains every setting once more.")
	w.fields("", reflect.ValueOf(c).Elem())
	for _, m := range modules {
		w.module(m)
	}
	return w.Bytes()
}

// module writes the table of an extension, which runs with its defaults if there
// is none.
func (w *writer) module(m Module) {
	if m.Settings == nil {
		return
	}
	v := reflect.New(reflect.TypeOf(m.Settings)).Elem()
	v.Set(reflect.ValueOf(m.Settings))
	w.line("")
	w.comment(strings.TrimSpace(m.Doc + " This table is of the extension " + m.Name + "."))
	w.line("[modules.%s]", m.Name)
	w.fields("modules."+m.Name, v)
}

// writer writes a configuration with its documentation.
type writer struct{ bytes.Buffer }

func (w *writer) line(format string, args ...any) {
	_, _ = fmt.Fprintf(w, format+"\n", args...) // a buffer takes everything
}

// comment writes text as comment lines of bearable length.
func (w *writer) comment(text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 100 {
			w.line("%s", line)
			line = "#"
		}
		line += " " + word
	}
	w.line("%s", line)
}

// fields writes the fields of a table: values first, then tables, as TOML
// wants them.
func (w *writer) fields(path string, v reflect.Value) {
	var tables []reflect.StructField
	for _, f := range fieldsOf(v.Type()) {
		if isTable(f.Type) {
			tables = append(tables, f)
			continue
		}
		w.comment(f.Tag.Get("doc") + reloadNote(f))
		if choice := f.Tag.Get("choice"); choice != "" {
			w.comment("One of: " + strings.ReplaceAll(choice, ",", ", ") + ".")
		}
		setting := f.Tag.Get("toml") + " = " + literal(v.FieldByIndex(f.Index))
		if unset(f, v.FieldByIndex(f.Index)) {
			setting = "# " + setting
		}
		w.line("%s", setting)
	}
	for _, f := range tables {
		w.table(join(path, f.Tag.Get("toml")), f, v.FieldByIndex(f.Index))
	}
}

func (w *writer) table(path string, f reflect.StructField, v reflect.Value) {
	switch {
	case v.Kind() == reflect.Map:
		w.line("")
		w.comment(f.Tag.Get("doc") + reloadNote(f) + " Like this:")
		for l := range strings.SplitSeq(f.Tag.Get("example"), "|") {
			w.line("# %s", l)
		}
		return
	case v.Kind() == reflect.Pointer && v.IsNil():
		w.unused(path, f)
		return
	case v.Kind() == reflect.Pointer:
		v = v.Elem()
	}
	if v.Kind() != reflect.Slice {
		w.line("")
		w.comment(f.Tag.Get("doc"))
		if hasValues(v.Type()) {
			w.line("[%s]", path)
		}
		w.fields(path, v)
		return
	}
	if v.Len() == 0 { // shown as an example that does nothing
		w.line("")
		w.comment(f.Tag.Get("doc") + " Like this:")
		if example := f.Tag.Get("example"); example != "" {
			for l := range strings.SplitSeq(example, "|") {
				w.line("# %s", l)
			}
			return
		}
		example := &writer{}
		example.line("[[%s]]", path)
		for _, field := range fieldsOf(f.Type.Elem()) {
			example.line("%s = \"\" # %s", field.Tag.Get("toml"), field.Tag.Get("doc"))
		}
		for l := range strings.Lines(example.String()) {
			w.line("# %s", strings.TrimSuffix(l, "\n"))
		}
		return
	}
	for i := range v.Len() {
		w.line("")
		w.comment(f.Tag.Get("doc"))
		w.line("[[%s]]", path)
		w.fields(path, v.Index(i))
	}
}

// unused writes a module that does not run, as comment.
func (w *writer) unused(path string, f reflect.StructField) {
	v := reflect.New(f.Type.Elem())
	if own, ok := reflect.TypeAssert[defaulter](v); ok {
		own.defaults()
	}
	module := &writer{}
	module.table(path, f, v)
	for l := range strings.Lines(module.String()) {
		l = strings.TrimSuffix(l, "\n")
		switch {
		case l == "":
			w.line("")
		case strings.HasPrefix(l, "#"):
			w.line("#%s", l)
		default:
			w.line("# %s", l)
		}
	}
}

// unset reports whether a setting is shown but left out: an empty path or
// connection string means something else than none.
func unset(f reflect.StructField, v reflect.Value) bool {
	switch f.Tag.Get("toml") {
	case "url", "certfile", "keyfile":
		return v.IsZero()
	case "backend", "online_backend", "exometer", "prometheus", "log", "mnesia", "cets": // accepted, and of no effect
		return true
	}
	return false
}

func reloadNote(f reflect.StructField) string {
	if f.Tag.Get("reload") == "yes" {
		return " Takes effect on SIGHUP."
	}
	return ""
}

// isTable reports whether a field is a table or an array of tables.
func isTable(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	_, own := reflect.TypeAssert[valuer](reflect.New(t))
	return t.Kind() == reflect.Struct && !own
}

// hasValues reports whether a table has settings of its own, not only tables.
func hasValues(t reflect.Type) bool {
	for _, f := range fieldsOf(t) {
		if !isTable(f.Type) {
			return true
		}
	}
	return false
}

// literal is a value as it stands in a file.
func literal(v reflect.Value) string {
	if v.CanAddr() {
		if own, ok := reflect.TypeAssert[valuer](v.Addr()); ok {
			return own.text()
		}
	}
	switch v.Kind() {
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = literal(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}
