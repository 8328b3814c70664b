package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/muster-im/muster/internal/nearest"
)

// decoder fills structs from a source, strictly, and collects what is wrong.
type decoder struct {
	src        *source
	extensions []string // that have tables below modules
	problems   Problems
}

func (d *decoder) problem(at position, key, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.src.name, Line: at.line, Col: at.col, Key: key, Text: fmt.Sprintf(format, args...)})
}

// wrong reports a bad value.
func (d *decoder) wrong(path string, v any, want string) {
	at, ok := d.src.places[path]
	if !ok {
		at = d.src.keys[path]
	}
	d.problem(at, path, "%s, got %s", want, show(v))
}

// show is a value as it may stand in a message.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%.40q", v)
	case map[string]any:
		return "a table"
	case []any:
		return "an array"
	}
	return fmt.Sprint(v)
}

// table decodes a table into the struct p points to, over what it holds.
// unclaimed, if set, takes keys that the struct does not have.
func (d *decoder) table(path string, v any, p reflect.Value, unclaimed func(key string, v any) bool) {
	table, ok := v.(map[string]any)
	if !ok {
		d.wrong(path, v, "want a table")
		return
	}
	fields := fieldsOf(p.Type())
	for _, key := range slices.Sorted(maps.Keys(table)) {
		full := join(path, key)
		i := slices.IndexFunc(fields, func(f reflect.StructField) bool { return f.Tag.Get("toml") == key })
		switch {
		case i >= 0:
			d.field(full, table[key], p.FieldByIndex(fields[i].Index), fields[i].Tag.Get("choice"))
		case unclaimed != nil && unclaimed(key, table[key]):
		default:
			d.unknown(full, key, fields)
		}
	}
}

func (d *decoder) unknown(full, key string, fields []reflect.StructField) {
	at := d.src.keys[full]
	if remedy := refused(full); remedy != "" {
		d.problem(at, full, "%s", remedy)
		return
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Tag.Get("toml")
	}
	if full == join("modules", key) || strings.HasPrefix(full, "host_config[") && strings.HasSuffix(full, "].modules."+key) {
		names = append(names, d.extensions...)
	}
	if near := nearest.Word(key, names); near != "" {
		d.problem(at, full, "unknown key (did you mean %q?)", near)
		return
	}
	if len(names) == 0 {
		d.problem(at, full, "unknown key (no key is known here)")
		return
	}
	d.problem(at, full, "unknown key (known here: %s)", strings.Join(names, ", "))
}

// fieldsOf returns the fields of a struct that stand in a file.
func fieldsOf(t reflect.Type) []reflect.StructField {
	var fields []reflect.StructField
	for f := range t.Fields() {
		if f.Tag.Get("toml") != "" {
			fields = append(fields, f)
		}
	}
	return fields
}

// field decodes one value.
func (d *decoder) field(path string, v any, to reflect.Value, choice string) {
	if own, ok := reflect.TypeAssert[valuer](to.Addr()); ok {
		if err := own.set(d.inFile(v)); err != nil {
			d.wrong(path, v, err.Error())
		}
		return
	}
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		if to.Elem().Kind() == reflect.Struct && isTable(to.Type()) {
			d.withDefaults(path, v, to.Elem())
		} else {
			d.field(path, v, to.Elem(), choice)
		}
	case reflect.Map:
		d.named(path, v, to)
	case reflect.Struct:
		d.table(path, v, to, nil)
	case reflect.Slice:
		d.array(path, v, to, choice)
	case reflect.String:
		s, ok := v.(string)
		if !ok || choice != "" && !slices.Contains(strings.Split(choice, ","), s) {
			d.wrong(path, v, "want "+wanted(to.Type(), choice))
			return
		}
		to.SetString(s)
	case reflect.Bool:
		b, ok := v.(bool)
		if !ok {
			d.wrong(path, v, "want true or false")
			return
		}
		to.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, ok := v.(int64)
		if !ok {
			d.wrong(path, v, "want an integer")
			return
		}
		to.SetInt(n)
	case reflect.Float64:
		switch n := v.(type) {
		case int64:
			to.SetFloat(float64(n))
		case float64:
			to.SetFloat(n)
		default:
			d.wrong(path, v, "want a number")
		}
	default:
		panic("config: no decoder for " + to.Type().String())
	}
}

// inFile returns v with the path of { file = "PATH" } resolved.
func (d *decoder) inFile(v any) any {
	table, ok := v.(map[string]any)
	if path, isText := table["file"].(string); ok && isText && len(table) == 1 {
		return map[string]any{"file": d.src.resolve(path)}
	}
	return v
}

func (d *decoder) withDefaults(path string, v any, to reflect.Value) {
	if own, ok := reflect.TypeAssert[defaulter](to.Addr()); ok {
		own.defaults()
	}
	if to.Kind() == reflect.Struct {
		d.table(path, v, to, nil)
	}
}

// named decodes a table whose keys are names of the file's own choice.
func (d *decoder) named(path string, v any, to reflect.Value) {
	table, ok := v.(map[string]any)
	if !ok {
		d.wrong(path, v, "want a table")
		return
	}
	to.Set(reflect.MakeMapWithSize(to.Type(), len(table)))
	for _, key := range slices.Sorted(maps.Keys(table)) {
		element := reflect.New(to.Type().Elem()).Elem()
		if element.Kind() == reflect.Struct {
			d.withDefaults(join(path, key), table[key], element)
		} else {
			d.field(join(path, key), table[key], element, "")
		}
		to.SetMapIndex(reflect.ValueOf(key), element)
	}
}

func (d *decoder) array(path string, v any, to reflect.Value, choice string) {
	list, ok := v.([]any)
	if !ok {
		d.wrong(path, v, "want "+wanted(to.Type(), choice))
		return
	}
	result := reflect.MakeSlice(to.Type(), len(list), len(list))
	for i, element := range list {
		full := fmt.Sprintf("%s[%d]", path, i)
		at := result.Index(i)
		if at.Kind() == reflect.Struct {
			d.withDefaults(full, element, at)
		} else {
			d.field(full, element, at, choice)
		}
	}
	to.Set(result)
}

// wanted says what a field accepts.
func wanted(t reflect.Type, choice string) string {
	if own, ok := reflect.TypeAssert[valuer](reflect.New(t)); ok {
		return own.form()
	}
	words := ""
	if choice != "" {
		list := strings.Split(choice, ",")
		for i, w := range list {
			list[i] = fmt.Sprintf("%q", w)
		}
		words = strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
	}
	switch t.Kind() {
	case reflect.Pointer:
		return wanted(t.Elem(), choice)
	case reflect.String:
		if words != "" {
			return words
		}
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "an array of tables"
		}
		if words != "" {
			return "an array of " + words
		}
		return "an array of strings"
	case reflect.Int, reflect.Int64:
		return "an integer"
	case reflect.Float64:
		return "a number"
	}
	return "a table"
}
