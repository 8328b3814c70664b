package bench

import (
	"errors"
	"fmt"
	"time"
)

const (
	// maxRate bounds the messages a second that one meter says.
	maxRate = 1_000_000
	// maxBacklog is how far a server may fall behind the rate.
	maxBacklog = 5 * time.Second
)

// pace says what is due until the load stops. A message that is due while the
// meter or the server is behind is sent late, and counts from when it was due:
// so waiting is measured and not left out.
func (l *load) pace() {
	for len(l.free) > 0 {
		<-l.free
	}
	for i := range l.slots {
		l.free <- uint32(i)
	}
	begun := time.Since(l.start)
	for n := 0; l.left.Load() > 0 && l.lost.Load() == nil; n++ {
		due := begun + time.Duration(n)*l.interval
		if early := due - time.Since(l.start); early > 0 {
			time.Sleep(early)
		}
		select {
		case slot := <-l.free:
			l.send(slot, n%l.senders, due)
		default:
			l.fail(fmt.Errorf("the server is %s behind the rate: %w", l.backlog, errBehind))
		}
	}
}

// errBehind ends a run at a rate that the server cannot keep up with.
var errBehind = errors.New("it cannot keep up; ask for less")
