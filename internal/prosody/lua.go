package prosody

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// table is a table of Lua as Prosody stores it: keys are strings, float64 or
// bool, values these or tables.
type table map[any]any

// maxDepth bounds how deep tables may be nested.
const maxDepth = 64

// parseTable reads what Prosody's file store writes: "return" and one table of
// literals. Nothing is executed; whatever is no literal is an error.
func parseTable(text string) (table, error) {
	r := &luaReader{text: strings.TrimPrefix(text, "\ufeff")}
	v, err := r.file()
	if err != nil {
		line := 1 + strings.Count(r.text[:r.at], "\n")
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	return v, nil
}

type luaReader struct {
	text string
	at   int
}

func (r *luaReader) file() (table, error) {
	r.space()
	if word := r.word(); word != "return" {
		return nil, fmt.Errorf("want return, got %q", word)
	}
	v, err := r.value(0)
	if err != nil {
		return nil, err
	}
	t, ok := v.(table)
	if !ok {
		return nil, errors.New("want a table")
	}
	r.take(';')
	if r.space(); r.at < len(r.text) {
		return nil, errors.New("want nothing behind the table")
	}
	return t, nil
}

// space skips white space and comments.
func (r *luaReader) space() {
	for r.at < len(r.text) {
		switch {
		case strings.IndexByte(" \t\r\n\v\f", r.text[r.at]) >= 0:
			r.at++
		case strings.HasPrefix(r.text[r.at:], "--"):
			end := strings.IndexByte(r.text[r.at:], '\n')
			if end < 0 {
				end = len(r.text) - r.at
			}
			r.at += end
		default:
			return
		}
	}
}

// take skips c, after white space, and reports whether it was there.
func (r *luaReader) take(c byte) bool {
	r.space()
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// word takes a name or keyword, "" if there is none.
func (r *luaReader) word() string {
	begin := r.at
	for r.at < len(r.text) && isWordByte(r.text[r.at]) {
		r.at++
	}
	return r.text[begin:r.at]
}

func (r *luaReader) value(depth int) (any, error) {
	r.space()
	if r.at == len(r.text) {
		return nil, errors.New("the file ends too early")
	}
	switch c := r.text[r.at]; {
	case depth > maxDepth:
		return nil, errors.New("tables are nested too deep")
	case c == '{':
		r.at++
		return r.table(depth)
	case c == '"' || c == '\'':
		r.at++
		return r.quoted(c)
	case c == '[':
		return r.long()
	case c == '-' || c == '.' || c >= '0' && c <= '9':
		return r.number()
	case c == '(': // how the store writes what is no number
		return r.noNumber()
	}
	switch word := r.word(); word {
	case "true", "false":
		return word == "true", nil
	case "nil":
		return nil, nil //nolint:nilnil // that is what it says
	default:
		return nil, fmt.Errorf("want a value, got %q", word)
	}
}

// table reads what is behind {.
func (r *luaReader) table(depth int) (table, error) {
	t := make(table)
	next := 1.0
	for !r.take('}') {
		key, named, err := r.key(depth)
		if err != nil {
			return nil, err
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if !named {
			key = next
			next++
		}
		if v != nil {
			t[key] = v
		}
		if !r.take(';') && !r.take(',') {
			if r.take('}') {
				return t, nil
			}
			return nil, errors.New("want ; or } behind a value")
		}
	}
	return t, nil
}

// key reads [key] = or name =, if one of them is there.
func (r *luaReader) key(depth int) (key any, named bool, err error) {
	r.space()
	begin := r.at
	if strings.HasPrefix(r.text[r.at:], "[[") || strings.HasPrefix(r.text[r.at:], "[=") {
		return nil, false, nil // a long string
	}
	if !r.take('[') {
		if word := r.word(); word != "" && (word[0] < '0' || word[0] > '9') && r.take('=') {
			return word, true, nil
		}
		r.at = begin
		return nil, false, nil
	}
	key, err = r.value(depth + 1)
	if err != nil {
		return nil, false, err
	}
	if !r.take(']') || !r.take('=') {
		return nil, false, errors.New("want ] = behind a key")
	}
	switch k := key.(type) {
	case string, bool:
		return key, true, nil
	case float64:
		if !math.IsNaN(k) {
			return key, true, nil
		}
	}
	return nil, false, errors.New("want a string, a number or a truth value as key")
}

// escapes are the letters behind \ that stand for one character.
const (
	escapes   = "abfnrtv\\\"'\n"
	escapedAs = "\a\b\f\n\r\t\v\\\"'\n"
)

// quoted reads what is behind a quotation mark, which ends it.
func (r *luaReader) quoted(mark byte) (string, error) {
	var b strings.Builder
	for r.at < len(r.text) {
		c := r.text[r.at]
		r.at++
		switch c {
		case mark:
			return b.String(), nil
		case '\n':
			return "", errors.New("a string has no end")
		case '\\':
			if err := r.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("a string has no end")
}

// escape reads what is behind \.
func (r *luaReader) escape(b *strings.Builder) error {
	rest := r.text[r.at:]
	if rest == "" {
		return errors.New("a string has no end")
	}
	if i := strings.IndexByte(escapes, rest[0]); i >= 0 {
		b.WriteByte(escapedAs[i])
		r.at++
		return nil
	}
	switch {
	case rest[0] == 'z':
		r.at++
		r.at += len(rest[1:]) - len(strings.TrimLeft(rest[1:], " \t\r\n\v\f"))
		return nil
	case rest[0] == 'x' && len(rest) >= 3:
		n, err := strconv.ParseUint(rest[1:3], 16, 8)
		if err != nil {
			return errors.New(`want two hexadecimal digits behind \x`)
		}
		b.WriteByte(byte(n))
		r.at += 3
		return nil
	case rest[0] == 'u' && strings.HasPrefix(rest, "u{"):
		digits, _, closed := strings.Cut(rest[2:], "}")
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil || !closed || !utf8.ValidRune(rune(n)) {
			return errors.New(`want a character behind \u`)
		}
		b.WriteRune(rune(n))
		r.at += len(digits) + 3
		return nil
	}
	digits := 0
	for digits < min(3, len(rest)) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseUint(rest[:digits], 10, 8)
	if err != nil {
		return fmt.Errorf(`\%c stands for nothing`, rest[0])
	}
	b.WriteByte(byte(n))
	r.at += digits
	return nil
}

// long reads [[text]] or [=[text]=].
func (r *luaReader) long() (string, error) {
	rest := r.text[r.at+1:]
	level := len(rest) - len(strings.TrimLeft(rest, "="))
	if !strings.HasPrefix(rest[level:], "[") {
		return "", errors.New("want a value")
	}
	body := rest[level+1:]
	end := strings.Index(body, "]"+strings.Repeat("=", level)+"]")
	if end < 0 {
		return "", errors.New("a string has no end")
	}
	r.at += 1 + level + 1 + end + level + 2
	return strings.TrimPrefix(strings.TrimPrefix(body[:end], "\r"), "\n"), nil
}

func (r *luaReader) number() (float64, error) {
	begin := r.at
	for r.at < len(r.text) && (isWordByte(r.text[r.at]) || r.text[r.at] == '.' || r.text[r.at] == '-' || r.text[r.at] == '+') {
		r.at++
	}
	text := r.text[begin:r.at]
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return float64(n), nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.ContainsRune(text, '_') {
		return 0, fmt.Errorf("%.40q is no number", text)
	}
	return n, nil
}

// noNumber reads what the store writes for infinities and for what is not a
// number.
func (r *luaReader) noNumber() (float64, error) {
	for text, n := range map[string]float64{"(0/0)": math.NaN(), "(1/0)": math.Inf(1), "(-1/0)": math.Inf(-1)} {
		if strings.HasPrefix(r.text[r.at:], text) {
			r.at += len(text)
			return n, nil
		}
	}
	return 0, errors.New("want a value")
}
