package muc

import (
	"context"
	"log/slog"
	"time"

	"github.com/muster-im/muster/internal/tasks"
	"github.com/muster-im/muster/jid"
)

// preloadReport is how often the log says how far loading all rooms has come.
const preloadReport = 10 * time.Second

// Preload loads all stored rooms in the background, at a pace that leaves the
// store free for others: 1,000 a second. That is nothing that happens in the
// rooms: they hibernate from the start. It ends with the service, and should be
// called once.
func (s *Service) Preload() {
	if s.opts.Store != nil {
		s.tasks.Run(func() { s.preload(s.ctx) })
	}
}

func (s *Service) preload(ctx context.Context) {
	all := RoomsQuery{Service: s.domain.String()}
	total, err := s.opts.Store.CountRooms(ctx, all)
	s.log.LogAttrs(ctx, slog.LevelInfo, "load all rooms", slog.Int("rooms", total), slog.Any("err", err))
	begun, reported := time.Now(), time.Now()
	pages := tasks.Pages[RoomDescriptor]{
		Size: 500, Workers: 4, Pace: 500 * time.Millisecond, Retry: 5 * time.Second,
		Read: func(ctx context.Context, after *RoomDescriptor, limit int) ([]RoomDescriptor, error) {
			if all.Limit = limit; after != nil {
				all.After = after.JID.Local()
			}
			return s.opts.Store.Rooms(ctx, all)
		},
		Do: func(d RoomDescriptor) {
			if r := s.unsolicited(d.JID); r != nil {
				s.load(r)
			}
		},
		Report: func(loaded int, err error) {
			if err != nil {
				s.log.LogAttrs(ctx, slog.LevelWarn, "load all rooms", slog.Any("err", err))
			} else if now := time.Now(); now.Sub(reported) >= preloadReport {
				reported = now
				s.log.LogAttrs(ctx, slog.LevelInfo, "loading all rooms", slog.Int("loaded", loaded), slog.Int("rooms", total))
			}
		},
	}
	loaded := pages.Run(ctx)
	s.log.LogAttrs(ctx, slog.LevelInfo, "loaded all rooms", slog.Int("loaded", loaded), slog.Duration("took", time.Since(begun)), slog.Any("err", ctx.Err()))
}

// unsolicited returns a room object that is to be loaded; nil if there is one
// already.
func (s *Service) unsolicited(j jid.JID) *Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.rooms[j] != nil {
		return nil
	}
	r := s.newRoom(j)
	r.unsolicited = true
	return r
}
