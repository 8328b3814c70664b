package muc_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// handled notes which of a client's stanzas have been dealt with.
type handled struct {
	mu sync.Mutex
	// Guarded by mu.
	seqs map[uint32]int
}

func (h *handled) Handled(seq uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seqs[seq]++
}

func (h *handled) count(seq uint32) int {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seqs[seq]
}

// follow sends a stanza as a session with stream management does.
func (w *world) follow(h *handled, seq uint32, xml string) {
	w.t.Helper()
	st := parseStanza(w.t, xml)
	st.Receipt = stanza.NewReceipt(h, seq)
	w.Handle(st)
	st.Receipt.Release()
}

// TestReceipts: a stanza counts as handled when the room has answered or
// applied it, an archived message when it is committed (XEP-0198 §4).
func TestReceipts(t *testing.T) {
	var release chan struct{} // made inside the bubble
	slow := extension(func(h *muc.Hooks) {
		h.BeforeJoin.Add("slow", 0, func(ev *muc.JoinEvent) error {
			if ev.Nick != "ben" {
				return nil
			}
			return ev.Defer(func(ctx context.Context) error {
				select {
				case <-release:
				case <-ctx.Done():
				}
				return nil
			})
		})
	})
	s := &troubled{}
	o := persistent(s)
	o.Extensions = []muc.Extension{slow}
	run(t, o, func(w *world) {
		release = make(chan struct{})
		w.open()
		h := &handled{seqs: make(map[uint32]int)}
		want := func(what string, seq uint32, n int) {
			w.t.Helper()
			if got := h.count(seq); got != n {
				w.t.Errorf("%s: handled %d times, want %d", what, got, n)
			}
		}
		w.follow(h, 1, say("anna", "one"))
		want("a message that waits for the archive", 1, 0)
		w.follow(h, 2, "<presence from='anna@test/r' to='coven@conf.test/anna'/>")
		want("presence behind it", 2, 0)
		s.settle(w.t, nil)
		want("the message, committed", 1, 1)
		want("the presence", 2, 1)

		w.follow(h, 3, say("anna", "two"))
		s.settle(w.t, errors.New("disk full"))
		want("a message that could not be archived and was answered", 3, 1)

		w.follow(h, 4, say("nobody", "hello"))
		want("a refused message", 4, 1)
		w.follow(h, 5, "<message type='chat' from='anna@test/r' to='coven@conf.test'><body/></message>")
		want("a message refused before the room", 5, 1)

		w.follow(h, 6, enter("ben"))
		w.follow(h, 7, say("ben", "behind"))
		want("a deferred join", 6, 0)
		want("what waits behind it", 7, 0)
		release <- struct{}{}
		want("the join", 6, 1)
		s.settle(w.t, nil)
		want("what waited", 7, 1)

		w.follow(h, 8, "<iq type='get' id='1' from='anna@test/r' to='conf.test'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
		want("a request to the service", 8, 1)
	})
}
