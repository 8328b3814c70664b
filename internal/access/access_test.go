package access_test

import (
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/access"
	"github.com/muster-im/muster/jid"
)

// one compiles rules with one rule, "r", that allows one class of one pattern.
func one(t *testing.T, p access.Pattern) *access.Rules {
	t.Helper()
	rules, problems := access.Compile(access.Definition{
		Hosts:   []string{"a.test", "b.test"},
		Classes: map[string][]access.Pattern{"c": {p}},
		Rules:   map[string][]access.Clause{"r": {{Class: "c", Value: access.Allow}}},
	})
	for _, p := range problems {
		t.Fatal(p)
	}
	return rules
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	all := access.Everybody
	tests := []struct {
		name    string
		pattern access.Pattern
		in, out string // addresses, asked for a.test
	}{
		{"nothing said: users of the domain", access.Pattern{}, "x@a.test x@a.test/r a.test", "x@b.test x@c.test"},
		{"current domain", access.Pattern{Match: access.CurrentDomain}, "x@a.test", "x@b.test x@c.test"},
		{"any hosted domain", access.Pattern{Match: access.AnyHostedDomain}, "x@a.test x@b.test", "x@c.test"},
		{"all", access.Pattern{Match: all}, "x@a.test x@b.test x@c.test c.test", ""},
		{"none", access.Pattern{Match: access.Nobody}, "", "x@a.test"},
		{"none, whatever else is said", access.Pattern{Match: access.Nobody, User: new("x")}, "", "x@a.test"},
		{"user", access.Pattern{User: new("Romeo")}, "romeo@a.test romeo@a.test/x", "juliet@a.test romeo@b.test"},
		{"user, prepared", access.Pattern{Match: all, User: new("ＲＯＭＥＯ")}, "romeo@c.test", "romea@c.test"},
		{"server", access.Pattern{Match: all, Server: new("C.test")}, "x@c.test c.test", "x@a.test"},
		{"server within the domain", access.Pattern{Server: new("c.test")}, "", "x@c.test x@a.test"},
		{"resource", access.Pattern{Resource: new("Phone")}, "x@a.test/Phone", "x@a.test/phone x@a.test"},
		{
			"all conditions",
			access.Pattern{Match: all, User: new("x"), Server: new("c.test"), Resource: new("r")},
			"x@c.test/r", "x@c.test y@c.test/r x@a.test/r x@c.test/s",
		},
		{
			"two on one part",
			access.Pattern{UserRegexp: new("^a"), UserGlob: new("*z")},
			"az@a.test abcz@a.test", "a@a.test z@a.test",
		},
		{"regexp anywhere", access.Pattern{UserRegexp: new("ome")}, "romeo@a.test", "juliet@a.test"},
		{"regexp folds", access.Pattern{UserRegexp: new("^aLi.*|^B$")}, "alice@a.test b@a.test", "bob@a.test xb@a.test"},
		{"empty regexp", access.Pattern{UserRegexp: new("")}, "romeo@a.test a.test", "romeo@b.test"},
		{"server regexp", access.Pattern{Match: all, ServerRegexp: new(`^[bc]\.`)}, "x@b.test x@c.test", "x@a.test"},
		{"resource regexp", access.Pattern{ResourceRegexp: new(`^res\d+$`)}, "x@a.test/res12", "x@a.test/home x@a.test"},
		{"glob is the whole", access.Pattern{UserGlob: new("a*e")}, "ae@a.test alice@a.test", "alices@a.test valice@a.test"},
		{"glob folds", access.Pattern{UserGlob: new("A?")}, "ab@a.test", "a@a.test abc@a.test"},
		{"glob of one character that is long", access.Pattern{UserGlob: new("ж?")}, "жд@a.test", "ж@a.test жде@a.test"},
		{"glob set", access.Pattern{UserGlob: new("x[0-9ab]")}, "x5@a.test xa@a.test", "xc@a.test x@a.test"},
		{"glob set turned round", access.Pattern{UserGlob: new("x[!0-9]")}, "xa@a.test", "x5@a.test x@a.test"},
		{"glob set turned round, other spelling", access.Pattern{UserGlob: new("x[^0-9]")}, "xa@a.test", "x5@a.test"},
		{"glob, what regexps would read otherwise", access.Pattern{UserGlob: new("a.b+c(d)")}, "a.b+c(d)@a.test", "axb+c(d)@a.test abbc(d)@a.test"},
		{"resource glob", access.Pattern{ResourceGlob: new(`Res[]]\*`)}, "x@a.test/Res]*", "x@a.test/Res]x x@a.test/res]*"},
		{"resource glob, open set", access.Pattern{ResourceGlob: new(`[a`)}, "x@a.test/[a", "x@a.test/a"},
		{"server glob", access.Pattern{Match: all, ServerGlob: new("*.TEST")}, "x@a.test x@c.test", "x@test"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rules := one(t, tt.pattern)
			for want, list := range map[bool]string{true: tt.in, false: tt.out} {
				for s := range strings.FieldsSeq(list) {
					if got := rules.Allows("r", "a.test", jid.MustParse(s)); got != want {
						t.Errorf("%s: got %v, want %v", s, got, want)
					}
				}
			}
		})
	}
}

func TestNoDomainIsEveryHostedOne(t *testing.T) {
	t.Parallel()
	rules := one(t, access.Pattern{})
	for s, want := range map[string]bool{"x@a.test": true, "x@b.test": true, "x@c.test": false} {
		if got := rules.Allows("r", "", jid.MustParse(s)); got != want {
			t.Errorf("%s: got %v, want %v", s, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	rules, problems := access.Compile(access.Definition{
		Hosts: []string{"a.test"},
		Classes: map[string][]access.Pattern{
			"admin":   {{User: new("alice")}, {User: new("bob")}},
			"blocked": {{User: new("mallory")}},
			"phones":  {{Resource: new("phone")}},
			"empty":   {},
		},
		Rules: map[string][]access.Clause{
			"c2s":    {{"blocked", access.Deny}, {"all", access.Allow}},
			"create": {{"empty", access.Allow}, {"admin", access.Allow}},
			"number": {{"admin", access.Number(5000)}, {"all", access.Number(0)}},
			"shaper": {{"admin", access.Word("none")}, {"phones", access.Word("slow")}},
			"bare":   {},
			"nobody": {{"none", access.Allow}, {"admin", access.Word("x")}},
		},
	})
	for _, p := range problems {
		t.Fatal(p)
	}
	for _, tt := range []struct{ rule, who, want string }{
		{"all", "x@c.test", "allow"},
		{"none", "alice@a.test", "deny"},
		{"unknown", "alice@a.test", "deny"},
		{"c2s", "mallory@a.test", "deny"},
		{"c2s", "x@c.test", "allow"},
		{"create", "alice@a.test", "allow"},
		{"create", "bob@a.test", "allow"},
		{"create", "carol@a.test", "deny"},
		{"number", "bob@a.test", "5000"},
		{"number", "carol@a.test", "0"},
		{"shaper", "alice@a.test/phone", "none"},
		{"shaper", "carol@a.test/phone", "slow"},
		{"shaper", "carol@a.test", "deny"},
		{"bare", "alice@a.test", "deny"},
		{"nobody", "alice@a.test", "x"},
		{"nobody", "carol@a.test", "deny"},
	} {
		v := rules.Match(tt.rule, "a.test", jid.MustParse(tt.who))
		if got := v.String(); got != tt.want || v.Allowed() != (tt.want == "allow") {
			t.Errorf("%s of %s: got %s, want %s", tt.rule, tt.who, got, tt.want)
		}
	}
	for rule, want := range map[string]bool{"all": true, "none": true, "bare": true, "c2s": true, "phones": false} {
		if got := rules.Has(rule); got != want {
			t.Errorf("has %s: got %v, want %v", rule, got, want)
		}
	}
	if !rules.ByResource("shaper") || rules.ByResource("c2s") || rules.ByResource("all") {
		t.Error("which rules look at the resource?")
	}
	if n, ok := rules.Match("number", "a.test", jid.MustParse("bob@a.test")).Number(); n != 5000 || !ok {
		t.Errorf("got %d, %v", n, ok)
	}
	if _, ok := access.Allow.Number(); ok {
		t.Error("a word is a number")
	}
}

func TestNilRules(t *testing.T) {
	t.Parallel()
	var rules *access.Rules
	who := jid.MustParse("x@a.test")
	if !rules.Allows("all", "a.test", who) || rules.Allows("none", "a.test", who) || rules.Allows("x", "a.test", who) || rules.Has("x") {
		t.Error("nil rules are not the built-in ones alone")
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	_, problems := access.Compile(access.Definition{
		Classes: map[string][]access.Pattern{
			"all": {{}},
			"b":   {{}, {Match: "some", User: new("a@b"), Server: new("a b"), Resource: new(""), UserRegexp: new("a)|(b"), ServerGlob: new("[z-a]")}},
		},
		Rules: map[string][]access.Clause{
			"none": {{"all", access.Allow}},
			"x":    {{"all", access.Allow}, {"locl", access.Allow}},
		},
	})
	want := []string{
		`acl.all: the class "all" is built in`,
		`acl.b[1].match: want "all", "current_domain", "any_hosted_domain" or "none", got "some"`,
		`acl.b[1].user: no address has this user: "a@b"`,
		`acl.b[1].user_regexp: want a regular expression (RE2's syntax), got "a)|(b": unexpected )`,
		`acl.b[1].server: no address has this server: "a b"`,
		`acl.b[1].server_glob: want a pattern`,
		`acl.b[1].resource: no address has this resource: ""`,
		`access.none: the rule "none" is built in`,
		`access.x[1].acl: want "all" or a class that [acl] defines, got "locl"`,
	}
	for i, p := range problems {
		if i >= len(want) || !strings.HasPrefix(p.Error(), want[i]) {
			t.Errorf("problem %d: %s", i, p)
		}
	}
	if len(problems) != len(want) {
		t.Errorf("%d problems, want %d", len(problems), len(want))
	}
}

func BenchmarkMatch(b *testing.B) {
	rules, _ := access.Compile(access.Definition{
		Hosts:   []string{"a.test"},
		Classes: map[string][]access.Pattern{"admin": {{User: new("alice")}, {UserRegexp: new("^adm")}}, "local": {{}}},
		Rules:   map[string][]access.Clause{"r": {{"admin", access.Allow}, {"local", access.Allow}}},
	})
	who := jid.MustParse("x@a.test/r")
	b.ReportAllocs()
	for b.Loop() {
		if !rules.Allows("r", "a.test", who) {
			b.Fatal("denied")
		}
	}
}

// FuzzPattern: no pattern panics, and one that is accepted has an answer.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"a*", "[a-z]?", "[!]x]", `\`, "[", "[]", "[^", "ж[д-я]", "(", "(?i)a)|(b"} {
		f.Add(s, "romeo")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		who, err := jid.New(name, "a.test", "")
		if err != nil {
			return
		}
		for _, p := range []access.Pattern{{UserGlob: &pattern}, {UserRegexp: &pattern}, {User: &pattern}, {ResourceGlob: &pattern}} {
			rules, problems := access.Compile(access.Definition{
				Classes: map[string][]access.Pattern{"c": {p}},
				Rules:   map[string][]access.Clause{"r": {{Class: "c", Value: access.Allow}}},
			})
			if len(problems) == 0 {
				rules.Allows("r", "a.test", who)
			}
		}
	})
}
