package offline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

var (
	juliet = jid.MustParse("juliet@example.org")
	host   = jid.MustParse("example.org")
)

// target keeps the messages it gets; with fail it takes none.
type target struct {
	mu    sync.Mutex
	got   []stanza.Stanza
	sizes []int
	fail  error
}

func (r *target) Deliver(batch []*stanza.Encoded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := 0
	for _, e := range batch {
		r.got = append(r.got, e.Stanza)
		size += e.Size()
	}
	r.sizes = append(r.sizes, size)
}

func (r *target) Take(batch []*stanza.Encoded) error {
	r.Deliver(batch)
	return r.fail
}

func (r *target) bodies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, st := range r.got {
		list = append(list, st.Body())
	}
	return list
}

func open(t *testing.T, limit int) *Service {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Driver: sqlstore.SQLite, Dir: t.TempDir(), Durability: "process"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(Options{Store: db, Limit: limit})
}

func message(t *testing.T, inner string) stanza.Stanza {
	t.Helper()
	st, err := stanza.Parse([]byte(`<message type="chat" from="romeo@example.org/orchard" to="juliet@example.org/balcony" id="m">` + inner + `</message>`))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func nobody() bool { return false }

func (s *Service) keep(t *testing.T, body string) {
	t.Helper()
	if err := s.Store(t.Context(), message(t, "<body>"+body+"</body>"), time.Time{}, nobody); err != nil {
		t.Fatal(err)
	}
}

func (s *Service) deliver(t *testing.T) *target {
	t.Helper()
	to := &target{}
	if err := s.Deliver(t.Context(), juliet, host, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestVerdict: XEP-0160 §3 and XEP-0334 §4.
func TestVerdict(t *testing.T) {
	t.Parallel()
	const body, state = `<body>hi</body>`, `<composing xmlns="http://jabber.org/protocol/chatstates"/>`
	hint := func(name string) string { return `<` + name + ` xmlns="urn:xmpp:hints"/>` }
	tests := []struct {
		name, typ, inner, want string
	}{
		{"chat", "chat", body, "kept"},
		{"normal", "normal", body, "kept"},
		{"no type", "", body, "kept"},
		{"chat with a state", "chat", body + state, "kept"},
		{"receipt", "chat", `<received xmlns="urn:xmpp:receipts" id="x"/>`, "kept"},
		{"invitation", "normal", `<x xmlns="jabber:x:conference" jid="room@chat.test"/>`, "kept"},
		{"subject", "normal", `<subject>s</subject>`, "kept"},
		{"state alone", "chat", state, "dropped"},
		{"state with thread", "chat", state + `<thread>t</thread>`, "dropped"},
		{"nothing", "chat", ``, "dropped"},
		{"groupchat", "groupchat", body, "refused"},
		{"headline", "headline", body, "refused"},
		{"no-store", "chat", body + hint("no-store"), "refused"},
		{"no-store, nothing said", "chat", `<received xmlns="urn:xmpp:receipts" id="x"/>` + hint("no-store"), "dropped"},
		{"no-permanent-store", "chat", body + hint("no-permanent-store"), "kept"},
		{"store", "chat", state + hint("store"), "kept"},
		{"hint alone", "chat", hint("no-copy"), "dropped"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, 0)
			st := message(t, test.inner)
			st.Type = stanza.Type(test.typ)
			err := s.Store(t.Context(), st, time.Time{}, nobody)
			got := "dropped"
			switch kept := len(s.deliver(t).got); {
			case errors.Is(err, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")):
				got = "refused"
			case err != nil:
				t.Fatal(err)
			case kept == 1:
				got = "kept"
			}
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// TestDelivery: in order, with delay, as they were sent, once.
func TestDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 0)
		var want []string
		for i := range 2*pageSize + 5 {
			body := fmt.Sprint("message ", i)
			s.keep(t, body)
			want = append(want, body)
			time.Sleep(time.Second) // virtual
		}
		got := s.deliver(t)
		if !slices.Equal(got.bodies(), want) {
			t.Errorf("got %q", got.bodies())
		}
		second := got.got[1]
		delay := second.Child(stanza.NSDelay, "delay")
		if delay.Attr("from") != "example.org" || delay.Attr("stamp") != "2000-01-01T00:00:01Z" {
			t.Errorf("delay %+v", delay)
		}
		if second.To.String() != "juliet@example.org/balcony" || second.ID != "m" || second.Type != stanza.TypeChat {
			t.Errorf("got %+v", second)
		}
		if again := s.deliver(t); len(again.got) != 0 {
			t.Errorf("delivered again: %q", again.bodies())
		}
	})
}

// TestLimit: who finds no room learns it, and one sender cannot take the room of
// all others.
func TestLimit(t *testing.T) {
	t.Parallel()
	s := open(t, 4)
	full := stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
	try := func(from, body string, want error) {
		t.Helper()
		st := message(t, "<body>"+body+"</body>")
		st.From = jid.MustParse(from)
		if err := s.Store(t.Context(), st, time.Time{}, nobody); !errors.Is(err, want) {
			t.Errorf("%s from %s: %v, want %v", body, from, err, want)
		}
	}
	try("romeo@example.org/orchard", "one", nil)
	try("romeo@example.org/garden", "two", nil)
	try("romeo@example.org/orchard", "three", full)
	try("nurse@example.org/x", "four", nil)
	try("rooms.test", "five", nil)
	try("tybalt@example.org/x", "six", full)
	if got := s.deliver(t).bodies(); !slices.Equal(got, []string{"one", "two", "four", "five"}) {
		t.Errorf("got %q", got)
	}
	try("romeo@example.org/orchard", "seven", nil)
}

// countingStore counts the messages that the store is asked to take.
type countingStore struct {
	Store
	asked int
}

func (c *countingStore) AddOffline(ctx context.Context, m store.OfflineMessage, limits store.OfflineLimits) error {
	c.asked++
	return c.Store.AddOffline(ctx, m, limits)
}

// TestFlood: what is sent to somebody whose place is full does not keep the
// store busy, until there may be room again.
func TestFlood(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	counting := &countingStore{Store: s.store}
	s.store = counting
	send := func(body string) {
		t.Helper()
		err := s.Store(t.Context(), message(t, "<body>"+body+"</body>"), time.Time{}, nobody)
		if err != nil && !errors.Is(err, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")) {
			t.Error(err)
		}
	}
	expect := func(asked int, when string) {
		t.Helper()
		if counting.asked != asked {
			t.Errorf("%s: the store was asked %d times, want %d", when, counting.asked, asked)
		}
		counting.asked = 0
	}
	send("kept")
	expect(1, "with room")
	for range 100 {
		send("refused")
	}
	expect(1, "without")
	send("less") // may fit where the other did not
	send("less")
	send("refused")
	expect(1, "for a smaller one")
	if err := s.Deliver(t.Context(), juliet, host, &target{fail: errors.New("gone")}); err != nil {
		t.Error(err)
	}
	send("refused")
	expect(1, "after a delivery that failed")
	s.AccountDeleted(juliet)
	send("refused")
	expect(1, "for the next owner of the name")
	s.deliver(t)
	send("kept")
	expect(1, "after a delivery")
}

// TestLimitBytes: as many bytes as wait are counted, too.
func TestLimitBytes(t *testing.T) {
	t.Parallel()
	s := open(t, 0)
	s.limits.All.Bytes, s.limits.Sender.Bytes = 2000, 1000
	s.keep(t, strings.Repeat("x", 500))
	err := s.Store(t.Context(), message(t, "<body>"+strings.Repeat("x", 500)+"</body>"), time.Time{}, nobody)
	if !errors.Is(err, stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")) {
		t.Errorf("got %v", err)
	}
	s.keep(t, "short")
}

// TestSomebodyComes: who is there at the last moment gets the message at once.
func TestSomebodyComes(t *testing.T) {
	t.Parallel()
	s := open(t, 0)
	if err := s.Store(t.Context(), message(t, "<body>one</body>"), time.Time{}, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	if got := s.deliver(t); len(got.got) != 0 {
		t.Errorf("stored as well: %q", got.bodies())
	}
}

// TestTargetFails: what a client has not taken waits for the next one, and is no failure of ours.
func TestTargetFails(t *testing.T) {
	t.Parallel()
	s := open(t, 0)
	s.keep(t, "one")
	gone := &target{fail: errors.New("connection lost")}
	if err := s.Deliver(t.Context(), juliet, host, gone); err != nil { // as clients do all the time
		t.Errorf("an operator is told: %v", err)
	}
	if got := s.deliver(t).bodies(); !slices.Equal(got, []string{"one"}) {
		t.Errorf("got %q", got)
	}
}

// TestPages: big messages are handed over few at a time.
func TestPages(t *testing.T) {
	t.Parallel()
	s := open(t, 0)
	big := strings.Repeat("x", pageBytes/2)
	for range 4 {
		s.keep(t, big)
	}
	s.keep(t, strings.Repeat("y", 2*pageBytes)) // larger than a page, alone
	got := s.deliver(t)
	if len(got.got) != 5 {
		t.Errorf("%d messages", len(got.got))
	}
	for _, size := range got.sizes[:len(got.sizes)-1] {
		if size > pageBytes+4096 {
			t.Errorf("%d bytes at once", size)
		}
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	s := open(t, 0)
	must(t, s.store.AddOffline(t.Context(), store.OfflineMessage{To: juliet, Time: time.Now(), Stanza: []byte("<message")}, s.limits))
	s.keep(t, "one")
	if got := s.deliver(t).bodies(); !slices.Equal(got, []string{"one"}) {
		t.Errorf("got %q: one bad row costs itself", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestEachOnce: while people write, her clients come and go. Each message is
// delivered exactly once: from the store, or at once.
func TestEachOnce(t *testing.T) {
	t.Parallel()
	s := open(t, 10_000)
	var mu sync.Mutex
	var there *target // the client that is available
	live := func(st stanza.Stanza) bool {
		mu.Lock()
		defer mu.Unlock()
		if there != nil {
			there.Deliver([]*stanza.Encoded{stanza.EncodeAddressed(st)})
		}
		return there != nil
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				st := message(t, fmt.Sprintf("<body>%d-%d</body>", w, i))
				if live(st) {
					continue
				}
				if err := s.Store(t.Context(), st, time.Time{}, func() bool { return live(st) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var targets []*target
	come := func() {
		c := &target{}
		mu.Lock()
		there = c
		targets = append(targets, c)
		mu.Unlock()
		if err := s.Deliver(t.Context(), juliet, host, c); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		wg.Go(func() {
			for range 20 {
				come()
				mu.Lock()
				there = nil
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	come()
	count := make(map[string]int)
	for _, c := range targets {
		for _, body := range c.bodies() {
			count[body]++
		}
	}
	for body, n := range count {
		if n != 1 {
			t.Errorf("%s delivered %d times", body, n)
		}
	}
	if len(count) != 200 {
		t.Errorf("%d messages delivered, want 200", len(count))
	}
}

// TestNobodyStaysBehind: she comes between the sender's look and the store, and
// stays. The message must not lie there until she comes again.
func TestNobodyStaysBehind(t *testing.T) {
	t.Parallel()
	for range 50 {
		s := open(t, 0)
		var mu sync.Mutex
		var there *target
		live := func() bool {
			mu.Lock()
			defer mu.Unlock()
			if there == nil {
				return false
			}
			there.Deliver([]*stanza.Encoded{stanza.EncodeAddressed(message(t, "<body>one</body>"))})
			return true
		}
		c := &target{}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Store(t.Context(), message(t, "<body>one</body>"), time.Time{}, live); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			mu.Lock()
			there = c
			mu.Unlock()
			if err := s.Deliver(t.Context(), juliet, host, c); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if got := c.bodies(); len(got) != 1 {
			t.Fatalf("got %q", got)
		}
	}
}
