package muc

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/muster-im/muster/jid"
)

const (
	preloadPage    = 500
	preloadWorkers = 4
	// preloadPace is how long a page takes at least: 1,000 rooms a second.
	preloadPace = preloadPage * time.Millisecond
	// preloadReport is how often the log says how far it has come.
	preloadReport = 10 * time.Second
	// preloadRetry is the wait after a list of rooms could not be read.
	preloadRetry = 5 * time.Second
)

// Preload loads all stored rooms in the background, at a pace that leaves the
// store free for others. That is nothing that happens in the rooms: they
// hibernate from the start. It ends with the service, and should be called
// once.
func (s *Service) Preload() {
	if s.opts.Store != nil {
		s.tasks.Run(func() { s.preload(s.ctx) })
	}
}

func (s *Service) preload(ctx context.Context) {
	all := RoomsQuery{Service: s.domain.String()}
	total, err := s.opts.Store.CountRooms(ctx, all)
	s.log.LogAttrs(ctx, slog.LevelInfo, "load all rooms", slog.Int("rooms", total), slog.Any("err", err))
	begun, reported, loaded := time.Now(), time.Now(), 0
	for all.Limit = preloadPage; ctx.Err() == nil; {
		next := time.After(preloadPace)
		page, err := s.opts.Store.Rooms(ctx, all)
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "load all rooms", slog.Any("err", err))
			wait(ctx, time.After(preloadRetry))
			continue
		}
		s.preloadPage(ctx, page)
		loaded += len(page)
		if len(page) < preloadPage {
			break
		}
		all.After = page[len(page)-1].JID.Local()
		if now := time.Now(); now.Sub(reported) >= preloadReport {
			reported = now
			s.log.LogAttrs(ctx, slog.LevelInfo, "loading all rooms", slog.Int("loaded", loaded), slog.Int("rooms", total))
		}
		wait(ctx, next)
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "loaded all rooms", slog.Int("loaded", loaded), slog.Duration("took", time.Since(begun)), slog.Any("err", ctx.Err()))
}

func wait(ctx context.Context, c <-chan time.Time) {
	select {
	case <-c:
	case <-ctx.Done():
	}
}

// preloadPage loads some rooms, so many at once.
func (s *Service) preloadPage(ctx context.Context, page []RoomDescriptor) {
	rooms := make(chan jid.JID)
	var workers sync.WaitGroup
	for range preloadWorkers {
		workers.Go(func() {
			for j := range rooms {
				if r := s.unsolicited(j); r != nil {
					s.load(r)
				}
			}
		})
	}
	for i := range page {
		if ctx.Err() != nil {
			break
		}
		rooms <- page[i].JID
	}
	close(rooms)
	workers.Wait()
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
