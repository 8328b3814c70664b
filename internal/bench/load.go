package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

// A body begins with mark, then the slot and the time in hexadecimal.
const (
	mark      = "muster-bench:"
	slotLen   = 8
	stampLen  = 16
	headerLen = len(mark) + slotLen + stampLen
	minBody   = headerLen
)

// LoadOptions say how much is said, and for how long.
type LoadOptions struct {
	Options  `embed:""`
	Window   int           `help:"Messages that each sender has under way." default:"8"`
	Rate     float64       `help:"Instead: messages a second that all senders together say, whether or not the server keeps up. Latency counts from the moment a message was due."`
	Body     int           `help:"Bytes of a message's body." default:"100"`
	Warmup   time.Duration `help:"How long to speak before measuring." default:"3s"`
	Duration time.Duration `help:"How long to measure." default:"10s"`
	Messages int64         `help:"Measure this many messages instead."`

	backlog time.Duration // how far the server may fall behind the rate; 0 is maxBacklog
}

func (o *LoadOptions) check() error {
	switch {
	case o.Window < 1:
		return errors.New("window: want at least 1")
	case o.Rate < 0 || o.Rate > maxRate:
		return fmt.Errorf("rate: want 0 (no rate, but a window) to %d messages a second", maxRate)
	case o.Rate > 0 && o.Messages > 0:
		return errors.New("messages: with a rate, say how long to measure instead")
	case o.Body < minBody:
		return fmt.Errorf("body: want at least %d bytes, for what the meter writes into it", minBody)
	case o.Duration <= 0 && o.Messages <= 0:
		return errors.New("duration: want more than nothing")
	}
	return o.Options.check()
}

// pace says how fast they speak.
func (o *LoadOptions) pace() string { return pace(o.Window, o.Rate) }

// stallTimeout is how long nothing may arrive before the run has failed.
const (
	stallTimeout = 20 * time.Second
	joinTimeout  = 3 * time.Minute // for those who write nothing before they have read what everybody asks
)

// progressInterval is how often a long run says that it is alive.
const progressInterval = 10 * time.Second

// load is what is said: slots that each have one message under way, until
// everybody who is to receive it has. In the closed loop a slot then sends its
// next message; at a rate it is free for whichever message is due next.
type load struct {
	// Set before it begins.
	copies   int64 // of each message
	senders  int
	say      func(sender int, body string) error
	people   []*receiver
	start    time.Time
	pad      string // what follows the header in a body
	slots    []slot
	window   int           // slots of each sender; 0 at a rate
	interval time.Duration // between two messages at a rate
	backlog  time.Duration
	free     chan uint32 // slots, at a rate
	progress Progress
	stall    time.Duration

	over  chan struct{} // closed when who has stalled reads on
	ended sync.Once     // closes it

	left      atomic.Int64 // messages that may still be sent
	measuring atomic.Bool
	leaving   atomic.Bool  // sessions may end
	completed atomic.Int64 // messages that everybody has
	idle      atomic.Int64 // slots that have stopped
	pacer     sync.WaitGroup
	errors    atomic.Int64 // messages that were answered with an error
	first     atomic.Pointer[string]
	lost      atomic.Pointer[error] // a session that ended
}

// slot is one place in a sender's window.
type slot struct {
	remaining atomic.Int64 // receivers that do not have the message yet
}

// newLoad returns a load of so many senders, of whose messages there are so many
// copies. say sends the body of one.
func newLoad(o *LoadOptions, copies, senders int, say func(sender int, body string) error) *load {
	l := &load{
		copies: int64(copies), senders: senders, say: say, start: time.Now(),
		pad: strings.Repeat("x", o.Body-minBody), progress: o.Progress, stall: stallTimeout,
		over: make(chan struct{}),
	}
	if o.Rate > 0 {
		l.interval = time.Duration(float64(time.Second) / o.Rate)
		l.backlog = cmp.Or(o.backlog, maxBacklog)
		l.slots = make([]slot, max(senders, int(o.Rate*l.backlog.Seconds())))
		l.free = make(chan uint32, len(l.slots))
		return l
	}
	l.window = o.Window
	l.slots = make([]slot, senders*o.Window)
	return l
}

// begin fills every window, or begins to keep to the rate until stop.
func (l *load) begin() {
	l.left.Store(math.MaxInt64)
	l.idle.Store(0)
	if l.window == 0 {
		l.pacer.Go(l.pace)
		return
	}
	for i := range l.slots {
		l.next(uint32(i))
	}
}

// stop lets slots rest once their message is complete.
func (l *load) stop() {
	l.left.Store(0)
	l.pacer.Wait()
}

// next sends the next message of a slot of the closed loop, or lets it rest.
func (l *load) next(i uint32) {
	if l.left.Add(-1) < 0 {
		l.idle.Add(1)
		return
	}
	l.send(i, int(i)/l.window, time.Since(l.start))
}

// send sends the message of a slot, with the time from which it counts.
func (l *load) send(i uint32, sender int, due time.Duration) {
	l.slots[i].remaining.Store(l.copies)
	var number [4]byte
	var stamp [8]byte
	putUint(number[:], uint64(i))
	putUint(stamp[:], uint64(due))
	body := mark + hex.EncodeToString(number[:]) + hex.EncodeToString(stamp[:]) + l.pad
	if err := l.say(sender, body); err != nil {
		l.fail(fmt.Errorf("send: %w", err))
	}
}

func putUint(dst []byte, v uint64) {
	for i := range dst {
		dst[len(dst)-1-i] = byte(v)
		v >>= 8
	}
}

// received counts one copy; whoever has the last one sends the next message.
func (l *load) received(i uint32) {
	if l.slots[i].remaining.Add(-1) == 0 {
		l.completed.Add(1)
		l.done(i)
	}
}

// done lets a slot go on after its message.
func (l *load) done(i uint32) {
	if l.window == 0 {
		l.free <- i // there is room for all
		return
	}
	l.next(i)
}

// refused counts a message that came back with an error: nobody else has it.
func (l *load) refused(i uint32, what string) {
	l.errors.Add(1)
	l.first.CompareAndSwap(nil, &what)
	time.AfterFunc(100*time.Millisecond, func() { l.done(i) }) // not at once: a server that refuses is asked for less
}

func (l *load) firstError() string {
	if p := l.first.Load(); p != nil {
		return *p
	}
	return ""
}

func (l *load) fail(err error) { l.lost.CompareAndSwap(nil, &err) }

func (l *load) deliveries() (n int64) {
	for _, p := range l.people {
		n += p.count.Load()
	}
	return n
}

// pause lets the load run for d.
func (l *load) pause(ctx context.Context, d time.Duration) error {
	begun := time.Now()
	return l.poll(ctx, func() bool { return time.Since(begun) >= d })
}

// drain waits until nothing is under way.
func (l *load) drain(ctx context.Context) error {
	return l.poll(ctx, func() bool {
		if l.window == 0 {
			return len(l.free) == cap(l.free)
		}
		return l.idle.Load() == int64(len(l.slots))
	})
}

// poll waits until done, a failure or a stall.
func (l *load) poll(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	seen, changed, told := int64(-1), time.Now(), time.Now()
	for !done() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := l.lost.Load(); err != nil {
			return *err
		}
		if n := l.deliveries() + l.errors.Load(); n != seen {
			seen, changed = n, time.Now()
			if time.Since(told) >= progressInterval {
				told = time.Now()
				l.progress.say("%d deliveries up to now", n)
			}
		} else if time.Since(changed) > l.stall {
			return fmt.Errorf("nothing arrives any more: %d deliveries, %d messages complete%s",
				l.deliveries(), l.completed.Load(), l.afterError())
		}
	}
	return nil
}

// result is what a load has come to.
type result struct {
	before, from, to snapshot // when nobody had spoken, and what was measured
	latency          histogram
	errors           int64
	firstError       string
}

// snapshot is what was used and done up to a moment.
type snapshot struct {
	at         time.Time
	server     usage
	meter      time.Duration
	deliveries int64
	messages   int64
}

func (l *load) snapshot(pids []int) (snapshot, error) {
	server, err := measure(pids)
	return snapshot{
		at: time.Now(), server: server, meter: ownCPU(),
		deliveries: l.deliveries(), messages: l.completed.Load(),
	}, err
}

// run lets everybody talk, and measures.
func (l *load) run(ctx context.Context, o *LoadOptions) (r result, err error) {
	if r.before, err = l.snapshot(o.PIDs); err != nil {
		return r, err
	}
	for _, p := range l.people {
		p.latency = histogram{} // nothing is under way
	}
	l.errors.Store(0)
	l.begin()
	defer l.stop()
	if err := l.pause(ctx, o.Warmup); err != nil {
		return r, err
	}
	if r.from, err = l.snapshot(o.PIDs); err != nil {
		return r, err
	}
	l.measuring.Store(true)
	if o.Messages > 0 {
		l.left.Store(o.Messages)
	} else {
		if err := l.pause(ctx, o.Duration); err != nil {
			return r, err
		}
		l.stop()
	}
	if err := l.drain(ctx); err != nil {
		return r, err
	}
	if r.to, err = l.snapshot(o.PIDs); err != nil {
		return r, err
	}
	l.measuring.Store(false)
	for _, p := range l.people {
		r.latency.merge(&p.latency)
	}
	r.errors, r.firstError = l.errors.Load(), l.firstError()
	return r, nil
}

// leave ends all sessions.
func (l *load) leave() {
	l.stop()
	l.leaving.Store(true)
	l.ended.Do(func() { close(l.over) })
	var clients []*client.Client
	for _, p := range l.people {
		if c := p.client.Load(); c != nil {
			clients = append(clients, c)
		}
	}
	closeAll(clients)
}

func (l *load) afterError() string {
	if e := l.firstError(); e != "" {
		return ", first error: " + e
	}
	return ""
}

// receiver is a client that takes part.
type receiver struct {
	// Set at construction.
	load    *load
	stalled bool // reads nothing any more once somebody has spoken

	client atomic.Pointer[client.Client] // its reader runs before Dial returns
	count  atomic.Int64

	// Owned by the reader; read when it has nothing more to read.
	latency histogram
	managed bool   // stream management is on
	handled uint32 // stanzas since then
}

// enable asks for stream management (XEP-0198 §3).
const enable = "<enable xmlns='urn:xmpp:sm:3'/>"

// raw takes what makes up the load without parsing it.
func (p *receiver) raw(data []byte) bool {
	switch {
	case bytes.HasPrefix(data, []byte("<message")):
		p.handled++
		return p.message(data)
	case bytes.HasPrefix(data, []byte("<presence")), bytes.HasPrefix(data, []byte("<iq")):
		p.handled++
	case p.managed && bytes.HasPrefix(data, []byte("<r ")):
		p.acknowledge()
		return true
	case bytes.HasPrefix(data, []byte("<enabled ")):
		p.managed, p.handled = true, 0
		return true
	case bytes.HasPrefix(data, []byte("<failed ")):
		p.load.fail(fmt.Errorf("stream management is refused: %s", data))
		return true
	}
	return false
}

// acknowledge answers the server's question what has arrived (XEP-0198 §4).
func (p *receiver) acknowledge() {
	answer := "<a xmlns='urn:xmpp:sm:3' h='" + strconv.FormatUint(uint64(p.handled), 10) + "'/>"
	if err := p.client.Load().Stream().SendRaw([]byte(answer)); err != nil {
		p.load.fail(fmt.Errorf("acknowledge: %w", err))
	}
}

func (p *receiver) message(data []byte) bool {
	at := bytes.Index(data, []byte(mark))
	if at < 0 || len(data) < at+headerLen {
		return true // a subject, or another's words
	}
	number, ok := parseHex(data[at+len(mark) : at+len(mark)+slotLen])
	stamp, ok2 := parseHex(data[at+len(mark)+slotLen : at+headerLen])
	if !ok || !ok2 || number >= uint64(len(p.load.slots)) {
		return true
	}
	if p.stalled {
		<-p.load.over
		return true
	}
	if isError(data) {
		p.load.refused(uint32(number), string(data))
		return true
	}
	p.count.Add(1)
	if p.load.measuring.Load() {
		p.latency.add(time.Since(p.load.start) - time.Duration(stamp))
	}
	p.load.received(uint32(number))
	return true
}

// isError looks for the type in the start tag.
func isError(data []byte) bool {
	tag, _, _ := bytes.Cut(data, []byte(">"))
	return bytes.Contains(tag, []byte("type='error'")) || bytes.Contains(tag, []byte(`type="error"`))
}

func parseHex(digits []byte) (v uint64, ok bool) {
	for _, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// handle takes what raw has left over.
func (p *receiver) handle(st stanza.Stanza) {
	if c := p.client.Load(); c != nil {
		refuse(c, st)
	}
}

// closed fails the run: everybody stays until the end, but who does not read.
func (p *receiver) closed(err error) {
	if !p.stalled && (!errors.Is(err, client.ErrClosed) || !p.load.leaving.Load()) {
		p.load.fail(fmt.Errorf("a session has ended: %w", err))
	}
}
