package muc

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/muster-im/muster/internal/mailbox"
	"github.com/muster-im/muster/stanza"
)

// commitTimeout bounds a commit of a room's state.
const commitTimeout = 5 * time.Second

// A command is one unit of work for a room, with exclusive access to its
// state. It must not block: no I/O, no channel waits, no foreign locks.
type command interface {
	base() *request
	decide(r *Room) error // checks and hooks; changes nothing; an error is the answer
	apply(r *Room)        // cannot fail
}

// A note is the completion of something that the room has started: a load, a
// commit, an archived message, a deferred check.
type note interface{ take(r *Room) }

// post queues c and never waits; see mailbox.Box.
func (r *Room) post(c command, mayPark bool) (busy <-chan struct{}, err error) {
	st := &c.base().st
	busy, start, err := r.mailbox.Put(mailbox.Letter[command]{Command: c, From: st.From, Farewell: isFarewell(st)}, mayPark)
	if start {
		r.svc.tasks.Run(r.drain)
	}
	return busy, err
}

// tell queues a note. It is called from any goroutine.
func (r *Room) tell(n note) {
	if r.mailbox.Tell(n) {
		r.svc.tasks.Run(r.drain)
	}
}

// tellInTurn is tell for what all rooms are told, of which there may be a
// million: so many work at a time.
func (r *Room) tellInTurn(n note) {
	if r.mailbox.Tell(n) {
		r.svc.rounds.Run(r.drain)
	}
}

// drain works until nothing waits. There is at most one drain of a room.
func (r *Room) drain() {
	r.unpack()
	for {
		for _, n := range r.mailbox.TakeNotes() {
			r.takeNote(n)
		}
		for !r.waiting {
			c := r.nextCommand()
			if c == nil {
				break
			}
			r.execute(c)
		}
		r.inside.Store(int32(len(r.occupants))) //nolint:gosec // people
		r.flush()
		if r.retire() || r.dormant > 0 && r.quiet() && r.rest() || !r.mailbox.TakeBatch(&r.batch) {
			return
		}
		if n := len(r.batch); n > 0 {
			r.svc.metrics.queued.Observe(float64(n + r.mailbox.Depth()))
		}
	}
}

func (r *Room) takeNote(n note) {
	if r.collapsed {
		if c, ok := n.(*committed); ok && c.cmd != nil {
			r.failed(c.cmd.base())
		}
		return
	}
	defer r.recoverApply(nil)
	n.take(r)
	if !r.waiting && !r.staged.empty() { // a Notify function has called a setter
		r.commit(nil)
	}
}

// nextCommand returns what is to be done next, nil if nothing is at hand.
// Stanzas released from a held sender, or whose time has come, come first.
func (r *Room) nextCommand() command {
	r.turn = time.Now()
	r.releaseDue(r.turn)
	if len(r.backlog) > 0 {
		c := r.backlog[0]
		r.backlog = r.backlog[1:]
		return c
	}
	if r.next == len(r.batch) {
		clear(r.batch)
		r.batch, r.next = r.batch[:0], 0
		return nil
	}
	r.next++
	return r.batch[r.next-1]
}

// stall lets the room do nothing but take notes until resume.
func (r *Room) stall() {
	r.waiting = true
	r.mailbox.SetStalled(true)
}

func (r *Room) resume() {
	r.waiting = false
	r.mailbox.SetStalled(false)
}

// retire closes a room object that has no more reason to be in memory: the
// room does not exist, or it is stored and put to sleep. It reports whether the
// drain ends with that.
func (r *Room) retire() bool {
	if r.exists && !r.asleep || !r.quiet() || !r.mailbox.CloseIfIdle() {
		return false
	}
	if r.exists {
		r.stopped()
		r.svc.roomEnded(r)
	}
	r.svc.forget(r)
	return true
}

// collapse ends the room object after a panic that may have left it half
// changed. What it has said is delivered, the occupants are told, and everything
// that waits is answered; the next join loads the room anew. cause is what the
// room was at, nil if that was no command.
func (r *Room) collapse(cause command) {
	if r.collapsed {
		return
	}
	r.collapsed = true
	r.flush()
	r.salvage()
	if cause != nil && !r.answered(cause.base()) {
		r.failed(cause.base())
	}
	left := append(r.takeDelayed(), r.backlog...)
	r.goodbye()
	left = append(left, r.batch[r.next:]...)
	for _, h := range r.held {
		h.cancel()
		left = append(append(left, h.cmd), h.waiting...)
	}
	left = append(left, r.mailbox.Shut()...)
	for _, c := range left {
		r.failed(c.base())
	}
	r.abandonQueries()
	r.flushAll()
	r.held, r.backlog, r.batch, r.next = nil, nil, nil, 0
	if r.exists {
		r.svc.roomEnded(r)
	}
	r.exists, r.waiting = false, true
	r.svc.forget(r)
}

// failed answers a request that the room's failure has come before.
func (r *Room) failed(q *request) {
	r.refuse(q, stanza.NewError(stanza.Wait, stanza.InternalServerError, "The room has failed.").Because(ReasonFailure))
}

// goodbye tells the occupants. If the panic has left them in a state in which
// that cannot be done either, they find out by themselves.
func (r *Room) goodbye() {
	defer func() {
		if v := recover(); v != nil {
			r.logPanic(newPanic("", v))
		}
	}()
	r.evictAll(removed(statusShutdown, Actor{}, "The room has failed and was closed. Please enter again."), statusShutdown)
	r.flushAll()
}

// answered reports whether an answer to a request waits in the outbox. Calls
// from code are answered when all is done.
func (r *Room) answered(q *request) bool {
	is := func(st *stanza.Stanza) bool {
		return st.Kind == stanza.IQ && !st.IsRequest() && st.ID == q.st.ID && st.To == q.st.From
	}
	return q.done == nil && q.st.Kind == stanza.IQ && slices.ContainsFunc(r.outbox, func(it outItem) bool {
		return is(&it.direct) || it.only != nil && it.enc[0] != nil && is(&it.enc[0].Stanza)
	})
}

// salvage keeps what waits in the outbox but for messages that the archive does
// not have: they are not said any more, and their senders are told.
func (r *Room) salvage() {
	waiting := r.outbox
	r.outbox = nil
	for _, it := range waiting {
		switch {
		case it.ticket == nil || it.ticket.done && it.ticket.err == nil:
			r.outbox = append(r.outbox, it)
		case !it.ticket.done && it.ticket.req != nil:
			r.failed(it.ticket.req)
		}
	}
}

// commit stores what has been staged and then applies it together with c,
// which may be nil. The room does nothing else until the commit is done. A room
// that is not stored and is not to be needs no commit.
func (r *Room) commit(c command) {
	ch := r.staged
	r.staged = change{}
	stays := r.persistentAfter(&ch)
	buried := r.tombstoneFor(ch.destroy)
	if !ch.durable() || !r.stored && !stays && buried == nil || r.svc.opts.Store == nil {
		r.adopt(&ch, c)
		return
	}
	r.stall()
	rec := r.roomChange(&ch)
	keep, fresh := stays && ch.destroy == nil, !r.stored
	stored := r.stored && ch.destroy == nil
	write := func() {
		ctx, cancel := context.WithTimeout(r.svc.ioCtx, commitTimeout)
		defer cancel()
		n := &committed{change: ch, cmd: c, stored: keep}
		if !keep && stored { // the room goes on without being stored
			n.data, n.err = r.svc.opts.Store.RoomData(ctx, r.jid)
		}
		switch {
		case n.err != nil:
		case keep:
			n.err = r.svc.keepStored(ctx, r.jid, rec, fresh)
		default:
			n.err = r.svc.forgetStored(ctx, r.jid, buried)
		}
		r.tell(n)
	}
	if r.storing { // one write of a room after the other
		r.postponed = write
		return
	}
	r.svc.io.Run(write)
}

// committed is the end of a commit.
type committed struct {
	change change
	cmd    command
	stored bool
	data   map[string][]byte // of a room that is not stored any more
	err    error
}

func (n *committed) take(r *Room) {
	defer r.catchUp()
	r.resume()
	if n.err != nil {
		r.svc.metrics.failedCommits.Inc()
		r.logger().LogAttrs(context.Background(), slog.LevelError, "store room", slog.Any("err", n.err))
		if n.cmd != nil {
			r.abort(n.cmd, stanza.NewError(stanza.Wait, stanza.InternalServerError, "The change could not be stored.").Because(ReasonStore))
		}
		return
	}
	if n.stored && !r.stored {
		r.usedAt = r.created.Unix() // as the store has it of a new room
	}
	r.stored = n.stored
	if n.data != nil {
		r.data = n.data
	}
	r.adopt(&n.change, n.cmd)
}

// adopt applies a change that needs no commit any more, and then c.
func (r *Room) adopt(ch *change, c command) {
	defer r.recoverApply(c)
	r.applyChange(ch)
	for _, st := range ch.sends {
		r.reply(st)
	}
	if c != nil {
		r.applyCommand(c)
	} else if !r.staged.empty() {
		r.commit(nil)
	}
}
