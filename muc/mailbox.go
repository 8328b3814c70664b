package muc

import (
	"errors"
	"sync"

	"github.com/muster-im/muster/jid"
)

const (
	// mailboxDepth bounds the commands that wait in order of arrival.
	mailboxDepth = 256
	// parkBusy is the number of parked stanzas at which a sender is asked to
	// send no more until they are drained.
	parkBusy = 8
	// parkMax is the number at which his stanzas are refused.
	parkMax = 64
	// batchSize bounds the commands that are worked off before the room's
	// output goes out.
	batchSize = 64
)

var (
	errRoomClosed  = errors.New("room object is closed")
	errMailboxFull = errors.New("mailbox is full")
)

// A command is one unit of work for a room, with exclusive access to its
// state. It must not block: no I/O, no channel waits, no foreign locks.
type command interface {
	base() *request
	decide(r *Room) error // checks and hooks; changes nothing; an error is the answer
	apply(r *Room)        // cannot fail
}

// A note is the completion of something that the room has started: a load, a
// commit, an archived message, a deferred check.
type note interface{ take(r *Room) }

// mailbox is where commands and notes wait for the goroutine that drains them.
type mailbox struct {
	mu sync.Mutex
	// Guarded by mu.
	queue   []command
	parked  map[jid.JID]*parkedLine
	order   []jid.JID // senders with parked commands, next in turn first
	notes   []note
	running bool // a goroutine drains
	stalled bool // the room waits for a load or a commit: notes only
	closed  bool
}

// parkedLine is what one sender has sent to a full mailbox.
type parkedLine struct {
	commands []command
	busy     chan struct{} // closed when the line is drained; nil until asked for
}

// put queues c and never waits. start says that the caller must start the
// drain. A non-nil busy asks the sender to wait until it closes.
func (m *mailbox) put(c command, mayPark bool) (busy <-chan struct{}, start bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, errRoomClosed
	}
	sender := c.base().st.From
	line := m.parked[sender]
	switch {
	case line == nil && len(m.queue) < mailboxDepth:
		m.queue = append(m.queue, c)
	case (!mayPark || line != nil && len(line.commands) >= parkMax) && !line.lacksFarewell(c):
		return nil, false, errMailboxFull
	default:
		busy = m.park(sender, c)
	}
	return busy, m.wake(), nil
}

// lacksFarewell reports whether c ends its sender's presence, which takes effect
// however much of his waits: else he would stay in the room for ever. One is
// enough.
func (l *parkedLine) lacksFarewell(c command) bool {
	if !isFarewell(&c.base().st) {
		return false
	}
	return l == nil || !isFarewell(&l.commands[len(l.commands)-1].base().st)
}

func (m *mailbox) park(sender jid.JID, c command) <-chan struct{} {
	line := m.parked[sender]
	if line == nil {
		line = &parkedLine{}
		if m.parked == nil {
			m.parked = make(map[jid.JID]*parkedLine)
		}
		m.parked[sender] = line
		m.order = append(m.order, sender)
	}
	line.commands = append(line.commands, c)
	if len(line.commands) < parkBusy {
		return nil
	}
	if line.busy == nil {
		line.busy = make(chan struct{})
	}
	return line.busy
}

// tell queues a note; start says that the caller must start the drain.
func (m *mailbox) tell(n note) (start bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes = append(m.notes, n)
	if m.running {
		return false
	}
	m.running = true
	return true
}

// wake marks the mailbox running unless it is already or must not.
func (m *mailbox) wake() bool {
	if m.running || m.stalled {
		return false
	}
	m.running = true
	return true
}

// takeNotes returns the notes that wait.
func (m *mailbox) takeNotes() []note {
	m.mu.Lock()
	defer m.mu.Unlock()
	notes := m.notes
	m.notes = nil
	return notes
}

// takeBatch appends up to batchSize commands to batch and refills the queue
// from the parked lines, one of each sender in turn. If there is neither
// command nor note, the drain ends (false) and must touch nothing more.
func (m *mailbox) takeBatch(batch *[]command) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed { // but what was under way may still report back
		m.running = len(m.notes) > 0
		return m.running
	}
	if m.stalled || len(m.queue) == 0 {
		m.running = len(m.notes) > 0
		return m.running
	}
	n := min(len(m.queue), batchSize)
	*batch = append(*batch, m.queue[:n]...)
	rest := copy(m.queue, m.queue[n:])
	clear(m.queue[rest:])
	m.queue = m.queue[:rest]
	if rest == 0 && cap(m.queue) > batchSize {
		m.queue = nil // a burst's memory is given back
	}
	m.unpark()
	return true
}

func (m *mailbox) unpark() {
	for len(m.order) > 0 && len(m.queue) < mailboxDepth {
		sender := m.order[0]
		m.order = m.order[1:]
		line := m.parked[sender]
		m.queue = append(m.queue, line.commands[0])
		line.commands = line.commands[1:]
		if len(line.commands) > 0 {
			m.order = append(m.order, sender)
			continue
		}
		delete(m.parked, sender)
		if line.busy != nil {
			close(line.busy)
		}
	}
}

// setStalled makes the drain take notes only, or commands again.
func (m *mailbox) setStalled(stalled bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stalled = stalled
}

// rest lets the drain end if nothing waits, and gives memory back.
func (m *mailbox) rest() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.queue) > 0 || len(m.notes) > 0 {
		return false
	}
	m.queue, m.parked, m.order, m.notes, m.running = nil, nil, nil, nil, false
	return true
}

// closeIfIdle closes the mailbox unless something waits in it.
func (m *mailbox) closeIfIdle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) > 0 || len(m.notes) > 0 || m.stalled {
		return false
	}
	m.closed = true
	return true
}

// shut closes the mailbox and returns the commands that waited in it.
func (m *mailbox) shut() []command {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	left := m.queue
	m.queue = nil
	for sender, line := range m.parked {
		left = append(left, line.commands...)
		if line.busy != nil {
			close(line.busy)
		}
		delete(m.parked, sender)
	}
	m.order = nil
	return left
}
