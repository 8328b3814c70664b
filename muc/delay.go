package muc

import (
	"errors"
	"time"

	"github.com/muster-im/muster/internal/lanes"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// maxDelayed bounds the stanzas that wait for their time in a room.
const maxDelayed = 10_000

// errDelayed ends a decision until its time has come.
var errDelayed = errors.New("delayed")

// Delay lets the stanza wait until a time, and nothing else: others go on, and
// so does its sender. A handler returns what Delay returns. When the time has
// come all checks and hooks of the event run again, in the order of those
// times, before whatever comes to the room then; see Progress.
//
// Of one session and kind of stanza one waits at a time. A newer presence takes
// its place, its time and its progress; another message is refused with
// resource-constraint (see Waiting). Messages of somebody whose entry waits wait
// behind it. A leave takes presence along, and messages are refused then.
func (ev *Event) Delay(until time.Time) error {
	if !ev.CanWait() {
		return errCannotDefer
	}
	ev.req.until = until
	return errDelayed
}

// CanWait reports whether the event can be deferred and delayed: it comes of a
// stanza, and not of another event or of code. What Handle.Send sends can be
// deferred alone.
func (ev *Event) CanWait() bool { return ev.req != nil && !ev.req.detached && ev.req.done == nil }

// Waiting reports whether another stanza of that session and kind waits after
// Delay.
func (ev *Event) Waiting() bool { return ev.Room.delays.In(laneOf(ev.req)) != nil }

// Time is when the room has taken up the stanza. What was to wait until then
// has had its turn.
func (ev *Event) Time() time.Time { return ev.Room.turn }

// Progress is a number that the function at hand keeps with the stanza: 0 at
// first, then what it has left when it ran before Defer or Delay.
func (ev *Event) Progress() *int { return &ev.req.of(ev.Room.watch.at().function).progress }

// lane is where one stanza waits at a time.
type lane struct {
	from jid.JID
	kind stanza.Kind
}

func laneOf(q *request) lane { return lane{q.st.From, q.st.Kind} }

// delays are a room's stanzas that wait for their time, and messages behind
// entries.
type delays = lanes.Queue[lane, command]

// delay lets c wait for its time.
func (r *Room) delay(c command) {
	d, q := &r.delays, c.base()
	l := laneOf(q)
	former := d.In(l)
	switch {
	case r.svc.ctx.Err() != nil:
		r.abort(c, stanza.NewError(stanza.Wait, stanza.ServiceUnavailable, "The chat service is shutting down.").Because(ReasonShutdown))
	case former != nil && l.kind == stanza.Presence:
		r.svc.metrics.superseded.Inc()
		q.supersede(former.Value.base())
		r.finished(former.Value.base())
		former.Value = c
	case former != nil:
		r.abort(c, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Your last message waits for its turn. Send more slowly.").Because(ReasonPace))
	case d.Len() >= maxDelayed:
		r.abort(c, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Too much waits for its turn in this room.").Because(ReasonPace))
	default:
		r.svc.metrics.delayed.Inc()
		d.Add(l, c, q.until)
		r.setAlarm()
	}
}

// supersede makes a presence take the place of one that waits. Who asks to enter
// and then changes his presence still asks.
func (q *request) supersede(former *request) {
	for function, k := range former.kept {
		q.of(function).progress = k.progress
	}
	x := former.st.Child(stanza.NSMUC, "x")
	if x == nil || q.st.Child(stanza.NSMUC, "x") != nil {
		return
	}
	q.st = q.st.With(x)
	if q.st.To.IsBare() {
		q.st.To = former.st.To
	}
}

// setAlarm sets the timer for the first that waits.
func (r *Room) setAlarm() { r.delays.Arm(func() { r.tell(dueNote{}) }) }

// dueNote says that somebody's time has come.
type dueNote struct{}

func (dueNote) take(r *Room) {
	r.delays.Rang()
	r.releaseDue(time.Now())
	r.setAlarm()
}

// releaseDue hands on what has waited long enough.
func (r *Room) releaseDue(now time.Time) {
	for e := r.delays.Due(now); e != nil; e = r.delays.Due(now) {
		r.backlog = append(r.backlog, e.All()...)
	}
}

// overtake reports whether c has to wait behind the delayed entry of its
// sender. A leave takes along what waits instead.
func (r *Room) overtake(c command) bool {
	q := c.base()
	if q.st.Kind == stanza.Presence && (q.st.Type == stanza.TypeUnavailable || q.st.Type == stanza.TypeError) {
		r.dropDelayed(q.st.From)
		if e := r.undelay(lane{q.st.From, stanza.Presence}); e != nil { // an entry, too
			r.finished(e.Value.base())
			r.backlog = append(e.Behind, r.backlog...)
		}
		return false
	}
	entry := r.delays.In(lane{q.st.From, stanza.Presence})
	if entry == nil || q.st.Kind != stanza.Message || r.sessions[q.st.From] != nil {
		return false
	}
	if len(entry.Behind) >= maxHeld {
		r.refuse(q, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Wait until you have entered the room.").Because(ReasonBusy))
		return true
	}
	entry.Behind = append(entry.Behind, c)
	return true
}

// dropDelayed ends what waits of a session that has left; but it may be about to
// enter anew.
func (r *Room) dropDelayed(from jid.JID) {
	if e := r.undelay(lane{from, stanza.Message}); e != nil {
		r.refuse(e.Value.base(), stanza.NewError(stanza.Modify, stanza.NotAcceptable, "You have left before it was the message's turn.").Because(ReasonOutside))
	}
	update := lane{from, stanza.Presence}
	if e := r.delays.In(update); e != nil && e.Value.base().st.Child(stanza.NSMUC, "x") == nil {
		r.undelay(update)
		r.finished(e.Value.base())
	}
}

// undelay takes out what waits in a lane, nil if nothing does.
func (r *Room) undelay(l lane) *lanes.Item[lane, command] {
	e := r.delays.Remove(l)
	if e != nil && r.delays.Len() == 0 {
		r.setAlarm()
	}
	return e
}

// takeDelayed takes out everything that waits.
func (r *Room) takeDelayed() []command {
	list := r.delays.Clear()
	r.setAlarm()
	return list
}
