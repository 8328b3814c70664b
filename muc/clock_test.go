package muc_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// shelf is a store and an archive of one room that forget nothing.
type shelf struct {
	troubled
	record  *muc.RoomRecord
	archive []muc.ArchivedMessage
}

func (s *shelf) Room(context.Context, jid.JID) (*muc.RoomRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.record == nil {
		return nil, muc.ErrNoRoom
	}
	rec := *s.record
	return &rec, nil
}

func (s *shelf) ApplyRoomChange(_ context.Context, room jid.JID, _ int64, c muc.RoomChange) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.record == nil {
		s.record = &muc.RoomRecord{JID: room, Created: c.Created}
	}
	if c.Settings != nil {
		s.record.Settings = c.Settings
	}
	if c.Subject != nil {
		s.record.Subject, s.record.SubjectID = *c.Subject, c.SubjectID
	}
	return nil
}

func (s *shelf) Append(m muc.ArchivedMessage, done func(error)) error {
	s.mu.Lock()
	s.archive = append(s.archive, m)
	s.mu.Unlock()
	go done(nil)
	return nil
}

func (s *shelf) Page(_ context.Context, q muc.ArchiveQuery) (page []muc.ArchivedMessage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.archive {
		if m.ID > q.AfterID && (m.Subject || !q.Subjects) {
			page = append(page, m)
		}
	}
	return page[max(0, len(page)-q.Limit):], nil
}

// TestClockJumps: the machine's clock is put back an hour, and forward two, with
// the room in memory and between two lives of the service. The archive stays in
// order by id and by time, and nothing is taken for older than the room.
func TestClockJumps(t *testing.T) {
	s := &shelf{}
	o := persistent(&s.troubled)
	o.Store, o.Archive = s, s
	var offset time.Duration
	clock := func() time.Time { return time.Now().Add(offset).Round(0) }
	talk := func(w *world, texts ...string) {
		for _, text := range texts {
			w.send(say("anna", text))
			synctest.Wait()
			time.Sleep(time.Second)
		}
	}
	subject := func(w *world, text string) {
		w.send("<message type='groupchat' from='anna@test/r' to='coven@conf.test'><subject>" + text + "</subject></message>")
		synctest.Wait()
	}
	lives := []func(w *world){
		func(w *world) {
			w.open()
			talk(w, "one", "two")
			subject(w, "before")
			offset = -time.Hour
			talk(w, "three", "four")
			subject(w, "put back")
		},
		func(w *world) { // starts with the wrong clock
			w.send(enter("anna"))
			if got := strings.Join(w.take("anna@test/r"), ""); !strings.Contains(got, "<body>one<") || !strings.Contains(got, "<body>four<") || !strings.Contains(got, "<subject>put back<") {
				w.t.Errorf("after a restart anna sees\n%s", got)
			}
			talk(w, "five")
			offset = 2 * time.Hour
			talk(w, "six", "seven")
		},
		func(w *world) {
			offset = 0
			w.send(enter("anna"))
			w.expect("anna@test/r", "<body>one<", "<body>seven<", "<subject>put back<")
			talk(w, "eight")
		},
	}
	for _, life := range lives {
		run(t, o, func(w *world) {
			w.SetClock(clock)
			life(w)
		})
	}
	if len(s.archive) != 10 {
		t.Fatalf("%d messages are archived, want 10", len(s.archive))
	}
	for i, m := range s.archive {
		if m.Time.Before(s.record.Created) {
			t.Errorf("message %d is from %v, the room from %v", i, m.Time, s.record.Created)
		}
		if i > 0 && (m.ID <= s.archive[i-1].ID || m.Time.Before(s.archive[i-1].Time)) {
			t.Errorf("message %d, %s from %v, follows %s from %v", i, m.ID, m.Time, s.archive[i-1].ID, s.archive[i-1].Time)
		}
	}
}
