package stanza

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster-im/muster/jid"
)

// TestWritten: more stanzas than there was room for are what was put in, for
// whoever is given them, and nobody misses them.
func TestWritten(t *testing.T) {
	t.Parallel()
	w := NewWritten(1, 10)
	from := jid.MustParse("romeo@example.org")
	for i := range 20 {
		st := Stanza{Kind: IQ, Type: TypeSet, ID: fmt.Sprint("push-", i), From: from}
		w.Add(st, func(dst []byte) []byte {
			return append(AppendText(append(dst, "<query xmlns='jabber:iq:roster'>"...), fmt.Sprint("<", i)), "</query>"...)
		})
	}
	for i, e := range w.Batch() {
		want := fmt.Sprintf("<iq type='set' id='push-%d' from='romeo@example.org' to='a@b/c'>"+
			"<query xmlns='jabber:iq:roster'>&lt;%d</query></iq>", i, i)
		if got := string(e.AppendTo(nil, "a@b/c")); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if got := e.Size(); got != len(want)-len("a@b/c") {
			t.Errorf("size of %d is %d", i, got)
		}
		if st, ok := e.Lost(from, time.Now()); ok {
			t.Errorf("%d is missed: %v", i, st)
		}
	}
	if n := len(w.Batch()); n != 20 {
		t.Errorf("there are %d", n)
	}
}

// TestWrittenAllocations: many stanzas take memory for many at once.
func TestWrittenAllocations(t *testing.T) {
	const many = 1000
	st := Stanza{Kind: IQ, Type: TypeSet, ID: "a", From: jid.MustParse("a@example.org")}
	allocs := testing.AllocsPerRun(10, func() {
		w := NewWritten(many, many*100)
		for range many {
			w.Add(st, func(dst []byte) []byte { return append(dst, "<a/>"...) })
		}
	})
	if allocs > many/slabSize*2+5 {
		t.Errorf("%v allocations for %d stanzas", allocs, many)
	}
}
