package muclog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// about is how a room is at some time, for pages.
type about struct {
	settings  []setting
	occupants []string // nicknames with roles
}

type setting struct{ label, value string }

func (a *about) size() int {
	n := 0
	if a != nil {
		for _, s := range a.settings {
			n += 64 + len(s.label) + len(s.value)
		}
		for _, o := range a.occupants {
			n += 16 + len(o)
		}
	}
	return n
}

// describe returns how a room is. Secrets are not in it, nor real addresses.
func (x *rooms) describe(r *muc.Room) *about {
	a, values := &about{}, r.Settings()
	for _, s := range x.settings() {
		if v, ok := values[s.Var]; ok && !s.Private {
			a.settings = append(a.settings, setting{s.Label, worded(&s, v)})
		}
	}
	for o := range r.Occupants() {
		a.occupants = append(a.occupants, fmt.Sprintf("%s (%s)", o.Nick(), o.Role()))
	}
	slices.Sort(a.occupants)
	return a
}

// worded is a setting's value in words.
func worded(s *muc.Setting, values []string) string {
	if s.Type == stanza.FieldBoolean && len(values) == 1 {
		if values[0] == "1" {
			return "yes"
		}
		return "no"
	}
	words := slices.Clone(values)
	for i, v := range words {
		if c := slices.IndexFunc(s.Choices, func(o stanza.Option) bool { return o.Value == v }); c >= 0 && s.Choices[c].Label != "" {
			words[i] = s.Choices[c].Label
		}
	}
	return strings.Join(words, ", ")
}

// appendAbout appends how a room is, folded away.
func appendAbout(dst []byte, a *about) []byte {
	list := func(title string, lines []string) {
		dst = fmt.Appendf(dst, "<details><summary>%s</summary><ul>", title)
		for _, line := range lines {
			dst = fmt.Appendf(dst, "<li>%s</li>", line)
		}
		dst = append(dst, "</ul></details>\n"...)
	}
	settings := make([]string, len(a.settings))
	for i, s := range a.settings {
		settings[i] = escaped(s.label) + ": <b>" + escaped(s.value) + "</b>"
	}
	occupants := make([]string, len(a.occupants))
	for i, o := range a.occupants {
		occupants[i] = escaped(o)
	}
	list("Configuration", settings)
	list(fmt.Sprintf("Occupants: %d", len(occupants)), occupants)
	return dst
}
