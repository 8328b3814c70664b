package muc

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/muster-im/muster/jid"
)

// usePrecision is how exactly it is stored when a room was last used: a busy
// room is written down once in that time.
const usePrecision = time.Hour

// RoomUse says when somebody was last in a stored room, spoke there or left it.
type RoomUse struct {
	Room jid.JID
	Time time.Time
}

// used notes that somebody uses the room. That is stored in the background and,
// of several rooms, together; if it is lost in a crash, the next use says it again.
func (r *Room) used() {
	now := r.svc.now()
	if !r.stored || r.svc.opts.Store == nil || now.Sub(time.Unix(r.usedAt, 0)) < usePrecision {
		return
	}
	r.usedAt = now.Unix()
	r.svc.uses.note(r.svc, RoomUse{r.jid, now})
}

// uses are the uses of rooms that are still to be stored.
type uses struct {
	mu sync.Mutex
	// Guarded by mu.
	waiting []RoomUse // a room at most once in usePrecision
	running bool
}

func (u *uses) note(s *Service, use RoomUse) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = append(u.waiting, use)
	if !u.running {
		u.running = true
		s.io.Run(s.storeUses)
	}
}

// take returns what is to be stored; nothing ends the turn of who stores.
func (u *uses) take() []RoomUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := u.waiting
	u.waiting, u.running = nil, len(list) > 0
	return list
}

func (s *Service) storeUses() {
	for list := s.uses.take(); len(list) > 0; list = s.uses.take() {
		ctx, cancel := context.WithTimeout(s.ioCtx, commitTimeout)
		if err := s.opts.Store.NoteUse(ctx, list); err != nil {
			s.metrics.failedCommits.Inc()
			s.log.LogAttrs(ctx, slog.LevelWarn, "store when rooms were used", slog.Int("rooms", len(list)), slog.Any("err", err))
		}
		cancel()
	}
}
