package shared

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
)

func user(name string) jid.JID { return jid.MustParse(name + "@example.org") }

// fixed is a source that is what it is.
type fixed []*Snapshot

func (f fixed) Snapshots(_ context.Context, account jid.JID, _ bool) (list []*Snapshot, err error) {
	for _, s := range f {
		if s.public || s.entry(account) != nil {
			list = append(list, s)
		}
	}
	return list, nil
}

func (fixed) Release(jid.JID) {}

func (f fixed) view(t *testing.T, account jid.JID) *View {
	t.Helper()
	v, err := NewDirectory(f).View(t.Context(), account, true)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// describe says what a view has, in order.
func describe(v *View) string {
	var list []string
	for c := range v.Contacts() {
		list = append(list, text(c))
	}
	return strings.Join(list, "; ")
}

func text(c Contact) string {
	s := c.JID.Local() + " "
	c.Recall(0)
	switch {
	case c.To && c.From:
		s += "both"
	case c.To:
		s += "to"
	default:
		s += "from"
	}
	if c.Name != "" {
		s += " " + c.Name
	}
	if c.Meets {
		s += " meets"
	}
	for _, l := range c.Labels {
		s += " [" + l.Text + "]"
	}
	return s
}

// member is an entry, by the spans of a membership.
func member(name string, spans ...Span) Entry {
	if len(spans) == 0 {
		spans = []Span{{}}
	}
	last := len(spans) - 1
	return Entry{JID: user(name), Span: spans[last], Earlier: spans[:last]}
}

func TestContacts(t *testing.T) {
	t.Parallel()
	named := func(e Entry, name string) Entry { e.Name = name; return e }
	tests := []struct {
		name   string
		groups []SnapshotOptions
		want   string // for romeo
	}{
		{"no group", nil, ""},
		{"alone", []SnapshotOptions{{Label: "A", Entries: []Entry{member("romeo")}}}, ""},
		{"two members", []SnapshotOptions{{Label: "A", Entries: []Entry{member("romeo"), member("juliet")}}}, "juliet both [A]"},
		{"not a member", []SnapshotOptions{{Label: "A", Entries: []Entry{member("tybalt"), member("juliet")}}}, ""},
		{
			"two groups", []SnapshotOptions{
				{Key: "a", Label: "A", Entries: []Entry{member("romeo"), named(member("juliet"), "Jule")}},
				{Key: "b", Label: "B", Entries: []Entry{member("romeo"), member("juliet"), member("nurse")}},
			}, "juliet both Jule [A] [B]; nurse both [B]",
		},
		{
			"a later name counts", []SnapshotOptions{
				{Key: "a", Entries: []Entry{member("romeo"), named(member("juliet"), "Jule")}},
				{Key: "b", Entries: []Entry{member("romeo"), named(member("juliet"), "Capulet")}},
			}, "juliet both Capulet",
		},
		{"an outsider sees a public group", []SnapshotOptions{{Label: "A", Public: true, Entries: []Entry{member("juliet")}}}, "juliet to [A]"},
		{"members of a public group", []SnapshotOptions{{Label: "A", Public: true, Entries: []Entry{member("juliet"), member("romeo")}}}, "juliet both [A]"},
		{
			"left a permanent group", []SnapshotOptions{{Label: "A", Contract: Permanent, Entries: []Entry{
				member("romeo", Span{1, 0}), member("juliet", Span{1, 5}),
			}}}, "juliet both",
		},
		{
			"left an overlay group", []SnapshotOptions{{Label: "A", Contract: Overlay, Entries: []Entry{
				member("romeo", Span{1, 0}), member("juliet", Span{1, 5}),
			}}}, "",
		},
		{
			"left before the other came", []SnapshotOptions{{Label: "A", Contract: Permanent, Entries: []Entry{
				member("romeo", Span{5, 0}), member("juliet", Span{1, 5}),
			}}}, "",
		},
		{
			"met in an earlier time", []SnapshotOptions{{Label: "A", Contract: Permanent, Entries: []Entry{
				member("romeo", Span{1, 4}, Span{9, 0}), member("juliet", Span{3, 5}),
			}}}, "juliet both",
		},
		{
			"both have left", []SnapshotOptions{{Label: "A", Contract: Permanent, Entries: []Entry{
				member("romeo", Span{1, 4}), member("juliet", Span{3, 5}),
			}}}, "juliet both",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var f fixed
			for _, o := range tt.groups {
				f = append(f, NewSnapshot(o))
			}
			if got := describe(f.view(t, user("romeo"))); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestSeenByAll(t *testing.T) {
	t.Parallel()
	f := fixed{NewSnapshot(SnapshotOptions{Public: true, Entries: []Entry{member("juliet")}})}
	if !f.view(t, user("juliet")).SeenByAll() || f.view(t, user("romeo")).SeenByAll() {
		t.Error("juliet alone is seen by all")
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	f := fixed{NewSnapshot(SnapshotOptions{Contract: Permanent, Entries: []Entry{
		member("romeo", Span{1, 4}, Span{9, 0}), member("juliet", Span{3, 0}),
	}})}
	if c, ok := f.view(t, user("romeo")).Contact(user("juliet")); !ok || c.Since != 9 {
		t.Errorf("together since %d, want 9: he has come again", c.Since)
	}
}

// TestChanged changes groups at random and compares what Changed names with what
// is different.
func TestChanged(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test that repeats itself
	world := fixed{}
	for i := range 4 {
		world = append(world, NewSnapshot(SnapshotOptions{Key: Key(fmt.Sprint(i)), Label: fmt.Sprint("g", i), Contract: Permanent, Public: i == 3}))
	}
	names := []string{"a", "b", "c", "d", "e", "f"}
	romeo := user("a")
	for revision := int64(1); revision < 3000; revision++ {
		old := world.view(t, romeo)
		before := contacts(old)
		for range 1 + r.IntN(2) {
			world = change(r, world, revision, names)
			revision++
		}
		now := world.view(t, romeo)
		var want []jid.JID
		after := contacts(now)
		for _, n := range names {
			if before[user(n)] != after[user(n)] {
				want = append(want, user(n))
			}
		}
		got := now.Changed(old)
		for _, j := range want {
			if !slices.Contains(got, j) {
				t.Fatalf("revision %d: %s is %q now and was %q; changed are %v", revision, j, after[j], before[j], got)
			}
		}
		for j, s := range after {
			if c, ok := now.Contact(j); !ok || text(c) != s {
				t.Fatalf("revision %d: Contact says %q, Contacts %q", revision, text(c), s)
			}
		}
	}
}

func contacts(v *View) map[jid.JID]string {
	m := make(map[jid.JID]string)
	for c := range v.Contacts() {
		m[c.JID] = text(c)
	}
	return m
}

// change does something to one of the groups.
func change(r *rand.Rand, world fixed, revision int64, names []string) fixed {
	world = slices.Clone(world)
	i := r.IntN(len(world))
	s := world[i]
	if r.IntN(10) == 0 { // a file may bring them in another order, and otherwise than they were
		k := r.IntN(len(world))
		world[i], world[k] = world[k], NewSnapshot(SnapshotOptions{
			Key: s.key, Label: s.label, Contract: s.contract, Revision: revision, Entries: s.entries, Public: s.public, Meeting: r.IntN(2) == 0,
		})
		return world
	}
	if r.IntN(10) == 0 {
		world[i] = s.With(Change{Revision: revision, Label: fmt.Sprint("g", revision), Contract: s.contract})
		return world
	}
	e := Entry{JID: user(names[r.IntN(len(names))])}
	if old := s.entry(e.JID); old != nil {
		e = *old
	}
	switch {
	case e.Span == (Span{}):
		e.Span = Span{Joined: revision}
	case e.Left != 0 && r.IntN(2) == 0:
		e.Earlier, e.Span = append(slices.Clip(e.Earlier), e.Span), Span{Joined: revision}
	case r.IntN(3) == 0:
		e.Earlier, e.Span = nil, Span{}
	case e.Left == 0:
		e.Left = revision
	}
	world[i] = s.With(Change{Revision: revision, Label: s.label, Contract: s.contract, Entries: []Entry{e}})
	return world
}

// TestCursor: a cursor says what the view says, in whatever order it is asked, and a
// later view is the one that somebody gets who has had none.
func TestCursor(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // a test
	name := func() string { return fmt.Sprint("p", r.IntN(40)) }
	groupsOf := func(revision int64) (list fixed) {
		for g := range 4 {
			o := SnapshotOptions{Key: Key(fmt.Sprint("g", g)), Label: fmt.Sprint("G", g), Revision: revision, Public: r.IntN(4) == 0}
			for range r.IntN(30) {
				o.Entries = append(o.Entries, member(name()))
			}
			list = append(list, NewSnapshot(o))
		}
		return list
	}
	for round := range 200 {
		account := user(name())
		earlier := groupsOf(1).view(t, account)
		now := groupsOf(2)
		later, err := NewDirectory(now).Later(t.Context(), earlier)
		if err != nil {
			t.Fatal(err)
		}
		fresh := now.view(t, account)
		if got, want := describe(later), describe(fresh); got != want {
			t.Fatalf("later view has %q, want %q", got, want)
		}
		if !later.SameGroups(fresh) {
			t.Fatal("the same groups are others")
		}
		people := make([]string, 60)
		for i := range people {
			people[i] = name()
		}
		if round%2 == 0 {
			slices.Sort(people)
		}
		cursor := later.Cursor()
		for _, p := range people {
			got, ok := cursor.Contact(user(p))
			want, there := fresh.Contact(user(p))
			if ok != there || text(got) != text(want) {
				t.Fatalf("%s is %q (%t), want %q (%t)", p, text(got), ok, text(want), there)
			}
		}
	}
}
