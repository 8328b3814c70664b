package c2s

import (
	"slices"
	"sync"
	"time"

	"github.com/muster-im/muster/stanza"
)

// answerTime is how long an <r/> may wait for stanzas that are being worked
// on: XEP-0198 §4 wants an answer soon, and a client wants to hear of all of
// them.
const answerTime = time.Second

// arrivals counts what a client has sent (XEP-0198 §4). A stanza is handled
// when nobody works on it any more, and h counts those before which nothing is
// open: rooms may deal with stanzas out of order. It is safe for concurrent use.
type arrivals struct {
	mu sync.Mutex
	// Guarded by mu.
	answer  func(h uint32) // sends <a/>, and is called without mu
	handled uint32
	open    []bool        // of the stanzas behind handled: dealt with
	asked   int           // requests that wait for an answer
	late    bool          // a request was answered before all was handled
	want    uint32        // what handled must be for the answer
	settled chan struct{} // closed when nothing is open; nil unless somebody waits
	timer   *time.Timer
}

// take counts a stanza that has come and returns what follows it.
func (a *arrivals) take() *stanza.Receipt {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = append(a.open, false)
	return stanza.NewReceipt(a, a.handled+uint32(len(a.open))) //nolint:gosec // h wraps (XEP-0198 §4)
}

// Handled is called when a stanza has been dealt with.
func (a *arrivals) Handled(seq uint32) {
	a.mu.Lock()
	a.open[seq-a.handled-1] = true
	n := 0
	for n < len(a.open) && a.open[n] {
		n++
	}
	a.open = slices.Delete(a.open, 0, n)
	a.handled += uint32(n) //nolint:gosec // no more than were open
	if len(a.open) == 0 && a.settled != nil {
		close(a.settled)
		a.settled = nil
	}
	answers := 0
	if (a.asked > 0 || a.late) && int32(a.handled-a.want) >= 0 { //nolint:gosec // serial number arithmetic
		answers = max(a.asked, 1)
		a.asked, a.late = 0, false
		a.timer.Stop()
	}
	h, answer := a.handled, a.answer
	a.mu.Unlock()
	for range answers {
		answer(h)
	}
}

// request answers an <r/>: at once if everything is handled, else when it is.
// What takes longer than answerTime is answered twice.
func (a *arrivals) request() {
	a.mu.Lock()
	if len(a.open) == 0 {
		h, answer := a.handled, a.answer
		a.mu.Unlock()
		answer(h)
		return
	}
	defer a.mu.Unlock()
	if a.asked++; a.asked == 1 {
		if a.timer == nil {
			a.timer = time.AfterFunc(answerTime, a.hurry)
		} else {
			a.timer.Reset(answerTime)
		}
	}
	a.want = a.handled + uint32(len(a.open)) //nolint:gosec // h wraps
}

// hurry answers what has waited long enough with what is handled by now.
func (a *arrivals) hurry() {
	a.mu.Lock()
	n, h, answer := a.asked, a.handled, a.answer
	if n > 0 {
		a.asked, a.late = 0, true
	}
	a.mu.Unlock()
	for range n {
		answer(h)
	}
}

// forget makes the count all that remains: nobody is answered any more.
func (a *arrivals) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = func(uint32) {}
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	a.asked, a.late = 0, false
}

// count returns the number of stanzas handled.
func (a *arrivals) count() uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.handled
}

// wait returns a channel that closes when nothing is open; nil if that is so.
func (a *arrivals) wait() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.open) == 0 {
		return nil
	}
	if a.settled == nil {
		a.settled = make(chan struct{})
	}
	return a.settled
}
