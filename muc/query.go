package muc

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/muster-im/muster/hook"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

const (
	// maxQueries bounds the requests of one session to one room that wait for
	// answers from elsewhere, maxAllQueries those of everybody to a service.
	maxQueries    = 10
	maxAllQueries = 1000
	// queryWorkers is how many answers are looked for at once, slowWorkers how
	// many of those that may take long: together fewer than the store has
	// readers, which rooms need to wake.
	queryWorkers = 2
	slowWorkers  = 1
)

// RequestEvent is an IQ request to the room that a feature answers.
type RequestEvent struct {
	Event
	Stanza      *stanza.Stanza
	Affiliation Affiliation
	Session     *Session // who asks; nil: he is not inside
	answer      Answer
	find        func(context.Context) (Answer, error)
	slow        bool
}

// Answer is what somebody gets who asks a room.
type Answer struct {
	Messages []stanza.Stanza // that come before the result, for the client that asks alone
	Payload  *stanza.Element // of the result; nil: it is empty
	// Then, if set, runs inside the room before, and may refuse the request
	// even now.
	Then func(r *Room) error
}

// Answer sets the payload of the result, which is sent once what the function
// has staged is committed.
func (ev *RequestEvent) Answer(payload *stanza.Element) { ev.answer = Answer{Payload: payload} }

// AnswerLater lets find, which may block, find the answer away from the room,
// which goes on meanwhile. One session's requests are answered in their order.
// ctx ends after a while, or when the service does.
func (ev *RequestEvent) AnswerLater(find func(ctx context.Context) (Answer, error)) { ev.find = find }

// AnswerSlowly is AnswerLater for what may take long: only others of that kind
// wait for it.
func (ev *RequestEvent) AnswerSlowly(find func(ctx context.Context) (Answer, error)) {
	ev.find, ev.slow = find, true
}

// requestKind is what tells the requests apart that features answer.
type requestKind struct {
	kind stanza.Type
	name stanza.Name
}

// OnRequest lets answer take the IQ requests of a type to rooms that have such a
// payload. It runs while the request is decided: a *stanza.Error refuses it, and
// Event.Defer is not for it. Nobody else may answer the same. Who must not know
// of a room does not get so far.
func (h *Hooks) OnRequest(name string, kind stanza.Type, payload stanza.Name, answer func(*RequestEvent) error) {
	h.mustBeOpen(name)
	key := requestKind{kind, payload}
	if h.requests == nil {
		h.requests = make(map[requestKind]*hook.Filter[RequestEvent])
	}
	if h.requests[key] != nil {
		panic("muc: two features answer <" + payload.Local + " xmlns='" + payload.Space + "'/>")
	}
	f := &hook.Filter[RequestEvent]{}
	f.Add(name, 0, answer)
	h.requests[key] = f
}

// requestCommand is a request that a feature answers.
type requestCommand struct {
	request
	answerer *hook.Filter[RequestEvent]
	ev       RequestEvent
}

func (c *requestCommand) decide(r *Room) error {
	who := c.st.From
	affiliation := r.Affiliation(who)
	c.detached = true
	c.ev = RequestEvent{Event: Event{Room: r, req: &c.request}, Stanza: &c.st, Affiliation: affiliation, Session: r.sessions[who]}
	if err := c.answerer.Run(&r.watch, &c.ev); err != nil {
		return err
	}
	if c.ev.find != nil && (len(r.asking[who]) >= maxQueries || r.svc.asking.Load() >= maxAllQueries) {
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Wait for the answers to what you have asked before.").Because(ReasonBusy)
	}
	return nil
}

func (c *requestCommand) apply(r *Room) {
	if c.ev.find == nil {
		r.reply(c.st.Result(c.ev.answer.Payload))
		return
	}
	q := &query{st: c.st, find: c.ev.find, slow: c.ev.slow, receipt: c.receipt}
	c.receipt = nil // it is not handled yet
	r.svc.asking.Add(1)
	if r.asking == nil {
		r.asking = make(map[jid.JID][]*query)
	}
	r.asking[c.st.From] = append(r.asking[c.st.From], q)
	if len(r.asking[c.st.From]) == 1 {
		r.look(q)
	}
}

// query is a request whose answer is found away from the room.
type query struct {
	st      stanza.Stanza
	find    func(context.Context) (Answer, error)
	slow    bool
	receipt *stanza.Receipt
}

// look finds the answer to the first query of a session.
func (r *Room) look(q *query) {
	r.svc.lookups[index(q.slow)].Run(func() {
		ctx, cancel := context.WithTimeout(r.svc.ioCtx, commitTimeout)
		defer cancel()
		n := &answered{query: q}
		defer func() {
			if v := recover(); v != nil {
				n.err = newPanic("", v)
			}
			r.tell(n)
		}()
		var a Answer
		if a, n.err = q.find(ctx); n.err != nil {
			return
		}
		for _, m := range a.Messages {
			m.From = r.jid
			n.list = append(n.list, stanza.Encode(m))
		}
		n.list = append(n.list, stanza.Encode(q.st.Result(a.Payload)))
		n.then = a.Then
	})
}

// answered is the end of a query.
type answered struct {
	query *query
	list  []*stanza.Encoded // messages and the result
	then  func(*Room) error // before them
	err   error
}

func (n *answered) take(r *Room) {
	who := n.query.st.From
	line := r.asking[who]
	if len(line) == 0 || line[0] != n.query {
		return // the room has failed meanwhile, and said so
	}
	r.svc.asking.Add(-1)
	if line = slices.Delete(line, 0, 1); len(line) == 0 {
		delete(r.asking, who)
	} else {
		r.asking[who] = line
		defer r.look(line[0])
	}
	req := &request{st: n.query.st, receipt: n.query.receipt}
	switch {
	case n.err == nil && !r.exists: // destroyed meanwhile, and the archive with it
		n.err = noRoom()
	case errors.Is(n.err, context.DeadlineExceeded):
		n.err = stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "This takes too long to find out. Ask for less.").Because(ReasonBusy)
	case n.err != nil && stanza.AsError(n.err) == nil:
		r.logger().LogAttrs(context.Background(), slog.LevelError, "answer a request", slog.String("id", n.query.st.ID), slog.Any("err", n.err))
		n.err = stanza.NewError(stanza.Wait, stanza.InternalServerError, "The answer could not be found.")
	}
	if n.err != nil {
		r.refuse(req, n.err)
		return
	}
	if n.then != nil { // in its turn, which may be after a commit that is under way
		r.backlog = append(r.backlog, &conclusion{request: *req, then: n.then, list: n.list})
		return
	}
	r.answer(who, n.list)
	r.finished(req)
}

// answer sends somebody, who need not be inside, what a query has found.
func (r *Room) answer(who jid.JID, list []*stanza.Encoded) {
	it := outItem{only: r.sessions[who], many: list}
	if it.only == nil {
		it.target = r.svc.opts.Router.Target(who)
	}
	r.outbox = append(r.outbox, it)
}

// conclusion is what a room has to do before it answers a query.
type conclusion struct {
	request
	then func(*Room) error
	list []*stanza.Encoded
}

func (c *conclusion) decide(r *Room) error { return c.then(r) }

func (c *conclusion) apply(r *Room) { r.answer(c.st.From, c.list) }

// abandonQueries refuses what waits for an answer: the room has failed.
func (r *Room) abandonQueries() {
	for _, line := range r.asking {
		for _, q := range line {
			r.svc.asking.Add(-1)
			r.refuse(&request{st: q.st, receipt: q.receipt}, stanza.NewError(stanza.Wait, stanza.InternalServerError, "The room has failed.").Because(ReasonFailure))
		}
	}
	r.asking = nil
}

// Archive returns where the messages of rooms are kept, nil if they are not. Its
// methods may block, so they are for what runs away from the room.
func (r *Room) Archive() Archive { return r.svc.opts.Archive }

// Message returns how to find an archived message of the room by its StanzaID,
// one whose commit is under way included. What it returns may block, so it is
// for what runs away from the room; ErrNoMessage says that there is none.
func (r *Room) Message(id string) func(ctx context.Context) (ArchivedMessage, error) {
	for _, it := range r.outbox {
		if t := it.ticket; t != nil && t.err == nil && t.message.ID == id {
			m := t.message
			return func(context.Context) (ArchivedMessage, error) { return m, nil }
		}
	}
	archive, room, created := r.svc.opts.Archive, r.jid, r.created.Truncate(time.Millisecond)
	return func(ctx context.Context) (ArchivedMessage, error) {
		if archive == nil {
			return ArchivedMessage{}, ErrNoMessage
		}
		list, err := archive.Messages(ctx, room, []string{id})
		if err == nil && (len(list) == 0 || list[0].Time.Before(created)) { // of a room of that name from before
			err = ErrNoMessage
		}
		if err != nil {
			return ArchivedMessage{}, err
		}
		return list[0], nil
	}
}

// Replaced tells features that messages have got other contents; the archive is
// the caller's matter.
func (r *Room) Replaced(replace func(m *ArchivedMessage) bool) {
	r.notify(r.svc.hooks.MessageReplaced.Run(&r.watch, &ReplacedEvent{Room: r, Replace: replace}))
}

// Archives reports whether the room keeps its historic messages.
func (r *Room) Archives() bool { return r.archives() }

// ReadQuestion asks whether somebody may read what was said in a room.
type ReadQuestion struct {
	Room        *Room
	RealJID     jid.JID
	Affiliation Affiliation
}

// MayRead reports whether somebody may read what was said in the room: who is
// inside, and who would get in.
func (r *Room) MayRead(full jid.JID) bool {
	if r.sessions[full] != nil {
		return true
	}
	a := r.Affiliation(full)
	may, err := r.svc.hooks.MayRead.Run(&r.watch, &ReadQuestion{r, full, a}, r.DefaultRole(full, a) != RoleNone)
	r.notify(err)
	return may
}

// MaySeeRealJIDs reports whether the room shows somebody, who need not be
// inside, who its occupants are.
func (r *Room) MaySeeRealJIDs(full jid.JID) bool {
	if r.NonAnonymous() {
		return true
	}
	if s := r.sessions[full]; s != nil {
		return s.occupant.role == Moderator
	}
	return r.DefaultRole(full, r.Affiliation(full)) == Moderator
}
