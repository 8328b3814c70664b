package muc

import "time"

// SetClock gives the service another clock, before its first room.
func (s *Service) SetClock(now func() time.Time) { s.clock = now }
