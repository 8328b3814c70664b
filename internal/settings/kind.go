package settings

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/muster-im/muster/stanza"
)

// limit refuses a value that is one, but is beyond what is allowed (XEP-0045
// §10.1.3).
func limit(format string, args ...any) error {
	return stanza.NewError(stanza.Modify, stanza.NotAcceptable, fmt.Sprintf(format, args...))
}

// Refusal is what is answered to what Parse refuses: unless it is beyond a limit,
// it is no value of the setting.
func Refusal(err error) error {
	if stanza.AsError(err) != nil {
		return err
	}
	return stanza.NewError(stanza.Modify, stanza.BadRequest, err.Error())
}

// Kind is how values of a type stand in a form.
type Kind[T comparable] struct {
	Type   stanza.FieldType
	Parse  func(values []string) (T, error)
	Format func(v T) []string
}

// Bool is yes or no.
func Bool() Kind[bool] {
	return Kind[bool]{stanza.FieldBoolean, parseBool, func(v bool) []string {
		if v {
			return []string{"1"}
		}
		return []string{"0"}
	}}
}

func parseBool(values []string) (bool, error) {
	if len(values) == 1 {
		switch values[0] {
		case "1", "true":
			return true, nil
		case "0", "false":
			return false, nil
		}
	}
	return false, fmt.Errorf("want 0, 1, true or false, got %q", strings.Join(values, ", "))
}

// Text is a text of the given type of field, of at most so many bytes; 0 is no
// bound.
func Text(field stanza.FieldType, most int) Kind[string] {
	multiline := field == stanza.FieldTextMulti
	parse := func(values []string) (string, error) {
		text := strings.Join(values, "\n")
		switch {
		case most > 0 && len(text) > most:
			return "", limit("at most %d bytes, got %d", most, len(text))
		case len(values) > 1 && !multiline:
			return "", fmt.Errorf("want one value, got %d", len(values))
		case !utf8.ValidString(text) || strings.ContainsFunc(text, unwritable):
			return "", errors.New("want text, without control characters")
		}
		return text, nil
	}
	return Kind[string]{field, parse, func(v string) []string {
		if multiline {
			return strings.Split(v, "\n")
		}
		return []string{v}
	}}
}

// unwritable reports whether a character is none of XML's, and so can be neither
// sent nor, in some databases, stored.
func unwritable(c rune) bool {
	return c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0xFFFE || c == 0xFFFF
}

// Int is a whole number between two; a greatest one of 0 is no bound.
func Int(least, most int) Kind[int] {
	bounds := fmt.Sprintf("a whole number, at least %d", least)
	if most > 0 {
		bounds = fmt.Sprintf("a whole number from %d to %d", least, most)
	}
	parse := func(values []string) (int, error) {
		text := strings.Join(values, ", ")
		n, err := strconv.Atoi(text)
		switch {
		case err != nil || n < least:
			return 0, fmt.Errorf("want %s, got %q", bounds, text)
		case most > 0 && n > most:
			return 0, limit("want %s, got %q", bounds, text)
		}
		return n, nil
	}
	return Kind[int]{stanza.FieldTextSingle, parse, func(v int) []string { return []string{strconv.Itoa(v)} }}
}

// Choice is one of some words.
func Choice(choices []stanza.Option) Kind[string] {
	parse := func(values []string) (string, error) {
		if len(values) == 1 && has(choices, values[0]) {
			return values[0], nil
		}
		return "", fmt.Errorf("want one of %s, got %q", words(choices), strings.Join(values, ", "))
	}
	return Kind[string]{stanza.FieldListSingle, parse, func(v string) []string { return []string{v} }}
}

// Choices is any number of some words, held in the order of choices with a space
// between them.
func Choices(choices []stanza.Option) Kind[string] {
	parse := func(values []string) (string, error) {
		for _, v := range values {
			if !has(choices, v) {
				return "", fmt.Errorf("want some of %s, got %q", words(choices), v)
			}
		}
		var chosen []string
		for _, c := range choices {
			if slices.Contains(values, c.Value) {
				chosen = append(chosen, c.Value)
			}
		}
		return strings.Join(chosen, " "), nil
	}
	return Kind[string]{stanza.FieldListMulti, parse, strings.Fields}
}

// UpTo is a number up to most, or "none" for it: one of choices, but others are
// taken, too.
func UpTo(most int) Kind[int] {
	parse := func(values []string) (int, error) {
		if len(values) == 1 && values[0] == "none" {
			return most, nil
		}
		if len(values) != 1 {
			return 0, fmt.Errorf("want one number, got %d values", len(values))
		}
		n, err := strconv.Atoi(values[0])
		if err != nil || n < 1 {
			return 0, fmt.Errorf("want a positive number or none, got %q", values[0])
		}
		return min(n, most), nil
	}
	return Kind[int]{stanza.FieldListSingle, parse, func(n int) []string { return []string{strconv.Itoa(n)} }}
}

func has(choices []stanza.Option, word string) bool {
	return slices.ContainsFunc(choices, func(o stanza.Option) bool { return o.Value == word })
}

func words(choices []stanza.Option) string {
	list := make([]string, len(choices))
	for i, c := range choices {
		list[i] = c.Value
	}
	return strings.Join(list, ", ")
}
