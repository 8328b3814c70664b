package s2s

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// With the silence that a dead link is noticed after, the longest that somebody
// can stay in a room who is not there any more is 20 s to notice, and the longer
// of these: below a minute.
const (
	clearAfter   = 25 * time.Second // that a link is down
	answerWithin = 20 * time.Second // after it is up again
)

// verification finds out who is still in the rooms after the link was down: what
// people did meanwhile, leaving included, is lost. Everybody is asked (XEP-0199)
// when the link is up again; who gives no sign of life, and everybody if the link
// stays down, is taken out of his rooms.
type verification struct {
	link *Link // set at construction

	mu sync.Mutex
	// Guarded by mu.
	timer   *time.Timer           // of the next step; nil: there is none
	round   uint64                // of questions, so that late answers to earlier ones count for nothing
	waiting map[jid.JID][]jid.JID // who has not shown that he is there: where he is in rooms
	began   bool                  // the link has been up before
}

// down begins when the link is lost.
func (v *verification) down() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.round++
	v.waiting = nil
	v.after(clearAfter, v.clear)
}

// after sets the timer. The mutex is held.
func (v *verification) after(d time.Duration, next func()) {
	if v.timer != nil {
		v.timer.Stop()
	}
	v.timer = time.AfterFunc(d, next)
}

// clear takes everybody out: nobody knows when the link will be up again.
func (v *verification) clear() {
	v.link.rooms.EachSession(func(occupant, real jid.JID) {
		if !v.link.Attached() { // otherwise he is asked
			v.expel(occupant, real, ghostLinkDown, stanza.RemoteServerTimeout)
		}
	})
}

// up begins when the link is there again. The first time nobody can be in a room.
func (v *verification) up() {
	v.mu.Lock()
	if !v.began {
		v.began = true
		v.mu.Unlock()
		return
	}
	v.round++
	round := v.round
	v.waiting = make(map[jid.JID][]jid.JID)
	v.after(answerWithin, func() { v.conclude(round) })
	v.mu.Unlock()
	v.link.rooms.EachSession(func(occupant, real jid.JID) { v.ask(round, occupant, real) })
}

// ask asks somebody, once for all his rooms.
func (v *verification) ask(round uint64, occupant, real jid.JID) {
	v.mu.Lock()
	if v.round != round || v.waiting == nil {
		v.mu.Unlock()
		return
	}
	first := v.waiting[real] == nil
	v.waiting[real] = append(v.waiting[real], occupant)
	v.mu.Unlock()
	if first {
		v.link.Send(stanza.Stanza{
			Kind: stanza.IQ, Type: stanza.TypeGet, ID: pingID(round), From: v.link.self, To: real,
		}.With(stanza.NewElement(stanza.NSPing, "ping")))
	}
}

// took looks at what people send: it shows that they are there, or is the answer
// to our question. That it took it says that the stanza is for nobody else.
func (v *verification) took(st *stanza.Stanza) bool {
	ours, gone := v.look(st)
	for _, occupant := range gone {
		v.expel(occupant, st.From, ghostGone, st.ParseError().Condition)
	}
	return ours
}

// look is took, but for telling the rooms in which the sender is gone.
func (v *verification) look(st *stanza.Stanza) (ours bool, gone []jid.JID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	ours = st.Kind == stanza.IQ && !st.IsRequest() && st.To == v.link.self && v.isQuestion(st.ID)
	where := v.waiting[st.From]
	switch {
	case where == nil, ours && st.ID != pingID(v.round), !ours && ends(st):
		return ours, nil
	case ours && !isThere(st):
		gone = where
	}
	delete(v.waiting, st.From)
	return ours, gone
}

// isQuestion reports whether an id is that of one of our questions.
func (v *verification) isQuestion(id string) bool {
	for round := v.round; round > 0 && round+8 > v.round; round-- {
		if id == pingID(round) {
			return true
		}
	}
	return false
}

// isThere reads an answer. What only a client can say, even that it does not know
// the question, shows that it is there; service-unavailable is also what a server
// says for a client that is gone (RFC 6121 §8.5.3.2.3), and those without an
// answer of their own to a ping are rare.
func isThere(st *stanza.Stanza) bool {
	se := st.ParseError()
	return se == nil || se.Condition == stanza.FeatureNotImplemented || se.Condition == stanza.NotAllowed || se.Condition == stanza.NotAcceptable
}

// conclude takes out those who have not answered.
func (v *verification) conclude(round uint64) {
	v.mu.Lock()
	if v.round != round {
		v.mu.Unlock()
		return
	}
	waiting := v.waiting
	v.waiting = nil
	v.mu.Unlock()
	for real, where := range waiting {
		for _, occupant := range where {
			v.expel(occupant, real, ghostUnanswered, stanza.RemoteServerTimeout)
		}
	}
}

// expel takes somebody out of a room, as if something to him had come back
// (XEP-0045 §17.3). It does not wait, so a room may be calling.
func (v *verification) expel(occupant, real jid.JID, reason string, why stanza.Condition) {
	v.link.opts.Metrics.ghosts.WithLabelValues(reason).Inc()
	st := stanza.Stanza{Kind: stanza.Presence, From: occupant, To: real}
	if back, ok := st.ErrorReply(stanza.NewError(stanza.Wait, why, "")); ok {
		v.link.rooms.HandleShared(back)
	}
}

// stop ends what is under way.
func (v *verification) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.round++
	v.waiting = nil
	if v.timer != nil {
		v.timer.Stop()
	}
}

func stack() slog.Attr { return slog.String("stack", string(debug.Stack())) }
