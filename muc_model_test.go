package muster_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// model is what a room has to be after everything that it has agreed to.
type model struct {
	entries  map[string]entry    // by bare address or domain
	settings map[string][]string // those that somebody has set, by form variable
}

// entry is what a room keeps of somebody (XEP-0045 §5.2).
type entry struct {
	affiliation  muc.Affiliation
	nick, reason string // that is reserved for him; why
}

// newModel is a room that somebody has just opened, who owns it.
func newModel(owner string) *model {
	return &model{entries: map[string]entry{owner: {affiliation: muc.Owner}}, settings: make(map[string][]string)}
}

// agreed takes an answered list of items into account, one after the other.
func (m *model) agreed(items []wish) {
	for _, w := range items {
		e := m.entries[w.whom]
		a, err := muc.ParseAffiliation(w.affiliation)
		if err != nil {
			panic(err) // the test's own words
		}
		if w.reason != "" || a != e.affiliation {
			e.reason = w.reason
		}
		switch {
		case a <= muc.None: // §9.1
			e.nick = ""
		case w.nick != "":
			e.nick = w.nick
		}
		e.affiliation = a
		m.entries[w.whom] = e
	}
}

// wish is an item of an affiliation that somebody asks for.
type wish struct{ whom, affiliation, nick, reason string }

func (w wish) xml() string {
	item := stanza.NewElement(stanza.NSMUCAdmin, "item", "jid", w.whom, "affiliation", w.affiliation)
	if w.nick != "" {
		item.SetAttr("nick", w.nick)
	}
	if w.reason != "" {
		item.AddTextElement("reason", w.reason)
	}
	return string(item.AppendXML(nil, stanza.NSMUCAdmin))
}

// known leaves out who has no affiliation: a room may forget him, or not.
func known(entries map[string]entry) map[string]entry {
	list := maps.Clone(entries)
	maps.DeleteFunc(list, func(_ string, e entry) bool { return e.affiliation == muc.None })
	return list
}

// checkModel: a room is what those have been told whom it has obeyed.
func (p *party) checkModel(s *state) {
	if s.locked { // nobody has configured it yet
		return
	}
	if got, want := known(s.entries), known(p.model.entries); !maps.Equal(got, want) {
		p.t.Fatalf("affiliations are %v, want %v", got, want)
	}
	for variable, want := range p.model.settings {
		if got := s.settings[variable]; !slices.Equal(got, want) {
			p.t.Fatalf("%s is %q, want %q", variable, got, want)
		}
	}
	for _, g := range p.guests {
		if g.view != nil && g.subject != s.subject {
			p.t.Fatalf("%s has been told the subject %q, the room's is %q", g.name(), g.subject, s.subject)
		}
	}
}

// text is everything of a room that is to be the same after a restart.
func (s *state) text() string {
	var lines []string
	for who, e := range known(s.entries) {
		lines = append(lines, fmt.Sprint(who, " ", e))
	}
	for variable, values := range s.settings {
		lines = append(lines, fmt.Sprintf("%s=%q", variable, values))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%q %s", s.subject, strings.Join(lines, ", "))
}

// why is the status code of somebody who has been put out by a change of
// affiliations: he is banned, by name or by domain, or no member any more
// (XEP-0045 §9.1, §9.4).
func (m *model) why(account string) string {
	_, domain, _ := strings.Cut(account, "@")
	e := m.entries[account]
	if e.affiliation == muc.None {
		e = m.entries[domain]
	}
	if e.affiliation == muc.Outcast {
		return "301"
	}
	return "321"
}

// checkExits: of those who were inside before and are not any more, everybody has
// been told, themselves too, and why.
func (p *party) checkExits(before *state, why func(account string) string) {
	if before == nil {
		return
	}
	after := p.inspect()
	if after == nil { // a temporary room that is empty now
		after = &state{}
	}
	for nick, who := range before.people {
		if _, stays := after.people[nick]; stays {
			continue
		}
		account, _, _ := strings.Cut(who.sessions[0], "/")
		for _, g := range p.guests {
			concerned := g.view != nil || slices.Contains(who.sessions, g.account.String()+"/"+g.resource)
			if got := g.exits[nick]; concerned && got != why(account) {
				p.t.Fatalf("%s has been told that %s has gone because of %q, want %q", g.name(), nick, got, why(account))
			}
		}
	}
}
