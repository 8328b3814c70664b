package jid_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
)

func TestParse(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 1023)
	tests := []struct{ in, want string }{ // want "" is malformed
		// RFC 7622 §3.5, table 1.
		{"juliet@example.com", "juliet@example.com"},
		{"juliet@example.com/foo", "juliet@example.com/foo"},
		{"juliet@example.com/foo bar", "juliet@example.com/foo bar"},
		{"juliet@example.com/foo@bar", "juliet@example.com/foo@bar"},
		{`foo\20bar@example.com`, `foo\20bar@example.com`},
		{"fussball@example.com", "fussball@example.com"},
		{"fu\u00DFball@example.com", "fu\u00DFball@example.com"},
		{"\u03C0@example.com", "\u03C0@example.com"},
		{"\u03A3@example.com/foo", "\u03C3@example.com/foo"},
		{"\u03C3@example.com/foo", "\u03C3@example.com/foo"},
		{"\u03C2@example.com/foo", "\u03C2@example.com/foo"},
		{"king@example.com/\u265A", "king@example.com/\u265A"},
		{"example.com", "example.com"},
		{"example.com/foobar", "example.com/foobar"},
		{"a.example.com/b@example.net", "a.example.com/b@example.net"},
		// Table 2.
		{`"juliet"@example.com`, ""},
		{"foo bar@example.com", ""},
		{"juliet@example.com/", ""},
		{"@example.com/", ""},
		{"henry\u2163@example.com", ""},
		{"\u265A@example.com", ""},
		{"juliet@", ""},
		{"/foobar", ""},
		// Preparation.
		{"Juliet@EXAMPLE.com./Balcony", "juliet@example.com/Balcony"},
		{"\uFF2Auliet@example.com", "juliet@example.com"},
		{"a@b\u00FCcher.example", "a@b\u00FCcher.example"},
		{"a@xn--bcher-kva.example", "a@b\u00FCcher.example"},
		{"a@127.0.0.1", "a@127.0.0.1"},
		{"a@[::1]/r", "a@[::1]/r"},
		{"a@[::1", ""},
		{"a@[127.0.0.1]", ""},
		{"a@b c", ""},
		{"a@a..b", ""},
		{"a@-x.org", ""},
		{"a@x-.org", ""},
		{"a@" + strings.Repeat("b", 64) + ".org", ""},
		{long + "@" + "x.org/" + long, long + "@x.org/" + long},
		{long + "a@x.org", ""},
		{"x.org/a" + long, ""},
		{"a@x.org/\x00", ""},
		{"a@x.org/\xff", ""},
		{"", ""},
		{"@", ""},
	}
	for _, test := range tests {
		got, err := jid.Parse(test.in)
		switch {
		case test.want == "" && !errors.Is(err, jid.ErrMalformed):
			t.Errorf("%.80q: got %.80q, %v, want it malformed", test.in, got, err)
		case test.want != "" && (err != nil || got.String() != test.want):
			t.Errorf("%.80q: got %.80q, %v, want %.80q", test.in, got, err, test.want)
		}
	}
}

func TestNickKey(t *testing.T) {
	t.Parallel()
	same := [][2]string{{"Romeo", "romeo"}, {"Foo  Bar", " foo bar "}, {"\u03A3", "\u03C3"}, {"\u2163", "iv"}, {"\U0001F319", "\U0001F319"}}
	for _, pair := range same {
		a, errA := jid.NickKey(pair[0])
		b, errB := jid.NickKey(pair[1])
		if errA != nil || errB != nil || a != b {
			t.Errorf("%q and %q: keys %q, %q (%v, %v), want them equal", pair[0], pair[1], a, b, errA, errB)
		}
	}
	for _, blank := range []string{"", " ", "\u00A0", "\u3000 "} {
		if key, err := jid.NickKey(blank); !errors.Is(err, jid.ErrMalformed) {
			t.Errorf("%q: key %q, want it refused", blank, key)
		}
	}
}

func TestPlainAddressesCostNothing(t *testing.T) {
	var j jid.JID
	allocs := testing.AllocsPerRun(100, func() { j, _ = jid.Parse("juliet@example.com/balcony") })
	if allocs != 0 || j.Local() != "juliet" {
		t.Errorf("%v allocations for %v, want 0", allocs, j)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"juliet@example.com/foo", "\u03A3@b\u00FCcher.example/\u265A", "a@[::1]", "a@xn--bcher-kva", "A.B./C"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		j, err := jid.Parse(s)
		if err != nil {
			return
		}
		again, err := jid.Parse(j.String())
		if err != nil || again != j {
			t.Errorf("%q is prepared to %q, and that to %q (%v): no fixed point", s, j, again, err)
		}
	})
}
