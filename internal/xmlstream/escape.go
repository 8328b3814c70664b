package xmlstream

import (
	"strings"
	"unicode/utf8"
)

// Where a byte needs a closer look when it is written.
const (
	escapeText = 1 << iota // in character data
	escapeAttr             // in an attribute value in single quotes
	escapeHigh             // beyond ASCII, until the rest is known to be UTF-8
)

var escapes = makeEscapes() //nolint:gochecknoglobals // a table

func makeEscapes() (t [256]uint8) {
	for c := range 256 {
		switch b := byte(c); {
		case b == '\t', b == '\n', b == '\'':
			t[c] = escapeAttr
		case b == '>':
			t[c] = escapeText
		case b < ' ', b == '<', b == '&', b == 0xEF: // which begins U+FFFE
			t[c] = escapeText | escapeAttr
		}
		if c >= utf8.RuneSelf {
			t[c] |= escapeHigh
		}
	}
	return t
}

// AppendText appends s escaped as character data. What no XML document can
// hold, such as control characters, becomes U+FFFD: one such character would
// cost its readers their streams.
func AppendText(dst []byte, s string) []byte { return appendEscaped(dst, s, escapeText) }

// AppendAttr appends s escaped for an attribute in single quotes, as AppendText
// does for text.
func AppendAttr(dst []byte, s string) []byte { return appendEscaped(dst, s, escapeAttr) }

func appendEscaped(dst []byte, s string, class uint8) []byte {
	last := 0
	look := class | escapeHigh
	for i := 0; i < len(s); i++ {
		c := s[i]
		if escapes[c]&look == 0 {
			continue
		}
		if c >= utf8.RuneSelf && look != class { // from here on it matters
			look = class
			if !utf8.ValidString(s[i:]) {
				s = s[:i] + strings.ToValidUTF8(s[i:], "\uFFFD")
			}
		}
		esc, size := escape(s[i:])
		if size == 0 {
			continue
		}
		dst = append(append(dst, s[last:i]...), esc...)
		last = i + size
		i = last - 1
	}
	return append(dst, s[last:]...)
}

// escape returns what stands for the first size bytes of s; size is 0 if they
// may stay.
func escape(s string) (esc string, size int) {
	switch c := s[0]; c {
	case '<':
		return "&lt;", 1
	case '>':
		return "&gt;", 1
	case '&':
		return "&amp;", 1
	case '\'':
		return "&apos;", 1
	case '\t':
		return "&#9;", 1
	case '\n':
		return "&#10;", 1
	case '\r':
		return "&#13;", 1
	case 0xEF:
		if strings.HasPrefix(s, "\uFFFE") || strings.HasPrefix(s, "\uFFFF") {
			return "\uFFFD", len("\uFFFE")
		}
	default:
		if c < ' ' {
			return "\uFFFD", 1
		}
	}
	return "", 0
}
