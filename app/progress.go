package app

import (
	"fmt"
	"io"
	"time"
)

// progressEvery is how often a line of progress changes.
const progressEvery = 250 * time.Millisecond

// progress shows somebody at a terminal how far long work is, on one line of
// standard error. To anything else it shows nothing.
type progress struct {
	to    io.Writer // nil: nobody looks
	step  string
	last  time.Time
	shown int // width of the line that is there
	done  int64
}

func newProgress(e *env) *progress {
	if _, ok := terminal(e.stderr); !ok {
		return &progress{}
	}
	return &progress{to: e.stderr}
}

// show replaces the line.
func (p *progress) show(step string, done, total int64) {
	if p.to == nil || step == "" || step == p.step && time.Since(p.last) < progressEvery {
		return
	}
	p.step, p.last = step, time.Now()
	line := fmt.Sprintf("%s: %s of %s", step, inBytes(done), inBytes(total))
	fmt.Fprintf(p.to, "\r%-*s", p.shown, line) //nolint:errcheck // a terminal
	p.shown = len(line)
}

// add is show for a step that is done piece by piece.
func (p *progress) add(step string, n, total int64) {
	if step != p.step {
		p.done = 0
	}
	p.done += n
	p.show(step, p.done, total)
}

// end removes the line.
func (p *progress) end() {
	if p.shown > 0 {
		fmt.Fprintf(p.to, "\r%*s\r", p.shown, "") //nolint:errcheck // a terminal
	}
}
