package sqlstore

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// BenchmarkCreateRooms is many rooms that are made at the same time, each of which
// survives a power cut.
func BenchmarkCreateRooms(b *testing.B) {
	db, err := Open(b.Context(), Options{Driver: SQLite, Dir: b.TempDir(), Durability: DurabilityFull})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing depends on it
	change := muc.RoomChange{
		Created: noon, Descriptor: &muc.RoomDescriptor{Name: "A room", Public: true}, Settings: map[string][]string{"muc#roomconfig_persistentroom": {"1"}},
		Affiliations: []muc.AffiliationRecord{{JID: jid.MustParse("crone1@shakespeare.lit"), Affiliation: muc.Owner}},
	}
	var n atomic.Int64
	b.SetParallelism(16)
	before := cpuTime()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			room, err := jid.New(fmt.Sprintf("room%d", n.Add(1)), "chat.shakespeare.lit", "")
			if err == nil {
				err = db.ApplyRoomChange(b.Context(), room, 0, change)
			}
			if err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(cpuTime()-before)/float64(n.Load())/1000, "cpu-µs/room")
}
