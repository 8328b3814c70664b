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

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Key, b.Key))
	})
}

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

// suggest returns the word nearest to what was written, "" if none is near.
func suggest(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		d := editDistance(word, k)
		if d > max(len(word), len(k))/2 {
			continue
		}
		if d < distance || d == distance && best != "" && commonStart(word, k) > commonStart(word, best) {
			best, distance = k, d
		}
	}
	return best
}

func commonStart(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
