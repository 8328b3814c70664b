package router

import (
	"testing"

	"github.com/muster-im/muster/jid"
)

// TestBlocks: XEP-0191 §6, each kind of entry against each kind of address.
func TestBlocks(t *testing.T) {
	t.Parallel()
	addresses := []string{
		"romeo@far.test/orchard", "romeo@far.test/street", "romeo@far.test", "nurse@far.test/orchard",
		"far.test/orchard", "far.test/street", "far.test", "sub.far.test", "romeo@near.test",
		"juliet@near.test", "juliet@near.test/balcony", "near.test", "near.test/announce", "nurse@near.test/x",
	}
	tests := []struct {
		entry string
		want  []string
	}{
		{"romeo@far.test/orchard", []string{"romeo@far.test/orchard"}},
		{"romeo@far.test", []string{"romeo@far.test/orchard", "romeo@far.test/street", "romeo@far.test"}},
		{"far.test/orchard", []string{"far.test/orchard"}},
		{"far.test", []string{
			"romeo@far.test/orchard", "romeo@far.test/street", "romeo@far.test", "nurse@far.test/orchard",
			"far.test/orchard", "far.test/street", "far.test",
		}},
		{"juliet@near.test", nil}, // §5: one's own
		{"juliet@near.test/balcony", nil},
		{"near.test", []string{"romeo@near.test", "nurse@near.test/x"}}, // but not the server
	}
	for _, test := range tests {
		t.Run(test.entry, func(t *testing.T) {
			t.Parallel()
			l := NewBlockList(jid.MustParse("juliet@near.test"), []jid.JID{jid.MustParse(test.entry)})
			want := make(map[string]bool)
			for _, a := range test.want {
				want[a] = true
			}
			for _, a := range addresses {
				if got := l.Blocks(jid.MustParse(a)); got != want[a] {
					t.Errorf("%s: got %v, want %v", a, got, want[a])
				}
			}
			if l.Blocks(jid.JID{}) {
				t.Error("no address is blocked")
			}
		})
	}
}

// TestBlockListChanges: a copy keeps what it was, and the empty list, which is
// that of most people, has nothing in memory.
func TestBlockListChanges(t *testing.T) {
	t.Parallel()
	romeo, nurse := jid.MustParse("romeo@far.test"), jid.MustParse("nurse@far.test")
	var nobody *BlockList
	l := NewBlockList(jid.MustParse("juliet@near.test/balcony"), nil)
	if !l.Empty() || !nobody.Empty() || nobody.Blocks(romeo) || l.Owner() != jid.MustParse("juliet@near.test") {
		t.Error("a new list is not empty, or not its owner's")
	}
	l.Block([]jid.JID{romeo, nurse, romeo})
	before := l.Clone()
	l.Unblock([]jid.JID{romeo, romeo})
	if l.Blocks(romeo) || !l.Blocks(nurse) || l.Len() != 1 {
		t.Errorf("after unblocking romeo: %v", l.Items())
	}
	if !before.Blocks(romeo) || before.Len() != 2 {
		t.Errorf("the copy has changed: %v", before.Items())
	}
	l.Unblock([]jid.JID{nurse})
	if !l.Empty() {
		t.Errorf("after unblocking all: %v", l.Items())
	}
	before.Clear()
	if !before.Empty() || before.Blocks(nurse) {
		t.Errorf("after clearing: %v", before.Items())
	}
}
