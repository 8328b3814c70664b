// Package mailbox holds what waits for a room: commands, in order and fairly by
// sender, and notes of what it has started elsewhere. Putting something in never
// waits. It starts no goroutines; whoever is told to start a drain does.
package mailbox

import (
	"errors"
	"sync"

	"github.com/muster-im/muster/jid"
)

// Bounds of a mailbox.
const (
	// Depth bounds the commands that wait in order of arrival.
	Depth = 256
	// ParkBusy is the number of parked stanzas at which a sender is asked to
	// send no more until they are drained.
	ParkBusy = 8
	// ParkMax is the number at which his stanzas are refused.
	ParkMax = 64
	// BatchSize bounds the commands that are worked off before the room's
	// output goes out.
	BatchSize = 64
)

// Errors of Put.
var (
	ErrClosed = errors.New("mailbox is closed")
	ErrFull   = errors.New("mailbox is full")
)

// Letter is a command with what a mailbox must know of it.
type Letter[C any] struct {
	Command  C
	From     jid.JID
	Farewell bool // it ends its sender's presence
}

// Box is where commands (C) and notes (N) wait for the goroutine that drains
// them. Its zero value is empty.
type Box[C, N any] struct {
	mu sync.Mutex
	// Guarded by mu.
	queue   []C
	parked  map[jid.JID]*line[C]
	order   []jid.JID // senders with parked commands, next in turn first
	notes   []N
	running bool // a goroutine drains
	stalled bool // the room waits for a load or a commit: notes only
	closed  bool
}

// line is what one sender has sent to a full mailbox.
type line[C any] struct {
	commands []C
	farewell bool          // the last one ends his presence
	busy     chan struct{} // closed when the line is drained; nil until asked for
}

// Put queues c and never waits. start says that the caller must start the
// drain. A non-nil busy asks the sender to wait until it closes.
func (m *Box[C, N]) Put(c Letter[C], mayPark bool) (busy <-chan struct{}, start bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, ErrClosed
	}
	l := m.parked[c.From]
	switch {
	case l == nil && len(m.queue) < Depth:
		m.queue = append(m.queue, c.Command)
	case (!mayPark || l != nil && len(l.commands) >= ParkMax) && !l.lacks(c):
		return nil, false, ErrFull
	default:
		busy = m.park(c)
	}
	return busy, m.wake(), nil
}

// lacks reports whether c ends its sender's presence, which takes effect however
// much of his waits: else he would stay in the room for ever. One is enough.
func (l *line[C]) lacks(c Letter[C]) bool { return c.Farewell && (l == nil || !l.farewell) }

func (m *Box[C, N]) park(c Letter[C]) <-chan struct{} {
	l := m.parked[c.From]
	if l == nil {
		l = &line[C]{}
		if m.parked == nil {
			m.parked = make(map[jid.JID]*line[C])
		}
		m.parked[c.From] = l
		m.order = append(m.order, c.From)
	}
	l.commands, l.farewell = append(l.commands, c.Command), c.Farewell
	if len(l.commands) < ParkBusy {
		return nil
	}
	if l.busy == nil {
		l.busy = make(chan struct{})
	}
	return l.busy
}

// Tell queues a note; start says that the caller must start the drain.
func (m *Box[C, N]) Tell(n N) (start bool) {
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
func (m *Box[C, N]) wake() bool {
	if m.running || m.stalled {
		return false
	}
	m.running = true
	return true
}

// TakeNotes returns the notes that wait.
func (m *Box[C, N]) TakeNotes() []N {
	m.mu.Lock()
	defer m.mu.Unlock()
	notes := m.notes
	m.notes = nil
	return notes
}

// Depth is how many commands wait, parked ones too.
func (m *Box[C, N]) Depth() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.queue)
	for _, l := range m.parked {
		n += len(l.commands)
	}
	return n
}

// TakeBatch appends up to BatchSize commands to batch and refills the queue
// from the parked lines, one of each sender in turn. If there is neither
// command nor note, the drain ends (false) and must touch nothing more.
func (m *Box[C, N]) TakeBatch(batch *[]C) bool {
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
	n := min(len(m.queue), BatchSize)
	*batch = append(*batch, m.queue[:n]...)
	rest := copy(m.queue, m.queue[n:])
	clear(m.queue[rest:])
	m.queue = m.queue[:rest]
	if rest == 0 && cap(m.queue) > BatchSize {
		m.queue = nil // a burst's memory is given back
	}
	m.unpark()
	return true
}

func (m *Box[C, N]) unpark() {
	for len(m.order) > 0 && len(m.queue) < Depth {
		sender := m.order[0]
		m.order = m.order[1:]
		l := m.parked[sender]
		m.queue = append(m.queue, l.commands[0])
		l.commands = l.commands[1:]
		if len(l.commands) > 0 {
			m.order = append(m.order, sender)
			continue
		}
		delete(m.parked, sender)
		if l.busy != nil {
			close(l.busy)
		}
	}
}

// SetStalled makes the drain take notes only, or commands again.
func (m *Box[C, N]) SetStalled(stalled bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stalled = stalled
}

// Rest lets the drain end if nothing waits, and gives memory back.
func (m *Box[C, N]) Rest() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.queue) > 0 || len(m.notes) > 0 {
		return false
	}
	m.queue, m.parked, m.order, m.notes, m.running = nil, nil, nil, nil, false
	return true
}

// CloseIfIdle closes the mailbox unless something waits in it.
func (m *Box[C, N]) CloseIfIdle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) > 0 || len(m.notes) > 0 || m.stalled {
		return false
	}
	m.closed = true
	return true
}

// Shut closes the mailbox and returns the commands that waited in it.
func (m *Box[C, N]) Shut() []C {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	left := m.queue
	m.queue = nil
	for sender, l := range m.parked {
		left = append(left, l.commands...)
		if l.busy != nil {
			close(l.busy)
		}
		delete(m.parked, sender)
	}
	m.order = nil
	return left
}
