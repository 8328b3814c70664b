package muc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// letter is a command that only has a sender and a number.
type letter struct {
	request
	n int
}

func (*letter) decide(*Room) error { return nil }
func (*letter) apply(*Room)        {}

func from(name string, n int) *letter {
	return &letter{request{st: stanza.Stanza{From: jid.MustParse(name + "@test/r")}}, n}
}

// full is a mailbox that anna has filled.
func full(t *testing.T) *mailbox {
	t.Helper()
	m := &mailbox{}
	for i := range mailboxDepth {
		busy, start, err := m.put(from("anna", i), true)
		if busy != nil || err != nil || start != (i == 0) {
			t.Fatalf("put %d: busy %v, start %v, %v", i, busy != nil, start, err)
		}
	}
	return m
}

// names are the senders of commands, in order.
func names(commands []command) string {
	var b strings.Builder
	for _, c := range commands {
		b.WriteString(c.base().st.From.Local()[:1])
	}
	return b.String()
}

func TestMailboxParksPerSender(t *testing.T) {
	m := full(t)
	var busy <-chan struct{}
	for i := range parkMax {
		b, _, err := m.put(from("anna", mailboxDepth+i), true)
		if err != nil {
			t.Fatalf("parked stanza %d: %v", i, err)
		}
		if asked := b != nil; asked != (i+1 >= parkBusy) {
			t.Errorf("parked stanza %d: asked to wait: %v", i, asked)
		}
		busy = b
	}
	if _, _, err := m.put(from("anna", 0), true); !errors.Is(err, errMailboxFull) {
		t.Errorf("past the bound: %v, want %v", err, errMailboxFull)
	}
	if b, _, err := m.put(from("ben", 0), true); b != nil || err != nil {
		t.Errorf("ben pays for what anna has sent: busy %v, %v", b != nil, err)
	}
	if _, _, err := m.put(from("chloe", 0), false); !errors.Is(err, errMailboxFull) {
		t.Errorf("a shared stream parked: %v", err)
	}
	var got []command
	for m.takeBatch(&got) {
		if ended(busy) && len(m.parked) > 0 && m.parked[jid.MustParse("anna@test/r")] != nil {
			t.Fatal("anna may send again while her stanzas are parked")
		}
	}
	if !ended(busy) {
		t.Error("anna waits for ever")
	}
	if len(got) != mailboxDepth+parkMax+1 {
		t.Fatalf("%d commands came out", len(got))
	}
	next := 0
	for _, c := range got {
		if l := c.(*letter); l.st.From.Local() == "anna" { //nolint:errcheck,forcetypeassert // a test's own
			if l.n != next {
				t.Fatalf("anna's stanza %d came when it was the turn of %d", l.n, next)
			}
			next++
		}
	}
}

// TestMailboxIsFair: each sender in turn, so that nobody waits for the many
// stanzas of somebody else.
// TestMailboxTakesFarewells: who goes is not refused, however much of his waits:
// else he would stay in the room for ever.
func TestMailboxTakesFarewells(t *testing.T) {
	for _, mayPark := range []bool{true, false} {
		m := full(t)
		for range parkMax {
			if _, _, err := m.put(from("anna", 0), true); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"anna", "ben"} {
			c := from(name, 0)
			c.st.Kind, c.st.Type = stanza.Presence, stanza.TypeUnavailable
			if _, _, err := m.put(c, mayPark); err != nil {
				t.Errorf("the farewell of %s is refused: %v", name, err)
			}
		}
		again := from("anna", 0)
		again.st.Kind, again.st.Type = stanza.Presence, stanza.TypeError
		if _, _, err := m.put(again, mayPark); !errors.Is(err, errMailboxFull) {
			t.Errorf("a second farewell: %v, want %v", err, errMailboxFull)
		}
		for name, want := range map[string]int{"anna": parkMax + 1, "ben": 1} {
			if got := len(m.parked[jid.MustParse(name+"@test/r")].commands); got != want {
				t.Errorf("%d stanzas of %s wait, want %d: one farewell is enough", got, name, want)
			}
		}
		var got []command
		for m.takeBatch(&got) {
		}
		if last := got[len(got)-1].base().st; last.From.Local() != "anna" || !isFarewell(&last) {
			t.Errorf("the last is %s of %s", last.Type, last.From)
		}
	}
}

func TestMailboxIsFair(t *testing.T) {
	m := full(t)
	for i := range 3 {
		for _, name := range []string{"ben", "ben", "chloe"} {
			if _, _, err := m.put(from(name, i), true); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []command
	for m.takeBatch(&got) { //nolint:revive // takes all
	}
	if order := names(got[mailboxDepth:]); order != "bcbcbcbbb" {
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

func TestMailboxBatches(t *testing.T) {
	m := full(t)
	var got []command
	if !m.takeBatch(&got) || len(got) != batchSize {
		t.Fatalf("a batch of %d, want %d", len(got), batchSize)
	}
	m.setStalled(true)
	if m.takeBatch(&got) {
		t.Error("a stalled mailbox gave commands")
	}
	if _, start, err := m.put(from("ben", 0), true); start || err != nil {
		t.Errorf("a stalled mailbox started a drain: %v, %v", start, err)
	}
	if !m.tell(nil) {
		t.Error("a note did not start the drain of a stalled mailbox")
	}
	if m.closeIfIdle() {
		t.Error("closed with commands inside")
	}
}

func TestMailboxShut(t *testing.T) {
	m := full(t)
	var busy <-chan struct{}
	for i := range parkBusy {
		busy, _, _ = m.put(from("ben", i), true)
	}
	if left := m.shut(); len(left) != mailboxDepth+parkBusy {
		t.Errorf("%d commands were left", len(left))
	}
	if !ended(busy) {
		t.Error("ben waits for a room that is gone")
	}
	if _, _, err := m.put(from("ben", 0), true); !errors.Is(err, errRoomClosed) {
		t.Errorf("a shut mailbox took a command: %v", err)
	}
}

// TestStanzaIDs: they rise in byte order, however often in one microsecond, if
// the clock goes back, and after a restart.
func TestStanzaIDs(t *testing.T) {
	var ids stanzaIDs
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	last := ""
	for i := range 2000 {
		switch i {
		case 1000:
			now = now.Add(-time.Hour)
		case 1500:
			now = now.Add(2 * time.Hour)
		}
		id := ids.next(now)
		if len(id) != idDigits+idRandom || id <= last {
			t.Fatalf("%q follows %q", id, last)
		}
		last = id
	}
	a := new(stanzaIDs).next(now)
	if b := new(stanzaIDs).next(now); a == b || a[:idDigits] != b[:idDigits] {
		t.Errorf("two rooms made %q and %q at one time: want ids that nobody can guess", a, b)
	}
	var again stanzaIDs
	again.resume(last)
	if id := again.next(time.Unix(0, 0)); id <= last {
		t.Errorf("after a restart %q follows %q", id, last)
	}
	for _, odd := range []string{"", "x", "ABCDEFGHIJKLM", "zzzzzzzzzzzz!"} {
		var fresh stanzaIDs
		fresh.resume(odd)
		if got := fresh.next(now); got[:idDigits] != encodeID(idValue(now)) {
			t.Errorf("an id of other making, %q, led to %q", odd, got)
		}
	}
}

// TestQueryByID: what a client sees as a message's time, which is in
// milliseconds, selects it by its ID.
func TestQueryByID(t *testing.T) {
	var ids stanzaIDs
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_912_345, time.UTC)
	const ms = time.Millisecond
	id, at := ids.next(now), now.Truncate(ms)
	for _, test := range []struct {
		name       string
		start, end time.Time
		want       bool
	}{
		{"from its time on", at, time.Time{}, true},
		{"up to its time", time.Time{}, at, true},
		{"its time alone", at, at, true},
		{"from a moment later", at.Add(1), time.Time{}, false},
		{"from the next millisecond", at.Add(ms), time.Time{}, false},
		{"from the one before", at.Add(-ms), time.Time{}, true},
		{"up to the one before", time.Time{}, at.Add(-ms), false},
		{"up to a moment before", time.Time{}, at.Add(-1), false},
		{"the first and the last time there is", time.Time{}.AddDate(0, 0, 1), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), true},
	} {
		q := ArchiveQuery{Start: test.start, End: test.end}.ByID()
		if got := id > q.AfterID && (q.BeforeID == "" || id < q.BeforeID); got != test.want {
			t.Errorf("%s: %v, want %v: %q, %q", test.name, got, test.want, q.AfterID, q.BeforeID)
		}
		if in := !at.Before(q.Start) && (q.End.IsZero() || !at.After(q.End)); in != test.want {
			t.Errorf("%s, by time: %v, want %v", test.name, in, test.want)
		}
	}
}
