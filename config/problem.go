package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	File      string
	Line, Col int    // from 1; 0: nowhere in particular
	Key       string // like listen.c2s[0].port; "" if it is about the file
	Text      string // what is wrong, what is right
}

// String returns file:line:col: key: text.
func (p Problem) String() string {
	s := p.File + ":"
	if p.Line > 0 {
		s += fmt.Sprintf("%d:%d:", p.Line, p.Col)
	}
	if p.Key != "" {
		s += " " + p.Key + ":"
	}
	return s + " " + p.Text
}

// Problems is everything that is wrong with a file, as an error.
type Problems []Problem

// Error returns one line for each problem, in the order of the file.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// With returns them and further ones of the same file, in its order.
func (p Problems) With(more ...Problem) Problems {
	list := slices.Concat(p, more)
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Key, b.Key))
	})
	return list
}

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
