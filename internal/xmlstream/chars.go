package xmlstream

import "unicode/utf8"

// Classes of bytes: where they may stand and what needs a closer look.
const (
	classNameStart = 1 << iota
	className
	classSpace
	classText   // needs a look in character data: markup, control characters, CR, ']', the lead byte of U+FFFE
	classAttr   // needs a look in an attribute value
	classMarkup // matters in a start tag, outside quotes
)

var classes = makeClasses() //nolint:gochecknoglobals // a table

func makeClasses() (t [256]uint8) {
	for c := range 256 {
		b := byte(c)
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', b == '_':
			t[c] |= classNameStart | className
		case '0' <= b && b <= '9', b == '-', b == '.':
			t[c] |= className
		}
		switch {
		case b == ' ':
			t[c] |= classSpace
		case b == '\t' || b == '\n':
			t[c] |= classSpace | classAttr
		case b == '\r':
			t[c] |= classSpace | classText | classAttr
		case b < ' ', b == 0xEF:
			t[c] |= classText | classAttr
		case b == '<', b == '&':
			t[c] |= classText | classAttr
		case b == ']':
			t[c] |= classText
		}
		switch b {
		case '"', '\'', '/', '<', '>':
			t[c] |= classMarkup
		}
	}
	return t
}

func isSpace(c byte) bool { return classes[c]&classSpace != 0 }

// scanName returns the length of the NCName (a name without colons) at the
// start of s, which is valid UTF-8; 0 if there is none.
func scanName(s string) int {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if classes[c]&className == 0 || i == 0 && classes[c]&classNameStart == 0 {
				return i
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if !isNameStart(r) && (i == 0 || !isNameExtra(r)) {
			return i
		}
		i += n
	}
	return len(s)
}

// isNameStart reports whether a character beyond ASCII may begin a name
// (XML 1.0, fifth edition, production 4).
func isNameStart(r rune) bool {
	switch {
	case r >= 0xC0 && r <= 0x2FF:
		return r != 0xD7 && r != 0xF7
	case r >= 0x370 && r <= 0x1FFF:
		return r != 0x37E
	}
	return r >= 0x200C && r <= 0x200D || r >= 0x2070 && r <= 0x218F || r >= 0x2C00 && r <= 0x2FEF ||
		r >= 0x3001 && r <= 0xD7FF || r >= 0xF900 && r <= 0xFDCF || r >= 0xFDF0 && r <= 0xFFFD ||
		r >= 0x10000 && r <= 0xEFFFF
}

// isNameExtra reports whether a character beyond ASCII may stand in a name but
// not begin it (production 4a).
func isNameExtra(r rune) bool {
	return r == 0xB7 || r >= 0x300 && r <= 0x36F || r == 0x203F || r == 0x2040
}

// isChar reports whether XML allows a character (production 2).
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD ||
		r >= 0x10000 && r <= 0x10FFFF
}
