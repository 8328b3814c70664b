package muc

import (
	"log/slog"
	"math"
	"sync/atomic"
	"time"
)

// Hibernation says when rooms in which nothing happens give memory back. What
// happens is a stanza, a call from code, or a timer of the room itself; lists of
// rooms come from the store and are none of their business.
type Hibernation struct {
	// After is how long nothing happens in a room until it hibernates: it gives
	// back what it does not need until the next stanza. Occupants notice nothing.
	// 0 is 90 s, negative never.
	After time.Duration
	// CheckEvery and Timeout, both positive, stop rooms: every CheckEvery, those
	// that have hibernated for Timeout leave memory, if they are stored and nobody
	// is in them but perhaps one session of an owner, who is told. The next stanza
	// brings a room back.
	CheckEvery, Timeout time.Duration
	// EmptyAfter is how long nothing happens in a stored room without occupants
	// until it leaves memory, which nobody can notice. It counts where CheckEvery
	// and Timeout do not. 0 is 90 s, negative never.
	EmptyAfter time.Duration
}

func (h *Hibernation) setDefaults() {
	setDefault(&h.After, 90*time.Second)
	setDefault(&h.EmptyAfter, 90*time.Second)
}

// stops reports whether rooms are stopped by checks.
func (h *Hibernation) stops() bool { return h.After > 0 && h.CheckEvery > 0 && h.Timeout > 0 }

// counts are how many rooms are in memory, and what has happened to them.
type counts struct {
	online, hibernated                          atomic.Int64
	hibernations, deepHibernations, recreations atomic.Uint64
}

// Population is how many rooms a service has in memory, and what has happened to
// them since it was made.
type Population struct {
	Online     int // in memory, hibernated ones among them
	Hibernated int

	Hibernations     uint64 // times that a room has begun to hibernate
	DeepHibernations uint64 // rooms stopped because they had hibernated for long
	Recreations      uint64 // rooms loaded from the store
}

// Population returns how many rooms there are in memory. It wakes none.
func (s *Service) Population() Population {
	c := &s.counts
	return Population{
		Online: int(c.online.Load()), Hibernated: int(c.hibernated.Load()),
		Hibernations: c.hibernations.Load(), DeepHibernations: c.deepHibernations.Load(), Recreations: c.recreations.Load(),
	}
}

// logger is made when there is something to say: an idle room has none.
func (r *Room) logger() *slog.Logger { return r.svc.log.With(slog.String("room", r.jid.String())) }

// happened notes that something has happened in the room just now, and ends its
// hibernation.
func (r *Room) happened(now time.Time) {
	r.active, r.asleep = r.svc.agenda.Time(now), false
	if r.dormant == 0 && !r.unasked {
		return // it is scheduled
	}
	if r.dormant > 0 {
		r.dormant = 0
		r.svc.counts.hibernated.Add(-1)
	}
	r.unasked = false
	r.scheduleCheck()
}

// quiet reports whether nothing is under way in the room: nothing waits in it,
// and nobody will report back.
func (r *Room) quiet() bool {
	return !r.waiting && !r.storing && len(r.outbox) == 0 && len(r.held) == 0 && r.delays.Idle() &&
		len(r.asking) == 0 && len(r.backlog) == 0 && r.next == len(r.batch)
}

// idleNote asks a room whether it is idle.
type idleNote struct{}

func (idleNote) take(r *Room) {
	if r.exists {
		r.checkIdle()
	}
}

// recheck is when a room is asked again at the earliest in which something was
// under way, unless more happens.
const recheck = time.Second

// checkIdle lets the room do what its idleness calls for, and says when it is to
// be asked again.
func (r *Room) checkIdle() {
	h, now := &r.svc.opts.Hibernation, r.svc.agenda.Now()
	if r.locked || !r.quiet() { // asked again when something happens, or a little later
		r.unasked = true
		r.svc.agenda.At(r, now+max(h.period(), recheck))
		return
	}
	idle := now - r.active
	if r.dormant == 0 && h.After > 0 && idle >= h.After {
		r.dormant = max(now, 1)
		r.svc.counts.hibernations.Add(1)
		r.svc.counts.hibernated.Add(1)
		r.shrink()
	}
	switch {
	case h.stops() && r.dormant > 0 && now >= r.svc.checkAfter(r.dormant+h.Timeout):
		r.stop()
	case h.unloads() && idle >= h.EmptyAfter && r.unused():
		r.asleep = true
	default:
		r.scheduleCheck()
	}
}

// unused reports whether nobody can notice that the room leaves memory.
func (r *Room) unused() bool { return r.stored && len(r.audience) == 0 }

// checkAfter is when rooms are checked first at t or later.
func (s *Service) checkAfter(t time.Duration) time.Duration {
	every := s.opts.Hibernation.CheckEvery
	return (t + every - 1) / every * every
}

// scheduleCheck says when the room is to be asked whether it is idle. What
// happens meanwhile need not say so: it is seen then.
func (r *Room) scheduleCheck() {
	h, s := &r.svc.opts.Hibernation, r.svc
	due := time.Duration(math.MaxInt64)
	if r.dormant == 0 && h.After > 0 {
		due = r.active + h.After
	}
	if h.unloads() && (r.dormant == 0 || r.unused()) {
		empty := r.active + h.EmptyAfter
		if now := s.agenda.Now(); empty <= now { // somebody is in it
			empty = now + h.EmptyAfter
		}
		due = min(due, empty)
	}
	if r.dormant > 0 && h.stops() {
		due = s.checkAfter(r.dormant + h.Timeout)
	}
	if due < math.MaxInt64 {
		s.agenda.At(r, due)
	}
}

// stop takes a room out of memory that has hibernated for long, if nobody is in
// it but perhaps one session of an owner. It goes on otherwise, as if something
// had happened. The mailbox closes first, so that no stanza falls between: who
// finds it closed wakes the room anew.
func (r *Room) stop() {
	alone := len(r.audience) == 1 && r.Affiliation(r.audience[0].addr) == Owner
	if !r.stored || len(r.audience) > 0 && !alone || !r.mailbox.CloseIfIdle() {
		r.happened(time.Now())
		return
	}
	r.svc.counts.deepHibernations.Add(1)
	r.asleep = true
	if alone {
		r.used()
		r.partWith(r.audience[0])
	}
}

// partWith tells the last one in a room that is stopped. He is no occupant any
// more, but still an owner.
func (r *Room) partWith(s *Session) {
	const reason = "The room hibernates, because nothing happens in it. Enter again when you like."
	o := s.occupant
	r.sayTo(s, r.presenceOf(o, removed(statusShutdown, Actor{}, reason), r.seesAddresses(o), false))
	r.removeAll([]*Occupant{o})
	r.svc.occupantLeft()
	r.notify(r.svc.hooks.Left.Run(&r.watch, &LeftEvent{Room: r, Occupant: o, Code: statusShutdown, Reason: reason}))
}

// unloads reports whether empty rooms leave memory by themselves.
func (h *Hibernation) unloads() bool { return h.EmptyAfter > 0 && !h.stops() }

// period is the least time after which an idle room has something to do, for
// those for which it has not begun.
func (h *Hibernation) period() time.Duration {
	if h.After < 0 || h.unloads() && h.EmptyAfter < h.After {
		return h.EmptyAfter
	}
	return h.After
}
