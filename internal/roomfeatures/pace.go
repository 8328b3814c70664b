package roomfeatures

import (
	"time"

	"github.com/muster-im/muster/internal/shaper"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// Pace limits how fast people may speak and change their presence in a room.
// What comes too fast waits, see muc.Event.Delay.
type Pace struct {
	MessageInterval  time.Duration // between two messages of a session; 0: no limit
	PresenceInterval time.Duration // between two presences of a session; 0: no limit
	RoomRate         int           // bytes in a second that are said in a room; 0: no limit
	MessageRate      int           // bytes in a second of a session's messages; 0: no limit
	PresenceRate     int           // bytes in a second of a session's presence; 0: no limit
}

// pace keeps a room and everybody in it to the limits. What is too early for its
// sender waits first, then in the room's queue. A bucket holds a second's worth.
type pace struct{ limits func() Pace }

// priorityPace is behind the checks of messages, so that what is refused costs
// nothing, and before the first function that does something.
const priorityPace = -40

// The progress of a stanza.
const (
	paceNew      = iota
	paceEarly    // it waits, or has waited, for its sender's sake
	paceQueued   // it waits, or has waited, in the room's queue
	paceFinished // it has passed
)

// paced is what is known of a room: when the last in its queue has its turn, and
// of every session how much it has sent.
type paced struct {
	bucket   *shaper.Bucket
	queued   time.Time
	sessions map[jid.JID]*pacedSession
	sweepAt  int // the number of sessions at which those are forgotten that are as good as new
}

type pacedSession struct{ messages, presence flow }

// flow is one kind of stanza of a session.
type flow struct {
	last   time.Time
	bucket *shaper.Bucket
}

func (f pace) Register(h *muc.Hooks) {
	if f.limits == nil {
		return
	}
	slot := muc.NewSlot[paced](h)
	h.BeforeMessage.Add("pace", priorityPace, func(ev *muc.MessageEvent) error {
		limits, p := f.limits(), slot.In(ev.Room)
		if m := limits.messages(); ev.CanWait() && p.concerns(&ev.Event, m) {
			return p.admit(&ev.Event, ev.Stanza, &p.session(ev.Stanza.From, ev.Time(), &limits).messages, m)
		}
		return nil
	})
	h.Before.Presence.Add("pace", priorityPace, func(ev *muc.Arrival) error {
		if ev.New || ev.Room.Locked() || ev.Stanza.Type != "" {
			return nil
		}
		limits, p := f.limits(), slot.In(ev.Room)
		if m := limits.presence(); p.concerns(&ev.Event, m) {
			return p.admit(&ev.Event, ev.Stanza, &p.session(ev.Stanza.From, ev.Time(), &limits).presence, m)
		}
		return nil
	})
}

// flowLimits are those of one kind of stanza.
type flowLimits struct {
	interval time.Duration
	rate     int
	room     int
	always   bool // even what was not early goes through the room's queue
}

func (p *Pace) messages() flowLimits {
	return flowLimits{p.MessageInterval, p.MessageRate, p.RoomRate, true}
}

func (p *Pace) presence() flowLimits {
	return flowLimits{p.PresenceInterval, p.PresenceRate, p.RoomRate, false}
}

// concerns reports whether there is anything that a stanza may have to wait for:
// a limit, or something that waits since there was one.
func (p *paced) concerns(ev *muc.Event, m flowLimits) bool {
	return m.interval > 0 || m.rate > 0 || m.always && (m.room > 0 || p.queued.After(ev.Time())) || ev.Waiting()
}

// admit lets a stanza pass or wait.
func (p *paced) admit(ev *muc.Event, st *stanza.Stanza, f *flow, limits flowLimits) error {
	now, progress := ev.Time(), ev.Progress()
	if *progress == paceNew {
		if ev.Waiting() { // it takes the place of the one that waits, or is refused
			return ev.Delay(now)
		}
		if until := f.due(st, now, limits); until.After(now) {
			*progress = paceEarly
			return ev.Delay(until)
		}
	}
	if *progress == paceEarly || *progress == paceNew && limits.always {
		if until := p.due(st, now, limits.room); until.After(now) {
			*progress = paceQueued
			return ev.Delay(until)
		}
	}
	if *progress != paceFinished {
		*progress, f.last = paceFinished, now
	}
	return nil
}

// due charges a sender for a stanza and returns when it may go on.
func (f *flow) due(st *stanza.Stanza, now time.Time, limits flowLimits) time.Time {
	until := now.Add(charge(&f.bucket, limits.rate, st, now))
	if next := f.last.Add(limits.interval); !f.last.IsZero() && next.After(until) {
		return next
	}
	return until
}

// due charges the room for a stanza and returns when it has its turn, which is
// never before those who are in the queue.
func (p *paced) due(st *stanza.Stanza, now time.Time, rate int) time.Time {
	until := now.Add(charge(&p.bucket, rate, st, now))
	if p.queued.After(until) {
		until = p.queued
	}
	if until.After(now) {
		p.queued = until
	}
	return until
}

// charge takes a stanza's bytes out of a bucket, which follows the rate, and
// returns how long it must wait for them.
func charge(b **shaper.Bucket, rate int, st *stanza.Stanza, now time.Time) time.Duration {
	switch {
	case rate == 0:
		*b = nil
		return 0
	case *b == nil || (*b).Rate() != rate:
		*b = shaper.NewBucket(rate, now)
	}
	(*b).Take(len(st.AppendXML(nil)), now)
	return (*b).Wait(now)
}

// session returns what is known of a session.
func (p *paced) session(full jid.JID, now time.Time, limits *Pace) *pacedSession {
	s := p.sessions[full]
	if s != nil {
		return s
	}
	if p.sessions == nil {
		p.sessions, p.sweepAt = make(map[jid.JID]*pacedSession), 16
	}
	if len(p.sessions) >= p.sweepAt {
		for j, s := range p.sessions {
			if s.messages.fresh(now, limits.MessageInterval) && s.presence.fresh(now, limits.PresenceInterval) {
				delete(p.sessions, j)
			}
		}
		p.sweepAt = max(16, 2*len(p.sessions))
	}
	s = &pacedSession{}
	p.sessions[full] = s
	return s
}

// fresh reports whether a flow has nothing to make good.
func (f *flow) fresh(now time.Time, interval time.Duration) bool {
	return !f.last.Add(interval).After(now) && (f.bucket == nil || f.bucket.Full(now))
}
