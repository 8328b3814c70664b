package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

const (
	laterWorkers = 32   // goroutines at most
	laterEach    = 1024 // stanzas that wait for one account
	laterAll     = 64 << 10
	laterTimeout = 10 * time.Second // for one stanza
)

// laterQueue works off stanzas that may have to wait for storage. What is for
// one account is worked off in order by one goroutine at a time, so an account
// that takes long delays no other while there are goroutines left.
type laterQueue struct {
	work  func(stanza.Stanza) // set at construction
	wg    sync.WaitGroup
	total atomic.Int64 // stanzas that wait or are being worked off

	mu sync.Mutex
	// Guarded by mu.
	accounts map[jid.JID]*laterAccount
	ready    []*laterAccount // whose turn it is, nobody works for them
	workers  int
	closed   bool
}

// laterAccount is what waits for one account. It is in the queue's map until
// all of it is done.
type laterAccount struct {
	bare    jid.JID
	waiting []stanza.Stanza
}

func (q *laterQueue) init(work func(stanza.Stanza)) {
	q.work = work
	q.accounts = make(map[jid.JID]*laterAccount)
}

// waits reports whether something for an address is not yet worked off: what
// comes later must not overtake it.
func (q *laterQueue) waits(j jid.JID) bool {
	if q.total.Load() == 0 {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.accounts[j.Bare()] != nil
}

// add queues a stanza and reports whether there was room.
func (q *laterQueue) add(st stanza.Stanza) bool {
	bare := st.To.Bare()
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.accounts[bare]
	if q.closed || q.total.Load() >= laterAll || a != nil && len(a.waiting) >= laterEach {
		return false
	}
	q.total.Add(1)
	if a != nil {
		a.waiting = append(a.waiting, st)
		return true
	}
	a = &laterAccount{bare: bare, waiting: []stanza.Stanza{st}}
	q.accounts[bare] = a
	q.ready = append(q.ready, a)
	if q.workers < laterWorkers {
		q.workers++
		q.wg.Go(q.drain)
	}
	return true
}

// drain works until nothing is ready.
func (q *laterQueue) drain() {
	for a, batch := q.take(nil); a != nil; a, batch = q.take(a) {
		for _, st := range batch {
			q.work(st)
		}
		q.total.Add(-int64(len(batch)))
	}
}

// take gives back the account that was worked for and returns the next one
// with all that waits for it; nil if there is none.
func (q *laterQueue) take(done *laterAccount) (*laterAccount, []stanza.Stanza) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case done == nil:
	case len(done.waiting) > 0:
		q.ready = append(q.ready, done)
	default:
		delete(q.accounts, done.bare)
	}
	if len(q.ready) == 0 {
		q.workers--
		return nil, nil
	}
	a := q.ready[0]
	q.ready = q.ready[1:]
	batch := a.waiting
	a.waiting = nil
	return a, batch
}

// close waits until everything that has been added is worked off.
func (q *laterQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wg.Wait()
}
