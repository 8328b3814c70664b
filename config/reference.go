package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference returns docs/config.md.
func Reference() []byte {
	w := &writer{}
	w.line("# Configuration")
	w.line("")
	w.line("<!-- Made by `go generate ./config` from the fields of package config. Do not edit. -->")
	w.line("")
	w.line("`muster init` writes a file with all of this in it, set as is sensible today. `muster check` reports every")
	w.line("problem of a file in one run, each with its line. A key that is not listed here is refused.")
	w.line("")
	w.line("A server with extensions ([extending.md](extending.md)) knows one table more for each that has settings,")
	w.line("`[modules.NAME]`, with the same strictness; its own `init` writes them, each key with what it means.")
	w.reference("", "", reflect.ValueOf(Default()).Elem())
	return w.Bytes()
}

// tableOf returns a table with its defaults.
func tableOf(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := reflect.TypeAssert[defaulter](v); ok {
		d.defaults()
	}
	return v.Elem()
}

// reference writes the section of a table, and then of those within it.
func (w *writer) reference(path, doc string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	if path != "" && hasValues(v.Type()) {
		w.line("\n## `%s`\n\n%s\n", path, doc)
		w.line("| key | accepts | default | meaning |")
		w.line("|---|---|---|---|")
		for _, f := range fields {
			if isTable(f.Type) {
				continue
			}
			accepts := strings.ReplaceAll(wanted(f.Type, f.Tag.Get("choice")), "|", `\|`)
			w.line("| `%s` | %s | %s | %s%s |", f.Tag.Get("toml"), accepts, shownDefault(v.FieldByIndex(f.Index)), f.Tag.Get("doc"), reloadNote(f))
		}
	}
	for _, f := range fields {
		if !isTable(f.Type) {
			continue
		}
		full := join(strings.Trim(path, "[]"), f.Tag.Get("toml"))
		if as := f.Tag.Get("as"); as != "" {
			w.line("\n## `[%s]`\n\n%s Its keys are those of `[%s]`.", full, f.Tag.Get("doc")+reloadNote(f), as)
			continue
		}
		value, header := v.FieldByIndex(f.Index), "["+full+"]"
		switch value.Kind() {
		case reflect.Pointer:
			value = tableOf(f.Type.Elem())
		case reflect.Map:
			value, header = namedHeader(full, value.Type().Elem())
		case reflect.Slice:
			header, value = "[["+full+"]]", tableOf(f.Type.Elem())
		}
		w.reference(header, f.Tag.Get("doc")+reloadNote(f), value)
	}
}

// namedHeader is the header of tables with names of the file's own choice, and
// one of them with its defaults.
func namedHeader(full string, t reflect.Type) (v reflect.Value, header string) {
	header = "[" + full + ".NAME]"
	if t.Kind() == reflect.Slice {
		t, header = t.Elem(), "["+header+"]"
	}
	v = reflect.New(t)
	if own, ok := reflect.TypeAssert[defaulter](v); ok {
		own.defaults()
	}
	return v.Elem(), header
}

func shownDefault(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && v.IsNil() || v.IsZero() && v.Type() == reflect.TypeFor[Positive]() {
		return "none"
	}
	if text := literal(v); text != `""` && text != "[]" {
		return fmt.Sprintf("`%s`", text)
	}
	return "none"
}
