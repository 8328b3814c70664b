package sqlstore

import (
	"context"
	"slices"
)

// write is a change that waits for a transaction, which it shares with those that
// have come meanwhile: a commit costs as much for many as for one, and others wait
// for it.
type write struct {
	// Set at construction.
	ctx  context.Context //nolint:containedctx // of a call that waits
	f    func(context.Context, querier) error
	turn chan bool // gets true if the transaction is the receiver's to run, false when it is over

	// Owned by whoever runs the transaction, until turn says that it is over.
	err      error
	panicked any
}

// maxShared is how many changes share a transaction at most.
const maxShared = 64

// write runs f in a transaction of SQLite's, which others may share.
func (d *database) write(ctx context.Context, f func(context.Context, querier) error) error {
	w := &write{ctx: ctx, f: f}
	d.mu.Lock()
	if d.writing {
		w.turn = make(chan bool, 1)
		d.queue = append(d.queue, w)
	}
	first := !d.writing
	d.writing = true
	d.mu.Unlock()
	mine := first
	if !first {
		select {
		case mine = <-w.turn:
		case <-ctx.Done():
			if d.withdraw(w) {
				return ctx.Err()
			}
			mine = <-w.turn
		}
	}
	if mine {
		d.writeAll(w)
	}
	if w.panicked != nil {
		panic(w.panicked)
	}
	return w.err
}

// withdraw takes back a change that still waits, and reports whether it did.
func (d *database) withdraw(w *write) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.queue, w)
	if i >= 0 {
		d.queue = slices.Delete(d.queue, i, i+1)
	}
	return i >= 0
}

// writeAll runs a transaction for w, which is first, and for those that wait. Then
// the next one who waits runs his.
func (d *database) writeAll(w *write) {
	all := []*write{w}
	d.run(&all)
	d.mu.Lock()
	if d.writing = len(d.queue) > 0; d.writing {
		d.queue[0].turn <- true
		d.queue = slices.Delete(d.queue, 0, 1)
	}
	d.mu.Unlock()
	for _, w := range all[1:] {
		w.turn <- false
	}
}

// run runs the transaction of all, to whom it adds those who have come by the time
// that it can begin.
func (d *database) run(all *[]*write) {
	err := onConn((*all)[0].ctx, d.writer, func(c *sqliteConn) (broken bool, err error) {
		d.mu.Lock()
		n := min(len(d.queue), maxShared-1)
		*all = append(*all, d.queue[:n]...)
		d.queue = slices.Delete(d.queue, 0, n)
		d.mu.Unlock()
		return d.commitAll(c, *all)
	})
	for _, w := range *all {
		if w.err == nil && w.panicked == nil {
			w.err = err
		}
	}
}

// commitAll runs changes and commits what they have done. Its error is of those
// that have none of their own.
func (d *database) commitAll(c *sqliteConn, all []*write) (broken bool, err error) {
	// The driver would start a goroutine for each statement to watch a context that
	// can end. Statements that write are short: look at the context between them
	// instead.
	quiet := context.WithoutCancel(all[0].ctx)
	if _, err := c.exec(quiet, "BEGIN IMMEDIATE"); err != nil {
		return false, err
	}
	done := 0
	for _, w := range all {
		ok, err := d.attemptOne(quiet, c, w, len(all) > 1)
		if err != nil { // nobody's change can be told from the others' any more
			return c.rollback(quiet), err
		}
		if ok {
			done++
		}
	}
	if done == 0 {
		return c.rollback(quiet), nil
	}
	if _, err = c.exec(quiet, "COMMIT"); err != nil {
		return c.rollback(quiet), err
	}
	return false, nil
}

// attemptOne runs a change and takes back what it has done if it fails. An error
// is of the transaction.
func (d *database) attemptOne(ctx context.Context, c *sqliteConn, w *write, shared bool) (ok bool, err error) {
	if w.err = w.ctx.Err(); w.err != nil {
		return false, nil
	}
	if shared {
		if _, err := c.exec(ctx, "SAVEPOINT change"); err != nil {
			return false, err
		}
	}
	w.attempt(querier{d: d, conn: c})
	ok = w.err == nil && w.panicked == nil
	if !shared {
		return ok, nil
	}
	if !ok {
		if _, err := c.exec(ctx, "ROLLBACK TO change"); err != nil {
			return false, err
		}
	}
	_, err = c.exec(ctx, "RELEASE change")
	return ok, err
}

// attempt runs the change. A panic is of who wants the change, not of who runs the
// transaction.
func (w *write) attempt(q querier) {
	defer func() { w.panicked = recover() }()
	w.err = w.f(context.WithoutCancel(w.ctx), q)
	if w.err == nil {
		w.err = w.ctx.Err()
	}
}

// rollback ends a transaction that failed, and reports whether it is not known to
// be over.
func (c *sqliteConn) rollback(ctx context.Context) (broken bool) {
	if _, err := c.exec(ctx, "ROLLBACK"); err == nil {
		return false
	}
	// SQLite rolls back by itself when the disk is full, for one. If it has, the
	// connection can begin anew.
	if _, err := c.exec(ctx, "BEGIN"); err != nil {
		return true
	}
	_, err := c.exec(ctx, "ROLLBACK")
	return err != nil
}

// viewSQLite runs f on one unchanging state of a file.
func (d *database) viewSQLite(ctx context.Context, f func(context.Context, querier) error) error {
	return onConn(ctx, d.reader, func(c *sqliteConn) (broken bool, err error) {
		quiet := context.WithoutCancel(ctx)
		if _, err := c.exec(quiet, "BEGIN"); err != nil {
			return false, err
		}
		err = f(ctx, querier{d: d, conn: c})
		_, end := c.exec(quiet, "ROLLBACK")
		return end != nil, err
	})
}
