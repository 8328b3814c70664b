package muc

import (
	"context"
	"log/slog"
	"time"

	"github.com/muster-im/muster/stanza"
)

// commitTimeout bounds a commit of a room's state.
const commitTimeout = 5 * time.Second

// post queues c and never waits; see mailbox.put.
func (r *Room) post(c command, mayPark bool) (busy <-chan struct{}, err error) {
	busy, start, err := r.mailbox.put(c, mayPark)
	if start {
		r.svc.tasks.run(r.drain)
	}
	return busy, err
}

// tell queues a note. It is called from any goroutine.
func (r *Room) tell(n note) {
	if r.mailbox.tell(n) {
		r.svc.tasks.run(r.drain)
	}
}

// drain works until nothing waits. There is at most one drain of a room.
func (r *Room) drain() {
	for {
		for _, n := range r.mailbox.takeNotes() {
			r.takeNote(n)
		}
		for !r.waiting {
			c := r.nextCommand()
			if c == nil {
				break
			}
			r.execute(c)
		}
		r.flush()
		if r.retire() || !r.mailbox.takeBatch(&r.batch) {
			return
		}
	}
}

func (r *Room) takeNote(n note) {
	defer r.recoverApply()
	n.take(r)
}

// nextCommand returns what is to be done next, nil if nothing is at hand.
// Stanzas released from a held sender come first.
func (r *Room) nextCommand() command {
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
	r.mailbox.setStalled(true)
}

func (r *Room) resume() {
	r.waiting = false
	r.mailbox.setStalled(false)
}

// retire closes a room object that has no more reason to be in memory: the
// room does not exist, or it is stored and put to sleep. It reports whether the
// drain ends with that.
func (r *Room) retire() bool {
	if r.exists && !r.asleep || r.waiting || len(r.outbox) > 0 || len(r.held) > 0 || len(r.backlog) > 0 || r.next < len(r.batch) {
		return false
	}
	if !r.mailbox.closeIfIdle() {
		return false
	}
	if r.exists {
		r.svc.roomEnded(r)
	}
	r.svc.forget(r)
	return true
}

// collapse ends the room object after a panic that may have left it half
// changed. The occupants are told; the next join loads the room anew.
func (r *Room) collapse() {
	r.flush()
	r.salvage()
	r.evictAll(332, "The room has failed and was closed. Please enter again.")
	r.flushAll()
	left := append(r.backlog, r.batch[r.next:]...)
	for _, h := range r.held {
		h.cancel()
		left = append(append(left, h.cmd), h.waiting...)
	}
	left = append(left, r.mailbox.shut()...)
	for _, c := range left {
		r.refuse(c.base(), stanza.NewError(stanza.Wait, stanza.InternalServerError, "The room has failed."))
	}
	r.flushAll()
	r.held, r.backlog, r.batch, r.next = nil, nil, nil, 0
	r.exists, r.waiting = false, true
	r.svc.forget(r)
}

// salvage keeps what waits in the outbox but for messages that the archive does
// not have yet: they are not said any more, and their senders are told.
func (r *Room) salvage() {
	waiting := r.outbox
	r.outbox = nil
	for _, it := range waiting {
		if it.ticket == nil || it.ticket.done {
			r.outbox = append(r.outbox, it)
		} else if it.ticket.req != nil {
			r.refuse(it.ticket.req, stanza.NewError(stanza.Wait, stanza.InternalServerError, "The room has failed."))
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
	if !r.stored && !stays || r.svc.opts.Store == nil {
		r.adopt(&ch, c)
		return
	}
	r.stall()
	rec := r.roomChange(&ch)
	keep := stays && ch.destroy == nil
	r.svc.io.run(func() {
		ctx, cancel := context.WithTimeout(r.svc.ioCtx, commitTimeout)
		defer cancel()
		var err error
		if keep {
			err = r.svc.opts.Store.ApplyRoomChange(ctx, r.jid, r.svc.opts.Epoch, rec)
		} else {
			err = r.svc.forgetStored(ctx, r.jid)
		}
		r.tell(&committed{change: ch, cmd: c, stored: keep, err: err})
	})
}

// committed is the end of a commit.
type committed struct {
	change change
	cmd    command
	stored bool
	err    error
}

func (n *committed) take(r *Room) {
	r.resume()
	if n.err != nil {
		r.svc.metrics.failedCommits.Inc()
		r.log.LogAttrs(context.Background(), slog.LevelError, "store room", slog.Any("err", n.err))
		if n.cmd != nil {
			r.abort(n.cmd, stanza.NewError(stanza.Wait, stanza.InternalServerError, "The change could not be stored."))
		}
		return
	}
	r.stored = n.stored
	r.adopt(&n.change, n.cmd)
}

// adopt applies a change that needs no commit any more, and then c.
func (r *Room) adopt(ch *change, c command) {
	defer r.recoverApply()
	r.applyChange(ch)
	if c != nil {
		r.applyCommand(c)
	} else if !r.staged.empty() {
		r.commit(nil)
	}
}
