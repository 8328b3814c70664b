package muc

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/mailbox"
	"github.com/muster-im/muster/internal/settings"
	"github.com/muster-im/muster/internal/tasks"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Router is how rooms reach the world. It is safe for concurrent use and never
// waits.
type Router interface {
	// Send takes a stanza for whatever address.
	Send(st stanza.Stanza)
	// Target returns where the stanzas of an occupant's session go.
	Target(full jid.JID) stanza.Target
}

// Options describe a room service. Domain and Router are required.
type Options struct {
	Domain     string
	Router     Router
	Store      Store   // nil: no room outlives the process
	Archive    Archive // nil: no archive
	Extensions []Extension
	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: no metrics

	Name     string              // of the service in discovery; "" is "Chat rooms"
	Defaults map[string][]string // values of settings in new rooms, by form variable
	// Affiliations and Subject are what new rooms start with besides.
	Affiliations []AffiliationRecord
	Subject      Subject // Author's resource is the nickname it is from; zero: the room
	// Who may do what, asked for each stanza; rules may change meanwhile.
	IsAdmin    func(who jid.JID) bool // owner of every room; nil: nobody
	MayUse     func(who jid.JID) bool // may send anything to the service; nil: everybody
	MayCreate  func(who jid.JID) bool // may create rooms; nil: everybody
	MayPersist func(who jid.JID) bool // may make rooms persistent, or not; nil: everybody

	// Bytes that people may choose; 0 is no limit, less is none at all.
	MaxRoomID int // of a room's local part
	MaxName   int // of a room's name
	MaxDesc   int // of a description

	MaxUsers     int           // sessions in a room; what a room may ask for; 0 is 200
	AdminSeats   int           // sessions beyond the limit for owners and admins; 0 is 5
	Recent       int           // archived messages that LoadEvent brings; 0 is 20
	DeferTimeout time.Duration // for deferred checks; 0 is 10 s
	SlowHook     time.Duration // hook functions over it are warned of; 0 is 20 ms
	Hibernation  Hibernation
	// TombstoneExpiry is how long the address of a destroyed room answers that
	// it is gone; 0 is 31 days, negative not at all.
	TombstoneExpiry time.Duration
	Epoch           int64 // of room writes; see Store
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Name == "" {
		o.Name = "Chat rooms"
	}
	setDefault(&o.MaxUsers, 200)
	setDefault(&o.AdminSeats, 5)
	setDefault(&o.Recent, 20)
	o.Hibernation.setDefaults()
	setDefault(&o.DeferTimeout, 10*time.Second)
	setDefault(&o.SlowHook, 20*time.Millisecond)
	setDefault(&o.TombstoneExpiry, 31*24*time.Hour)
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// isAdmin reports whether somebody administers the service, and so owns every
// room.
func (s *Service) isAdmin(j jid.JID) bool { return s.opts.IsAdmin != nil && s.opts.IsAdmin(j) }

// subjectAuthor is who a new room's subject is from.
func (o *Options) subjectAuthor(room jid.JID) jid.JID {
	if nick := o.Subject.Author.Resource(); nick != "" {
		if j, err := room.WithResource(nick); err == nil {
			return j
		}
	}
	return room
}

// Service is a room service for one domain.
type Service struct {
	// Set at construction.
	opts      Options
	domain    jid.JID
	log       *slog.Logger
	metrics   *metrics
	hooks     *Hooks
	core      coreFields
	formOrder []*fieldCore
	schema    settings.Schema
	defaults  []any
	ctx       context.Context //nolint:containedctx // ends the deferred checks of all rooms; not a call's context
	cancel    context.CancelFunc
	ioCtx     context.Context //nolint:containedctx // of loads and commits, which finish during a shutdown
	ioCancel  context.CancelFunc
	io        *tasks.Pool
	lookups   [2]*tasks.Pool // by whether they may take long
	rounds    *tasks.Pool    // what all rooms are told
	deferred  *tasks.TurnsByName
	asking    atomic.Int64 // requests that wait for an answer from elsewhere
	tasks     tasks.Group
	agenda    *tasks.Agenda[*Room] // of all rooms that are to be asked whether they are idle
	began     time.Time
	seed      maphash.Seed     // of ids that rooms remember
	clock     func() time.Time // time.Now, but for tests in which it is put back

	mu sync.RWMutex
	// Guarded by mu.
	rooms   map[jid.JID]*Room
	listed  map[jid.JID]RoomDescriptor // live rooms that are not stored, hidden ones too
	closing bool

	counts counts
	uses   tasks.Batch[RoomUse] // still to be stored
}

// New returns a room service that is ready to handle stanzas.
func New(o Options) (*Service, error) {
	domain, err := jid.Parse(o.Domain)
	if err != nil || !domain.IsBare() || domain.Local() != "" {
		return nil, fmt.Errorf("room service: %q is no domain", o.Domain)
	}
	if o.Router == nil {
		return nil, errors.New("room service: no router")
	}
	o.setDefaults()
	s := &Service{
		opts: o, domain: domain, hooks: &Hooks{}, clock: time.Now, began: time.Now(), seed: maphash.MakeSeed(),
		log:     o.Logger.With(slog.String("service", domain.String())),
		metrics: newMetrics(o.Registerer, domain.String()),
		rooms:   make(map[jid.JID]*Room), listed: make(map[jid.JID]RoomDescriptor),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.ioCtx, s.ioCancel = context.WithCancel(context.Background())
	s.agenda = tasks.NewAgenda(func(r *Room) *tasks.Entry { return &r.agenda }, func(r *Room) { r.tellInTurn(idleNote{}) })
	s.io = tasks.NewPool(&s.tasks, 16)
	s.lookups = [2]*tasks.Pool{tasks.NewPool(&s.tasks, queryWorkers), tasks.NewPool(&s.tasks, slowWorkers)}
	s.rounds = tasks.NewPool(&s.tasks, roundWorkers)
	s.deferred = tasks.NewTurnsByName(&s.tasks, deferredWorkers)
	s.core = addCoreFields(s.hooks, &s.opts)
	registerEntryChecks(s.hooks)
	for i, e := range o.Extensions {
		if e == nil {
			return nil, fmt.Errorf("room service: extension %d is nil: leave it out", i)
		}
		e.Register(s.hooks)
	}
	s.hooks.seal()
	s.formOrder, s.schema = formOrder(s.hooks.fields), schema(s.hooks.fields)
	if s.defaults, err = s.schema.Defaults(o.Defaults); err != nil {
		return nil, fmt.Errorf("room service: %w", err)
	}
	return s, nil
}

// Domain returns the service's address.
func (s *Service) Domain() jid.JID { return s.domain }

// Handle takes a stanza for the service or one of its rooms. It never waits. A
// non-nil channel asks the caller to read no more from this sender until it
// closes: his stanzas come faster than the room can take them.
func (s *Service) Handle(st stanza.Stanza) (busy <-chan struct{}) { return s.handle(st, true) }

// HandleShared is Handle for a stream that carries the stanzas of many people
// and must not stop for one of them: he gets an error instead.
func (s *Service) HandleShared(st stanza.Stanza) { s.handle(st, false) }

func (s *Service) handle(st stanza.Stanza, mayPark bool) (busy <-chan struct{}) {
	if !isFarewell(&st) {
		if err := s.checkUse(st.From); err != nil {
			s.answer(st, err)
			return nil
		}
	}
	if st.To.Local() == "" {
		return s.handleService(st)
	}
	c, err := s.commandFor(st)
	if err != nil {
		s.answer(st, err)
		return nil
	}
	if c == nil {
		return nil
	}
	st.Receipt.Hold() // until the room has done with it
	busy, perr := s.post(st.To.Bare(), c, mayPark)
	if perr != nil {
		defer st.Receipt.Release()
		busy := stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "The room is too busy. Send again later.").Because(ReasonBusy)
		if isFarewell(&st) { // another one takes effect, and whoever has the address by then has not said it
			s.metrics.refused(busy)
		} else {
			s.answer(st, busy)
		}
	}
	return busy
}

// checkUse refuses whoever may not use the service at all.
func (s *Service) checkUse(who jid.JID) *stanza.Error {
	if s.opts.MayUse == nil || s.opts.MayUse(who) {
		return nil
	}
	return stanza.NewError(stanza.Auth, stanza.Forbidden, "You may not use this service.").Because(ReasonAccess)
}

// isFarewell reports whether a stanza only ends somebody's presence, which he
// may do even if he may do nothing else any more.
func isFarewell(st *stanza.Stanza) bool {
	return st.Kind == stanza.Presence && (st.Type == stanza.TypeUnavailable || st.Type == stanza.TypeError)
}

// answer refuses st on behalf of the service.
func (s *Service) answer(st stanza.Stanza, err *stanza.Error) {
	if reply, ok := s.errorReply(&st, err); ok {
		s.opts.Router.Send(reply)
	}
}

// commandFor returns what a stanza to a room or an occupant asks for; nil if
// there is nothing to do.
func (s *Service) commandFor(st stanza.Stanza) (command, *stanza.Error) {
	q := request{st: st, receipt: st.Receipt}
	q.st.Receipt = nil
	toRoom := st.To.IsBare()
	switch {
	case st.Kind == stanza.Presence:
		return &presenceCommand{request: q}, nil
	case st.Kind == stanza.IQ && st.IsRequest():
		return s.iqCommand(q)
	case st.Kind == stanza.IQ && !toRoom:
		return &relayedAnswer{request: q}, nil
	case st.Kind == stanza.IQ: // results and errors of IQs that rooms never send
		return nil, nil //nolint:nilnil // nothing to do is an answer
	case st.Type == stanza.TypeError:
		return &bounceCommand{request: q}, nil
	case !toRoom:
		return &privateCommand{request: q}, nil
	case st.Type == stanza.TypeGroupchat:
		return &messageCommand{request: q}, nil
	case st.Type == stanza.TypeChat, st.Type == stanza.TypeHeadline:
		return nil, stanza.NewError(stanza.Modify, stanza.NotAcceptable, "Send messages of type groupchat to the room.")
	}
	return &roomMessageCommand{request: q}, nil
}

// iqCommand returns what an IQ request to a room or an occupant asks for.
func (s *Service) iqCommand(q request) (command, *stanza.Error) {
	payload := q.st.Payload()
	if payload == nil {
		return nil, stanza.NewError(stanza.Modify, stanza.BadRequest, "The IQ has no payload.")
	}
	get := q.st.Type == stanza.TypeGet
	if !q.st.To.IsBare() {
		return &occupantIQCommand{request: q}, nil
	}
	switch {
	case payload.Is(stanza.NSMUCAdmin, "query"):
		return &adminCommand{request: q}, nil
	case payload.Is(stanza.NSMUCOwner, "query"):
		return &ownerCommand{request: q}, nil
	case get && payload.Is(stanza.NSDiscoInfo, "query"), get && payload.Is(stanza.NSDiscoItems, "query"),
		get && payload.Is(stanza.NSPing, "ping"):
		return &infoCommand{request: q}, nil
	}
	if f := s.hooks.requests[requestKind{q.st.Type, payload.Name}]; f != nil {
		return &requestCommand{request: q, answerer: f}, nil
	}
	if s.hooks.Before.wanted(payload.Name.Space) {
		return &unknownCommand{request: q}, nil
	}
	return nil, unknownRequest()
}

// post hands a command to a room, waking it if need be.
func (s *Service) post(room jid.JID, c command, mayPark bool) (busy <-chan struct{}, err error) {
	for {
		r := s.room(room)
		if r == nil {
			return nil, mailbox.ErrFull // shutting down, or too much to do
		}
		busy, err := r.post(c, mayPark)
		if !errors.Is(err, mailbox.ErrClosed) {
			return busy, err
		}
		s.forget(r)
	}
}

// maxLoads bounds the look-ups and commits of rooms that wait for their turn at
// which no more rooms are woken.
const maxLoads = 10_000

// roundWorkers is how many rooms take what all are told at once.
const roundWorkers = 64

// room returns the room object for an address; nil during a shutdown, and while
// too many rooms wait for the store. A new one looks first whether the room is
// stored.
func (s *Service) room(j jid.JID) *Room {
	s.mu.RLock()
	r, closing := s.rooms[j], s.closing
	s.mu.RUnlock()
	switch {
	case closing:
		return nil
	case r != nil:
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil
	}
	if r := s.rooms[j]; r != nil {
		return r
	}
	if s.opts.Store != nil && s.io.Len() >= maxLoads {
		s.metrics.loadsRefused.Inc()
		return nil
	}
	r = s.newRoom(j)
	if s.opts.Store != nil {
		s.io.Run(func() { s.load(r) })
	}
	return r
}

// newRoom makes a room object, which waits to be loaded if rooms are stored. It
// needs mu.
func (s *Service) newRoom(j jid.JID) *Room {
	stored := s.opts.Store != nil
	r := &Room{svc: s, jid: j, waiting: stored}
	r.mailbox.SetStalled(stored)
	s.rooms[j] = r
	return r
}

// forget takes a closed room object out of the table.
func (s *Service) forget(r *Room) {
	s.mu.Lock()
	if s.rooms[r.jid] == r {
		delete(s.rooms, r.jid)
	}
	s.mu.Unlock()
	s.agenda.Remove(r)
}

// Shutdown tells all occupants that the service goes away (332), commits what
// is under way, and waits for all of it or for ctx to end. Nothing is accepted
// any more.
func (s *Service) Shutdown(ctx context.Context) error {
	if insideRoom() { // which would wait for itself
		return fmt.Errorf("shut down %s: %w", s.domain, ErrInRoom)
	}
	s.mu.Lock()
	s.closing = true
	rooms := make([]*Room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r)
	}
	s.mu.Unlock()
	s.cancel()
	for _, r := range rooms {
		r.tellInTurn(shutdownNote{})
	}
	s.agenda.Stop()
	defer s.ioCancel()
	select {
	case <-s.tasks.Settled():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("room service %s: %w", s.domain, ctx.Err())
	}
}

// shutdownNote tells the occupants of a room (XEP-0045 §15.6.2, code 332).
type shutdownNote struct{}

func (shutdownNote) take(r *Room) {
	for _, c := range r.takeDelayed() {
		r.refuse(c.base(), stanza.NewError(stanza.Wait, stanza.ServiceUnavailable, "The chat service is shutting down.").Because(ReasonShutdown))
	}
	if r.exists {
		r.evictAll(removed(statusShutdown, Actor{}, "The chat service is shutting down."), statusShutdown)
		r.stopped()
	}
}
