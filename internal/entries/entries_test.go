package entries

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/muster-im/muster/jid"
)

// TestRelist: many changes at once leave what they leave one by one, in order.
func TestRelist(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be repeatable
	var one, many Index
	ranks := make(map[jid.JID]int)
	for round := range 50 {
		changed := make(map[jid.JID]bool)
		for range rnd.IntN(100) {
			j := jid.MustParse(fmt.Sprintf("m%03d@test", rnd.IntN(300)))
			if rank, ok := ranks[j]; ok {
				one.Unlist(j, rank)
				delete(ranks, j)
			}
			if rank := rnd.IntN(Ranks + 1); rank < Ranks {
				ranks[j] = rank
				one.List(j, rank)
			}
			changed[j] = true
		}
		many.Relist(changed, func(j jid.JID) (int, bool) { rank, ok := ranks[j]; return rank, ok })
		for rank := range Ranks {
			if !slices.Equal(one.Of(rank), many.Of(rank)) || !slices.IsSortedFunc(many.Of(rank), Compare) {
				t.Fatalf("round %d: rank %d is %v, want %v", round, rank, many.Of(rank), one.Of(rank))
			}
		}
	}
}

func TestReserve(t *testing.T) {
	anna, ben := jid.MustParse("anna@test"), jid.MustParse("ben@test")
	var x Index
	x.Reserve(anna, "Queen")
	x.Reserve(ben, "queen")
	x.Reserve(ben, "")
	x.Release(ben, "QUEEN")
	if len(x.Nicks) != 1 || x.Nicks["queen"] != anna {
		t.Errorf("reserved %v, want Queen for anna", x.Nicks)
	}
	x.Release(anna, "qUEEN")
	if len(x.Nicks) != 0 {
		t.Errorf("reserved %v, want nothing", x.Nicks)
	}
}
