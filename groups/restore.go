package groups

import (
	"context"
	"errors"
	"fmt"
	"math"
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
			if len(records[i].Chats) > 0 {
				numbers = append(numbers, records[i].Number)
			}
			after = records[i].ID
		}
		if len(records) < page {
			return numbers, nil
		}
	}
}

// restore compares a group's chats with the group.
func (s *Service) restore(ctx context.Context, number int64) error {
	r, err := s.opts.Store.GroupNumber(ctx, number)
	if err != nil || r.Deleted {
		return ignoreNotFound(err)
	}
	var errs []error
	for i := range r.Chats {
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
