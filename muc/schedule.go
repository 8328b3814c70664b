package muc

import (
	"container/heap"
	"time"
)

// sweepBatch is how many rooms are asked at once whether they are idle; others
// have their turn after sweepPause.
const (
	sweepBatch = 1000
	sweepPause = time.Millisecond
)

// schedule holds the rooms that are to be asked whether they are idle, the next
// one first. It is a heap.Interface.
type schedule []*Room

func (q schedule) Len() int           { return len(q) }
func (q schedule) Less(i, j int) bool { return q[i].due < q[j].due }

func (q schedule) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i+1, j+1
}

// Push appends a room.
func (q *schedule) Push(x any) {
	r := x.(*Room) //nolint:errcheck,forcetypeassert // nobody pushes anything else
	*q = append(*q, r)
	r.place = len(*q)
}

// Pop removes the last room.
func (q *schedule) Pop() any {
	last := len(*q) - 1
	r := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	r.place = 0
	return r
}

// uptime is the time as rooms reckon idleness: since the service was made, no
// matter what happens to the machine's clock.
func (s *Service) uptime() time.Duration { return time.Since(s.born) }

// checkAfter is when rooms are checked first at t or later.
func (s *Service) checkAfter(t time.Duration) time.Duration {
	every := s.opts.Hibernation.CheckEvery
	return (t + every - 1) / every * every
}

// scheduleAt has a room asked at a time whether it is idle.
func (s *Service) scheduleAt(r *Room, due time.Duration) {
	s.idleMu.Lock()
	defer s.idleMu.Unlock()
	if s.ended {
		return
	}
	r.due = due
	if r.place == 0 {
		heap.Push(&s.schedule, r)
	} else {
		heap.Fix(&s.schedule, r.place-1)
	}
	if s.schedule[0] == r {
		s.setTimer(due - s.uptime())
	}
}

// unschedule lets nobody ask the room any more.
func (s *Service) unschedule(r *Room) {
	s.idleMu.Lock()
	defer s.idleMu.Unlock()
	if r.place > 0 {
		heap.Remove(&s.schedule, r.place-1)
	}
}

// setTimer lets the next sweep begin after a while. It needs idleMu.
func (s *Service) setTimer(wait time.Duration) {
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, s.sweep)
	} else {
		s.timer.Reset(wait)
	}
}

// sweep asks the rooms whose time has come whether they are idle.
func (s *Service) sweep() {
	for _, r := range s.dueRooms() {
		r.tellInTurn(idleNote{})
	}
}

// dueRooms takes those rooms out of the schedule.
func (s *Service) dueRooms() []*Room {
	s.idleMu.Lock()
	defer s.idleMu.Unlock()
	if s.ended {
		return nil
	}
	var rooms []*Room
	now := s.uptime()
	for len(s.schedule) > 0 && s.schedule[0].due <= now && len(rooms) < sweepBatch {
		rooms = append(rooms, heap.Pop(&s.schedule).(*Room)) //nolint:errcheck,forcetypeassert // see Push
	}
	if len(s.schedule) > 0 {
		s.setTimer(max(s.schedule[0].due-now, sweepPause))
	}
	return rooms
}

// stopSweeping ends all that.
func (s *Service) stopSweeping() {
	s.idleMu.Lock()
	defer s.idleMu.Unlock()
	s.ended = true
	if s.timer != nil {
		s.timer.Stop()
	}
}
