package config

import (
	"fmt"
	"reflect"
)

// Problem returns a problem with the value of a key, at its place in the file.
func (c *Config) Problem(key, text string) Problem {
	p := Problem{File: c.name, Key: key, Text: text}
	if c.src == nil {
		return p
	}
	at, ok := c.src.places[key]
	if !ok {
		at = c.src.keys[key]
	}
	p.Line, p.Col = at.line, at.col
	return p
}

// NeedsRestart returns the keys of the settings in which next differs from c and
// which take effect only when the server starts. Of the tables of extensions it
// knows nothing; see ModuleNeedsRestart.
func (c *Config) NeedsRestart(next *Config) []string {
	return changes("", reflect.ValueOf(c).Elem(), reflect.ValueOf(next).Elem())
}

// changes returns the keys below path in which two tables differ, but for those
// that may change while the server runs.
func changes(path string, a, b reflect.Value) []string {
	var keys []string
	for _, f := range fieldsOf(a.Type()) {
		if f.Tag.Get("reload") == "yes" {
			continue
		}
		key, x, y := join(path, f.Tag.Get("toml")), a.FieldByIndex(f.Index), b.FieldByIndex(f.Index)
		if x.Kind() == reflect.Pointer && !x.IsNil() && !y.IsNil() {
			x, y = x.Elem(), y.Elem()
		}
		switch {
		case x.Kind() == reflect.Struct:
			keys = append(keys, changes(key, x, y)...)
		case isTable(f.Type) && x.Kind() == reflect.Slice && x.Len() == y.Len():
			for i := range x.Len() {
				keys = append(keys, changes(fmt.Sprintf("%s[%d]", key, i), x.Index(i), y.Index(i))...)
			}
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			keys = append(keys, key)
		}
	}
	return keys
}
