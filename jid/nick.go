package jid

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/secure/precis"
)

// NickKey returns what nicknames are compared by: two nicknames with equal keys
// are the same nickname to people (RFC 8266). Unusable ones, and those of which
// nothing is to be seen, are refused with ErrMalformed.
func NickKey(nick string) (string, error) {
	if key, ok := plainNickKey(nick); ok {
		return key, nil
	}
	key, err := precis.Nickname.CompareKey(nick)
	if err != nil || !strings.ContainsFunc(key, func(c rune) bool { return !blank(c) && !unicode.Is(unicode.M, c) }) {
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

// NickIndex finds, among the keys of nicknames (see NickKey), those that people
// would take for the one at hand though they differ: the Cyrillic "Аnn" and
// "Ann". Two nicknames look alike if both, in small letters or in capitals, are
// drawn alike (UTS #39) and there are letters of more than one script in them,
// or such that no language writes names with. Those of one script are different
// names, however alike: "Ivan" and "lvan" are for people to tell apart.
//
// The zero NickIndex is empty. It costs nothing while everything in it is of one
// script.
type NickIndex struct {
	writing writing             // of all that has ever been in it
	looks   map[string][]string // keys by what they look like; nil: not made yet
}

// Add puts in a key that is not there.
func (x *NickIndex) Add(key string) {
	x.writing = x.writing.and(writingOf(key))
	if x.looks != nil {
		x.put(key)
	}
}

func (x *NickIndex) put(key string) {
	for _, look := range nickLooks(key) {
		x.looks[look] = append(x.looks[look], key)
	}
}

// Remove takes out a key that is there.
func (x *NickIndex) Remove(key string) {
	if x.looks == nil {
		return
	}
	for _, look := range nickLooks(key) {
		alike := slices.DeleteFunc(x.looks[look], func(k string) bool { return k == key })
		if len(alike) == 0 {
			delete(x.looks, look)
		} else {
			x.looks[look] = alike
		}
	}
}

// Alike returns those that look like key, key itself left out. All is what is in
// the index, in any order.
func (x *NickIndex) Alike(key string, all iter.Seq[string]) []string {
	own := writingOf(key)
	if !x.writing.and(own).mixed {
		return nil
	}
	if x.looks == nil {
		x.looks = make(map[string][]string)
		for k := range all {
			x.put(k)
		}
	}
	var alike []string
	for _, look := range nickLooks(key) {
		for _, k := range x.looks[look] {
			if k != key && own.and(writingOf(k)).mixed && !slices.Contains(alike, k) {
				alike = append(alike, k)
			}
		}
	}
	return alike
}

// nickLooks returns how a nickname may be drawn.
func nickLooks(key string) []string {
	small, capital := skeleton(key), skeleton(strings.ToUpper(key))
	if small == capital {
		return []string{small}
	}
	return []string{small, capital}
}
