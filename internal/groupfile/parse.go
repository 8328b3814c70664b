// Package groupfile holds groups of people that an administrator writes into a
// text file: Prosody's mod_groups. Parse reads the file, a Source brings the
// groups to contact lists (package shared) and follows changes of the file while
// the server runs. Nothing is stored: contact lists are computed from memory.
//
// A Source has one goroutine, which looks at the file from Start to Close. Load
// and Reload block on the file and on whoever is told of changes; Snapshots never
// blocks.
package groupfile

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

// Format says how a file is read.
type Format string

// The formats. Both know groups ([Name]), public groups ([+Name]), entries before
// the first header (they are in the group "default"), names of contacts
// (address=Name) and comments, lines that begin with # or ;. Line ends may be
// CRLF, and the file may begin with a byte order mark.
const (
	// Strict refuses every line that may mean something else than it says, so
	// that a mistake is found before people miss their contacts. White space
	// around names means nothing.
	Strict Format = "strict"
	// Prosody reads what Prosody reads, and as it does: lines that are no
	// addresses are left out, of an address only the first word counts, a header
	// that comes again goes on with its group, names keep their white space. An
	// empty name is no name.
	Prosody Format = "prosody"
)

const (
	defaultGroup = "default" // of entries before the first header
	maxName      = 1023      // bytes of a name, as in contact lists
	maxProblems  = 100       // that are told of one file
	blanks       = " \t\v\f"
)

// Problem is something that is wrong with a file.
type Problem struct {
	Line, Col int // from 1; 0: nowhere in particular
	Text      string
}

// String returns the problem with its place.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.Text
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Text)
}

// Group is a group of a file.
type Group struct {
	Name    string
	Public  bool // everybody sees the members
	Line    int  // of its first header, or of its first entry
	Members []shared.Entry
}

// File is what a file says.
type File struct {
	Groups  []Group // in the order of the file
	Entries int
	LeftOut int // entries that are nobody's address here
	// Warnings are about what has been left out.
	Warnings []Problem
}

// Parse reads a file. isHost says which domains have accounts here; entries of
// others are left out, with a warning. Problems are all that is wrong with the
// file, in its order; if there are any it must not be used.
func Parse(data []byte, format Format, isHost func(domain string) bool) (*File, []Problem) {
	p := &parser{
		strict: format != Prosody, isHost: isHost, file: &File{},
		groups: make(map[string]int), current: -1,
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		p.number++
		p.line(strings.TrimSuffix(line, "\r"))
	}
	p.file.Warnings = limit(p.file.Warnings)
	return p.file, limit(p.problems)
}

// limit keeps a file that is none from filling the log.
func limit(list []Problem) []Problem {
	if len(list) <= maxProblems {
		return list
	}
	rest := Problem{Text: fmt.Sprintf("%d further lines are like these", len(list)-maxProblems)}
	return append(list[:maxProblems:maxProblems], rest)
}

type parser struct {
	strict   bool
	isHost   func(string) bool
	file     *File
	groups   map[string]int  // by name
	current  int             // group; -1: there was no header yet
	known    map[jid.JID]int // members of the current group by their places, once there are many
	lost     bool            // the last header was none; its entries are not judged
	number   int             // of the line
	problems []Problem
}

// wrong notes a problem in column col, from 0.
func (p *parser) wrong(col int, text string, args ...any) {
	p.problems = append(p.problems, Problem{p.number, col + 1, fmt.Sprintf(text, args...)})
}

// leaveOut notes an entry that is not in use.
func (p *parser) leaveOut(col int, text string, args ...any) {
	p.file.LeftOut++
	p.file.Warnings = append(p.file.Warnings, Problem{p.number, col + 1, fmt.Sprintf(text, args...)})
}

// doubtful notes what strict files must not have and others may.
func (p *parser) doubtful(col int, text string, args ...any) {
	if p.strict {
		p.wrong(col, text, args...)
		return
	}
	p.leaveOut(col, "%s; it is left out", fmt.Sprintf(text, args...))
}

// line reads one line without its end.
func (p *parser) line(s string) {
	text := strings.Trim(s, blanks+"\r")
	col := len(s) - len(strings.TrimLeft(s, blanks+"\r"))
	switch {
	case text == "" || text[0] == '#' || text[0] == ';':
	case !isText(s):
		p.wrong(0, "this is no text in UTF-8, or it has control characters")
	case text[0] == '[' && text[len(text)-1] == ']':
		p.header(col, text[1:len(text)-1])
	case text[0] == '[' && p.strict:
		p.wrong(col, "a header ends with ] and has nothing behind it")
		p.lost = true
	default:
		p.entry(s)
	}
}

// isText reports whether XML can carry s.
func isText(s string) bool {
	if isPlain(s) {
		return true
	}
	for i, r := range s {
		if r < ' ' && r != '\t' && r != '\v' && r != '\f' || r == 0xfffe || r == 0xffff {
			return false
		}
		if r != utf8.RuneError {
			continue
		}
		if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
			return false
		}
	}
	return true
}

// isPlain reports whether s is printable ASCII.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// header begins a group, or goes on with one.
func (p *parser) header(col int, name string) {
	name, public := strings.CutPrefix(name, "+")
	p.lost = true
	if p.strict {
		name = strings.Trim(name, blanks)
		switch {
		case name == "":
			p.wrong(col, "want the group's name in the brackets")
			return
		case strings.ContainsAny(name, "[]"):
			p.wrong(col, "want no brackets in the name of a group")
			return
		case name[0] == '+':
			p.wrong(col, "want one + alone before the name of a public group")
			return
		}
	}
	if !isName(name) {
		p.wrong(col, "the name is longer than %d bytes, or has control characters", maxName)
		return
	}
	p.lost = false
	at, again := p.groups[name]
	if again && p.strict {
		p.wrong(col, "the group %s stands at line %d already", name, p.file.Groups[at].Line)
	}
	p.current, p.known = p.group(name), nil
	p.file.Groups[p.current].Public = p.file.Groups[p.current].Public || public
}

// isName reports whether contact lists can have s as a name.
func isName(s string) bool { return len(s) <= maxName && !strings.ContainsAny(s, "\v\f") }

// group returns the group of a name, a new one if there is none.
func (p *parser) group(name string) int {
	i, ok := p.groups[name]
	if !ok {
		i = len(p.file.Groups)
		p.groups[name] = i
		p.file.Groups = append(p.file.Groups, Group{Name: name, Line: p.number})
	}
	return i
}

// entry adds a member to the current group.
func (p *parser) entry(s string) {
	before, name, named := strings.Cut(s, "=")
	address := strings.Trim(before, blanks)
	col := strings.Index(s, address)
	if i := strings.IndexAny(address, blanks); i >= 0 {
		if p.strict {
			p.wrong(col+i, "want = between the address and a name; comments stand in lines of their own")
			return
		}
		address = address[:i]
	}
	j, ok := p.address(col, address)
	if !ok {
		return
	}
	if p.strict {
		name = strings.Trim(name, blanks)
		if named && name == "" {
			p.wrong(len(before), "want a name behind =, or no =")
			return
		}
	}
	if !isName(name) {
		p.wrong(len(before)+1, "the name is longer than %d bytes, or has control characters", maxName)
		return
	}
	if !p.lost {
		p.add(col, j, name)
	}
}

// address returns who an entry is about; ok is false if it is nobody here.
func (p *parser) address(col int, text string) (j jid.JID, ok bool) {
	j, err := jid.Parse(text)
	switch {
	case text == "":
		p.doubtful(col, "there is no address before =")
	case err != nil:
		p.doubtful(col, "%q is no address", text)
	case !j.IsBare():
		p.doubtful(col, "%s has a resource: groups are of people, whatever client they use", text)
	case p.strict && j.Local() == "" && !p.isHost(j.Domain()):
		p.wrong(col, "%s is neither a [group] nor an address like name@host", text)
	case !p.isHost(j.Domain()):
		p.leaveOut(col, "%s is left out: %s is not served here", text, j.Domain())
	case j.Local() == "":
		p.doubtful(col, "%s is a server, not a person", text)
	default:
		return j, true
	}
	return j, false
}

// add makes somebody a member of the current group. Of two entries the later
// one's name counts.
func (p *parser) add(col int, j jid.JID, name string) {
	if p.current < 0 {
		p.current = p.group(defaultGroup)
	}
	g := &p.file.Groups[p.current]
	i := p.find(g, j)
	switch {
	case i >= 0 && p.strict:
		p.wrong(col, "%s is in the group %s already", j, g.Name)
	case i >= 0:
		g.Members[i].Name = name
	default:
		g.Members = append(g.Members, shared.Entry{JID: j, Name: name})
		p.file.Entries++
	}
}

// find returns the place of a member of the current group, -1 if there is none.
func (p *parser) find(g *Group, j jid.JID) int {
	const few = 16
	if len(g.Members) <= few {
		return slices.IndexFunc(g.Members, func(e shared.Entry) bool { return e.JID == j })
	}
	if p.known == nil {
		p.known = make(map[jid.JID]int)
	}
	for i := len(p.known); i < len(g.Members); i++ {
		p.known[g.Members[i].JID] = i
	}
	if i, ok := p.known[j]; ok {
		return i
	}
	return -1
}
