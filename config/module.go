package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Module is an extension's table as its documentation is made from it: name and
// settings with their defaults.
type Module struct {
	Name     string
	Doc      string // what the extension is for, in a sentence
	Settings any    // a struct, see CheckModule; nil: it has none
}

// IsModule reports whether a table of that name below modules belongs to the
// server itself.
func IsModule(name string) bool {
	return slices.ContainsFunc(fieldsOf(reflect.TypeFor[Modules]()), func(f reflect.StructField) bool { return f.Tag.Get("toml") == name })
}

// DecodeModule decodes the table of an extension into the struct p points to,
// over what that holds, as strictly as everything else; see CheckModule for what
// it may be. Problems have their positions.
func (c *Config) DecodeModule(name string, p any) error {
	return c.decodeTable(c.extensions[name], p)
}

// decodeTable decodes a table, nil if there is none.
func (c *Config) decodeTable(n *node, p any) error {
	v := reflect.ValueOf(p)
	if v.Kind() != reflect.Pointer {
		return errors.New("config: a table is decoded into a struct that a pointer points to")
	}
	if err := CheckModule(v.Elem().Interface()); err != nil {
		return err
	}
	if n == nil {
		return nil
	}
	d := &decoder{src: n.src}
	d.table(n.path, n.value, v.Elem(), nil)
	if len(d.problems) > 0 {
		return d.problems.With()
	}
	return nil
}

// HostTable is the table of an extension that one host has of its own, in
// [host_config.modules], instead of the one for all.
type HostTable struct {
	Host  string // of general.hosts
	Path  string // host_config[0].modules.NAME
	name  string
	value any
}

// takeHostTables takes the tables of extensions out of those of hosts.
func (c *Config) takeHostTables(extensions []string) {
	hosts, _ := c.src.values["host_config"].([]any)
	for i := range hosts {
		table, _ := hosts[i].(map[string]any)
		modules, _ := table["modules"].(map[string]any)
		for _, name := range extensions {
			if v, ok := modules[name]; ok {
				delete(modules, name)
				host, _ := table["host"].(string)
				c.ownTables = append(c.ownTables, HostTable{host, fmt.Sprintf("host_config[%d].modules.%s", i, name), name, v})
			}
		}
	}
}

// HostTables returns the tables of an extension that hosts have of their own.
func (c *Config) HostTables(name string) []HostTable {
	return slices.DeleteFunc(slices.Clone(c.ownTables), func(t HostTable) bool { return t.name != name })
}

// DecodeHostTable is DecodeModule of a host's own table. Nothing is taken from
// that for all: what it does not say is as p has it.
func (c *Config) DecodeHostTable(t HostTable, p any) error {
	return c.decodeTable(&node{t.Path, t.value, c.src}, p)
}

// ModuleNeedsRestart returns the keys of the settings in which two tables of an
// extension, structs of one type, differ and which are not marked reload:"yes".
// path is where the second stands.
func ModuleNeedsRestart(path string, a, b any) []string {
	return changes(path, reflect.ValueOf(a), reflect.ValueOf(b))
}

// CheckModule says why something cannot be the settings of an extension. It is a
// struct whose exported fields all have a toml tag, the key, and may have doc,
// what the key means, choice, the words that are accepted, and reload:"yes",
// which says that a change takes effect without a restart. They are strings,
// booleans, int, int64 and float64, the types of this package, and slices, maps
// by names and structs of such.
func CheckModule(settings any) error {
	t := reflect.TypeOf(settings)
	if t == nil || t.Kind() != reflect.Struct {
		return fmt.Errorf("settings are a struct, not %T", settings)
	}
	return checkStruct(t.String(), t)
}

// maxNesting is how deep tables of extensions may be in each other.
const maxNesting = 10

func checkStruct(path string, t reflect.Type) error {
	for f := range t.Fields() {
		where := path + "." + f.Name
		switch key := f.Tag.Get("toml"); {
		case !f.IsExported() && key == "":
			continue
		case !f.IsExported():
			return fmt.Errorf("settings: %s has a toml tag but is not exported", where)
		case key == "":
			return fmt.Errorf("settings: %s has no toml tag, which says its key in the file", where)
		}
		if err := checkType(where, f.Type); err != nil {
			return err
		}
	}
	return nil
}

func checkType(where string, t reflect.Type) error {
	if _, own := reflect.TypeAssert[valuer](reflect.New(t)); own {
		return nil
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		if t.PkgPath() == "time" {
			return fmt.Errorf("settings: %s is a %s; use config.Duration", where, t)
		}
		return nil
	case reflect.Slice, reflect.Pointer:
		return checkType(where, t.Elem())
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return checkType(where, t.Elem())
		}
	case reflect.Struct:
		if strings.Count(where, ".") > maxNesting {
			return fmt.Errorf("settings: %s: nested too deeply", where)
		}
		return checkStruct(where, t)
	}
	return fmt.Errorf("settings: %s is a %s, which no file can say", where, t)
}
