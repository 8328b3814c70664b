package prosody

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestParseTable(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("{", maxDepth+1) + strings.Repeat("}", maxDepth+1)
	tests := []struct {
		name, text string
		want       table
		wrong      string
	}{
		{"as Prosody writes", "return {\n\t[\"name\"] = \"Team\";\n\t[\"mucs\"] = {\n\t\t\"a@b\";\n\t\t\"c@d\";\n\t};\n};\n", table{"name": "Team", "mucs": table{1.0: "a@b", 2.0: "c@d"}}, ""},
		{"empty", "return {};", table{}, ""},
		{"empty, older", "return { }", table{}, ""},
		{"members", "return { [\"romeo\"] = {}, juliet = {}; }", table{"romeo": table{}, "juliet": table{}}, ""},
		{"comments", "-- written by hand\nreturn { -- none\n}", table{}, ""},
		{"escapes", `return { "a\"b\\c\nd\065\x41\u{1F989}", 'it\'s', [[l]o]], [==[x]]y]==], "line\
end" }`, table{1.0: "a\"b\\c\ndAA🦉", 2.0: "it's", 3.0: "l]o", 4.0: "x]]y", 5.0: "line\nend"}, ""},
		{"numbers", "return { 1, -2.5, 0x10, 1e3, (1/0), (-1/0); [true] = false, [7] = nil }", table{1.0: 1.0, 2.0: -2.5, 3.0: 16.0, 4.0: 1000.0, 5.0: math.Inf(1), 6.0: math.Inf(-1), true: false}, ""},
		{"nested as deep as may be", "return " + deep, nil, ""},

		{"too deep", "return {" + deep + "}", nil, "line 1: tables are nested too deep"},
		{"code", "os.execute('rm -rf /')", nil, `line 1: want return, got "os"`},
		{"a call", "return {\n\ta = os.exit()\n}", nil, `line 2: want a value, got "os"`},
		{"an expression", "return { 1 + 1 }", nil, "line 1: want ; or } behind a value"},
		{"two values", "return {}, {}", nil, "line 1: want nothing behind the table"},
		{"no table", "return 1", nil, "line 1: want a table"},
		{"cut off", "return { a = \"b", nil, "line 1: a string has no end"},
		{"cut off earlier", "return { a = ", nil, "line 1: the file ends too early"},
		{"nothing", "", nil, `line 1: want return, got ""`},
		{"no number", "return { 1x }", nil, `line 1: "1x" is no number`},
		{"what no key can be", "return { [{}] = 1 }", nil, "line 1: want a string, a number or a truth value as key"},
		{"NaN as key", "return { [(0/0)] = 1 }", nil, "line 1: want a string, a number or a truth value as key"},
		{"escape of nothing", `return { "\q" }`, nil, `line 1: \q stands for nothing`},
		{"escape too large", `return { "\300" }`, nil, `line 1: \3 stands for nothing`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseTable(tt.text)
			if tt.wrong != "" {
				if err == nil || err.Error() != tt.wrong {
					t.Errorf("error %v, want %s", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.want != nil && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %#v\nwant %#v", got, tt.want)
			}
		})
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add("return { [\"name\"] = \"Team\"; [\"mucs\"] = { \"a@b\"; [[c]]; }; x = -1e5, (0/0) };")
	f.Add("return {\"\\z  \\u{41}\\x4")
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := parseTable(text); err == nil && v == nil {
			t.Error("neither a table nor an error")
		}
	})
}
