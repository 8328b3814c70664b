package lately_test

import (
	"hash/maphash"
	"strconv"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/lately"
)

// TestIDs: what was sent lately is known, and at least the last thousand of ten
// minutes; what was never sent is not.
func TestIDs(t *testing.T) {
	t.Parallel()
	seed := maphash.MakeSeed()
	tests := []struct {
		name       string
		n          int
		every      time.Duration
		compact    bool
		known, not []int // counted from the last
	}{
		{"none", 0, 0, false, nil, []int{0}},
		{"one", 1, 0, false, []int{0}, []int{1}},
		{"some", 40, time.Second, false, []int{0, 16, 39}, nil},
		{"a crowd", 5000, time.Millisecond, false, []int{0, 500, 1000}, []int{2000, 4999}},
		{"now and then", 5000, time.Minute, false, []int{0, 9}, []int{100, 1000}},
		{"a long silence", 5000, time.Millisecond, true, []int{0, 15}, []int{16, 1000}},
		{"a long silence after one", 1, 0, true, []int{0}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var ids lately.IDs
			for i := range tt.n {
				ids.Add(seed, strconv.Itoa(i), i%2 == 0, time.Duration(i)*tt.every)
			}
			if tt.compact {
				ids.Compact()
			}
			for _, back := range tt.known {
				i := tt.n - 1 - back
				if known, all := ids.Find(seed, strconv.Itoa(i)); !known || all != (i%2 == 0) {
					t.Errorf("%d before the last: known %v, to all %v", back, known, all)
				}
			}
			for _, back := range tt.not {
				if known, _ := ids.Find(seed, strconv.Itoa(tt.n-1-back)); known {
					t.Errorf("%d before the last is known", back)
				}
			}
			if ids.Compact(); tt.n > 0 {
				ids.Add(seed, "again", true, time.Duration(tt.n)*tt.every)
				if known, all := ids.Find(seed, "again"); !known || !all {
					t.Error("what comes after is not known")
				}
			}
		})
	}
}

// TestAddAllocatesNothing: once there is room, remembering costs no memory.
func TestAddAllocatesNothing(t *testing.T) { //nolint:paralleltest // allocations are counted
	seed := maphash.MakeSeed()
	var ids lately.IDs
	for i := range 2000 {
		ids.Add(seed, strconv.Itoa(i), true, 0)
	}
	if n := testing.AllocsPerRun(1000, func() { ids.Add(seed, "an id", true, 0) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
