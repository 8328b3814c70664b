package groups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/muster-im/muster/jid"
)

// effect is what follows from a change, once it is stored.
type effect struct {
	Actor   string         `json:"actor,omitempty"`
	Info    Info           `json:"info"`
	Created bool           `json:"created,omitempty"`
	Deleted bool           `json:"deleted,omitempty"`
	OldName string         `json:"old_name,omitempty"` // "": not renamed
	Added   []memberEffect `json:"added,omitempty"`
	Removed []memberEffect `json:"removed,omitempty"`
	Changed []memberEffect `json:"changed,omitempty"` // in their roles
	Opened  []ChatRecord   `json:"opened,omitempty"`
	Closed  []ChatRecord   `json:"closed,omitempty"`
	Renamed []ChatRecord   `json:"renamed,omitempty"`
	// Told says that only chats are left, whose host groups do not have now.
	Told bool `json:"told,omitempty"`
}

type memberEffect struct {
	User jid.JID `json:"user"`
	Role Role    `json:"role"`
}

func (e *effect) isNothing() bool {
	return !e.Created && !e.Deleted && e.OldName == "" &&
		len(e.Added)+len(e.Removed)+len(e.Changed)+len(e.Opened)+len(e.Closed)+len(e.Renamed) == 0
}

// taskQueues hold what is to be done, by group and in order.
type taskQueues struct {
	mu sync.Mutex
	// Guarded by mu.
	queues map[int64]*taskQueue
	doubts int // how often it was said that the store may have tasks that are in no queue
	sure   int // doubts that are gone
}

type taskQueue struct {
	tasks   []Task
	running bool
}

// add queues a task unless it is, and reports whether it was not.
func (q *taskQueues) add(t Task) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	group := q.queues[t.Number]
	if group == nil {
		group = &taskQueue{}
		q.queues[t.Number] = group
	}
	i, known := slices.BinarySearchFunc(group.tasks, t.Revision, func(t Task, revision int64) int {
		return int(t.Revision - revision)
	})
	if !known {
		group.tasks = slices.Insert(group.tasks, i, t)
	}
	return !known
}

// take returns a group's first task, and keeps others from doing it; ok is false
// if there is none, or if somebody is at it.
func (q *taskQueues) take(number int64) (t Task, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	group := q.queues[number]
	switch {
	case group == nil || group.running:
		return t, false
	case len(group.tasks) == 0:
		delete(q.queues, number)
		return t, false
	}
	group.running = true
	return group.tasks[0], true
}

// give says what became of the task that was taken.
func (q *taskQueues) give(t Task, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	group := q.queues[t.Number]
	group.running = false
	if done {
		group.tasks = slices.DeleteFunc(group.tasks, func(o Task) bool { return o.Revision == t.Revision })
	}
}

// waiting returns the groups that have tasks.
func (q *taskQueues) waiting() (list []int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for number := range q.queues {
		list = append(list, number)
	}
	return list
}

// again says that the store may have tasks that are in no queue.
func (q *taskQueues) again() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.doubts++
}

// mustReread reports whether that is so, and what settled takes when it is not so
// any more. Until then nobody may rely on the queues.
func (q *taskQueues) mustReread() (doubts int, must bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.doubts, q.sure < q.doubts
}

func (q *taskQueues) settled(doubts int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sure = max(q.sure, doubts)
}

// do does a task after those that the group has already. One that fails is
// tried again later.
func (s *Service) do(t Task) {
	s.tasks.add(t)
	if !s.reread() {
		return // what may come before it is not known
	}
	s.work(t.Number)
}

// reread queues what the store has and no queue, if there may be such tasks. It
// reports whether there are none now.
func (s *Service) reread() bool {
	doubts, must := s.tasks.mustReread()
	if !must {
		return true
	}
	list, err := s.opts.Store.GroupTasks(s.ctx)
	if err != nil {
		if s.ctx.Err() == nil {
			s.log.Error("read what is to be done for groups", slog.Any("err", err))
		}
		s.tryAgain()
		return false
	}
	for _, t := range list {
		told, waits := s.isTold(t)
		if !waits && s.tasks.add(t) && !told {
			s.surprised(t)
		}
	}
	s.tasks.settled(doubts)
	return true
}

// surprised lets contact lists follow a change of which nobody knew that it was
// stored.
func (s *Service) surprised(t Task) {
	var e effect
	if err := json.Unmarshal(t.Data, &e); err != nil {
		return // perform says so
	}
	unlock := s.lock(t.Number)
	concerned := s.catchUp(s.ctx, t.Number, e.users())
	unlock()
	if len(concerned) > 0 {
		s.opts.Changed(s.ctx, concerned)
	}
}

// work does what is to be done for a group, unless somebody is at it: a hook may
// have brought us here.
func (s *Service) work(number int64) {
	for {
		t, ok := s.tasks.take(number)
		if !ok {
			return
		}
		err := s.perform(t)
		s.tasks.give(t, err == nil)
		if err != nil {
			if s.ctx.Err() == nil {
				s.metrics.failures.Inc()
				s.log.Error("task of a group failed", slog.Int64("group", number), slog.Any("err", err))
			}
			s.tryAgain()
			return
		}
	}
}

func (s *Service) tryAgain() {
	select {
	case s.retry <- struct{}{}:
	default: // somebody has said so
	}
}

// retryTasks tries again what has failed, more and more rarely.
func (s *Service) retryTasks() {
	const first, most = time.Second, time.Minute
	pause := first
	for {
		select {
		case <-s.ctx.Done():
			return
		case id := <-s.look:
			s.lookAt(id)
			continue
		case <-s.retry:
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(pause):
		}
		if pause = min(2*pause, most); s.workAll() {
			pause = first
		}
	}
}

// workAll does what is to be done and reports whether nothing is left.
func (s *Service) workAll() (done bool) {
	if !s.reread() {
		return false
	}
	s.workOn(s.tasks.waiting())
	return len(s.tasks.waiting()) == 0
}

// resume does what the store says is to be done, but for what has waited for chats'
// host: the groups of that are returned. If the store does not say so now, which may
// be because a server that is no more has left a change under way, it is asked again
// later.
func (s *Service) resume(ctx context.Context) (late []int64, err error) {
	list, err := s.opts.Store.GroupTasks(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		s.log.Error("read what is to be done for groups", slog.Any("err", err))
		s.tasks.again()
		s.tryAgain()
		return nil, nil
	}
	var first []int64
	waiting := 0
	for _, t := range list {
		switch told, waits := s.isTold(t); {
		case waits:
			waiting++
			continue
		case told:
			late = append(late, t.Number)
		default:
			first = append(first, t.Number)
		}
		s.tasks.add(t)
	}
	if waiting > 0 {
		s.log.Warn("chats of groups are not what they should be while they have no host", slog.Int("tasks", waiting))
	}
	s.workOn(first)
	return late, nil
}

// workOn does what is to be done for some groups.
func (s *Service) workOn(numbers []int64) {
	for _, number := range numbers {
		if s.ctx.Err() != nil {
			return
		}
		s.work(number)
	}
}

// perform does one task: chats first, then events.
func (s *Service) perform(t Task) error {
	ctx, cancel := context.WithTimeout(s.ctx, taskTimeout)
	defer cancel()
	if t.Revision == restoring {
		return s.restore(ctx, t.Number)
	}
	var e effect
	if err := json.Unmarshal(t.Data, &e); err != nil {
		return fmt.Errorf("read task %d: %w", t.Revision, err)
	}
	now, later := e, effect{Actor: e.Actor, Info: e.Info, Deleted: e.Deleted, Told: true}
	now.Opened, later.Opened = s.served(e.Opened)
	now.Closed, later.Closed = s.served(e.Closed)
	now.Renamed, later.Renamed = s.served(e.Renamed)
	if err := s.performChats(ctx, t.Number, &now); err != nil {
		return err
	}
	if !e.Told {
		s.fire(&e)
	}
	if t.Data = nil; later.hasChats() {
		s.log.Warn("chat of a group waits for its host", slog.String("group", string(e.Info.ID)))
		var err error
		if t.Data, err = encodeEffect(&later); err != nil {
			return err
		}
	}
	closed := make([]jid.JID, len(now.Closed))
	for i := range now.Closed {
		closed[i] = now.Closed[i].JID
	}
	return s.opts.Store.GroupTaskDone(ctx, t, closed)
}

// serves reports whether a room can be made what a group wants it to be.
func (s *Service) serves(room jid.JID) bool {
	return s.opts.Chats != nil && s.opts.Chats.Serves(room.Domain())
}

// served are those of a list of chats that can be made what they should be, and the
// others.
func (s *Service) served(list []ChatRecord) (now, later []ChatRecord) {
	for _, c := range list {
		if s.serves(c.JID) {
			now = append(now, c)
		} else {
			later = append(later, c)
		}
	}
	return now, later
}

func (e *effect) hasChats() bool { return len(e.Opened)+len(e.Closed)+len(e.Renamed) > 0 }

// isTold reports whether of a task only chats are left, and whether it waits for
// a host of theirs. While it does it is in no queue.
func (s *Service) isTold(t Task) (told, waits bool) {
	var e effect
	if err := json.Unmarshal(t.Data, &e); err != nil || !e.Told {
		return false, false // perform says what is wrong
	}
	now, _ := s.served(slices.Concat(e.Opened, e.Closed, e.Renamed))
	return true, len(now) == 0
}

// performChats lets rooms follow. The task says where to look; what is done there
// is what the group says now, so that no task undoes what a later one has done.
// A chat that fails keeps no other one waiting.
func (s *Service) performChats(ctx context.Context, number int64, e *effect) error {
	if s.opts.Chats == nil {
		return nil
	}
	r, err := s.opts.Store.GroupNumber(ctx, number)
	if err = ignoreNotFound(err); err != nil {
		return err
	}
	var errs []error
	for _, c := range e.Renamed {
		if now := r.chat(c.JID); now != nil {
			errs = append(errs, s.settled("rename", c.JID, s.opts.Chats.Rename(ctx, c.JID, now.Name)))
		}
	}
	errs = append(errs, s.affiliate(ctx, &r, e))
	for _, c := range e.Opened {
		if now := r.chat(c.JID); now != nil {
			errs = append(errs, s.settled("make", c.JID, s.openChat(ctx, number, now, r.info())))
		}
	}
	reason := fmt.Sprintf("The chat has been removed from the group %s.", e.Info.Name)
	if e.Deleted {
		reason = fmt.Sprintf("The group %s has been deleted.", e.Info.Name)
	}
	for _, c := range e.Closed {
		if r.chat(c.JID) == nil { // it has not been made anew
			errs = append(errs, s.settled("delete", c.JID, s.opts.Chats.Destroy(ctx, c.JID, reason)))
		}
	}
	return errors.Join(errs...)
}

// settled is what is wrong with a chat. What its host refuses for good is noted,
// and waited for no longer.
func (s *Service) settled(what string, room jid.JID, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s chat %s: %w", what, room, err)
	if !errors.Is(err, ErrRefused) {
		return err
	}
	s.metrics.refused.Inc()
	s.log.Error("chat of a group is not what it should be", slog.Any("err", err))
	return nil
}

// fewUsers are looked for one by one, more among all members.
const fewUsers = 16

// affiliate brings whom a change is about to what they are in the group now.
func (s *Service) affiliate(ctx context.Context, r *Record, e *effect) error {
	users := e.users()
	chats, _ := s.served(r.Chats) // others are looked at when they have a host again
	if len(users) == 0 || len(chats) == 0 {
		return nil
	}
	changes := make([]Affiliation, len(users))
	var all map[jid.JID][]MemberRecord
	if len(users) > fewUsers {
		rows, err := s.opts.Store.GroupMembers(ctx, r.Number, jid.JID{})
		if err != nil {
			return err
		}
		all = byUser(rows)
	}
	for i, user := range users {
		rows := all[user]
		if all == nil {
			var err error
			if rows, err = s.opts.Store.GroupMembers(ctx, r.Number, user); err != nil {
				return err
			}
		}
		changes[i].User = user
		if m := current(rows); m != nil {
			changes[i].Role = m.Role
		}
	}
	var errs []error
	for _, c := range chats {
		errs = append(errs, s.settled("bring members up to date of", c.JID, s.opts.Chats.Affiliate(ctx, c.JID, changes)))
	}
	return errors.Join(errs...)
}

// openChat makes a chat with the members that the group has now: who has come or
// gone since is meant by a later task too.
func (s *Service) openChat(ctx context.Context, number int64, c *ChatRecord, info Info) error {
	chat, err := s.groupChat(ctx, number, c, info)
	if err != nil {
		return err
	}
	return s.opts.Chats.Create(ctx, chat)
}

// groupChat is what a chat should be.
func (s *Service) groupChat(ctx context.Context, number int64, c *ChatRecord, info Info) (GroupChat, error) {
	chat := GroupChat{Room: c.JID, Name: c.Name, Group: info}
	rows, err := s.opts.Store.GroupMembers(ctx, number, jid.JID{})
	for i := range rows {
		if rows[i].Left == 0 {
			chat.Members = append(chat.Members, Affiliation{User: rows[i].User, Role: rows[i].Role})
		}
	}
	return chat, err
}

// users returns whose membership has changed.
func (e *effect) users() (list []jid.JID) {
	for _, m := range slices.Concat(e.Added, e.Changed, e.Removed) {
		list = append(list, m.User)
	}
	return list
}

// fire tells hooks.
func (s *Service) fire(e *effect) {
	h, id := &s.hooks, e.Info.ID
	if e.Created {
		s.failed(h.Created.Run(nil, &GroupEvent{Group: id, Info: e.Info, Actor: e.Actor}))
	}
	if e.OldName != "" {
		s.failed(h.Renamed.Run(nil, &RenameEvent{Group: id, Info: e.Info, Old: e.OldName, Actor: e.Actor}))
	}
	for _, c := range e.Opened {
		s.failed(h.ChatAdded.Run(nil, &ChatEvent{Group: id, Info: e.Info, Chat: c.chat(), Actor: e.Actor}))
	}
	for _, m := range e.Added {
		s.fireMember(&h.MemberAdded, &MemberEvent{Group: id, User: m.User, Role: m.Role, Info: e.Info, Actor: e.Actor})
	}
	for _, m := range e.Removed {
		s.fireMember(&h.MemberRemoved, &MemberEvent{Group: id, User: m.User, Role: m.Role, Info: e.Info, Actor: e.Actor})
	}
	for _, c := range e.Closed {
		s.failed(h.ChatRemoved.Run(nil, &ChatEvent{Group: id, Info: e.Info, Chat: c.chat(), Actor: e.Actor}))
	}
	if e.Deleted {
		s.failed(h.Deleted.Run(nil, &GroupEvent{Group: id, Info: e.Info, Actor: e.Actor}))
	}
}
