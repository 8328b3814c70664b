package mailbox

import (
	"errors"
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
)

// item is a command of somebody with a number.
type item struct {
	from     string
	n        int
	farewell bool
}

func from(name string, n int) Letter[item] {
	return Letter[item]{item{name, n, false}, jid.MustParse(name + "@test/r"), false}
}

func goes(name string) Letter[item] {
	return Letter[item]{item{name, 0, true}, jid.MustParse(name + "@test/r"), true}
}

// full is a mailbox that anna has filled.
func full(t *testing.T) *Box[item, any] {
	t.Helper()
	m := &Box[item, any]{}
	for i := range Depth {
		busy, start, err := m.Put(from("anna", i), true)
		if busy != nil || err != nil || start != (i == 0) {
			t.Fatalf("put %d: busy %v, start %v, %v", i, busy != nil, start, err)
		}
	}
	return m
}

// names are the senders of commands, in order.
func names(commands []item) string {
	var b strings.Builder
	for _, c := range commands {
		b.WriteString(c.from[:1])
	}
	return b.String()
}

func TestParksPerSender(t *testing.T) {
	m := full(t)
	var busy <-chan struct{}
	for i := range ParkMax {
		b, _, err := m.Put(from("anna", Depth+i), true)
		if err != nil {
			t.Fatalf("parked stanza %d: %v", i, err)
		}
		if asked := b != nil; asked != (i+1 >= ParkBusy) {
			t.Errorf("parked stanza %d: asked to wait: %v", i, asked)
		}
		busy = b
	}
	if _, _, err := m.Put(from("anna", 0), true); !errors.Is(err, ErrFull) {
		t.Errorf("past the bound: %v, want %v", err, ErrFull)
	}
	if b, _, err := m.Put(from("ben", 0), true); b != nil || err != nil {
		t.Errorf("ben pays for what anna has sent: busy %v, %v", b != nil, err)
	}
	if _, _, err := m.Put(from("chloe", 0), false); !errors.Is(err, ErrFull) {
		t.Errorf("a shared stream parked: %v", err)
	}
	var got []item
	for m.TakeBatch(&got) {
		if ended(busy) && len(m.parked) > 0 && m.parked[jid.MustParse("anna@test/r")] != nil {
			t.Fatal("anna may send again while her stanzas are parked")
		}
	}
	if !ended(busy) {
		t.Error("anna waits for ever")
	}
	if len(got) != Depth+ParkMax+1 {
		t.Fatalf("%d commands came out", len(got))
	}
	next := 0
	for _, c := range got {
		if c.from == "anna" {
			if c.n != next {
				t.Fatalf("anna's stanza %d came when it was the turn of %d", c.n, next)
			}
			next++
		}
	}
}

// TestTakesFarewells: who goes is not refused, however much of his waits:
// else he would stay in the room for ever.
func TestTakesFarewells(t *testing.T) {
	for _, mayPark := range []bool{true, false} {
		m := full(t)
		for range ParkMax {
			if _, _, err := m.Put(from("anna", 0), true); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"anna", "ben"} {
			if _, _, err := m.Put(goes(name), mayPark); err != nil {
				t.Errorf("the farewell of %s is refused: %v", name, err)
			}
		}
		if _, _, err := m.Put(goes("anna"), mayPark); !errors.Is(err, ErrFull) {
			t.Errorf("a second farewell: %v, want %v", err, ErrFull)
		}
		for name, want := range map[string]int{"anna": ParkMax + 1, "ben": 1} {
			if got := len(m.parked[jid.MustParse(name+"@test/r")].commands); got != want {
				t.Errorf("%d stanzas of %s wait, want %d: one farewell is enough", got, name, want)
			}
		}
		var got []item
		for m.TakeBatch(&got) {
		}
		if last := got[len(got)-1]; last.from != "anna" || !last.farewell {
			t.Errorf("the last is %v", last)
		}
	}
}

// TestIsFair: each sender in turn, so that nobody waits for the many
// stanzas of somebody else.
func TestIsFair(t *testing.T) {
	m := full(t)
	for i := range 3 {
		for _, name := range []string{"ben", "ben", "chloe"} {
			if _, _, err := m.Put(from(name, i), true); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []item
	for m.TakeBatch(&got) { //nolint:revive // takes all
	}
	if order := names(got[Depth:]); order != "bcbcbcbbb" {
		t.Errorf("parked stanzas came in the order %s", order)
	}
}

func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestBatches(t *testing.T) {
	m := full(t)
	var got []item
	if !m.TakeBatch(&got) || len(got) != BatchSize {
		t.Fatalf("a batch of %d, want %d", len(got), BatchSize)
	}
	m.SetStalled(true)
	if m.TakeBatch(&got) {
		t.Error("a stalled mailbox gave commands")
	}
	if _, start, err := m.Put(from("ben", 0), true); start || err != nil {
		t.Errorf("a stalled mailbox started a drain: %v, %v", start, err)
	}
	if !m.Tell(nil) {
		t.Error("a note did not start the drain of a stalled mailbox")
	}
	if m.CloseIfIdle() {
		t.Error("closed with commands inside")
	}
}

func TestShut(t *testing.T) {
	m := full(t)
	var busy <-chan struct{}
	for i := range ParkBusy {
		busy, _, _ = m.Put(from("ben", i), true)
	}
	if left := m.Shut(); len(left) != Depth+ParkBusy {
		t.Errorf("%d commands were left", len(left))
	}
	if !ended(busy) {
		t.Error("ben waits for a room that is gone")
	}
	if _, _, err := m.Put(from("ben", 0), true); !errors.Is(err, ErrClosed) {
		t.Errorf("a shut mailbox took a command: %v", err)
	}
}
