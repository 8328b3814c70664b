package muc_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// heapInUse is what the program holds.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// nobody is a router whose people read nothing.
type nobody struct{}

func (nobody) Send(stanza.Stanza) {}

func (nobody) Target(jid.JID) stanza.Target { return nobody{} }

func (nobody) Deliver([]*stanza.Encoded) {}

// roomMemory returns what n rooms take, each: with an owner and a name of their
// own, and with so many occupants, awake or hibernated.
func roomMemory(tb testing.TB, n, occupants int, h muc.Hibernation) float64 {
	tb.Helper()
	h.EmptyAfter = -1
	s, err := muc.New(muc.Options{
		Domain: "conf.test", Router: nobody{}, Store: &forgetful{}, Hibernation: h,
		Defaults: map[string][]string{muc.FieldPersistent: {"1"}}, Extensions: roomfeatures.All(roomfeatures.Options{HistorySize: 20}),
	})
	if err != nil {
		tb.Fatal(err)
	}
	owner := jid.MustParse("anna@test")
	before := heapInUse()
	for i := range n {
		j := jid.MustParse(fmt.Sprintf("room%d@conf.test", i))
		room, err := s.CreateRoom(tb.Context(), j, func(r *muc.Room) error {
			return r.SetAffiliation(muc.System, owner, muc.Owner, muc.AffiliationOptions{})
		})
		if err != nil {
			tb.Fatal(err)
		}
		for k := range occupants {
			st, err := stanza.Parse(fmt.Appendf(nil, "<presence from='p%d@test/phone' to='room%d@conf.test/Nick %[1]d'><x xmlns='http://jabber.org/protocol/muc'/></presence>", k, i))
			if err != nil {
				tb.Fatal(err)
			}
			s.Handle(st)
		}
		if occupants > 0 { // that they are in
			if info, err := room.Info(tb.Context()); err != nil || info.Occupants != occupants {
				tb.Fatalf("%+v, %v", info, err)
			}
		}
	}
	for end := time.Now().Add(time.Minute); h.After > 0 && s.Population().Hibernated < n; {
		if time.Now().After(end) {
			tb.Fatalf("%+v of %d", s.Population(), n)
		}
		runtime.Gosched()
	}
	each := float64(heapInUse()-before) / float64(n)
	if err := s.Shutdown(tb.Context()); err != nil {
		tb.Error(err)
	}
	return each
}

// TestHibernatedRoomIsSmall: a hibernated room without history takes a kibibyte
// at most.
func TestHibernatedRoomIsSmall(t *testing.T) { //nolint:paralleltest // others would be measured, too
	for _, tt := range []struct {
		name      string
		occupants int
		most      float64
	}{{"empty", 0, 1024}, {"with one occupant", 1, 2560}} {
		each := roomMemory(t, 2000, tt.occupants, muc.Hibernation{After: 1})
		t.Logf("%s: %.0f bytes", tt.name, each)
		if each > tt.most {
			t.Errorf("%s: %.0f bytes, want %.0f at most", tt.name, each, tt.most)
		}
	}
}

// BenchmarkRoomMemory is what a room takes of the heap.
func BenchmarkRoomMemory(b *testing.B) {
	for _, state := range []struct {
		name string
		h    muc.Hibernation
	}{{"awake", muc.Hibernation{After: -1}}, {"hibernated", muc.Hibernation{After: 1}}} {
		for _, occupants := range []int{0, 1, 10} {
			b.Run(fmt.Sprintf("%s/%d", state.name, occupants), func(b *testing.B) {
				var total float64
				for b.Loop() {
					total += roomMemory(b, 2000, occupants, state.h)
				}
				b.ReportMetric(total/float64(b.N), "B/room")
			})
		}
	}
}
