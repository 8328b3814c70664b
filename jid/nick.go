package jid

import (
	"fmt"

	"golang.org/x/text/secure/precis"
)

// NickKey returns what nicknames are compared by: two nicknames with equal keys
// are the same nickname to people (RFC 8266). Blank and unusable ones are
// refused with ErrMalformed.
func NickKey(nick string) (string, error) {
	key, err := precis.Nickname.CompareKey(nick)
	if err != nil || key == "" {
		return "", fmt.Errorf("%w: nickname %q", ErrMalformed, nick)
	}
	return key, nil
}
