package jid

import (
	_ "embed"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// confusables says what characters look like: a line is a character, what stands
// for it, and "!" if no language writes names with it; in the characters' order.
// scripts/confusables has made it of the data of Unicode 15.0 (UTS #39).
//
//go:embed confusables.txt
var confusables string

// confusable returns what stands for a character, "" if it does itself, and
// whether no language writes names with it.
func confusable(c rune) (looks string, technical bool) {
	if c < 0x80 && !strings.ContainsRune("\"%01I`m|", c) {
		return "", false // it is not in the table
	}
	from, to := 0, len(confusables) // bounds of lines
	for from < to {
		start := from + strings.LastIndexByte(confusables[from:from+(to-from)/2], '\n') + 1
		end := start + strings.IndexByte(confusables[start:], '\n')
		hex, rest, _ := strings.Cut(confusables[start:end], " ")
		switch at := codePoint(hex); {
		case at < c:
			from = end + 1
		case at > c:
			to = start
		default:
			rest, technical = strings.CutSuffix(rest, " !")
			var b strings.Builder
			for hex := range strings.FieldsSeq(rest) {
				b.WriteRune(codePoint(hex))
			}
			return b.String(), technical
		}
	}
	return "", false
}

func codePoint(hex string) (c rune) {
	for i := range len(hex) {
		c = c<<4 | rune(strings.IndexByte("0123456789ABCDEF", hex[i]))
	}
	return c
}

// skeleton returns what a string looks like: two with equal skeletons cannot be
// told apart (UTS #39 §4).
func skeleton(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 4)
	for _, c := range norm.NFD.String(s) {
		looks, _ := confusable(c)
		switch {
		case blank(c):
			b.WriteByte(' ')
		case looks != "":
			b.WriteString(looks)
		default:
			b.WriteRune(c)
		}
	}
	look := b.String()
	if strings.Contains(look, " ") {
		look = strings.Join(strings.Fields(look), " ")
	}
	return norm.NFD.String(look)
}

// blank reports whether a character leaves no ink: a space, what is to be
// ignored, and what is blank by its design.
func blank(c rune) bool {
	if c < 0x7f {
		return c <= ' '
	}
	switch c {
	case '\u2800', // braille pattern blank
		'\U0001d159',               // musical symbol null notehead
		'\U00013441', '\U00013442': // Egyptian hieroglyph full and half blank
		return true
	}
	return unicode.In(c, unicode.Z, unicode.C, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// writing is what a text is written in: nothing in particular, one script, or
// several.
type writing struct {
	script *unicode.RangeTable // nil: none, or several
	mixed  bool
}

// and returns what two texts are written in together.
func (w writing) and(v writing) writing {
	switch {
	case w.mixed || v.script == nil && !v.mixed || w == v:
		return w
	case w.script == nil:
		return v
	}
	return writing{mixed: true}
}

// writingOf returns what a text is written in. What all scripts share, such as
// digits, belongs to each; characters that no language writes names with and
// that look like others make a text mixed.
func writingOf(s string) (w writing) {
	for _, c := range s {
		switch {
		case w.mixed:
			return w
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			w = w.and(writing{script: unicode.Latin})
			continue
		case w.script != nil && unicode.Is(w.script, c) || '0' <= c && c <= '9' || c == ' ':
		default:
			w = w.and(writing{script: scriptOf(c)})
		}
		if _, technical := confusable(c); technical {
			w = writing{mixed: true}
		}
	}
	return w
}

// scriptOf returns the script of a character, nil if it is no particular one's.
func scriptOf(c rune) *unicode.RangeTable {
	for _, script := range []*unicode.RangeTable{unicode.Common, unicode.Inherited, unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Han} {
		if unicode.Is(script, c) {
			if script == unicode.Common || script == unicode.Inherited {
				return nil
			}
			return script
		}
	}
	for _, script := range unicode.Scripts {
		if unicode.Is(script, c) {
			return script
		}
	}
	return nil
}
