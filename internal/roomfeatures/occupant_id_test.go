package roomfeatures

import (
	"testing"

	"github.com/muster-im/muster/jid"
)

// TestOccupantID checks the promises of XEP-0421 §4.1.
func TestOccupantID(t *testing.T) {
	t.Parallel()
	id := func(key, room, who string) string {
		f := occupantID{key: []byte(key)}
		return f.element(jid.MustParse(room), jid.MustParse(who)).Attr("id")
	}
	base := id("k", "a@conf.test", "romeo@test")
	if len(base) == 0 || len(base) > 128 {
		t.Errorf("an id of %d characters, want 1 to 128", len(base))
	}
	if got := id("k", "a@conf.test", "romeo@test/phone"); got != base {
		t.Errorf("another client of the account has %s, want %s", got, base)
	}
	for name, other := range map[string]string{
		"another room":    id("k", "b@conf.test", "romeo@test"),
		"another account": id("k", "a@conf.test", "juliet@test"),
		"another key":     id("l", "a@conf.test", "romeo@test"),
	} {
		if other == base {
			t.Errorf("%s has the same id %s", name, base)
		}
	}
}
