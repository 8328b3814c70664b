package xmlstream

import (
	"strconv"
	"strings"
)

// text checks character data between tags and returns it with references
// replaced and line ends normalised. Without any of those it is s itself.
func text(s string) (string, error) {
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&classText == 0 {
			continue
		}
		switch c := s[i]; {
		case c == '&' || c == '\r':
			return unescape(s, i, false)
		case c == ']':
			if strings.HasPrefix(s[i:], "]]>") {
				return "", errorf(NotWellFormed, "']]>' in character data")
			}
		default:
			if err := checkByte(s, i); err != nil {
				return "", err
			}
		}
	}
	return s, nil
}

// attrValue checks an attribute value and returns it with references replaced
// and white space normalised.
func attrValue(s string) (string, error) {
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&classAttr == 0 {
			continue
		}
		switch c := s[i]; {
		case c == '<':
			return "", errorf(NotWellFormed, "'<' in an attribute value")
		case c == '&' || isSpace(c):
			return unescape(s, i, true)
		default:
			if err := checkByte(s, i); err != nil {
				return "", err
			}
		}
	}
	return s, nil
}

// checkByte refuses control characters and U+FFFE, U+FFFF at s[i]. s is valid
// UTF-8.
func checkByte(s string, i int) error {
	if s[i] < ' ' {
		return errorf(NotWellFormed, "control character %#x", s[i])
	}
	if strings.HasPrefix(s[i:], "\uFFFE") || strings.HasPrefix(s[i:], "\uFFFF") {
		return errorf(NotWellFormed, "the characters U+FFFE and U+FFFF are no XML")
	}
	return nil
}

// cdata checks a CDATA section's content and normalises its line ends.
func cdata(s string) (string, error) {
	cr := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\r':
			cr = true
		case c < ' ' && !isSpace(c) || c == 0xEF:
			if err := checkByte(s, i); err != nil {
				return "", err
			}
		}
	}
	if cr {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	return s, nil
}

// unescape continues text or attrValue from the first place that needs a copy.
func unescape(s string, from int, attr bool) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:from])
	for i := from; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '&':
			end := strings.IndexByte(s[i:], ';')
			if end < 0 {
				return "", errorf(NotWellFormed, "'&' that begins no reference")
			}
			r, err := reference(s[i+1 : i+end])
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			i += end
			continue
		case c == '\r':
			if i+1 < len(s) && s[i+1] == '\n' {
				i++
			}
			c = '\n'
		case c == '<':
			return "", errorf(NotWellFormed, "'<' in an attribute value")
		case c == ']' && !attr && strings.HasPrefix(s[i:], "]]>"):
			return "", errorf(NotWellFormed, "']]>' in character data")
		case c < ' ' && !isSpace(c) || c == 0xEF:
			if err := checkByte(s, i); err != nil {
				return "", err
			}
		}
		if attr && isSpace(c) {
			c = ' '
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// reference returns the character that &name; stands for: one of the five
// predefined entities or a character reference.
func reference(name string) (rune, error) {
	switch name {
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "amp":
		return '&', nil
	case "apos":
		return '\'', nil
	case "quot":
		return '"', nil
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		if n := scanName(name); n == 0 || n < len(name) {
			return 0, errorf(NotWellFormed, "'&' that begins no reference")
		}
		return 0, errorf(Restricted, "entity &%.20s;", name)
	}
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	if digits == "" || digits[0] == '+' || digits[0] == '-' {
		return 0, errorf(NotWellFormed, "character reference &%.20s;", name)
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > 0x10FFFF || !isChar(rune(n)) {
		return 0, errorf(NotWellFormed, "character reference &%.20s;", name)
	}
	return rune(n), nil
}
