package app

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal returns the descriptor of the terminal that v is.
func terminal(v any) (fd int, ok bool) {
	f, ok := v.(*os.File)
	if !ok {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// palette colours text for people. The zero palette leaves it as it is.
type palette struct{ on bool }

// newPalette returns colours for a terminal whose user wants them
// (no-color.org).
func newPalette(w io.Writer, getenv func(string) string) palette {
	_, ok := terminal(w)
	return palette{ok && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

func (p palette) paint(code, s string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p palette) bold(s string) string  { return p.paint("1", s) }
func (p palette) dim(s string) string   { return p.paint("2", s) }
func (p palette) green(s string) string { return p.paint("32", s) }

// person colours what belongs to the i-th of a few people.
func (p palette) person(i int, s string) string {
	codes := [...]string{"36", "35", "33", "34"}
	return p.paint(codes[i%len(codes)], s)
}
