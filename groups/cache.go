package groups

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

// cache has the groups of people with sessions.
type cache struct {
	mu sync.Mutex
	// Guarded by mu.
	groups  map[int64]*cached
	held    map[jid.JID][]int64 // numbers of an account's groups, in order
	loading map[jid.JID]*load   // accounts whose groups are being read
}

type cached struct {
	snapshot *shared.Snapshot
	holders  map[jid.JID]int // how often each has pinned it
}

// load is a reading of somebody's groups; stale once he has joined or left one.
type load struct{ stale bool }

func (c *cache) init() {
	c.groups = make(map[int64]*cached)
	c.held = make(map[jid.JID][]int64)
	c.loading = make(map[jid.JID]*load)
}

// Snapshots implements Source.
func (s *Service) Snapshots(ctx context.Context, account jid.JID, keep bool) ([]*Snapshot, error) {
	for {
		if list, ok := s.cache.snapshots(account); ok {
			return list, nil
		}
		if !keep {
			return s.readSnapshots(ctx, account)
		}
		if err := s.hold(ctx, account); err != nil {
			return nil, err
		}
	}
}

// snapshots returns the groups of an account that is held.
func (c *cache) snapshots(account jid.JID) ([]*Snapshot, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	numbers, ok := c.held[account]
	if !ok {
		return nil, false
	}
	list := make([]*Snapshot, len(numbers))
	for i, n := range numbers {
		list[i] = c.groups[n].snapshot
	}
	return list, true
}

// readSnapshots reads the groups of an account that is not held.
func (s *Service) readSnapshots(ctx context.Context, account jid.JID) ([]*Snapshot, error) {
	records, err := s.opts.Store.GroupsOf(ctx, account, false)
	if err != nil {
		return nil, err
	}
	list := make([]*Snapshot, len(records))
	for i := range records {
		if list[i] = s.cache.snapshot(records[i].Number); list[i] != nil {
			continue
		}
		spans, err := s.opts.Store.GroupSpans(ctx, records[i].Number)
		if err != nil {
			return nil, err
		}
		list[i] = records[i].snapshot(spans)
	}
	return list, nil
}

func (c *cache) snapshot(number int64) *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.groups[number]; g != nil {
		return g.snapshot
	}
	return nil
}

// hold reads the groups of an account into memory. If they change meanwhile, or
// are deleted, they are not kept.
func (s *Service) hold(ctx context.Context, account jid.JID) error {
	l := s.cache.begin(account)
	var numbers []int64
	records, err := s.opts.Store.GroupsOf(ctx, account, false)
	for i := range records {
		if err = s.pin(ctx, account, records[i].Number); err != nil {
			break
		}
		numbers = append(numbers, records[i].Number)
	}
	s.cache.end(account, l, numbers, err == nil)
	return ignoreNotFound(err) // a group has been deleted meanwhile
}

// begin says that an account's groups are being read.
func (c *cache) begin(account jid.JID) *load {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &load{}
	c.loading[account] = l
	return l
}

// end makes an account held, unless what has been read is not so any more.
func (c *cache) end(account jid.JID, l *load, numbers []int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := c.loading[account] == l
	if mine {
		delete(c.loading, account)
	}
	if _, held := c.held[account]; held || !ok || !mine || l.stale {
		c.unpin(account, numbers)
		return
	}
	c.held[account] = numbers
}

// unpin lets an account let go of groups. The cache is locked.
func (c *cache) unpin(account jid.JID, numbers []int64) {
	for _, n := range numbers {
		g := c.groups[n]
		if g == nil {
			continue
		}
		if g.holders[account]--; g.holders[account] <= 0 {
			delete(g.holders, account)
		}
		if len(g.holders) == 0 {
			delete(c.groups, n)
		}
	}
}

// pin brings a group into memory, where it stays until the account lets go of it as
// often.
func (s *Service) pin(ctx context.Context, account jid.JID, number int64) error {
	if s.cache.pinned(account, number) {
		return nil
	}
	defer s.lock(number)()
	return s.pinLocked(ctx, account, number)
}

// pinLocked is pin of a group that is locked.
func (s *Service) pinLocked(ctx context.Context, account jid.JID, number int64) error {
	if s.cache.pinned(account, number) {
		return nil
	}
	r, err := s.opts.Store.GroupNumber(ctx, number)
	if err != nil {
		return err
	}
	spans, err := s.opts.Store.GroupSpans(ctx, number)
	if err != nil {
		return err
	}
	snapshot := r.snapshot(spans)
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.groups[number] = &cached{snapshot: snapshot, holders: map[jid.JID]int{account: 1}}
	return nil
}

// pinned is pin of a group that is in memory, and reports whether it is.
func (c *cache) pinned(account jid.JID, number int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[number]
	if g != nil {
		g.holders[account]++
	}
	return g != nil
}

// Release implements Source.
func (s *Service) Release(account jid.JID) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	numbers := s.cache.held[account]
	delete(s.cache.held, account)
	delete(s.cache.loading, account)
	s.cache.unpin(account, numbers)
}

// applied brings memory up to a change that has been stored, and returns who of
// the group is held, those last whom it is about: while others still see somebody who
// has left, his presence reaches them. The group is locked.
func (s *Service) applied(ctx context.Context, p *plan) []jid.JID {
	number := p.record.Number
	entries := p.entries()
	s.cache.change(number, shared.Change{
		Revision: p.record.Revision, Label: p.record.label(), Contract: p.record.Contract, Entries: entries,
	})
	if p.stored.DropPast {
		s.forget(ctx, number) // who has left is to be found out
	}
	for user, rows := range p.rows {
		if len(rows) == 0 {
			continue // he hears of it first
		}
		if s.cache.wants(user, number) {
			s.join(ctx, user, number)
		}
	}
	concerned := s.cache.concerned(number)
	for user, rows := range p.rows {
		if len(rows) == 0 {
			s.cache.leave(user, number)
		}
	}
	return p.last(concerned)
}

// change brings a group in memory up to a change.
func (c *cache) change(number int64, change shared.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.groups[number]; g != nil {
		g.snapshot = g.snapshot.With(change)
	}
}

// wants reports whether an account is held without a group.
func (c *cache) wants(account jid.JID, number int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.loading[account]; l != nil {
		l.stale = true
	}
	numbers, held := c.held[account]
	return held && !slices.Contains(numbers, number)
}

// join adds a group to those of an account that is held. The group is locked.
func (s *Service) join(ctx context.Context, account jid.JID, number int64) {
	err := s.pinLocked(ctx, account, number)
	c := &s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	numbers, held := c.held[account]
	switch {
	case err != nil: // it is read again when it is next asked for
		s.log.Error("read group", slog.Int64("group", number), slog.Any("err", err))
		delete(c.held, account)
		c.unpin(account, numbers)
	case !held: // gone meanwhile
		c.unpin(account, []int64{number})
	default:
		numbers = append(slices.Clip(numbers), number)
		slices.Sort(numbers)
		c.held[account] = numbers
	}
}

// leave takes a group from those of an account.
func (c *cache) leave(account jid.JID, number int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.loading[account]; l != nil {
		l.stale = true
	}
	numbers := c.held[account]
	if i := slices.Index(numbers, number); i >= 0 {
		c.held[account] = slices.Delete(slices.Clone(numbers), i, i+1)
		c.unpin(account, []int64{number})
	}
}

// concerned returns who has to do with a group and is held: whoever has an entry
// or had it until now.
func (c *cache) concerned(number int64) []jid.JID {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[number]
	if g == nil {
		return nil
	}
	return slices.Collect(maps.Keys(g.holders))
}

// forget reads a group in memory again, of which nobody knows whether it is what
// is stored. The group is locked.
func (s *Service) forget(ctx context.Context, number int64) {
	if s.cache.snapshot(number) == nil {
		return
	}
	r, err := s.opts.Store.GroupNumber(ctx, number)
	var spans []MemberSpan
	if err == nil {
		spans, err = s.opts.Store.GroupSpans(ctx, number)
	}
	c := &s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[number]
	switch {
	case g == nil:
	case err == nil:
		g.snapshot = r.snapshot(spans)
	default: // whoever holds it reads it when he next asks
		for _, account := range slices.Collect(maps.Keys(g.holders)) {
			numbers := c.held[account]
			delete(c.held, account)
			c.unpin(account, numbers)
		}
	}
}

// catchUp brings memory up to what is stored of a group of which nobody knows
// what it is, and returns for whom contacts may have changed; users are those
// whom the change is about. The group is locked.
func (s *Service) catchUp(ctx context.Context, number int64, users []jid.JID) []jid.JID {
	concerned := s.cache.concerned(number)
	s.forget(ctx, number)
	for _, user := range users {
		if s.cache.wants(user, number) {
			s.join(ctx, user, number)
			concerned = append(concerned, user)
		}
	}
	return concerned
}

// size returns how many memberships are kept.
func (c *cache) size() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, g := range c.groups {
		n += len(g.snapshot.Entries())
	}
	return float64(n)
}
