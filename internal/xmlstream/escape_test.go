package xmlstream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/xmlstream"
)

func TestEscape(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, text, attr string }{
		{"", "", ""},
		{"plain \u00E4\U0001F319", "plain \u00E4\U0001F319", "plain \u00E4\U0001F319"},
		{"<a b='c\">&", "&lt;a b='c\"&gt;&amp;", "&lt;a b=&apos;c\">&amp;"},
		{"]]>", "]]&gt;", "]]>"},
		{"a\t\r\nb", "a\t&#13;\nb", "a&#9;&#13;&#10;b"},
		{"\x00a\x1F", "\uFFFDa\uFFFD", "\uFFFDa\uFFFD"},
		{"\x7F\uFFFD\uFEFF", "\x7F\uFFFD\uFEFF", "\x7F\uFFFD\uFEFF"},
		{"\uFFFE<\uFFFF", "\uFFFD&lt;\uFFFD", "\uFFFD&lt;\uFFFD"},
		{"\u00E4\xFF\xEF<\xED\xA0\x80'", "\u00E4\uFFFD&lt;\uFFFD'", "\u00E4\uFFFD&lt;\uFFFD&apos;"},
	}
	for _, test := range tests {
		if got := string(xmlstream.AppendText([]byte("x"), test.in)); got != "x"+test.text {
			t.Errorf("text %q: got %q, want %q", test.in, got, test.text)
		}
		if got := string(xmlstream.AppendAttr(nil, test.in)); got != test.attr {
			t.Errorf("attribute %q: got %q, want %q", test.in, got, test.attr)
		}
	}
}

// FuzzEscape wants every string to come back as it was, or mended if no
// document can hold it.
func FuzzEscape(f *testing.F) {
	f.Add("<a b='c\">&\r\n\t")
	f.Add("\uFFFE\x01\xFF")
	f.Fuzz(func(t *testing.T, s string) {
		text, attr := string(xmlstream.AppendText(nil, s)), string(xmlstream.AppendAttr(nil, s))
		got, err := decode("<a b='"+attr+"'>"+text+"</a>", nil, false)
		if err != nil {
			t.Fatalf("%q was written as %q and %q: %v", s, text, attr, err)
		}
		want := strings.Map(func(r rune) rune {
			if r < ' ' && !strings.ContainsRune("\t\r\n", r) || r == 0xFFFE || r == 0xFFFF {
				return '\uFFFD'
			}
			return r
		}, strings.ToValidUTF8(s, "\uFFFD"))
		want = fmt.Sprintf("<{}a {}b=%q>%q</>", want, want)
		if want = strings.Replace(want, `>""</>`, "></>", 1); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	})
}
