package bench

import (
	"os"
	"strings"
	"testing"
)

func TestJoin(t *testing.T) {
	s := startServer(t, &roomServer{shows: true})
	o := JoinOptions{Options: s.options(), Occupants: 9}
	o.PIDs = []int{os.Getpid()}
	r, err := Join(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Presences != 9*9-1 || r.PresencePerSecond <= 0 || r.Server == nil || r.Server.RSSAfter == 0 { // the first has seen himself before
		t.Errorf("report %+v, server %+v", r, r.Server)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.destroyed {
		t.Error("the room that was made for the run is left behind")
	}
}

func TestJoinFails(t *testing.T) {
	s := startServer(t, &roomServer{shows: true, full: 3})
	if _, err := Join(t.Context(), JoinOptions{Options: s.options(), Occupants: 5}); err == nil || !strings.Contains(err.Error(), "service-unavailable") {
		t.Errorf("a room for 3: %v", err)
	}
	if _, err := Join(t.Context(), JoinOptions{Options: s.options(), Occupants: 1}); err == nil || !strings.Contains(err.Error(), "occupants") {
		t.Errorf("one alone: %v", err)
	}
}
