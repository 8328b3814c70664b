package server

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	// trimEvery is how often the number of sessions is looked at.
	trimEvery = 2 * time.Second
	// trimAfter is the change in the number of sessions that is worth a
	// collection.
	trimAfter = 200
)

// trimMemory gives memory back after many sessions have come or gone: logins
// leave garbage and large stacks behind, which an idle server would keep until
// the next collection. It costs one collection per wave and nothing while
// people talk.
func (s *Server) trimMemory(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	var trimmed, last int
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.clients.Sessions()
		if now == last && max(now-trimmed, trimmed-now) >= max(trimAfter, trimmed/10) { // the wave is over
			debug.FreeOSMemory()
			trimmed = now
		}
		last = now
	}
}
