package sqlstore

import (
	"fmt"
	"testing"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/jid"
)

// BenchmarkGroupSpans reads a group of a thousand, as whoever asks for his contact
// list does of each of his groups that is not in memory.
func BenchmarkGroupSpans(b *testing.B) {
	db, err := Open(b.Context(), Options{Driver: SQLite, Dir: b.TempDir(), Durability: DurabilityProcess})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing depends on it
	c := &groups.StoredChange{Group: groups.Record{ID: "team", Name: "Team", Contract: groups.Permanent, Created: noon}}
	for i := range 1000 {
		c.Put = append(c.Put, groups.MemberRecord{
			User: jid.MustParse(fmt.Sprintf("somebody%d@shakespeare.lit", i)), Role: "member", Entered: groups.This, Joined: groups.This, Since: noon,
		})
	}
	number, err := db.ChangeGroup(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	b.ReportAllocs()
	before := cpuTime()
	for b.Loop() {
		list, err := db.GroupSpans(b.Context(), number)
		if err != nil || len(list) != 1000 {
			b.Fatal(len(list), err)
		}
		n++
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(n)/1e6, "cpu-ms/group")
}
