package stanza_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/xmlstream"
	"github.com/muster-im/muster/stanza"
)

// prefixed returns n attributes with the prefix a.
func prefixed(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a:x%d=''", i)
	}
	return b.String()
}

// TestNamespacesDoNotMultiply: a namespace that was declared once is written
// where it changes, so a long one that is used often would become a thousand
// times what its sender has sent. What is accepted is also read again.
func TestNamespacesDoNotMultiply(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 100_000)
	for _, test := range []struct {
		name, xml string
		refused   bool
	}{
		{"elements", "<message xmlns:a='" + long + "'>" + strings.Repeat("<a:x/>", 1000) + "</message>", true},
		{"attributes", "<message xmlns:a='" + long + "'>" + strings.Repeat("<x a:y=''/>", 1000) + "</message>", true},
		{"back and forth", "<message xmlns:a='urn:a'><x xmlns='" + long + "'>" + strings.Repeat("<a:y><z/></a:y>", 1000) + "</x></message>", true},
		{"attributes of one element", "<message><x xmlns='y' xmlns:a='urn:a' " + prefixed(64) + "/></message>", true},
		{"as many as may be", "<message><x xmlns:a='urn:a' " + prefixed(63) + "/></message>", false},
		{"deep inside", "<message xmlns:a='urn:a'>" + strings.Repeat("<x a:b='' a:c='' a:d='' a:e=''>", 50) + strings.Repeat("</x>", 50) + "</message>", true},
		{"less deep", "<message xmlns:a='urn:a'>" + strings.Repeat("<x a:b='' a:c='' a:d='' a:e=''>", 48) + strings.Repeat("</x>", 48) + "</message>", false},
		{"side by side", "<message xmlns:a='urn:a'>" + strings.Repeat("<x a:b='' a:c='' a:d='' a:e=''/>", 500) + "</message>", false},
		{"inherited", "<message><x xmlns='" + long + "'>" + strings.Repeat("<y/>", 1000) + "</x></message>", false},
		{"once", "<message xmlns:a='" + long + "'><a:x/></message>", false},
		{"short", "<message xmlns:a='urn:xmpp:something:or:other:0'>" + strings.Repeat("<a:x a:y='1'/>", 500) + "</message>", false},
		{"written out", "<message>" + strings.Repeat("<x xmlns='urn:xmpp:something:or:other:0'/>", 5000) + "</message>", false},
	} {
		st, err := stanza.Parse([]byte(test.xml))
		if test.refused {
			if e, ok := errors.AsType[*xmlstream.Error](err); !ok || e.Kind != xmlstream.TooLarge {
				t.Errorf("%s: %v, want TooLarge", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		out := st.AppendXML(nil)
		if again, err := stanza.Parse(out); err != nil || string(again.AppendXML(nil)) != string(out) {
			t.Errorf("%s: what was written is not read again: %v", test.name, err)
		}
	}
}
