package access

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/muster-im/muster/jid"
)

// Scope says whose users a pattern is about.
type Scope string

// The scopes.
const (
	CurrentDomain   Scope = "current_domain"    // those of the domain that is asked for; the default
	AnyHostedDomain Scope = "any_hosted_domain" // those of all domains of this server
	Everybody       Scope = "all"
	Nobody          Scope = "none"
)

// Pattern is a set of addresses: all conditions that are given must hold. Values
// are prepared as addresses are (RFC 7622); regular expressions match anywhere,
// globs the whole. Only the resource has upper and lower case.
type Pattern struct {
	Match Scope // "" is CurrentDomain

	User, Server, Resource                   *string
	UserRegexp, ServerRegexp, ResourceRegexp *string
	UserGlob, ServerGlob, ResourceGlob       *string
}

// matcher is a compiled pattern. A part that has no tests may be anything.
type matcher struct {
	scope                  Scope
	user, server, resource []test
}

// test is one condition on one part of an address: a regular expression, or
// equality if that is nil.
type test struct {
	equals string
	regexp *regexp.Regexp
}

func (t *test) holds(s string) bool {
	if t.regexp != nil {
		return t.regexp.MatchString(s)
	}
	return s == t.equals
}

// part is the conditions on one part of an address as they were given.
type part struct {
	name                string
	value, regexp, glob *string
	prepare             func(string) (string, error)
	fold                bool // the part has no upper case
}

// compile prepares a pattern; problems have their Key and Text.
func (p *Pattern) compile() (m matcher, problems []*Problem) {
	m.scope = p.Match
	switch p.Match {
	case "":
		m.scope = CurrentDomain
	case CurrentDomain, AnyHostedDomain, Everybody, Nobody:
	default:
		problems = append(problems, &Problem{
			Key: "match", Text: fmt.Sprintf(`want "all", "current_domain", "any_hosted_domain" or "none", got %q`, string(p.Match)),
		})
	}
	for _, x := range []struct {
		part
		to *[]test
	}{
		{part{"user", p.User, p.UserRegexp, p.UserGlob, prepareUser, true}, &m.user},
		{part{"server", p.Server, p.ServerRegexp, p.ServerGlob, prepareServer, true}, &m.server},
		{part{"resource", p.Resource, p.ResourceRegexp, p.ResourceGlob, prepareResource, false}, &m.resource},
	} {
		tests, found := x.compile()
		*x.to, problems = tests, append(problems, found...)
	}
	return m, problems
}

func (p *part) compile() (tests []test, problems []*Problem) {
	wrong := func(key, format string, args ...any) {
		problems = append(problems, &Problem{Key: key, Text: fmt.Sprintf(format, args...)})
	}
	if p.value != nil {
		prepared, err := p.prepare(*p.value)
		if err != nil {
			wrong(p.name, "no address has this %s: %q", p.name, *p.value)
		}
		tests = append(tests, test{equals: prepared})
	}
	if p.regexp != nil {
		re, err := regexp.Compile(*p.regexp)
		if err == nil && p.fold {
			re, err = regexp.Compile("(?i:" + *p.regexp + ")")
		}
		if err != nil {
			wrong(p.name+"_regexp", "want a regular expression (RE2's syntax), got %q: %s", *p.regexp, reason(err))
		}
		tests = append(tests, test{regexp: re})
	}
	if p.glob != nil {
		glob := *p.glob
		if p.fold {
			glob = strings.ToLower(glob)
		}
		re, err := compileGlob(glob)
		if err != nil {
			wrong(p.name+"_glob", `want a pattern such as "a*" or "res[0-9]?", got %q`, *p.glob)
		}
		tests = append(tests, test{regexp: re})
	}
	return tests, problems
}

// reason is what a regular expression's error says beyond quoting it.
func reason(err error) string { return strings.TrimPrefix(err.Error(), "error parsing regexp: ") }

func prepareUser(s string) (string, error) {
	j, err := jid.New(s, "host", "")
	if err == nil && s == "" {
		err = jid.ErrMalformed
	}
	return j.Local(), err
}

func prepareServer(s string) (string, error) {
	j, err := jid.New("", s, "")
	return j.Domain(), err
}

func prepareResource(s string) (string, error) {
	j, err := jid.New("", "host", s)
	if err == nil && s == "" {
		err = jid.ErrMalformed
	}
	return j.Resource(), err
}

// matches reports whether an address is in the set.
func (m *matcher) matches(hosts map[string]bool, host string, who jid.JID) bool {
	switch m.scope {
	case Nobody:
		return false
	case CurrentDomain:
		if host != "" && who.Domain() != host || host == "" && !hosts[who.Domain()] {
			return false
		}
	case AnyHostedDomain:
		if !hosts[who.Domain()] {
			return false
		}
	case Everybody:
	}
	return all(m.user, who.Local()) && all(m.server, who.Domain()) && all(m.resource, who.Resource())
}

func all(tests []test, s string) bool {
	for i := range tests {
		if !tests[i].holds(s) {
			return false
		}
	}
	return true
}

// compileGlob turns a shell's pattern into a regular expression of the whole
// text: * is anything, ? one character, [a-z] one of a set, [!a-z] one that is
// not in it, and \ takes a character as it is.
func compileGlob(glob string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*':
			b.WriteString(`.*`)
		case '?':
			b.WriteString(`.`)
		case '[':
			end := setEnd(glob, i)
			if end < 0 {
				b.WriteString(`\[`) // no set, only a bracket
				continue
			}
			b.WriteString(set(glob[i+1 : end]))
			i = end
		case '\\':
			if i++; i == len(glob) {
				i--
			}
			b.WriteString(quoteByte(glob[i]))
		default:
			b.WriteString(quoteByte(c))
		}
	}
	b.WriteString(`\z`)
	return regexp.Compile(b.String())
}

// setEnd returns where the set that begins at i ends, -1 if it does not. A
// closing bracket that comes first is one of the set.
func setEnd(glob string, i int) int {
	first := i + 1
	if first < len(glob) && (glob[first] == '!' || glob[first] == '^') {
		first++
	}
	if first+1 > len(glob) {
		return -1
	}
	n := strings.IndexByte(glob[min(first+1, len(glob)):], ']')
	if n < 0 {
		return -1
	}
	return first + 1 + n
}

// set is a set in the words of regular expressions.
func set(s string) string {
	not := ""
	if s[0] == '!' || s[0] == '^' {
		not, s = "^", s[1:]
	}
	return "[" + not + strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(s) + "]"
}

// quoteByte is a byte of a literal; those of longer characters stay as they are.
func quoteByte(c byte) string {
	if c >= 0x80 {
		return string([]byte{c})
	}
	return regexp.QuoteMeta(string(rune(c)))
}
