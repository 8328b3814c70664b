package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-im/muster/internal/access"
	"github.com/muster-im/muster/internal/nearest"
)

// Pattern is one entry of a class in [acl]. All conditions that it has must
// hold.
type Pattern struct {
	Match          string  `toml:"match" choice:"current_domain,any_hosted_domain,all,none" doc:"Whose users are meant: those of the domain that something is wanted of (for rooms that to which they belong), of all domains of this server, everybody, or nobody."`
	User           *string `toml:"user" doc:"The local part of the address."`
	Server         *string `toml:"server" doc:"The domain of the address."`
	Resource       *string `toml:"resource" doc:"The resource of the address."`
	UserRegexp     *string `toml:"user_regexp" doc:"A regular expression (RE2) that matches anywhere in the local part, which is in lower case."`
	ServerRegexp   *string `toml:"server_regexp" doc:"The same for the domain."`
	ResourceRegexp *string `toml:"resource_regexp" doc:"The same for the resource."`
	UserGlob       *string `toml:"user_glob" doc:"A pattern like a* or user[0-9]? that matches the whole local part."`
	ServerGlob     *string `toml:"server_glob" doc:"The same for the domain."`
	ResourceGlob   *string `toml:"resource_glob" doc:"The same for the resource."`
}

func (p *Pattern) defaults() { *p = Pattern{Match: string(access.CurrentDomain)} }

// Clause is one entry of a rule in [access].
type Clause struct {
	ACL   string `toml:"acl" doc:"A class of [acl], or all. The first entry whose class somebody belongs to counts; who belongs to none is denied."`
	Value *Value `toml:"value" doc:"What the rule says then: allow or deny, a number, or the name of a shaper, whatever the rule is for."`
}

// Value is what a rule says: a word or a number.
type Value struct{ is access.Value }

func (v *Value) set(x any) error {
	switch x := x.(type) {
	case string:
		if x != "" {
			v.is = access.Word(x)
			return nil
		}
	case int64:
		v.is = access.Number(int(x))
		return nil
	}
	return fmt.Errorf("want %s", v.form())
}

func (v *Value) form() string { return `a word such as "allow", or an integer` }
func (v *Value) text() string { return fmt.Sprintf("%q", v.is) }

// Shaper is [shaper.NAME].
type Shaper struct {
	MaxRate Positive `toml:"max_rate" doc:"Bytes in a second; what one second brings may also come at once. Required."`
}

func (s *Shaper) defaults() { *s = Shaper{} }

// Unused returns the rules of [access] and the shapers that no setting names: a
// file has no problem with them, but whoever wrote it may.
func (c *Config) Unused() Problems { return c.unused }

// Warnings returns what a file has no problem with, though whoever wrote it may:
// what is Unused, and what works and is likely not meant like that.
func (c *Config) Warnings() Problems {
	return c.unused.With(c.dubious...)
}

// Rules compiles [acl] and [access], and what [[host_config]] has of them.
func (c *Config) Rules() (*access.Rules, error) {
	rules, problems := access.Compile(definition(c.General.Hosts, c.allClasses(), c.Access))
	for i := range c.HostConfig {
		h := &c.HostConfig[i]
		m := c.merge("", h)
		own, more := access.Compile(definition(c.General.Hosts, m.classes, m.rules))
		rules.SetHost(h.Host, own)
		problems = append(problems, more...)
	}
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return rules, errors.Join(errs...)
}

// allClasses are the classes of [acl], and those that only single hosts have,
// to which nobody belongs elsewhere.
func (c *Config) allClasses() map[string][]Pattern {
	classes := make(map[string][]Pattern, len(c.ACL))
	for i := range c.HostConfig {
		for name := range c.HostConfig[i].ACL {
			classes[name] = nil
		}
	}
	maps.Copy(classes, c.ACL)
	return classes
}

func definition(hosts []string, classes map[string][]Pattern, rules map[string][]Clause) access.Definition {
	d := access.Definition{
		Hosts:   hosts,
		Classes: make(map[string][]access.Pattern, len(classes)), Rules: make(map[string][]access.Clause, len(rules)),
	}
	for name, patterns := range classes {
		list := make([]access.Pattern, len(patterns))
		for i, p := range patterns {
			list[i] = access.Pattern{
				Match: access.Scope(p.Match), User: p.User, Server: p.Server, Resource: p.Resource,
				UserRegexp: p.UserRegexp, ServerRegexp: p.ServerRegexp, ResourceRegexp: p.ResourceRegexp,
				UserGlob: p.UserGlob, ServerGlob: p.ServerGlob, ResourceGlob: p.ResourceGlob,
			}
		}
		d.Classes[name] = list
	}
	for name, clauses := range rules {
		list := make([]access.Clause, len(clauses))
		for i, clause := range clauses {
			list[i] = access.Clause{Class: clause.ACL}
			if clause.Value != nil {
				list[i].Value = clause.Value.is
			}
		}
		d.Rules[name] = list
	}
	return d
}

// names knows which rules and shapers there are, for everybody or for one host,
// and which are used.
type names struct {
	d      *decoder
	c      *Config
	rules  *access.Rules
	access map[string][]Clause
	places map[string]string // of entries whose path is another; nil: none
	used   map[string]bool   // by path
}

// clauses checks that the entries of a rule say what they have to.
func (d *decoder) clauses(rule string, clauses []Clause) {
	for i, clause := range clauses {
		path := fmt.Sprintf("%s[%d]", rule, i)
		if clause.ACL == "" && d.src.keys[path+".acl"] == (position{}) {
			d.problem(d.at(path, path), path+".acl", "required: the class that the entry is about")
		}
		if clause.Value == nil && d.src.keys[path+".value"] == (position{}) {
			d.problem(d.at(path, path), path+".value", `required, like "allow"`)
		}
	}
}

// ruleProblems reports what is wrong with classes and rules, each at its place;
// what place knows nothing of is reported elsewhere.
func (d *decoder) ruleProblems(problems []*access.Problem, rules map[string][]Clause, place func(path string) (string, bool)) {
	for _, p := range problems {
		if p.Key == "match" || p.Key == "acl" && rules[p.Rule][p.Index].ACL == "" {
			continue // reported already
		}
		path := "acl." + p.Class
		if p.Rule != "" {
			path = "access." + p.Rule
		}
		if p.Index >= 0 {
			path = fmt.Sprintf("%s[%d]", path, p.Index)
		}
		path, ok := place(path)
		if !ok {
			continue
		}
		if p.Index >= 0 {
			path += "." + p.Key
		}
		d.problem(d.at(path, path), path, "%s", p.Text)
	}
}

// access checks [acl], [access] and [shaper].
func (d *decoder) access(c *Config) *names {
	for _, name := range slices.Sorted(maps.Keys(c.Access)) {
		d.clauses("access."+name, c.Access[name])
	}
	rules, problems := access.Compile(definition(c.General.Hosts, c.allClasses(), c.Access))
	d.ruleProblems(problems, c.Access, func(path string) (string, bool) {
		return path, !strings.HasPrefix(path, "acl.") || d.src.keys[path] != (position{})
	})
	for _, name := range slices.Sorted(maps.Keys(c.Shaper)) {
		path := "shaper." + name
		switch {
		case name == access.None:
			d.problem(d.src.keys[path], path, `the name "none" means no shaper: choose another`)
		case c.Shaper[name].MaxRate == 0 && d.src.keys[path+".max_rate"] == (position{}):
			d.problem(d.src.keys[path], path+".max_rate", "required: bytes in a second")
		}
	}
	return &names{d: d, c: c, rules: rules, access: c.Access, used: make(map[string]bool)}
}

// place is where an entry of a rule stands.
func (n *names) place(rule string, i int) string {
	path := fmt.Sprintf("access.%s[%d]", rule, i)
	if place, ok := n.places[path]; ok {
		return place
	}
	return path
}

// rule checks a setting that names a rule which permits something or does not.
func (n *names) rule(path, name string) {
	n.used["access."+name] = true
	for i, v := range n.rules.Values(name) {
		if v != access.Allow && v != access.Deny {
			n.d.wrong(n.place(name, i)+".value", v.String(),
				fmt.Sprintf(`%s asks this rule for a permission: want "allow" or "deny"`, path))
		}
	}
	if n.rules.Has(name) {
		return
	}
	n.d.wrong(path, name, `want "all", "none" or a rule that [access] defines`+maybe(name, slices.Sorted(maps.Keys(n.access))))
}

// shaper checks a setting that names a shaper, or a rule that does.
func (n *names) shaper(path, name string) {
	_, isShaper := n.c.Shaper[name]
	_, isRule := n.access[name]
	if isRule {
		n.used["access."+name] = true
	} else {
		n.used["shaper."+name] = true
	}
	switch {
	case name == access.None || isShaper && !isRule:
		return
	case !isRule:
		known := append(slices.Collect(maps.Keys(n.c.Shaper)), slices.Collect(maps.Keys(n.access))...)
		slices.Sort(known)
		n.d.wrong(path, name, `want "none", a shaper that [shaper.NAME] defines, or a rule of [access] that says which`+maybe(name, known))
		return
	}
	for i, v := range n.rules.Values(name) {
		n.used["shaper."+v.String()] = true
		if _, ok := n.c.Shaper[v.String()]; !ok && v.String() != access.None {
			at := n.place(name, i) + ".value"
			n.d.wrong(at, v.String(), fmt.Sprintf(`%s asks this rule for a shaper: want "none" or a shaper that [shaper.NAME] defines`, path))
		}
	}
}

// shaperItself checks a setting that names a shaper and never a rule.
func (n *names) shaperItself(path, name string) {
	n.used["shaper."+name] = true
	if _, ok := n.c.Shaper[name]; ok || name == access.None {
		return
	}
	n.d.wrong(path, name, `want "none" or a shaper that [shaper.NAME] defines`+maybe(name, slices.Sorted(maps.Keys(n.c.Shaper))))
}

// unused finds the rules and shapers that nothing names. MongooseIM gives some
// names a meaning of their own, such as max_user_sessions; here none has.
func (n *names) unused() Problems {
	var list Problems
	add := func(path string) {
		if !n.used[path] {
			list = append(list, n.c.Problem(path, unnamed))
		}
	}
	for name := range n.c.Access {
		add("access." + name)
	}
	for name := range n.c.Shaper {
		add("shaper." + name)
	}
	return list.With()
}

// maybe proposes a name that is near.
func maybe(name string, known []string) string {
	if near := nearest.Word(name, known); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	if len(known) > 0 {
		return " (defined: " + strings.Join(known, ", ") + ")"
	}
	return ""
}

// muc checks what the table of rooms at a path names.
func (n *names) muc(path string, m *MUC) {
	n.rule(path+"access", m.Access)
	n.rule(path+"access_create", m.AccessCreate)
	n.rule(path+"access_admin", m.AccessAdmin)
	n.rule(path+"access_persistent", m.AccessPersistent)
	n.rule(path+"access_password", m.AccessPassword)
	n.shaperItself(path+"room_shaper", m.RoomShaper)
	n.shaperItself(path+"user_message_shaper", m.UserMessageShaper)
	n.shaperItself(path+"user_presence_shaper", m.UserPresenceShaper)
	n.pool(path+"http_auth_pool", m.HTTPAuthPool)
}
