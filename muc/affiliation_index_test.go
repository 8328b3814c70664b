package muc

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/muster-im/muster/jid"
)

// crowd is a room with so many members, each with a nickname.
func crowd(n int) *Room {
	r := &Room{open: &open{}}
	list := make([]AffiliationRecord, n)
	for i := range list {
		list[i] = AffiliationRecord{JID: jid.MustParse(fmt.Sprintf("m%06d@test", i)), Affiliation: Member, Nick: fmt.Sprint("Nick ", i)}
	}
	r.setRecords(list)
	return r
}

// TestManyChanges: many changes at once leave what they leave one by one.
func TestManyChanges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be repeatable
	one, many := crowd(200), crowd(200)
	for round := range 50 {
		changes := make([]affiliationChange, rnd.IntN(4*manyChanges))
		for i := range changes { // some of them twice, some new, some with what only extensions keep
			rec := AffiliationRecord{JID: jid.MustParse(fmt.Sprintf("m%06d@test", rnd.IntN(300))), Affiliation: Affiliation(rnd.IntN(5)) + Outcast}
			if rnd.IntN(2) == 0 && rec.Affiliation > None {
				rec.Nick = fmt.Sprint("Nick ", rnd.IntN(300))
			}
			if rnd.IntN(4) == 0 {
				rec.Data = map[string]string{"k": fmt.Sprint(rnd.IntN(2))}
			}
			changes[i].record = rec
			one.setRecord(rec)
		}
		many.changeRecords(changes)
		if len(one.affiliations) != len(many.affiliations) || !maps.Equal(one.index.Nicks, many.index.Nicks) {
			t.Fatalf("round %d: %d entries and %d nicknames, want %d and %d", round,
				len(many.affiliations), len(many.index.Nicks), len(one.affiliations), len(one.index.Nicks))
		}
		for a := Outcast; a <= Owner; a++ {
			if !slices.Equal(one.index.of(a), many.index.of(a)) {
				t.Fatalf("round %d: %s are %v, want %v", round, a, many.index.of(a), one.index.of(a))
			}
		}
	}
}

// BenchmarkManyChanges is how long a room with 100,000 members takes to change
// 2,000 of them in one query.
func BenchmarkManyChanges(b *testing.B) {
	r := crowd(100_000)
	changes := make([]affiliationChange, 2000)
	for i := range changes {
		changes[i].record = AffiliationRecord{JID: jid.MustParse(fmt.Sprintf("m%06d@test", 40*i))}
	}
	for b.Loop() {
		for i := range changes { // there and back again
			rec := &changes[i].record
			if rec.Affiliation == Admin {
				rec.Affiliation = Member
			} else {
				rec.Affiliation = Admin
			}
		}
		r.changeRecords(changes)
	}
}
