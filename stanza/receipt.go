package stanza

import "sync/atomic"

// Receipt follows one stanza of a client until nobody works on it any more: it
// has been delivered, stored, applied or answered. Only then the client may be
// told that it has been handled (XEP-0198 §4). Who keeps a stanza beyond the
// call that brought it calls Hold before it returns, and Release in the end. A
// nil Receipt is valid and does nothing, as most stanzas are not followed.
type Receipt struct {
	seq    uint32
	left   atomic.Int32
	sender Sender
}

// Sender is whose stanza a Receipt follows.
type Sender interface {
	// Handled says that the stanza with that number is dealt with. It is called
	// once, from any goroutine, and must not wait.
	Handled(seq uint32)
}

// NewReceipt returns a receipt that is held once.
func NewReceipt(sender Sender, seq uint32) *Receipt {
	r := &Receipt{seq: seq, sender: sender}
	r.left.Store(1)
	return r
}

// Hold says that one more works on the stanza. After the last Release it does
// nothing.
func (r *Receipt) Hold() {
	if r == nil {
		return
	}
	for n := r.left.Load(); n > 0; n = r.left.Load() {
		if r.left.CompareAndSwap(n, n+1) {
			return
		}
	}
}

// Release takes one Hold back.
func (r *Receipt) Release() {
	if r == nil {
		return
	}
	for n := r.left.Load(); n > 0; n = r.left.Load() {
		if !r.left.CompareAndSwap(n, n-1) {
			continue
		}
		if n == 1 {
			sender := r.sender
			r.sender = nil // what keeps the stanza must not keep its sender
			sender.Handled(r.seq)
		}
		return
	}
}
