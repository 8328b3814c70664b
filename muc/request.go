package muc

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// request is what all commands have in common: who asks, and what deferred
// checks have answered so far.
type request struct {
	st        stanza.Stanza     // what asked; zero for a call from code
	receipt   *stanza.Receipt   // of st, until the room has done with it
	done      func(error)       // for a call from code: takes the result
	kept      map[*string]*kept // by function
	check     func(context.Context) error
	function  *string   // that deferred check
	detached  bool      // of an event that cannot wait
	system    bool      // the program itself is behind it, not a client
	arrived   bool      // it has passed Hooks.Before
	swallowed bool      // and takes no effect
	later     bool      // done is called with the commit of a message
	id        string    // StanzaID of the message that came of it
	until     time.Time // which a function has delayed it
}

// kept is what a function keeps with a stanza that waits.
type kept struct {
	progress int
	checked  bool // its deferred check has answered
	err      error
	answer   any // a pointer to what Ask returns
}

// of returns what a function keeps.
func (q *request) of(function *string) *kept {
	if q.kept == nil {
		q.kept = make(map[*string]*kept)
	}
	if q.kept[function] == nil {
		q.kept[function] = new(kept)
	}
	return q.kept[function]
}

func (q *request) base() *request { return q }

// errDeferred ends a decision until its deferred check has answered.
var errDeferred = errors.New("deferred")

// errCannotDefer is what Defer and Delay return for an event that cannot wait.
var errCannotDefer = errors.New("this event cannot wait: either it is part of a join, message or configuration, which can, or a call waits for it, which nothing delays; see Event.CanWait")

// Event is the part that all events of a Before hook share.
type Event struct {
	Room *Room
	req  *request
}

// Send sends st when the event takes effect, before anything else that comes of
// it, from the room unless st.From says otherwise, to anybody. In a function that
// runs after something has happened it is sent then.
func (ev *Event) Send(st stanza.Stanza) {
	ev.Room.staged.sends = append(ev.Room.staged.sends, ev.Room.signed(st))
}

// Defer runs check, which may block, away from the room, and holds the stanza
// and what its sender sends to this room behind it. A handler returns what
// Defer returns:
//
//	return ev.Defer(func(ctx context.Context) error { return ask(ctx, user) })
//
// When check is done, all checks and hooks of the event run again, and Defer
// returns what check returned. ctx ends after Options.DeferTimeout, or when a
// newer join or a leave of the sender makes the question pointless. Only stanzas
// can wait, and what comes of one: joins, nickname changes, presence, messages,
// configurations; for changes of affiliation or role, posts by code and
// destruction Defer returns an error.
func (ev *Event) Defer(check func(ctx context.Context) error) error {
	if ev.req == nil || ev.req.detached {
		return errCannotDefer
	}
	function := ev.Room.watch.at().function
	if function == nil {
		return errCannotDefer
	}
	if k := ev.req.of(function); k.checked {
		return k.err
	}
	ev.req.check, ev.req.function = check, function
	return errDeferred
}

// Ask is Defer of a question: once it has been answered, Ask returns the answer.
//
//	ev.Role, err = muc.Ask(&ev.Event, func(ctx context.Context) (muc.Role, error) { return ask(ctx, user) })
func Ask[T any](ev *Event, question func(ctx context.Context) (T, error)) (T, error) {
	answer := new(T)
	if ev.req != nil {
		k := ev.req.of(ev.Room.watch.at().function)
		if before, ok := k.answer.(*T); ok {
			answer = before
		}
		k.answer = answer
	}
	err := ev.Defer(func(ctx context.Context) (err error) {
		*answer, err = question(ctx)
		return err
	})
	return *answer, err
}

// held is a sender whose stanza waits for a deferred check.
type held struct {
	cmd     command
	cancel  func()
	waiting []command // his later stanzas
}

// maxHeld bounds what one sender may send behind a deferred stanza.
const maxHeld = 32

// hold starts the deferred check of c.
func (r *Room) hold(c command) {
	q := c.base()
	ctx, cancel := context.WithTimeout(r.svc.ctx, r.svc.opts.DeferTimeout)
	h := &held{cmd: c}
	check, name := q.check, *q.function
	q.check = nil
	stop, ok := r.svc.deferred.Of(name).Run(q.st.From.Bare(), func() {
		defer cancel()
		err := runCheck(ctx, name, check)
		r.tell(&checked{held: h, err: err})
	})
	if !ok {
		cancel()
		r.abort(c, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Too much of yours waits to be checked.").Because(ReasonBusy))
		return
	}
	h.cancel = func() { cancel(); stop() }
	if r.held == nil {
		r.held = make(map[jid.JID]*held)
	}
	r.held[q.st.From] = h
}

// deferredWorkers bounds the deferred checks of one function that run at a time.
const deferredWorkers = 64

// runCheck runs a deferred check, also if its time is over: it knows best what
// that means.
func runCheck(ctx context.Context, name string, check func(context.Context) error) (err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	defer func() {
		if v := recover(); v != nil {
			err = newPanic(name, v)
		}
	}()
	return check(ctx)
}

// checked is the answer of a deferred check.
type checked struct {
	held *held
	err  error
}

func (n *checked) take(r *Room) {
	q := n.held.cmd.base()
	if r.held[q.st.From] != n.held {
		return // cancelled meanwhile
	}
	err := n.err
	switch {
	case r.svc.ctx.Err() != nil:
		err = stanza.NewError(stanza.Wait, stanza.ServiceUnavailable, "The chat service is shutting down.").Because(ReasonShutdown)
	case errors.Is(err, context.DeadlineExceeded):
		err = stanza.NewError(stanza.Wait, stanza.RemoteServerTimeout, "The check took too long.").Because(ReasonTimeout)
	}
	k := q.of(q.function)
	k.checked, k.err = true, err
	// Next in turn, which may be after a commit that is under way.
	delete(r.held, q.st.From)
	r.backlog = slices.Concat([]command{n.held.cmd}, n.held.waiting, r.backlog)
}

// detain reports whether c has to wait behind a held stanza of its sender. A
// newer join or a leave cancels the held one instead.
func (r *Room) detain(c command) bool {
	q := c.base()
	h := r.held[q.st.From]
	if h == nil || h.cmd == c {
		return false
	}
	if q.st.Kind == stanza.Presence && (q.st.Type == stanza.TypeUnavailable || q.st.Type == stanza.TypeError ||
		q.st.Type == "" && q.st.Child(stanza.NSMUC, "x") != nil) {
		h.cancel()
		r.finished(h.cmd.base())
		delete(r.held, q.st.From)
		r.backlog = append(h.waiting, r.backlog...)
		return false
	}
	if len(h.waiting) >= maxHeld {
		r.refuse(q, stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Wait until you have entered the room.").Because(ReasonBusy))
		return true
	}
	h.waiting = append(h.waiting, c)
	return true
}

// execute runs one command: it decides, and if that changed nothing that must
// be stored, it applies.
func (r *Room) execute(c command) {
	r.happened(r.turn)
	if r.held != nil && r.detain(c) || r.delays.Len() > 0 && r.overtake(c) {
		return
	}
	err := r.decide(c)
	switch {
	case err == nil:
	case errors.Is(err, errDeferred):
		r.staged = change{}
		r.hold(c)
		return
	case errors.Is(err, errDelayed):
		r.staged = change{}
		r.delay(c)
		return
	default:
		r.staged = change{}
		r.abort(c, err)
		return
	}
	if r.staged.empty() || !r.exists { // what is staged for a room that is to be comes behind its creation
		r.applyCommand(c)
		return
	}
	r.commit(c)
}

// abort ends a command that is refused.
func (r *Room) abort(c command, err error) {
	if a, ok := c.(interface{ undo(*Room) }); ok {
		a.undo(r)
	}
	r.refuse(c.base(), err)
}

// decide runs the command's checks; a panic is an error like others.
func (r *Room) decide(c command) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanic("", v)
		}
	}()
	_, makesSense := c.(stranger)
	switch q := c.base(); {
	case makesSense:
	case !r.exists:
		if gone := r.destroyed(q.st.From); gone != nil && q.done == nil {
			return gone
		}
		return noRoom()
	case q.done == nil && r.unknownTo(q.st.From):
		return noRoom()
	}
	if err := r.arrive(c); err != nil || c.base().swallowed {
		return err
	}
	return c.decide(r)
}

func noRoom() error {
	return stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "There is no such room.")
}

// deniesItself reports whether the room answers somebody as if it did not exist:
// it is hidden, and he is banned. Only if he tries to enter it must say so
// (XEP-0045 §7.2.7).
func (r *Room) deniesItself(who jid.JID) bool {
	return r.sessions[who] == nil && !r.Public() && r.Affiliation(who) == Outcast
}

// stranger is a command that makes sense where no room exists.
type stranger interface{ stranger() }

// applyCommand lets a decided command take effect. A panic here leaves the
// room half changed, so it closes the room.
func (r *Room) applyCommand(c command) {
	defer r.recoverApply(c)
	if !c.base().swallowed {
		c.apply(r)
	}
	r.finished(c.base())
	if q := c.base(); q.done != nil && !q.later {
		q.done(nil)
	}
	if !r.staged.empty() { // a Notify function has called a setter
		r.commit(nil)
	}
}

// recoverApply closes the room if applying c, or a note if c is nil, panics.
func (r *Room) recoverApply(c command) {
	if v := recover(); v != nil {
		r.logPanic(newPanic("", v))
		r.collapse(c)
	}
}

// refuse answers a request with err. What is no stanza error is ours: the peer
// learns the condition, the log gets the cause.
func (r *Room) refuse(q *request, err error) {
	defer r.finished(q)
	if errors.Is(err, hook.Handled) {
		err = nil
	}
	if q.done != nil {
		q.done(err)
		return
	}
	if err == nil {
		return
	}
	se := stanza.AsError(err)
	if se == nil {
		se = stanza.NewError(stanza.Cancel, stanza.InternalServerError, "")
		if p, ok := errors.AsType[*hook.Panic](err); ok {
			r.logPanic(p)
		} else {
			r.logger().LogAttrs(context.Background(), slog.LevelError, "handle stanza",
				slog.String("id", q.st.ID), slog.Any("err", err))
		}
	}
	if reply, ok := r.svc.errorReply(&q.st, se); ok {
		r.reply(reply)
	}
}

// finished says that nothing more comes of a request than what the outbox
// holds: once that has left, the stanza is handled.
func (r *Room) finished(q *request) {
	if q.receipt != nil {
		r.outbox = append(r.outbox, outItem{receipt: q.receipt})
		q.receipt = nil
	}
}

// logPanics logs what functions of Notify and Decide hooks have panicked with.
func (r *Room) logPanics(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // errors.Join's own form
		for _, e := range joined.Unwrap() {
			r.logPanics(e)
		}
		return
	}
	if p, ok := errors.AsType[*hook.Panic](err); ok {
		r.logPanic(p)
	}
}

func (r *Room) logPanic(p *hook.Panic) {
	r.svc.metrics.panics.Inc()
	r.logger().LogAttrs(context.Background(), slog.LevelError, "panic", slog.String("hook", p.Name),
		slog.Any("panic", p.Value), slog.String("stack", string(p.Stack)))
}

// hookWatch names and times the function that runs; it is the room's
// hook.Observer.
type hookWatch struct {
	room    *Room
	running []running // each has called what runs the next
}

type running struct {
	function *string       // its name
	entered  time.Duration // since Service.began, which is cheaper to ask for than the time of day
}

// at is the function at hand, zero if none runs.
func (w *hookWatch) at() (at running) {
	if n := len(w.running); n > 0 {
		at = w.running[n-1]
	}
	return at
}

// Enter is called before a function.
func (w *hookWatch) Enter(name *string) {
	w.running = append(w.running, running{name, time.Since(w.room.svc.began)})
}

// hookSample is of how many calls one is in the histogram of times: counting
// costs as much as calling. It is drawn, for the same functions follow each
// other again and again.
const hookSample = 8

// Leave is called after it.
func (w *hookWatch) Leave(name *string) {
	took := time.Since(w.room.svc.began) - w.at().entered
	w.running = w.running[:len(w.running)-1]
	if rand.Uint32()%hookSample == 0 {
		w.room.svc.metrics.hookTime.Observe(took.Seconds())
	}
	if took <= w.room.svc.opts.SlowHook {
		return
	}
	w.room.svc.metrics.slowHooks.Inc()
	w.room.logger().LogAttrs(context.Background(), slog.LevelWarn, "slow hook",
		slog.String("hook", *name), slog.Duration("took", took))
}

func newPanic(name string, value any) *hook.Panic {
	return &hook.Panic{Name: name, Value: value, Stack: debug.Stack()}
}
