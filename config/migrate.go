package config

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Fate is what became of a setting on its way here.
type Fate string

// The fates.
const (
	Kept      Fate = "kept"
	Renamed   Fate = "renamed"
	NotNeeded Fate = "not needed"
	Lost      Fate = "LOST"
)

// Moved is a setting of another system's file and what became of it.
type Moved struct {
	Key      string `json:"key"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Fate     Fate   `json:"fate"`
	Note     string `json:"note,omitempty"`     // its new name, or why
	Security bool   `json:"security,omitempty"` // lost, and without it somebody may do what he might not
}

// Migration is a file of another system as a configuration of this one.
type Migration struct {
	File []byte  // passes Parse
	Keys []Moved // every setting of the original, in its order
}

// FromMongooseIM makes a configuration of a mongooseim.toml. What this version
// does not take is left out, so that what is left never permits more than it
// says: a rule ends, and denies, where an entry of it is lost.
func FromMongooseIM(name string, data []byte) (*Migration, error) {
	src, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	m := &migration{src: src, fates: make(map[string]Moved), parts: make(map[string]any), taken: make(map[string]bool)}
	leaves(src.values, "", func(path string) { m.order = append(m.order, path) })
	m.general()
	m.listeners()
	m.auth()
	m.pools()
	m.logs()
	m.rest()
	file, err := m.settle()
	if err != nil {
		return nil, err
	}
	return &Migration{File: file, Keys: m.report()}, nil
}

// migration turns the values of src step by step into a configuration.
type migration struct {
	src   *source
	order []string         // the settings, by path
	fates map[string]Moved // of those that are not kept, or of tables that hold them
	parts map[string]any   // what stood in arrays and is left out, by path
	taken map[string]bool  // what is left out since the file was last written
}

// gone marks an element that is left out of an array, whose others keep their
// numbers so.
type gone struct{}

// lose leaves out what stands at a path.
func (m *migration) lose(path, why string) {
	m.drop(path, Moved{Fate: Lost, Note: why, Security: concernsSecurity(path, m.values(path))})
}

// done leaves out what needs no setting here.
func (m *migration) done(path, why string) { m.drop(path, Moved{Fate: NotNeeded, Note: why}) }

// renamed notes that what stood at a path has another name or form now.
func (m *migration) renamed(path, to string) { m.fates[path] = Moved{Fate: Renamed, Note: to} }

func (m *migration) drop(path string, f Moved) {
	h, ok := m.find(path)
	switch {
	case !ok || h.value() == any(gone{}):
		return
	case h.table != nil:
		delete(h.table, h.key)
	default:
		m.parts[path] = h.value()
		h.array[h.index] = gone{}
	}
	m.fates[path], m.taken[path] = f, true
}

// values returns what stands at a path, nil if nothing does.
func (m *migration) values(path string) any {
	if h, ok := m.find(path); ok {
		return h.value()
	}
	return nil
}

// holder is where a value stands: in a table, or else in an array.
type holder struct {
	table map[string]any
	key   string
	array []any
	index int
}

func (h holder) value() any {
	if h.table != nil {
		return h.table[h.key]
	}
	return h.array[h.index]
}

// find returns what holds that which stands at a path, if there is such a thing.
// Names may have dots in them.
func (m *migration) find(path string) (h holder, ok bool) {
	var at any = m.src.values
	for path != "" {
		switch v := at.(type) {
		case map[string]any:
			name := longestKey(v, path)
			if name == "" {
				return holder{}, false
			}
			h, path = holder{table: v, key: name}, path[len(name):]
		case []any:
			i := 0
			if n, _ := fmt.Sscanf(path, "[%d]", &i); n != 1 || i < 0 || i >= len(v) {
				return holder{}, false
			}
			h = holder{array: v, index: i}
			_, path, _ = strings.Cut(path, "]")
		default:
			return holder{}, false
		}
		at, path = h.value(), strings.TrimPrefix(path, ".")
	}
	return h, h.table != nil || h.array != nil
}

// longestKey returns the key of a table with which a path begins.
func longestKey(table map[string]any, path string) string {
	best := ""
	for key := range table {
		if rest, ok := strings.CutPrefix(path, key); ok && len(key) > len(best) && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			best = key
		}
	}
	return best
}

// leaves calls each for the paths of all settings below v, in order. Arrays of
// tables are gone into, others are one setting.
func leaves(v any, path string, each func(path string)) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 && path != "" {
			each(path)
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			leaves(v[key], join(path, key), each)
		}
	case []any:
		if !slices.ContainsFunc(v, func(e any) bool { _, ok := e.(map[string]any); return ok }) {
			each(path)
			return
		}
		for i := range v {
			leaves(v[i], fmt.Sprintf("%s[%d]", path, i), each)
		}
	default:
		each(path)
	}
}

// compact returns a copy of v without what is gone from arrays, and notes where
// everything in it stood.
func compact(v any, path, was string, places map[string]string) any {
	places[path] = was
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for key, value := range v {
			c[key] = compact(value, join(path, key), join(was, key), places)
		}
		return c
	case []any:
		c := make([]any, 0, len(v))
		for i, value := range v {
			if value != any(gone{}) {
				c = append(c, compact(value, fmt.Sprintf("%s[%d]", path, len(c)), fmt.Sprintf("%s[%d]", was, i), places))
			}
		}
		return c
	}
	return v
}

// settle leaves out whatever this version has a problem with, and then what it
// takes and has no use for, until there is neither.
func (m *migration) settle() ([]byte, error) {
	for range 2*len(m.order) + 2 {
		places := make(map[string]string)
		values := compact(m.src.values, "", "", places)
		var file bytes.Buffer
		_, _ = fmt.Fprintf(&file, "# Made by muster config import of %q. `muster check` says what is wrong with it.\n\n", m.src.name)
		if err := toml.NewEncoder(&file).Encode(values); err != nil {
			return nil, fmt.Errorf("write the configuration: %w", err)
		}
		c, err := parseIn(m.src.dir, m.src.name, file.Bytes(), nil)
		before := len(m.fates)
		clear(m.taken)
		if err == nil {
			m.idle(c, places)
			if len(m.fates) == before {
				return append(bytes.TrimRight(file.Bytes(), "\n"), '\n'), nil
			}
			continue
		}
		problems, _ := errors.AsType[Problems](err)
		for _, p := range problems {
			m.refuse(stoodAt(p.Key, places), p.Text)
		}
		if len(m.fates) == before {
			return nil, fmt.Errorf("import %s: %w", m.src.name, err)
		}
	}
	return nil, fmt.Errorf("import %s: too many problems", m.src.name)
}

// idle leaves out what this version takes without a problem, and then says that
// it does nothing: a report and a check of the new file say the same.
func (m *migration) idle(c *Config, places map[string]string) {
	for _, p := range slices.Concat(c.Remarks(), c.Warnings()) {
		path := stoodAt(p.Key, places)
		if why, ok := strings.CutPrefix(p.Text, notNeeded); ok {
			m.done(path, why)
		} else if why, ok := strings.CutPrefix(p.Text, leftOut); ok {
			m.lose(path, why)
		} else if p.Text == unnamed {
			m.done(path, "no setting names it")
		}
	}
}

// stoodAt returns where a setting of the new file stood in the old one.
func stoodAt(key string, places map[string]string) string {
	for end := key; end != ""; end = end[:max(strings.LastIndexAny(end, ".["), 0)] {
		if was, ok := places[end]; ok {
			return was + key[len(end):]
		}
	}
	return key
}

// refuse leaves out what has a problem, and with it what would permit more
// without.
func (m *migration) refuse(path, why string) {
	for m.values(path) == nil { // something that is required in it
		if m.taken[path] {
			return // with what is around it there was another problem
		}
		end := strings.LastIndexAny(path, ".[")
		if end < 0 {
			return
		}
		path = path[:end]
	}
	switch {
	case always[withoutIndexes(path)]:
		m.always(path)
		return
	case strings.HasPrefix(why, "unknown key"):
		why = "this version does not have it"
	case m.nobody(path, why):
		return
	}
	why = strings.TrimSuffix(strings.TrimSuffix(why, ": remove the key"), ": remove the table")
	if rule, rest, found := strings.Cut(path, "["); found && strings.HasPrefix(path, "access.") {
		var from int
		if n, _ := fmt.Sscanf(rest, "%d", &from); n == 1 {
			m.cut(rule, from, why)
			return
		}
	}
	if before, _, found := strings.Cut(path, "default_room.affiliations["); found {
		entry, _, _ := strings.Cut(path[len(before):], "]")
		path = before + entry + "]" // an affiliation of nobody, or none of somebody, is nothing
	}
	if entry, _, found := strings.Cut(path, "]"); found && strings.HasPrefix(path, "acl.") {
		path = entry + "]" // with fewer conditions it would mean more people
		class, _, _ := strings.Cut(strings.TrimPrefix(entry, "acl."), "[")
		defer m.cutAt(class, "it is about a class that is lost in part")
	}
	m.lose(path, why)
	if table, ok := strings.CutSuffix(path, "http_auth_pool"); ok {
		m.closed(table, why)
	}
}

// closed keeps rooms closed whose passwords a service decided on that is lost:
// MongooseIM lets nobody in then, and an empty password would let in whoever
// sends one. table is where rooms have their settings.
func (m *migration) closed(table, why string) {
	room := m.table(table + "default_room")
	if secret, _ := room["password"].(string); room["password_protected"] != true || secret != "" {
		return
	}
	room["password"] = rand.Text()
	m.fates[table+"http_auth_pool"] = Moved{Fate: Lost, Note: why + "; new rooms have a password that nobody knows, in default_room.password", Security: true}
}

// nobody lets nobody do what a rule that is not there decided: MongooseIM denies
// everybody then, and without the key everybody might. It reports whether path
// names a rule.
func (m *migration) nobody(path, why string) bool {
	key := path[strings.LastIndex(path, ".")+1:]
	h, ok := m.find(path)
	if !ok || h.table == nil || !strings.HasPrefix(key, "access") || strings.HasPrefix(path, "access.") {
		return false
	}
	if rule, ok := h.value().(string); !ok || rule == "none" {
		return false
	}
	h.table[h.key] = "none"
	m.fates[path] = Moved{Fate: Lost, Note: why + "; now nobody may, as before", Security: true}
	return true
}

// cut ends a rule before one of its entries: who would have come so far is
// denied.
func (m *migration) cut(rule string, from int, why string) {
	entries, _ := m.values(rule).([]any)
	for i := from; i < len(entries); i++ {
		m.lose(fmt.Sprintf("%s[%d]", rule, i), why)
		why = "it is behind one that is lost"
	}
}

// cutAt ends all rules before their first entry about a class.
func (m *migration) cutAt(class, why string) {
	rules, _ := m.src.values["access"].(map[string]any)
	for name := range rules {
		entries, _ := rules[name].([]any)
		for i := range entries {
			if entry, _ := entries[i].(map[string]any); entry["acl"] == class {
				m.cut("access."+name, i, why)
				break
			}
		}
	}
}

// report says what became of every setting. What is said of a table holds for
// what is in it.
func (m *migration) report() []Moved {
	list := make([]Moved, 0, len(m.order))
	for _, path := range m.order {
		f := Moved{Fate: Kept}
		for end := path; end != ""; end = end[:max(strings.LastIndexAny(end, ".["), 0)] {
			if found, ok := m.fates[end]; ok {
				f = found
				break
			}
		}
		if f.Fate == Kept {
			f = m.inPart(path)
		}
		at, ok := m.src.places[path]
		if !ok {
			at = m.src.keys[path]
		}
		f.Key, f.Line, f.Column = path, at.line, at.col
		f.Security = f.Security && concernsSecurity(path, nil)
		list = append(list, f)
	}
	slices.SortStableFunc(list, func(a, b Moved) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return list
}

// inPart says what became of an array some of whose elements may be left out.
func (m *migration) inPart(path string) Moved {
	f := Moved{Fate: Kept}
	elements, _ := m.values(path).([]any)
	for i := range elements {
		element := fmt.Sprintf("%s[%d]", path, i)
		found, ok := m.fates[element]
		if !ok {
			continue
		}
		note := found.Note
		if _, isTable := m.parts[element].(map[string]any); !isTable {
			note = fmt.Sprintf("%s: %s", show(m.parts[element]), note)
		}
		if f.Fate == Lost {
			note = f.Note + "; " + note
		}
		f = Moved{Fate: found.Fate, Note: note, Security: f.Security || found.Security}
	}
	return f
}
