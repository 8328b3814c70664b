package xmpptest

import "strings"

// archive is a txtar archive: a comment, then files that each begin with a line
// "-- name --".
type archive struct {
	comment string
	files   []file
}

type file struct {
	name string
	data string
	line int // of the archive, where data begins
}

func parseArchive(data string) archive {
	var a archive
	number := 0
	for line := range strings.Lines(data) {
		number++
		trimmed := strings.TrimRight(line, "\r\n")
		name, begins := strings.CutPrefix(trimmed, "-- ")
		name, ends := strings.CutSuffix(name, " --")
		switch {
		case begins && ends && strings.TrimSpace(name) != "":
			a.files = append(a.files, file{name: strings.TrimSpace(name), line: number + 1})
		case len(a.files) == 0:
			a.comment += line
		default:
			a.files[len(a.files)-1].data += line
		}
	}
	return a
}

func (a archive) file(name string) (file, bool) {
	for _, f := range a.files {
		if f.name == name {
			return f, true
		}
	}
	return file{}, false
}
