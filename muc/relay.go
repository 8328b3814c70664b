package muc

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// uniqueName is a local part that no room has (XEP-0045 §10.1.4): 130 random
// bits.
func uniqueName() string { return strings.ToLower(rand.Text()) }

const (
	// maxRelayed bounds the requests of one session that wait for answers.
	maxRelayed = 100
	// relayTimeout is how long an answer may take.
	relayTimeout = 2 * time.Minute
)

// relayed is a request that the room has passed on to an occupant, under an id
// of its own, and whose answer it waits for.
type relayed struct {
	request stanza.Stanza // as it came
	from    *Session
	to      jid.JID   // who may answer: the real address that it was sent to
	target  *Occupant // whose address that is
	at      *Session  // with that address; nil: it is that of his account
	timer   *time.Timer
}

// occupantIQCommand is an IQ request to an occupant (XEP-0045 §17.4). The room
// answers a ping to oneself (XEP-0410 §3) and passes all else on.
type occupantIQCommand struct {
	request
	sender    *Session
	recipient *Occupant
	self      bool
}

// stranger: who asks in vain because his room is gone is to learn that he is not
// inside; another answer would mean that he is (XEP-0410 §3.2).
func (c *occupantIQCommand) stranger() {}

func (c *occupantIQCommand) decide(r *Room) error {
	if gone := r.destroyed(c.st.From); gone != nil {
		return gone
	}
	c.sender = r.sessions[c.st.From]
	if c.sender == nil {
		switch c.st.Payload().Name.Space {
		case stanza.NSDiscoInfo, stanza.NSDiscoItems: // XEP-0045 §6.6
			return stanza.NewError(stanza.Modify, stanza.BadRequest, "Only occupants may ask occupants what they support.").Because(ReasonOutside)
		}
		return stanza.NewError(stanza.Cancel, stanza.NotAcceptable, "You are not in the room.").Because(ReasonOutside)
	}
	c.recipient = r.Occupant(c.st.To.Resource())
	if c.recipient == nil {
		return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "Nobody in the room has this nickname.")
	}
	if c.recipient == c.sender.occupant && c.st.Type == stanza.TypeGet && c.st.Payload().Is(stanza.NSPing, "ping") {
		c.self = true
		return nil
	}
	if c.sender.asking >= maxRelayed {
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Too many requests wait for answers.").Because(ReasonBusy)
	}
	ev := &PrivateIQEvent{Event: Event{Room: r, req: &request{detached: true}}, Stanza: &c.st, Sender: c.sender.occupant, Recipient: c.recipient}
	return r.svc.hooks.BeforePrivateIQ.Run(&r.watch, ev)
}

func (c *occupantIQCommand) apply(r *Room) {
	if c.self {
		r.reply(c.st.Result(nil))
		return
	}
	id := rand.Text()
	q := &relayed{request: c.st, from: c.sender, to: relayTo(&c.st, c.recipient), target: c.recipient}
	r.await(id, q)
	out := c.st
	out.ID, out.From, out.To = id, c.sender.occupant.jid, q.to
	r.outbox = append(r.outbox, outItem{direct: out})
}

// relayTo returns who answers a request to an occupant: his first client, or
// his account if the request is for what servers keep.
func relayTo(st *stanza.Stanza, o *Occupant) jid.JID {
	switch space := st.Payload().Name.Space; {
	case space == "vcard-temp", space == "urn:ietf:params:xml:ns:vcard-4.0",
		space == "http://jabber.org/protocol/pubsub":
		return o.bare
	}
	return o.sessions[0].addr
}

// relayedAnswer is a result or error for a request that the room has passed on.
type relayedAnswer struct {
	request
	asked *relayed
}

// decide accepts an answer only from where the request went, so that nobody can
// answer for somebody else. What fits nothing is dropped: answers get no errors.
func (c *relayedAnswer) decide(r *Room) error {
	q := r.relayed[c.st.ID]
	if q == nil || c.st.From != q.to {
		return nil
	}
	c.asked = q
	return nil
}

func (c *relayedAnswer) apply(r *Room) {
	if c.asked == nil {
		return
	}
	r.unrelay(c.st.ID, c.asked)
	out := c.st
	out.ID, out.From, out.To = c.asked.request.ID, c.asked.request.To, c.asked.from.addr
	out.Children = stanza.WithErrorBy(out.Children, c.asked.to, out.From)
	r.reply(out)
}

// await lets a request wait for its answer.
func (r *Room) await(id string, q *relayed) {
	if r.relayed == nil {
		r.relayed = make(map[string]*relayed)
	}
	r.relayed[id] = q
	q.timer = time.AfterFunc(relayTimeout, func() { r.tell(relayDue(id)) })
	q.from.asking++
	q.target.answering++
	if q.at = r.sessions[q.to]; q.at != nil {
		q.at.answering++
	}
}

// unrelay ends that waiting.
func (r *Room) unrelay(id string, q *relayed) {
	q.timer.Stop()
	delete(r.relayed, id)
	q.from.asking--
	q.target.answering--
	if q.at != nil {
		q.at.answering--
	}
}

// relayDue says that a request has waited long enough for its answer.
type relayDue string

func (n relayDue) take(r *Room) {
	if q := r.relayed[string(n)]; q != nil {
		r.failRelayed(string(n), q, stanza.NewError(stanza.Wait, stanza.RemoteServerTimeout, "The occupant has not answered."))
	}
}

// dropRelayed ends the requests of a session that has left, and those to it.
func (r *Room) dropRelayed(s *Session) {
	if s.asking == 0 && s.answering == 0 && s.occupant.answering == 0 {
		return
	}
	for id, q := range r.relayed {
		switch {
		case q.from == s:
			r.failRelayed(id, q, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "You have left the room."))
		case q.to == s.addr, q.target.gone:
			r.failRelayed(id, q, stanza.NewError(stanza.Wait, stanza.RecipientUnavailable, "The occupant has left."))
		}
	}
}

func (r *Room) failRelayed(id string, q *relayed, err *stanza.Error) {
	r.unrelay(id, q)
	if reply, ok := r.svc.errorReply(&q.request, err); ok {
		r.reply(reply)
	}
}
