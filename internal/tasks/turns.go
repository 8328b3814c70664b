package tasks

import (
	"slices"
	"sync"

	"github.com/muster-im/muster/jid"
)

// maxTurns bounds what of one person waits for its turn.
const maxTurns = 256

// Turns runs functions that may block, so many at a time. Those that have to
// wait are taken one of each person's in turn, so that somebody who asks for
// much at once keeps nobody waiting but himself. What waits costs no goroutine.
type Turns struct {
	tasks *Group
	size  int

	mu sync.Mutex
	// Guarded by mu.
	lines   map[jid.JID][]*turn
	order   []jid.JID // of the lines, next first
	workers int
}

// NewTurns returns turns for so many at a time.
func NewTurns(t *Group, size int) *Turns { return &Turns{tasks: t, size: size} }

// turn is a function that waits to be run.
type turn struct{ fn func() }

// Run runs fn when it is its turn; false says that too much of that person waits
// already. stop forgets fn if it has not begun.
func (t *Turns) Run(who jid.JID, fn func()) (stop func(), ok bool) {
	n := &turn{fn}
	t.tasks.Begin()
	if !t.add(who, n) {
		t.tasks.End()
		return nil, false
	}
	return func() {
		if t.remove(who, n) {
			t.tasks.End()
		}
	}, true
}

func (t *Turns) add(who jid.JID, n *turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.workers < t.size { // nobody waits
		t.workers++
		go t.work(n.fn)
		return true
	}
	line := t.lines[who]
	if len(line) >= maxTurns {
		return false
	}
	if t.lines == nil {
		t.lines = make(map[jid.JID][]*turn)
	}
	if len(line) == 0 {
		t.order = append(t.order, who)
	}
	t.lines[who] = append(line, n)
	return true
}

// remove takes out what has not begun; false: it has.
func (t *Turns) remove(who jid.JID, n *turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.lines[who]
	i := slices.Index(line, n)
	if i < 0 {
		return false
	}
	if line = slices.Delete(line, i, i+1); len(line) > 0 {
		t.lines[who] = line
	} else {
		delete(t.lines, who)
		t.order = slices.DeleteFunc(t.order, func(j jid.JID) bool { return j == who })
	}
	return true
}

// work runs functions, first this one, until none waits.
func (t *Turns) work(fn func()) {
	for ; fn != nil; fn = t.next() {
		fn()
		t.tasks.End()
	}
}

func (t *Turns) next() func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) == 0 {
		t.order, t.lines = nil, nil // a burst's memory is given back
		t.workers--
		return nil
	}
	who := t.order[0]
	t.order = t.order[1:]
	line := t.lines[who]
	if len(line) > 1 {
		t.lines[who] = line[1:]
		t.order = append(t.order, who)
	} else {
		delete(t.lines, who)
	}
	return line[0].fn
}

// TurnsByName are turns for each of several names: who waits for those of one
// holds up no other.
type TurnsByName struct {
	tasks *Group
	size  int

	mu sync.Mutex
	// Guarded by mu.
	turns map[string]*Turns
}

// NewTurnsByName returns turns for so many at a time of each name.
func NewTurnsByName(t *Group, size int) *TurnsByName {
	return &TurnsByName{tasks: t, size: size, turns: make(map[string]*Turns)}
}

// Of returns the turns of a name.
func (n *TurnsByName) Of(name string) *Turns {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.turns[name]
	if t == nil {
		t = NewTurns(n.tasks, n.size)
		n.turns[name] = t
	}
	return t
}
