package xmpptest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// verb says what a step does.
type verb string

const (
	verbClient     verb = "C"
	verbServer     verb = "S"
	verbAny        verb = "S any"
	verbWait       verb = "wait"
	verbConnect    verb = "connect"
	verbOpen       verb = "open"
	verbDisconnect verb = "disconnect"
	verbDrop       verb = "drop"
	verbRemote     verb = "remote"
	verbDelete     verb = "delete"
	verbRestart    verb = "restart"
	verbGroup      verb = "group"
	verbReplace    verb = "replace"
	verbReload     verb = "reload"
)

// step is one line of a script, or a block.
type step struct {
	line  int
	verb  verb
	name  string        // of the client
	text  string        // what is said
	args  []string      // of connect: account and resource
	pause time.Duration // of wait
	block []step        // of S any
}

var (
	speech = regexp.MustCompile(`^([CS]) ([a-z][a-z0-9_-]*):\s*(.*)$`)
	inside = regexp.MustCompile(`^\s+S [a-z][a-z0-9_-]*:`) // a line of a block may be indented
	name   = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
)

// parseScript returns the steps of a script. Errors begin with a line number.
func parseScript(f file) ([]step, error) {
	var steps []step
	var block *step
	number := f.line - 1
	list := func() *[]step {
		if block != nil {
			return &block.block
		}
		return &steps
	}
	for line := range strings.Lines(f.data) {
		number++
		line = strings.TrimRight(line, " \t\r\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
			continue
		case line == "S any {" && block == nil:
			block = &step{line: number, verb: verbAny}
			continue
		case trimmed == "}" && block != nil:
			steps = append(steps, *block)
			block = nil
			continue
		case trimmed[0] == '<', line != trimmed && (block == nil || !inside.MatchString(line)):
			if err := continueLast(*list(), line); err != nil {
				return nil, fmt.Errorf("%d: %w", number, err)
			}
			continue
		}
		s, err := parseStep(trimmed)
		if err == nil && block != nil && (s.verb != verbServer || s.isWord()) {
			err = fmt.Errorf("only S lines with XML belong into S any { }, not %q", trimmed)
		}
		if err != nil {
			return nil, fmt.Errorf("%d: %w", number, err)
		}
		s.line = number
		*list() = append(*list(), s)
	}
	if block != nil {
		return nil, fmt.Errorf("%d: S any { is not closed", block.line)
	}
	return steps, nil
}

// continueLast adds a line to the last thing said.
func continueLast(steps []step, line string) error {
	if len(steps) == 0 {
		return errors.New("this line would continue the one before, and there is none")
	}
	last := &steps[len(steps)-1]
	if last.verb != verbClient && last.verb != verbServer {
		return errors.New("only C and S lines go on in the next line")
	}
	last.text += "\n" + line
	return nil
}

func parseStep(line string) (step, error) {
	if m := speech.FindStringSubmatch(line); m != nil {
		return step{verb: verb(m[1]), name: m[2], text: m[3]}, nil
	}
	words := strings.Fields(line)
	s := step{verb: verb(words[0])}
	if len(words) > 1 {
		s.name = words[1]
	}
	least, most := 2, 2
	switch s.verb {
	case verbWait:
		if len(words) != 2 {
			break
		}
		d, err := time.ParseDuration(words[1])
		if err != nil || d <= 0 {
			return s, fmt.Errorf("wait wants a duration such as 30s, not %q", words[1])
		}
		s.name, s.pause = "", d
		return s, nil
	case verbConnect:
		most = 4
		s.args = words[min(2, len(words)):]
	case verbGroup:
		s.name, s.args = "", words[1:]
		least, most = 3, len(words)
	case verbReplace:
		s.name, s.args = "", words[1:]
		least, most = 3, 3
	case verbRestart, verbReload:
		least, most = 1, 1
	case verbOpen, verbRemote, verbDelete, verbDisconnect, verbDrop:
	default:
		return s, fmt.Errorf("not a line of a script: %q", line)
	}
	if len(words) < least || len(words) > most || (s.name != "" && !name.MatchString(s.name)) {
		return s, fmt.Errorf("%s does not go like this: %q", words[0], line)
	}
	return s, nil
}

// isWord reports whether an S line says something other than XML.
func (s step) isWord() bool { return s.text == "nothing" || s.text == "closed" }

// unconnected returns the clients that speak or listen before any line connects
// them, in order.
func unconnected(steps []step) []string {
	var names, known []string
	for _, s := range steps {
		mentioned := []step{s}
		if s.verb == verbAny {
			mentioned = s.block
		}
		for _, s := range mentioned {
			if s.name == "" || s.verb == verbDelete || slices.Contains(known, s.name) {
				continue
			}
			known = append(known, s.name)
			if s.verb == verbClient || s.verb == verbServer {
				names = append(names, s.name)
			}
		}
	}
	return names
}
