package roster

import (
	"slices"
	"testing"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

// TestOnline: who is in a group and has sessions is found by the group and among
// people, however many there are of either, until he is gone or in it no more.
func TestOnline(t *testing.T) {
	t.Parallel()
	g := &teams{list: make(map[shared.Key]*shared.Snapshot)}
	all := people(0, 30)
	slices.SortFunc(all, shared.Compare)
	set := func(name string, members ...jid.JID) {
		o := team(name, members...)
		o.Key = shared.Key(name)
		g.set(o)
	}
	set("Red", all[:20]...)
	set("Blue", all[10:]...)
	dir := shared.NewDirectory(g)
	view := func(account jid.JID) *shared.View {
		v, err := dir.View(t.Context(), account, false)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var o online
	expect := func(who jid.JID, want ...jid.JID) {
		t.Helper()
		for _, list := range [][]jid.JID{o.in(view(who), view(who)), o.of(all)} {
			slices.SortFunc(list, shared.Compare)
			if !slices.Equal(list, want) {
				t.Errorf("found %v, want %v", list, want)
			}
		}
	}
	for _, i := range []int{5, 15, 25} {
		o.put(all[i], &sharing{view: view(all[i])})
	}
	expect(all[12], all[5], all[15], all[25])
	if got := o.in(view(all[0]), view(all[0])); len(got) != 2 {
		t.Errorf("in Red are %v, want two", got)
	}
	if o.any(all[:5]) || !o.any(all[:6]) {
		t.Error("any does not find who is there")
	}
	set("Red", all[:10]...)
	o.put(all[15], &sharing{view: view(all[15])})
	if got := o.in(view(all[0]), view(all[0])); !slices.Equal(got, all[5:6]) {
		t.Errorf("in Red are %v, want %v", got, all[5:6])
	}
	for _, i := range []int{15, 25} {
		o.remove(all[i])
		o.remove(all[i])
	}
	expect(all[5], all[5])
	for i := range 20 {
		o.put(all[i], &sharing{view: view(all[i])}) // so many that the people are asked for
	}
	if got := o.of(all); len(got) != 20 {
		t.Errorf("%d of 20 are found", len(got))
	}
	for _, j := range all {
		o.remove(j)
	}
	if len(o.groups) != 0 || o.count.Load() != 0 {
		t.Errorf("%d groups and %d people are left", len(o.groups), o.count.Load())
	}
}
