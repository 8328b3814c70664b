package settings

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/stanza"
)

var choices = []stanza.Option{{Value: "moderator"}, {Value: "participant"}, {Value: "visitor"}} //nolint:gochecknoglobals // a test's

func example() Schema {
	return Schema{
		Of(Setting{Var: "public", Stored: "public"}, Bool(), true),
		Of(Setting{Var: "name", Stored: "title"}, Text(stanza.FieldTextSingle, 5), ""),
		Of(Setting{Var: "rules", Stored: "rules"}, Text(stanza.FieldTextMulti, 0), ""),
		Of(Setting{Var: "length", Stored: "length"}, Int(0, 50), 20),
		Of(Setting{Var: "secret", Stored: "secret", Hidden: true}, Choice(choices), "visitor"),
		Of(Setting{Var: "shown", Stored: "shown"}, Choices(choices), "visitor"),
		Of(Setting{Var: "seats", Stored: "seats"}, UpTo(200), 200),
		{Var: "owners", Stored: "owners"},
	}
}

func TestKinds(t *testing.T) {
	for _, test := range []struct {
		variable string
		given    []string
		want     []string // nil: refused
		says     string
	}{
		{"public", []string{"true"}, []string{"1"}, ""},
		{"public", []string{"perhaps"}, nil, "true or false"},
		{"public", nil, nil, "true or false"},
		{"name", []string{"four"}, []string{"four"}, ""},
		{"name", []string{"sixsix"}, nil, "at most 5"},
		{"name", []string{"a", "b"}, nil, "one value"},
		{"name", []string{"a\x00"}, nil, "without control characters"},
		{"name", []string{"\xff"}, nil, "without control characters"},
		{"rules", []string{"tab\t", "🦄"}, []string{"tab\t", "🦄"}, ""},
		{"rules", []string{"a", "", "b"}, []string{"a", "", "b"}, ""},
		{"length", []string{"50"}, []string{"50"}, ""},
		{"length", []string{"51"}, nil, "from 0 to 50"},
		{"length", []string{"-1"}, nil, "from 0 to 50"},
		{"secret", []string{"visitor"}, []string{"visitor"}, ""},
		{"secret", []string{"king"}, nil, "one of moderator"},
		{"shown", []string{"visitor", "moderator", "visitor"}, []string{"moderator", "visitor"}, ""},
		{"shown", []string{}, []string{}, ""},
		{"shown", []string{"king"}, nil, "some of"},
		{"seats", []string{"7"}, []string{"7"}, ""},
		{"seats", []string{"none"}, []string{"200"}, ""},
		{"seats", []string{"1000"}, []string{"200"}, ""},
		{"seats", []string{"0"}, nil, "positive"},
		{"seats", []string{"1", "2"}, nil, "one number"},
	} {
		t.Run(test.variable+" "+strings.Join(test.given, ","), func(t *testing.T) {
			s := example()
			f := s[slices.IndexFunc(s, func(f Setting) bool { return f.Var == test.variable })]
			v, err := f.Parse(test.given)
			switch {
			case test.want == nil:
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %v, %v, want an error that says %q", v, err, test.says)
				}
			case err != nil || !slices.Equal(f.Format(v), test.want):
				t.Errorf("got %v, %v, want %v", v, err, test.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	values, err := example().Defaults(map[string][]string{"name": {"Cave"}})
	if err != nil || values[0] != true || values[1] != "Cave" {
		t.Errorf("got %v, %v", values, err)
	}
	for says, given := range map[string]map[string][]string{
		"length: want": {"length": {"many"}}, "no feature": {"weather": {"fine"}},
	} {
		if _, err := example().Defaults(given); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want an error that says %q", given, err, says)
		}
	}
	if _, err := append(example(), example()...).Defaults(nil); err == nil || !strings.Contains(err.Error(), "two fields") {
		t.Errorf("one variable twice: %v", err)
	}
}

// TestLoad: what today's settings cannot be is kept for those who know it.
func TestLoad(t *testing.T) {
	s := example()
	values, err := s.Defaults(nil)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string][]string{"title": {"Cave"}, "length": {"many"}, "weather": {"fine"}, "owners": {"x"}}
	var bad []string
	rest := s.Load(values, stored, func(variable string, _ error) { bad = append(bad, variable) })
	if values[1] != "Cave" || values[3] != 20 || !slices.Equal(bad, []string{"length"}) || len(stored) != 4 {
		t.Errorf("loaded %v, could not use %v", values, bad)
	}
	again := s.Store(values, rest)
	if !slices.Equal(again["weather"], []string{"fine"}) || !slices.Equal(again["title"], []string{"Cave"}) || again["secret"] == nil {
		t.Errorf("stored %v", again)
	}
	shown := slices.Sorted(maps.Keys(s.Shown(values)))
	if want := []string{"length", "name", "public", "rules", "seats", "shown"}; !slices.Equal(shown, want) {
		t.Errorf("shown %v, want %v", shown, want)
	}
}
