package jid

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestBlankNicks: a nickname of which nothing is to be seen is none.
func TestBlankNicks(t *testing.T) {
	for name, nick := range map[string]string{
		"nothing": "", "space": " ", "em space": "\u2003", "line separator": "\u2028",
		"braille blank": "\u2800", "braille blanks": "\u2800 \u2800",
		"hangul filler": "\u3164", "halfwidth filler": "\uffa0", "choseong filler": "\u115f", "jungseong filler": "\u1160",
		"vowel separator": "\u180e", "tags": "\U000e0041\U000e0042", "variation selector": "\ufe0f", "supplement": "\U000e0100",
		"zero width space": "\u200b", "joiner": "\u200d", "word joiner": "\u2060", "byte order mark": "\ufeff", "soft hyphen": "\u00ad",
		"grapheme joiner": "\u034f", "acute accents": "\u0301\u0301", "enclosing circle": "\u20dd", "mark on blank": "\u2800\u0301",
		"null notehead": "\U0001d159", "hieroglyph blank": "\U00013441", "half": "\U00013442", "private": "\ue000", "noncharacter": "\ufdd0",
		"direction": "\u202e", "control": "\u0007",
	} {
		if key, err := NickKey(nick); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %q has key %q, %v", name, nick, key, err)
		}
	}
	for _, nick := range []string{"Ann", "🦊", "?", "\u2801", "é", "न\u093f", "각", "ⵣ", "1", "Ann\u2800"} {
		if _, err := NickKey(nick); err != nil {
			t.Errorf("%q: %v", nick, err)
		}
	}
}

// TestNickIndex: who would be taken for somebody else, and who would not.
func TestNickIndex(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		alike      bool
	}{
		{"Cyrillic А", "Аnn", "Ann", true},
		{"Cyrillic с е о р х", "сеорх", "ceopx", true},
		{"capitals", "АНН", "AHH", true},
		{"capitals, written small", "Анн", "AHH", true},
		{"Greek Ο", "Οlga", "Olga", true},
		{"Greek α", "αnn", "ann", true},
		{"Greek ν", "νονα", "vova", true},
		{"Armenian", "ոսո", "nun", true},
		{"Cherokee", "ᎪᏞᎬᎢ", "ALET", true},
		{"Cyrillic І", "Іvan", "Ivan", true},
		{"Cyrillic І for l, which only case makes alike", "Іуan", "lyan", false},
		{"two mixed ones", "Аnna", "Annа", true},
		{"phonetic g", "ɡreg", "greg", true},
		{"phonetic alpha", "ɑnn", "ann", true},
		{"blank behind", "Ann\u2800", "Ann", true},
		{"blank for a space", "Ann\u2800Lee", "Ann Lee", true},
		{"bar for l", "Bi||", "Bill", true},
		{"kana for han", "ロ田", "口田", true},
		{"zero", "0лег", "Oлег", true},
		{"Ivan and lvan", "Ivan", "lvan", false},
		{"rn and m", "Barney", "Bamey", false},
		{"digits", "Olga 1", "Olga l", false},
		{"one Cyrillic name and another", "Анна", "Инна", false},
		{"one letter more", "Аnna", "Ann", false},
		{"accent", "Änn", "Ann", false},
		{"dotless", "Iıvan", "Iivan", false},
		{"Cyrillic and Latin", "Вера", "Vera", false},
		{"kana", "ぺこ", "ペコ", false},
		{"emoji", "🦊", "🐺", false},
		{"fox and Ann", "Ann 🦊", "Ann 🐺", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := mustKey(t, c.a), mustKey(t, c.b)
			for _, pair := range [][2]string{{a, b}, {b, a}} {
				var x NickIndex
				x.Add(pair[0])
				x.Add("somebody else")
				all := slices.Values([]string{pair[0], "somebody else"})
				var want []string
				if c.alike {
					want = []string{pair[0]}
				}
				for range 2 { // the index is made with the first question
					if got := x.Alike(pair[1], all); !slices.Equal(got, want) {
						t.Errorf("like %q: %q, want %q", pair[1], got, want)
					}
				}
				if got := x.Alike(pair[0], all); len(got) > 0 {
					t.Errorf("%q looks like %q", pair[0], got)
				}
				x.Remove(pair[0])
				if got := x.Alike(pair[1], all); len(got) > 0 {
					t.Errorf("%q looks like %q, which is gone", pair[1], got)
				}
			}
		})
	}
}

// TestSameNick: what RFC 8266 takes for the same is the same, and no look-alike.
func TestSameNick(t *testing.T) {
	for _, c := range [][2]string{{"Ann", "ANN"}, {"Ann", "Ａｎｎ"}, {"Ann", "𝐀𝓃𝕟"}, {"Ann Lee", " Ann\u2003 Lee"}, {"Änn", "A\u0308nn"}} {
		if a, b := mustKey(t, c[0]), mustKey(t, c[1]); a != b {
			t.Errorf("%q has key %q, %q has %q", c[0], a, c[1], b)
		}
	}
}

func mustKey(t *testing.T, nick string) string {
	t.Helper()
	key, err := NickKey(nick)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestConfusables: the table is in order, and each line is found.
func TestConfusables(t *testing.T) {
	last := rune(0)
	for line := range strings.Lines(confusables) {
		hex, _, _ := strings.Cut(line, " ")
		c := codePoint(hex)
		if c <= last {
			t.Fatalf("%s is out of order", hex)
		}
		last = c
		if looks, _ := confusable(c); looks == "" || looks == string(c) {
			t.Errorf("%c (%s) stands for %q", c, hex, looks)
		}
	}
	for _, c := range []rune{0, 'a', '9', '~', last + 1, 0x10ffff} {
		if looks, _ := confusable(c); looks != "" {
			t.Errorf("%q looks like %q", c, looks)
		}
	}
}

func FuzzNickIndex(f *testing.F) {
	f.Add("Аnn", "Ann")
	f.Add("Ann\u2800", "BI||")
	f.Add("0лег ", "Олег")
	f.Fuzz(func(t *testing.T, a, b string) {
		ka, errA := NickKey(a)
		kb, errB := NickKey(b)
		if errA != nil || errB != nil {
			return
		}
		if again, err := NickKey(ka); err != nil || again != ka {
			t.Fatalf("%q has key %q, which has %q, %v", a, ka, again, err)
		}
		all := map[string]bool{ka: true, kb: true}
		var x NickIndex
		for k := range all {
			x.Add(k)
		}
		toB, toA := x.Alike(ka, maps.Keys(all)), x.Alike(kb, maps.Keys(all))
		if slices.Contains(toB, kb) != slices.Contains(toA, ka) || slices.Contains(toB, ka) {
			t.Fatalf("%q looks like %q, %q like %q", ka, toB, kb, toA)
		}
		for k := range all {
			x.Remove(k)
		}
		if len(x.looks) > 0 {
			t.Fatalf("left: %q", x.looks)
		}
	})
}

func BenchmarkNickIndex(b *testing.B) {
	for name, nick := range map[string]string{"plain": "first witch", "cyrillic": "первая ведьма", "braille": "⠋⠊⠗⠎⠞"} {
		key, err := NickKey(nick)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			x := NickIndex{writing: writing{mixed: true}, looks: map[string][]string{}}
			for b.Loop() {
				x.Alike(key, nil)
				x.Add(key)
				x.Remove(key)
			}
		})
	}
}
