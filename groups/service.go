package groups

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/jid"
)

// Accounts tells who has an account here.
type Accounts interface {
	Exists(ctx context.Context, account jid.JID) (bool, error)
	IsHost(domain string) bool
}

// Options configure a Service. Store and Accounts are required.
type Options struct {
	Store    Store
	Accounts Accounts
	// ChatHost is the domain of group chats; without it, or without Chats, there
	// are none.
	ChatHost string
	Chats    Chats
	// Changed is told for whom contacts may have changed, out of those whom
	// Snapshots has been asked to keep. nil: nobody.
	Changed func(ctx context.Context, accounts []jid.JID)

	MaxName   int // bytes of a name; 0 is 1023
	MaxChatID int // bytes before the @ in a chat's address; 0 is any

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

const (
	lockCount   = 64
	taskTimeout = time.Minute
	attempts    = 5 // of a change that another node's comes before
)

// Service keeps groups. Its methods are safe for concurrent use.
type Service struct {
	// Set at construction.
	opts    Options
	log     *slog.Logger
	metrics *metrics
	hooks   Hooks
	ctx     context.Context //nolint:containedctx // of tasks, which outlive the calls that bring them
	stop    context.CancelFunc
	wg      sync.WaitGroup
	retry   chan struct{} // a task has failed
	look    chan ID       // groups whose chats are to be looked at

	locks [lockCount]sync.Mutex // by number: changes of a group, and its way into memory
	cache cache
	tasks taskQueues
}

// New returns a service.
func New(o Options) *Service {
	if o.MaxName == 0 {
		o.MaxName = 1023
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func(context.Context, []jid.JID) {}
	}
	s := &Service{opts: o, log: o.Logger, retry: make(chan struct{}, 1), look: make(chan ID, lookedAt)}
	s.metrics = newMetrics(o.Registerer, s.cache.size)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.cache.init()
	s.tasks.queues = make(map[int64]*taskQueue)
	return s
}

// Hooks returns the extension points; functions are added before Start.
func (s *Service) Hooks() *Hooks { return &s.hooks }

// Start does what has been left undone when the server last stopped, and begins
// to try again what fails.
func (s *Service) Start(ctx context.Context) error {
	s.hooks.seal()
	late, err := s.resume(ctx)
	if err != nil {
		return fmt.Errorf("read what is to be done for groups: %w", err)
	}
	// Only groups of before: whoever changes one made from now on finds what
	// follows done when the change returns.
	old, err := s.groupsWithChats(ctx)
	if err != nil {
		return err
	}
	s.wg.Go(func() {
		s.workOn(late)
		s.restoreAll(old)
		s.retryTasks()
	})
	return nil
}

// Close ends the service. What is not done is done at the next start.
func (s *Service) Close() {
	s.stop()
	s.wg.Wait()
}

func (s *Service) lock(number int64) (unlock func()) {
	l := &s.locks[uint64(number)%lockCount] //nolint:gosec // any spread will do
	l.Lock()
	return l.Unlock
}

// record returns a group that there is.
func (s *Service) record(ctx context.Context, id ID) (Record, error) {
	r, err := s.opts.Store.Group(ctx, id)
	if err != nil {
		return Record{}, fmt.Errorf("group %s: %w", id, err)
	}
	return r, nil
}

// create makes a group.
func (s *Service) create(ctx context.Context, g NewGroup, by Cause) (Info, error) {
	name, err := s.checkName(g.Name)
	if err != nil {
		return Info{}, err
	}
	p := &plan{by: by, record: Record{ID: g.ID, Name: name, Contract: g.Contract, Created: time.Now()}}
	if g.ID == "" {
		p.record.ID = newID()
	}
	if err := checkID(p.record.ID); err != nil {
		return Info{}, err
	}
	if g.Contract == "" {
		p.record.Contract = Permanent
	}
	if err := checkContract(p.record.Contract); err != nil {
		return Info{}, err
	}
	if g.DefaultChat {
		chat, err := s.planChat(ctx, p, name)
		if err != nil {
			return Info{}, err
		}
		p.makeDefault(chat.JID)
	}
	p.effect.Created = true
	task, err := p.seal()
	if err != nil {
		return Info{}, err
	}
	revision, err := s.opts.Store.ChangeGroup(ctx, &p.stored)
	if err != nil {
		return Info{}, s.inDoubt(about("create group "+string(p.record.ID), err))
	}
	p.record.Number, p.record.Revision = revision, revision
	s.metrics.changes.Inc()
	s.do(Task{Revision: revision, Number: revision, Data: task})
	return p.record.info(), nil
}

// newID returns an id of 12 characters that need no escaping in an address, and
// that no command line takes for a flag.
func newID() ID {
	for {
		var b [9]byte
		_, _ = rand.Read(b[:]) // never fails
		if id := base64.RawURLEncoding.EncodeToString(b[:]); id[0] != '-' {
			return ID(id)
		}
	}
}

// errOvertaken says that the account of somebody who was to become a member has
// ended since he was asked for: who it was is to be found out.
var errOvertaken = fmt.Errorf("%w any more", ErrUserNotFound)

// change does something to a group: decide says what, by what is stored.
func (s *Service) change(ctx context.Context, id ID, by Cause, decide func(context.Context, *plan) error) (Info, error) {
	for i := 1; ; i++ {
		info, err := s.changeOnce(ctx, id, by, decide)
		again := errors.Is(err, ErrRevision) && by.Revision == 0 || errors.Is(err, errOvertaken)
		if !again || i == attempts {
			return info, err
		}
	}
}

func (s *Service) changeOnce(ctx context.Context, id ID, by Cause, decide func(context.Context, *plan) error) (Info, error) {
	r, err := s.record(ctx, id)
	if err == nil && by.Number != 0 && by.Number != r.Number {
		err = fmt.Errorf("group %s: %w", id, ErrGroupNotFound) // another one has its id
	}
	if err != nil {
		return Info{}, err
	}
	p := &plan{by: by}
	concerned, err := s.commit(ctx, r.Number, p, decide)
	if len(concerned) > 0 {
		s.opts.Changed(context.WithoutCancel(ctx), concerned)
	}
	if err != nil {
		return Info{}, about("change group "+string(id), err)
	}
	if p.changed {
		s.metrics.changes.Inc()
	}
	if p.task != nil {
		s.do(Task{Revision: p.record.Revision, Number: p.record.Number, Data: p.task})
	}
	return p.record.info(), nil
}

// commit decides and stores a change, and returns for whom contacts may have
// changed.
func (s *Service) commit(ctx context.Context, number int64, p *plan, decide func(context.Context, *plan) error) (concerned []jid.JID, err error) {
	defer s.lock(number)()
	if p.record, err = s.opts.Store.GroupNumber(ctx, number); err != nil {
		return nil, err
	}
	switch {
	case p.record.Deleted && !p.past:
		return nil, ErrGroupNotFound
	case p.by.Revision != 0 && p.by.Revision != p.record.Revision:
		return nil, fmt.Errorf("%w: it is at revision %d", ErrRevision, p.record.Revision)
	}
	p.before = p.record
	p.record.Chats = slices.Clone(p.record.Chats)
	if err := decide(ctx, p); err != nil {
		return nil, err
	}
	if !p.changed {
		if !p.refresh {
			return nil, nil
		}
		return s.cache.concerned(number), nil
	}
	if p.task, err = p.seal(); err != nil {
		return nil, err
	}
	revision, err := s.opts.Store.ChangeGroup(ctx, &p.stored)
	if errors.Is(err, ErrUserNotFound) {
		return nil, errOvertaken
	}
	if err != nil {
		return s.catchUp(context.WithoutCancel(ctx), number, slices.Collect(maps.Keys(p.rows))), s.inDoubt(err)
	}
	p.record.Revision = revision
	return s.applied(context.WithoutCancel(ctx), p), nil
}

// about says what has failed. A refusal says so itself: what is asked for is
// known to who asks.
func about(what string, err error) error {
	for _, refusal := range []error{ErrConflict, ErrChatConflict} {
		if errors.Is(err, refusal) {
			return refusal // without the store's words
		}
	}
	for _, refusal := range []error{ErrGroupNotFound, ErrChatNotFound, ErrUserNotFound, ErrNameRequired, ErrInvalid, ErrNoChatHost, ErrRevision} {
		if errors.Is(err, refusal) {
			return err
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// inDoubt lets the task of a change be found that may have been stored.
func (s *Service) inDoubt(err error) error {
	for _, decided := range []error{ErrConflict, ErrChatConflict, ErrRevision, ErrGroupNotFound, ErrUserNotFound} {
		if errors.Is(err, decided) {
			return err
		}
	}
	s.tasks.again()
	s.tryAgain()
	return err
}

// AccountDeleted ends all that an account that is no more has been in groups: its
// name may be somebody else's some day. It may be called again after an error.
func (s *Service) AccountDeleted(ctx context.Context, account jid.JID) error {
	records, err := s.opts.Store.GroupsOf(ctx, account.Bare(), false)
	if err != nil {
		return err
	}
	var errs []error
	for i := range records {
		p := &plan{past: true}
		concerned, err := s.commit(ctx, records[i].Number, p, func(ctx context.Context, p *plan) error {
			rows, err := s.opts.Store.GroupMembers(ctx, p.record.Number, account.Bare())
			if err == nil {
				p.erase(account.Bare(), rows)
			}
			return err
		})
		if len(concerned) > 0 {
			s.opts.Changed(context.WithoutCancel(ctx), concerned)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if p.task != nil {
			s.do(Task{Revision: p.record.Revision, Number: p.record.Number, Data: p.task})
		}
	}
	return errors.Join(errs...)
}

func encodeEffect(e *effect) ([]byte, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode what follows from a change of a group: %w", err)
	}
	return data, nil
}
