package muc

import (
	"context"
	"log/slog"
	"slices"

	"github.com/muster-im/muster/internal/mailbox"
	"github.com/muster-im/muster/stanza"
)

// outItem is something that the room says. Who gets it is fixed when it is
// said; it leaves in the order of saying.
type outItem struct {
	enc    [2]*stanza.Encoded // by whether the recipient may see real addresses
	to     []*Session         // the audience of then
	skip   []*Session         // who are left out
	only   *Session           // instead of to
	many   []*stanza.Encoded  // for only, instead of enc
	target stanza.Target      // of many, for somebody who is not inside
	direct stanza.Stanza      // instead of all this: for the router
	ticket *ticket            // nil: nothing to wait for
	// receipt, instead of all this, is of a stanza that is handled once
	// everything before has left.
	receipt *stanza.Receipt
}

// ticket is an archived message that waits for its commit.
type ticket struct {
	room    *Room
	req     *request // who sent it
	message ArchivedMessage
	event   PostedEvent
	before  Subject // of a subject change, to be taken back if it fails
	done    bool
	err     error
}

func index(show bool) int {
	if show {
		return 1
	}
	return 0
}

// say queues one encoding for everybody in the room.
func (r *Room) say(st stanza.Stanza, t *ticket) {
	enc := stanza.Encode(st)
	r.outbox = append(r.outbox, outItem{enc: [2]*stanza.Encoded{enc, enc}, to: r.audience, ticket: t})
}

// sayTo queues a stanza for one session.
func (r *Room) sayTo(s *Session, st stanza.Stanza) {
	enc := stanza.Encode(st)
	r.outbox = append(r.outbox, outItem{enc: [2]*stanza.Encoded{enc, enc}, only: s})
}

// reply queues an answer to whoever sent something, occupant or not. The error
// of a private message is for the router: those of the sender's account who have
// a copy of the message have one of its error, too (XEP-0280 §6.1).
func (r *Room) reply(st stanza.Stanza) {
	private := st.Kind == stanza.Message && !st.From.IsBare()
	if s := r.sessions[st.To]; s != nil && !private {
		r.sayTo(s, st)
		return
	}
	r.outbox = append(r.outbox, outItem{direct: st})
}

// flush delivers what is ready at the head of the outbox: per session all of
// it in one go, so that a burst costs one wake-up.
func (r *Room) flush() {
	n := 0
	for n < len(r.outbox) && (r.outbox[n].ticket == nil || r.outbox[n].ticket.done) {
		n++
	}
	if n == 0 {
		return
	}
	touched := r.touched[:0]
	for i := range r.outbox[:n] {
		if it := &r.outbox[i]; it.direct.Kind != 0 { // maybe to somebody who has just left: behind what he is told of that
			touched = r.deliverAll(touched)
			r.send(it.direct)
		} else {
			r.remember(it)
			touched = r.distribute(it, touched)
		}
	}
	r.touched = r.deliverAll(touched)
	for i := range r.outbox[:n] {
		r.outbox[i].receipt.Release()
	}
	r.outbox = slices.Delete(r.outbox, 0, n)
	if len(r.outbox) == 0 && cap(r.outbox) > 2*mailbox.BatchSize {
		r.outbox, r.touched = nil, nil
	}
}

// deliverAll hands sessions what is pending for them, and returns the emptied
// list.
func (r *Room) deliverAll(touched []*Session) []*Session {
	for _, s := range touched {
		r.deliver(s)
	}
	clear(touched)
	return touched[:0]
}

// deliver hands a session what is pending for it. A panic costs what was to be
// delivered.
func (r *Room) deliver(s *Session) {
	defer func() {
		if v := recover(); v != nil {
			r.logPanic(newPanic("", v))
		}
		clear(s.pending)
		s.pending = s.pending[:0]
		if cap(s.pending) > mailbox.BatchSize {
			s.pending = nil // a burst's memory is given back
		}
	}()
	s.target.Deliver(s.pending)
	r.svc.metrics.delivered.Add(float64(len(s.pending)))
}

// send hands a stanza to the router; a panic costs that stanza.
func (r *Room) send(st stanza.Stanza) {
	defer func() {
		if v := recover(); v != nil {
			r.logPanic(newPanic("", v))
		}
	}()
	r.svc.opts.Router.Send(st)
}

// flushAll delivers everything, committed or not: only for a room that ends.
func (r *Room) flushAll() {
	for i := range r.outbox {
		r.outbox[i].ticket = nil
	}
	r.flush()
}

// distribute hands one item to the sessions it is for, and appends those that
// had nothing pending yet to touched.
func (r *Room) distribute(it *outItem, touched []*Session) []*Session {
	switch {
	case it.ticket != nil && it.ticket.err != nil:
		return touched
	case it.target != nil:
		it.target.Deliver(it.many)
	case it.many != nil:
		touched = touch(it.only, touched)
		it.only.pending = append(it.only.pending, it.many...)
	case it.only != nil:
		touched = touch(it.only, touched)
		it.only.pending = append(it.only.pending, it.enc[index(it.only.show)])
	case it.to != nil:
		for _, s := range it.to {
			if slices.Contains(it.skip, s) {
				continue
			}
			touched = touch(s, touched)
			s.pending = append(s.pending, it.enc[index(s.show)])
		}
	}
	return touched
}

func touch(s *Session, touched []*Session) []*Session {
	if len(s.pending) == 0 {
		touched = append(touched, s)
	}
	return touched
}

// archived is the end of an archived message's commit.
type archived struct {
	ticket *ticket
	err    error
}

func (n *archived) take(r *Room) {
	t := n.ticket
	t.done, t.err = true, n.err
	if n.err == nil {
		if t.message.Subject {
			r.subjectArchived(t)
		}
		r.notify(r.svc.hooks.MessageSent.Run(&r.watch, &t.event))
		if t.req != nil && t.req.later {
			t.req.done(nil)
		}
		return
	}
	r.svc.metrics.unarchived.Inc()
	r.logger().LogAttrs(context.Background(), slog.LevelError, "archive message", slog.String("stanza_id", t.message.ID), slog.Any("err", n.err))
	r.withdraw(t)
}

// withdraw takes back a message that could not be archived: its sender gets an
// error and nobody gets the message.
func (r *Room) withdraw(t *ticket) {
	if t.message.Subject && r.exists && r.subjectID == t.message.ID {
		r.subject, r.subjectID = t.before, ""
	}
	r.notify(r.svc.hooks.MessageWithdrawn.Run(&r.watch, &t.event))
	if t.req != nil {
		r.refuse(t.req, stanza.NewError(stanza.Wait, stanza.InternalServerError, "The message could not be archived.").Because(ReasonArchive))
	}
}
