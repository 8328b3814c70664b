package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// attic is a store with many rooms, of which each has old rows.
type attic struct {
	disk
	mu    sync.Mutex
	rooms []jid.JID
	old   map[jid.JID]int // steps that a room needs
	asked []string        // with which limits rooms were trimmed, once each
	fail  bool
}

func (s *attic) ArchiveRooms(_ context.Context, after string, limit int) ([]store.ArchiveRoom, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return nil, errBadRow
	}
	i, _ := slices.BinarySearchFunc(s.rooms, after+"\x00", func(j jid.JID, a string) int { return slices.Compare([]byte(j.String()), []byte(a)) })
	var list []store.ArchiveRoom
	for k, room := range s.rooms[i:min(i+limit, len(s.rooms))] {
		list = append(list, store.ArchiveRoom{JID: room, Archive: int64(i + k)})
	}
	return list, nil
}

func (s *attic) DropArchive(_ context.Context, room store.ArchiveRoom) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf("%s dropped %d", room.JID.Local(), room.Archive))
	return nil
}

func (s *attic) TrimArchive(_ context.Context, room jid.JID, before time.Time, keep int) (int, bool, error) {
	time.Sleep(10 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.old[room]--; s.old[room] > 0 {
		return 200, true, nil
	}
	age := time.Duration(0)
	if !before.IsZero() {
		age = time.Since(before).Round(time.Minute)
	}
	s.asked = append(s.asked, fmt.Sprintf("%s %v %d", room.Local(), age, keep))
	return 0, false, nil
}

func (s *attic) trimmed() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// Every room is looked at, in the hour, by its own limits; with pauses, and
// again after a failure. Closing does not wait for the end of it.
func TestRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &attic{old: make(map[jid.JID]int)}
		for i := range retainRooms + 20 {
			j := jid.MustParse(fmt.Sprintf("r%03d@chat.example.org", i))
			s.rooms, s.old[j] = append(s.rooms, j), 1
		}
		s.old[s.rooms[3]] = 50
		a := New(Options{Store: s, Limits: func(_ context.Context, room jid.JID) (store.ArchiveLimits, error) {
			switch room.Local() {
			case "r001":
				return store.ArchiveLimits{}, nil
			case "r002":
				return store.ArchiveLimits{Age: time.Hour}, nil
			}
			return store.ArchiveLimits{Rows: 7}, nil
		}})
		time.Sleep(retainFirst + 30*time.Second)
		got := s.trimmed()
		if len(got) != len(s.rooms)-1 || got[0] != "r000 0s 7" || got[1] != "r002 1h0m0s 0" || got[2] != "r003 0s 7" {
			t.Errorf("%d rooms, first %q: want all %d but one, each by its limits", len(got), got[:min(3, len(got))], len(s.rooms))
		}
		s.mu.Lock()
		s.fail = true
		s.mu.Unlock()
		time.Sleep(retainEvery)
		s.mu.Lock()
		s.fail, s.old[s.rooms[0]] = false, 1000
		s.mu.Unlock()
		time.Sleep(retainEvery)
		if got := s.trimmed(); len(got) != 0 {
			t.Errorf("trimmed %q while the first room takes its time", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Close(ctx); err != nil {
			t.Errorf("close in the middle of it: %v", err)
		}
	})
}

// Of a room that is no more nothing is kept; one that cannot be looked up is left
// alone.
func TestOrphans(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &attic{rooms: []jid.JID{jid.MustParse("a@chat.example.org"), jid.MustParse("b@chat.example.org")}}
		unknown := errBadRow
		a := New(Options{Store: s, Limits: func(_ context.Context, room jid.JID) (store.ArchiveLimits, error) {
			if room.Local() == "a" {
				return store.ArchiveLimits{Rows: 7}, fmt.Errorf("look up: %w", store.ErrNotFound)
			}
			return store.ArchiveLimits{}, unknown
		}})
		time.Sleep(retainFirst + time.Second)
		if got := s.trimmed(); !slices.Equal(got, []string{"a dropped 0"}) {
			t.Errorf("got %q", got)
		}
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A stanza is replaced once it is there, however early somebody asks.
func TestReplaceAfterAppend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{latency: time.Second}
		a := New(Options{Store: d})
		for i := range 3 {
			if err := a.Append(row(i), func(error) {}); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.ReplaceArchived(t.Context(), room, "0002", nil); err != nil {
			t.Error(err)
		}
		if want := []string{"0000", "0001", "0002 replaced"}; !slices.Equal(d.stored, want) {
			t.Errorf("got %q, want %q", d.stored, want)
		}
		if err := a.ReplaceArchived(t.Context(), room, "0009", nil); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
		if err := a.Append(row(5), func(error) {}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := a.ReplaceArchived(ctx, room, "0005", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the context", err)
		}
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
