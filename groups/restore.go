package groups

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
)

// restoring is the revision of tasks that are not stored: a group's chats are
// compared with the group, after everything else that is to be done for it.
const restoring = math.MaxInt64

// restoreAll compares the chats of groups with the groups. What fails is tried
// again.
func (s *Service) restoreAll(numbers []int64) {
	for _, number := range numbers {
		if s.ctx.Err() != nil {
			return
		}
		s.do(Task{Revision: restoring, Number: number})
	}
}

// groupsWithChats returns the numbers of the groups that have chats, if this
// server has rooms for them.
func (s *Service) groupsWithChats(ctx context.Context) (numbers []int64, err error) {
	if s.opts.Chats == nil {
		return nil, nil
	}
	const page = 200
	for after := ID(""); ; {
		records, err := s.opts.Store.Groups(ctx, after, page)
		if err != nil {
			return nil, fmt.Errorf("read the groups that have chats: %w", err)
		}
		for i := range records {
			if slices.ContainsFunc(records[i].Chats, func(c ChatRecord) bool { return s.serves(c.JID) }) {
				numbers = append(numbers, records[i].Number)
			}
			after = records[i].ID
		}
		if len(records) < page {
			return numbers, nil
		}
	}
}

// lookedAt bounds the groups whose chats are to be looked at again. At the next
// start all of them are.
const lookedAt = 256

// ChatGone tells of a room of a group that somebody has destroyed: its bookmarks
// go. It does not block.
func (s *Service) ChatGone(id ID) {
	select {
	case s.look <- id:
	default:
		s.metrics.failures.Inc()
		s.log.Warn("bookmarks of a chat that is gone stay until the next start", slog.String("group", string(id)))
	}
}

// lookAt compares the chats of a group with the group.
func (s *Service) lookAt(id ID) {
	r, err := s.opts.Store.Group(s.ctx, id)
	if err != nil {
		if s.ctx.Err() == nil && !errors.Is(err, ErrGroupNotFound) {
			s.metrics.failures.Inc()
			s.log.Error("look at the chats of a group", slog.String("group", string(id)), slog.Any("err", err))
		}
		return
	}
	s.do(Task{Revision: restoring, Number: r.Number})
}

// restore compares a group's chats with the group.
func (s *Service) restore(ctx context.Context, number int64) error {
	r, err := s.opts.Store.GroupNumber(ctx, number)
	if err != nil || r.Deleted {
		return ignoreNotFound(err)
	}
	var errs []error
	for i := range r.Chats {
		if !s.serves(r.Chats[i].JID) {
			continue
		}
		chat, err := s.groupChat(ctx, number, &r.Chats[i], r.info())
		if err == nil {
			err = s.opts.Chats.Restore(ctx, chat)
		}
		errs = append(errs, s.settled("restore", r.Chats[i].JID, err))
	}
	return errors.Join(errs...)
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrGroupNotFound) {
		return nil
	}
	return err
}
