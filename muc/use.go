package muc

import (
	"context"
	"log/slog"
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
	r.svc.uses.Add(RoomUse{r.jid, now}, func() { r.svc.io.Run(r.svc.storeUses) })
}

func (s *Service) storeUses() {
	for list := s.uses.Take(); len(list) > 0; list = s.uses.Take() {
		ctx, cancel := context.WithTimeout(s.ioCtx, commitTimeout)
		if err := s.opts.Store.NoteUse(ctx, list); err != nil {
			s.metrics.failedCommits.Inc()
			s.log.LogAttrs(ctx, slog.LevelWarn, "store when rooms were used", slog.Int("rooms", len(list)), slog.Any("err", err))
		}
		cancel()
	}
}
