package stanza_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/xmlstream"
	"github.com/muster-im/muster/stanza"
)

// TestNamespacesDoNotMultiply: a namespace that was declared once is written
// where it changes, so a long one that is used often would become a thousand
// times what its sender has sent.
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
