package groups

import (
	"context"
	"encoding/json"
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
	Chats   []ChatRecord   `json:"chats,omitempty"` // those there are
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
	reread bool // the store may have tasks that are in no queue
}

type taskQueue struct {
	tasks   []Task
	running bool
}

// add queues a task unless it is.
func (q *taskQueues) add(t Task) {
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
	q.reread = true
}

func (q *taskQueues) mustReread() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.reread
	q.reread = false
	return was
}

// do does a task after those that the group has already. One that fails is
// tried again later.
func (s *Service) do(t Task) {
	s.tasks.add(t)
	s.work(t.Number)
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
	if s.tasks.mustReread() {
		if err := s.resume(s.ctx); err != nil {
			s.log.Error("read what is to be done for groups", slog.Any("err", err))
			s.tasks.again()
			s.tryAgain()
			return false
		}
	}
	for _, number := range s.tasks.waiting() {
		s.work(number)
	}
	return len(s.tasks.waiting()) == 0
}

// resume does what the store says is to be done.
func (s *Service) resume(ctx context.Context) error {
	list, err := s.opts.Store.GroupTasks(ctx)
	if err != nil {
		return err
	}
	for _, t := range list {
		s.tasks.add(t)
	}
	for _, number := range s.tasks.waiting() {
		s.work(number)
	}
	return nil
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
	if s.opts.Chats != nil {
		if err := s.performChats(ctx, t.Number, &e); err != nil {
			return err
		}
	}
	s.fire(&e)
	return s.opts.Store.GroupTaskDone(ctx, t.Revision)
}

// performChats lets rooms follow.
func (s *Service) performChats(ctx context.Context, number int64, e *effect) error {
	for _, c := range e.Renamed {
		if err := s.opts.Chats.Rename(ctx, c.JID, c.Name); err != nil {
			return fmt.Errorf("rename chat %s: %w", c.JID, err)
		}
	}
	if changes := e.affiliations(); len(changes) > 0 {
		for _, c := range e.Chats {
			if err := s.opts.Chats.Affiliate(ctx, c.JID, changes); err != nil {
				return fmt.Errorf("bring members of chat %s up to date: %w", c.JID, err)
			}
		}
	}
	for _, c := range e.Opened {
		if err := s.openChat(ctx, number, &c, e.Info); err != nil {
			return fmt.Errorf("make chat %s: %w", c.JID, err)
		}
	}
	for _, c := range e.Closed {
		reason := fmt.Sprintf("The chat has been removed from the group %s.", e.Info.Name)
		if e.Deleted {
			reason = fmt.Sprintf("The group %s has been deleted.", e.Info.Name)
		}
		if err := s.opts.Chats.Destroy(ctx, c.JID, reason); err != nil {
			return fmt.Errorf("delete chat %s: %w", c.JID, err)
		}
	}
	return nil
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

func (e *effect) affiliations() (list []Affiliation) {
	for _, m := range e.Added {
		list = append(list, Affiliation(m))
	}
	for _, m := range e.Changed {
		list = append(list, Affiliation(m))
	}
	for _, m := range e.Removed {
		list = append(list, Affiliation{User: m.User})
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
