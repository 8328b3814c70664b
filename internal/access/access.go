// Package access decides who may do what: classes of addresses, and rules that
// give a value to each class, with the names and the meaning that MongooseIM
// has given them. Rules are compiled once and never change, so that any number
// of goroutines may ask them; nothing here blocks.
package access

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/muster-im/muster/jid"
)

// Names that need no definition.
const (
	All  = "all"  // the class of everybody, and the rule that allows everybody
	None = "none" // the class of nobody, and the rule that allows nobody
)

// Value is what a rule says: "allow", "deny", another word, or a number.
type Value struct {
	text   string
	number int
	digits bool // number counts
}

// The values of rules that permit something. The zero Value is Deny.
var (
	Allow = Word("allow") //nolint:gochecknoglobals // a constant
	Deny  = Value{}       //nolint:gochecknoglobals // a constant
)

// Word returns a value that is a word.
func Word(s string) Value {
	if s == "deny" {
		return Value{}
	}
	return Value{text: s}
}

// Number returns a value that is a number.
func Number(n int) Value { return Value{number: n, digits: true} }

// Allowed reports whether the value is "allow", the only one that permits.
func (v Value) Allowed() bool { return v == Allow }

// Number returns the number; ok is false if the value is a word.
func (v Value) Number() (n int, ok bool) { return v.number, v.digits }

// String returns the value as it stands in a file.
func (v Value) String() string {
	switch {
	case v.digits:
		return strconv.Itoa(v.number)
	case v == Deny:
		return "deny"
	}
	return v.text
}

// Clause gives a value to a class.
type Clause struct {
	Class string
	Value Value
}

// Definition is what rules are compiled from.
type Definition struct {
	Hosts   []string             // domains served, prepared
	Classes map[string][]Pattern // a class is the union of its patterns
	Rules   map[string][]Clause  // the first clause whose class matches counts
}

// Problem is what is wrong with a definition.
type Problem struct {
	Class, Rule string // one of them is set
	Index       int    // of the pattern or clause; -1: the name itself
	Key         string // of the condition, or "acl"
	Text        string // what is wrong, what is right
}

// Error names the place and says what is wrong.
func (p *Problem) Error() string {
	where := "acl." + p.Class
	if p.Rule != "" {
		where = "access." + p.Rule
	}
	if p.Index >= 0 {
		where += fmt.Sprintf("[%d]", p.Index)
	}
	if p.Key != "" {
		where += "." + p.Key
	}
	return where + ": " + p.Text
}

// Rules answer. They are immutable; the nil Rules have nothing but the built-in
// ones.
type Rules struct {
	hosts map[string]bool
	rules map[string][]clause
	own   map[string]*Rules // of single hosts, which answer for these
}

// SetHost lets other rules answer whatever is asked with that host. It is for
// rules that nobody asks yet.
func (r *Rules) SetHost(host string, own *Rules) {
	if r.own == nil {
		r.own = make(map[string]*Rules)
	}
	r.own[host] = own
}

// clause is a Clause whose class has been looked up.
type clause struct {
	everybody bool
	class     []matcher
	value     Value
}

// Compile makes rules of a definition. All that is wrong with it is found in
// one run, in the order of the names.
func Compile(d Definition) (*Rules, []*Problem) {
	r := &Rules{hosts: make(map[string]bool, len(d.Hosts)), rules: make(map[string][]clause, len(d.Rules))}
	for _, h := range d.Hosts {
		r.hosts[h] = true
	}
	var problems []*Problem
	classes := make(map[string][]matcher, len(d.Classes))
	for _, name := range slices.Sorted(maps.Keys(d.Classes)) {
		if name == All || name == None {
			problems = append(problems, &Problem{Class: name, Index: -1, Text: fmt.Sprintf("the class %q is built in: choose another name", name)})
		}
		list := make([]matcher, 0, len(d.Classes[name]))
		for i, p := range d.Classes[name] {
			m, found := p.compile()
			for _, problem := range found {
				problem.Class, problem.Index = name, i
			}
			list, problems = append(list, m), append(problems, found...)
		}
		classes[name] = list
	}
	for _, name := range slices.Sorted(maps.Keys(d.Rules)) {
		if name == All || name == None {
			problems = append(problems, &Problem{Rule: name, Index: -1, Text: fmt.Sprintf("the rule %q is built in: choose another name", name)})
		}
		for i, c := range d.Rules[name] {
			class, ok := classes[c.Class]
			if !ok && c.Class != All && c.Class != None {
				problems = append(problems, &Problem{
					Rule: name, Index: i, Key: "acl",
					Text: fmt.Sprintf(`want "all" or a class that [acl] defines, got %q`, c.Class),
				})
			}
			r.rules[name] = append(r.rules[name], clause{everybody: c.Class == All, class: class, value: c.Value})
		}
		if len(d.Rules[name]) == 0 {
			r.rules[name] = nil // it is there and matches nobody
		}
	}
	return r, problems
}

// Has reports whether there is a rule of that name.
func (r *Rules) Has(rule string) bool {
	if rule == All || rule == None {
		return true
	}
	if r == nil {
		return false
	}
	_, ok := r.rules[rule]
	return ok
}

// Match returns what a rule says of somebody, Deny if it says nothing or is
// unknown. host is the domain that he wants something of: for rooms that to
// which they belong, "" if it is the server as a whole.
func (r *Rules) Match(rule, host string, who jid.JID) Value {
	switch {
	case rule == All:
		return Allow
	case rule == None || r == nil:
		return Deny
	}
	if own := r.own[host]; own != nil {
		r = own
	}
	for i := range r.rules[rule] {
		c := &r.rules[rule][i]
		if c.everybody || r.in(c.class, host, who) {
			return c.value
		}
	}
	return Deny
}

// Allows reports whether a rule permits something to somebody.
func (r *Rules) Allows(rule, host string, who jid.JID) bool {
	return r.Match(rule, host, who).Allowed()
}

// Values returns all that a rule can say, but for the Deny of those whom no
// clause matches.
func (r *Rules) Values(rule string) []Value {
	switch {
	case rule == All:
		return []Value{Allow}
	case rule == None || r == nil:
		return nil
	}
	list := make([]Value, 0, len(r.rules[rule]))
	for i := range r.rules[rule] {
		list = append(list, r.rules[rule][i].value)
	}
	return list
}

// ByResource reports whether what a rule says may depend on the resource: then
// it has no answer about somebody who has none yet.
func (r *Rules) ByResource(rule string) bool {
	if r == nil {
		return false
	}
	for _, own := range r.own {
		if own.ByResource(rule) {
			return true
		}
	}
	for i := range r.rules[rule] {
		for j := range r.rules[rule][i].class {
			if r.rules[rule][i].class[j].resource != nil {
				return true
			}
		}
	}
	return false
}

// in reports whether somebody belongs to a class.
func (r *Rules) in(class []matcher, host string, who jid.JID) bool {
	for i := range class {
		if class[i].matches(r.hosts, host, who) {
			return true
		}
	}
	return false
}
