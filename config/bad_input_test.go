package config_test

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/muster-im/muster/config"
)

// wrongValues are values of every TOML type, and those that are near right ones.
var wrongValues = []string{`"\u0000 no such word"`, `-1`, `9999999999999`, `1.5`, `true`, `[1]`, `["\u0000 no such word"]`, `{x = 1}`, `[{x = 1}]`, `1979-05-27`, `inf`} //nolint:gochecknoglobals // a table

var atKey = regexp.MustCompile(`(?m)^m\.toml:\d+:\d+: (\S+): .+`)

// TestEveryKeyRefuses: each key of what concerns rooms refuses values that make
// no sense, all in one run, each at its place; and says what would be right.
func TestEveryKeyRefuses(t *testing.T) {
	t.Parallel()
	for header, table := range map[string]reflect.Type{
		"[modules.mod_muc]":                             reflect.TypeFor[config.MUC](),
		"[modules.mod_muc.default_room]":                reflect.TypeFor[config.DefaultRoom](),
		"[[modules.mod_muc.default_room.affiliations]]": reflect.TypeFor[config.Affiliation](),
		"[modules.mod_muc_log]":                         reflect.TypeFor[config.MUCLog](),
		"[modules.mod_muc_log.top_link]":                reflect.TypeFor[config.TopLink](),
		"[shaper.slow]":                                 reflect.TypeFor[config.Shaper](),
		"[[acl.some]]":                                  reflect.TypeFor[config.Pattern](),
		"[[access.rule]]":                               reflect.TypeFor[config.Clause](),
	} {
		for _, value := range wrongValues {
			t.Run(header+" "+value, func(t *testing.T) {
				t.Parallel()
				refusals(t, header, table, value)
			})
		}
	}
}

// refusals sets every key of a table to the same value.
func refusals(t *testing.T, header string, table reflect.Type, value string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("[general]\nhosts = [\"example.org\"]\n")
	if header != "[modules.mod_muc]" && strings.Contains(header, "modules") {
		b.WriteString("[modules.mod_muc]\n")
	}
	fmt.Fprintf(&b, "%s\n", header)
	line := strings.Count(b.String(), "\n")
	places := make(map[string]int) // of keys that must be refused
	for f := range table.Fields() {
		if key := f.Tag.Get("toml"); key != "" {
			line++
			fmt.Fprintf(&b, "%s = %s\n", key, value)
			if !takes(f, value) {
				places[key] = line
			}
		}
	}
	_, err := config.Parse("m.toml", []byte(b.String()))
	got := ""
	if err != nil {
		got = err.Error()
	}
	for key, line := range places {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^m\.toml:%d:\d+: \S*\b%s\S*: .+`, line, key)).MatchString(got) {
			t.Errorf("%s is not refused at line %d of\n%s\ngot\n%s", key, line, b.String(), got)
		}
	}
	for l := range strings.SplitSeq(got, "\n") {
		if l != "" && !atKey.MatchString(l) {
			t.Errorf("a problem without place or key: %s", l)
		}
	}
}

// takes reports whether a field may well take a value.
func takes(f reflect.StructField, value string) bool {
	text := strings.HasPrefix(value, `"`)
	switch kind := f.Type; {
	case f.Tag.Get("choice") != "":
		return false
	case kind == reflect.TypeFor[config.Secret](), kind.Kind() == reflect.String, kind == reflect.TypeFor[*string]():
		return text && !strings.HasPrefix(f.Tag.Get("toml"), "access") && !strings.HasSuffix(f.Tag.Get("toml"), "shaper") || text && freeText[f.Tag.Get("toml")]
	case kind == reflect.TypeFor[*config.Value]():
		return text || value == "-1" || value == "9999999999999"
	case kind.Kind() == reflect.Bool:
		return value == "true"
	case kind == reflect.TypeFor[config.Seconds]():
		return value == "1.5"
	}
	return false
}

var freeText = map[string]bool{"acl": true} //nolint:gochecknoglobals // a table
