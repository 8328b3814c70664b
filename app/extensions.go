package app

import (
	"fmt"
	"strings"

	"github.com/muster-im/muster/server"
)

// describe is what muster --help says behind its summary: what it is, and what
// the extensions are that this binary has.
func (e *env) describe() string {
	text := summary
	if len(e.extensions) == 0 {
		return text
	}
	text += "\n\nThis binary has extensions, each with a table in muster.toml:\n"
	for _, m := range server.Modules(e.extensions...) {
		table := "no settings"
		if m.Settings != nil {
			table = "[modules." + m.Name + "]"
		}
		text += fmt.Sprintf("\n    %-28s %s", table, strings.TrimSpace(m.Name+": "+m.Doc))
	}
	return text
}

// withExtensions names the extensions that a configuration was checked with.
func (e *env) withExtensions() string {
	if len(e.extensions) == 0 {
		return ""
	}
	names := make([]string, len(e.extensions))
	for i, x := range e.extensions {
		names[i] = x.Name()
	}
	return " (extensions: " + strings.Join(names, ", ") + ")"
}
