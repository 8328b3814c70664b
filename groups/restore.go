package groups

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
)

// restoring is the revision of tasks that are not stored: a group's chats are
// compared with the group, after everything else that is to be done for it.
const restoring = math.MaxInt64

// restoreAll compares the chats of all groups with the groups. What fails is tried
// again.
func (s *Service) restoreAll() {
	if s.opts.Chats == nil {
		return
	}
	var numbers []int64
	for info, err := range s.groupsWithChats() {
		if err != nil {
			if s.ctx.Err() == nil {
				s.log.Error("read the groups that have chats", slog.Any("err", err))
				s.tasks.again()
				s.tryAgain()
			}
			return
		}
		numbers = append(numbers, info)
	}
	for _, number := range numbers {
		if s.ctx.Err() != nil {
			return
		}
		s.do(Task{Revision: restoring, Number: number})
	}
}

// groupsWithChats iterates over the numbers of groups that have chats.
func (s *Service) groupsWithChats() func(yield func(int64, error) bool) {
	const page = 200
	return func(yield func(int64, error) bool) {
		for after := ID(""); ; {
			records, err := s.opts.Store.Groups(s.ctx, after, page)
			if err != nil {
				yield(0, err)
				return
			}
			for i := range records {
				if len(records[i].Chats) > 0 && !yield(records[i].Number, nil) {
					return
				}
				after = records[i].ID
			}
			if len(records) < page {
				return
			}
		}
	}
}

// restore compares a group's chats with the group.
func (s *Service) restore(ctx context.Context, number int64) error {
	r, err := s.opts.Store.GroupNumber(ctx, number)
	if err != nil || r.Deleted {
		return ignoreNotFound(err)
	}
	for i := range r.Chats {
		chat, err := s.groupChat(ctx, number, &r.Chats[i], r.info())
		if err == nil {
			err = s.opts.Chats.Restore(ctx, chat)
		}
		if err != nil {
			return fmt.Errorf("restore chat %s: %w", chat.Room, err)
		}
	}
	return nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrGroupNotFound) {
		return nil
	}
	return err
}
