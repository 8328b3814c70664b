package muc

import (
	"errors"
	"fmt"

	"github.com/muster-im/muster/internal/callers"
	"github.com/muster-im/muster/jid"
)

// Errors of calls that can never succeed where they are made.
var (
	// ErrInRoom says that a handle was called inside a room, which must not wait:
	// neither for itself nor for another one, which may wait for it.
	ErrInRoom = errors.New("called inside a room, which must not wait: use ev.Room there, or a goroutine of your own, or ev.Defer")
	// ErrClosed says that the service has been shut down, or is about to be.
	ErrClosed = errors.New("room service is shut down: no room takes anything any more")
)

// drainName is the function at the bottom of whatever runs inside a room.
const drainName = "github.com/muster-im/muster/muc.(*Room).drain"

// MayWait returns ErrInRoom if its caller runs inside a room, and must not wait.
func MayWait() error {
	if insideRoom() {
		return ErrInRoom
	}
	return nil
}

// insideRoom reports whether its caller runs inside a room. Rooms keep no record
// of who runs in them.
func insideRoom() bool { return callers.Include(drainName) }

// checkCall says why a room cannot be called now and from here; nil if it can.
func (s *Service) checkCall(room jid.JID) error {
	if err := s.mayWait(); err != nil {
		return fmt.Errorf("room %s: %w", room, err)
	}
	if room.Local() == "" || room.DomainOnly() != s.domain {
		return fmt.Errorf("%w: %q is no address of a room; give one like name@%s", ErrNoRoom, room, s.domain)
	}
	return nil
}

// mayWait says why nobody can wait for the service now and here.
func (s *Service) mayWait() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closing {
		return ErrClosed
	}
	return MayWait()
}
