package jid

import (
	"fmt"
	"strings"

	"golang.org/x/text/secure/precis"
)

// NickKey returns what nicknames are compared by: two nicknames with equal keys
// are the same nickname to people (RFC 8266). Blank and unusable ones are
// refused with ErrMalformed.
func NickKey(nick string) (string, error) {
	if key, ok := plainNickKey(nick); ok {
		return key, nil
	}
	key, err := precis.Nickname.CompareKey(nick)
	if err != nil || key == "" {
		return "", fmt.Errorf("%w: nickname %q", ErrMalformed, nick)
	}
	return key, nil
}

// plainNickKey is NickKey for printable ASCII with no spaces but single ones
// between words, of which only the case differs.
func plainNickKey(nick string) (string, bool) {
	for i := range len(nick) {
		c := nick[i]
		if c < ' ' || c > '~' || c == ' ' && (i == 0 || i == len(nick)-1 || nick[i-1] == ' ') {
			return "", false
		}
	}
	return strings.ToLower(nick), nick != ""
}
