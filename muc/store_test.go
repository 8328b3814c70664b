package muc_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// troubled is a store and an archive whose commits wait until a test lets them
// succeed or fail.
type troubled struct {
	mu sync.Mutex
	// Guarded by mu.
	err     error // of changes from now on
	changes []muc.RoomChange
	waiting []func(error) // archived messages
}

func (s *troubled) Room(context.Context, jid.JID) (*muc.RoomRecord, error) { return nil, muc.ErrNoRoom }

func (s *troubled) RoomData(context.Context, jid.JID) (map[string][]byte, error) { return nil, nil }

func (s *troubled) Rooms(context.Context, muc.RoomsQuery) ([]muc.RoomDescriptor, error) {
	return nil, nil
}

func (s *troubled) ApplyRoomChange(_ context.Context, _ jid.JID, _ int64, c muc.RoomChange) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.changes = append(s.changes, c)
	}
	return s.err
}

func (s *troubled) CountRooms(context.Context, muc.RoomsQuery) (int, error) { return 0, nil }

func (s *troubled) NoteUse(context.Context, []muc.RoomUse) error { return nil }

func (s *troubled) DeleteRoom(context.Context, jid.JID, int64, *muc.Tombstone) error { return s.err }

func (s *troubled) Append(_ muc.ArchivedMessage, done func(error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, done)
	return nil
}

func (s *troubled) Page(context.Context, muc.ArchiveQuery) ([]muc.ArchivedMessage, error) {
	return nil, nil
}

func (s *troubled) Messages(context.Context, jid.JID, []string) ([]muc.ArchivedMessage, error) {
	return nil, nil
}

func (s *troubled) Count(context.Context, muc.ArchiveQuery, int) (int, error) { return 0, nil }

func (s *troubled) ReplaceArchived(context.Context, jid.JID, string, []byte) error { return nil }

func (s *troubled) Delete(context.Context, jid.JID) error { return nil }

// settle ends the oldest archived message that waits.
func (s *troubled) settle(t *testing.T, err error) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	if len(s.waiting) == 0 {
		s.mu.Unlock()
		t.Fatal("no message waits for the archive")
	}
	done := s.waiting[0]
	s.waiting = s.waiting[1:]
	s.mu.Unlock()
	done(err)
}

func persistent(s *troubled) muc.Options {
	return muc.Options{Store: s, Archive: s, Defaults: map[string][]string{muc.FieldPersistent: {"1"}}}
}

// TestReflectedIsKept: a message leaves when the archive has it, and what is
// said later waits behind it; one that cannot be kept reaches nobody.
func TestReflectedIsKept(t *testing.T) {
	s := &troubled{}
	run(t, persistent(s), func(w *world) {
		w.open("ben")
		w.send(say("anna", "kept"))
		w.send("<presence from='anna@test/r' to='coven@conf.test/anna'><status>later</status></presence>")
		w.send(say("anna", "lost"))
		w.send(say("anna", "kept too"))
		w.expectNothing("ben@test/r")
		s.settle(w.t, nil)
		got := strings.Join(w.take("ben@test/r"), "")
		if m, p := strings.Index(got, "kept<"), strings.Index(got, "later"); m < 0 || p < m || strings.Contains(got, "lost") {
			w.t.Errorf("after the first commit ben has\n%s", got)
		}
		if !strings.Contains(got, "<stanza-id xmlns='urn:xmpp:sid:0' by='coven@conf.test' id='") {
			w.t.Errorf("no stanza id: %s", got)
		}
		w.take("anna@test/r")
		s.settle(w.t, errors.New("disk full"))
		s.settle(w.t, nil)
		w.expect("anna@test/r", "type='error'", "type='wait'", "internal-server-error", "kept too")
		got = strings.Join(w.take("ben@test/r"), "")
		if strings.Contains(got, "lost") || !strings.Contains(got, "kept too") {
			w.t.Errorf("ben has\n%s", got)
		}
		w.send(enter("chloe")) // the history has not the lost one either
		got = strings.Join(w.take("chloe@test/r"), "")
		if strings.Contains(got, "lost") || !strings.Contains(got, "kept too") {
			w.t.Errorf("chloe's history is\n%s", got)
		}
	})
}

// TestUnstoredChangesNothing: a change that cannot be stored is refused whole.
func TestUnstoredChangesNothing(t *testing.T) {
	s := &troubled{}
	run(t, persistent(s), func(w *world) {
		w.open("ben")
		s.err = errors.New("disk full")
		w.send("<iq type='set' id='1' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast' jid='ben@test'/></query></iq>")
		w.expect("anna@test/r", "type='error'", "type='wait'", "internal-server-error")
		w.expectNothing("ben@test/r")
		w.send("<iq type='set' id='2' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
			"<field var='muc#roomconfig_roomname'><value>New</value></field></x></query></iq>")
		w.expect("anna@test/r", "internal-server-error")
		s.err = nil
		w.send("<iq type='get' id='3' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
		if got := strings.Join(w.take("anna@test/r"), ""); !strings.Contains(got, "name='coven'") || strings.Contains(got, "New") {
			w.t.Errorf("the refused name shows: %s", got)
		}
		w.send("<message type='groupchat' from='ben@test/r' to='coven@conf.test'><body>still here</body></message>")
		s.settle(w.t, nil)
		w.expect("anna@test/r", "still here")
	})
}

// TestWithdrawnSubject: a subject that the archive refuses is not the subject.
func TestWithdrawnSubject(t *testing.T) {
	s := &troubled{}
	run(t, persistent(s), func(w *world) {
		w.open()
		w.send("<message type='groupchat' from='anna@test/r' to='coven@conf.test'><subject>first</subject></message>")
		s.settle(w.t, nil)
		w.expect("anna@test/r", "<subject>first</subject>")
		w.send("<message type='groupchat' from='anna@test/r' to='coven@conf.test'><subject>second</subject></message>")
		s.settle(w.t, errors.New("disk full"))
		w.expect("anna@test/r", "type='error'")
		w.send(enter("ben"))
		w.expect("ben@test/r", "<subject>first</subject>")
	})
}

// TestHandle uses a room from outside.
func TestHandle(t *testing.T) {
	s := &troubled{}
	run(t, persistent(s), func(w *world) {
		ctx, room := w.t.Context(), jid.MustParse("lobby@conf.test")
		if _, err := w.Room(ctx, room); !errors.Is(err, muc.ErrNoRoom) {
			w.t.Errorf("no room yet: %v", err)
		}
		h, err := w.CreateRoom(ctx, room, func(r *muc.Room) error {
			return r.SetAffiliation(muc.System, jid.MustParse("anna@test"), muc.Owner, muc.AffiliationOptions{})
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.CreateRoom(ctx, room, nil); !errors.Is(err, muc.ErrRoomExists) {
			w.t.Errorf("twice: %v", err)
		}
		if len(s.changes) != 1 || len(s.changes[0].Affiliations) != 1 {
			w.t.Errorf("stored %+v", s.changes)
		}
		err = h.SetAffiliation(ctx, muc.By(jid.MustParse("eve@test/r")), jid.MustParse("eve@test"), muc.Owner, muc.AffiliationOptions{})
		if err == nil || !strings.Contains(err.Error(), "forbidden") {
			w.t.Errorf("eve made herself an owner: %v", err)
		}
		info, err := h.Info(ctx)
		if err != nil || !info.Persistent || info.Occupants != 0 {
			w.t.Errorf("got %+v, %v", info, err)
		}
		if err := h.Destroy(ctx, "over", jid.JID{}); err != nil {
			w.t.Error(err)
		}
		if _, err := h.Info(ctx); !errors.Is(err, muc.ErrNoRoom) {
			w.t.Errorf("after the end: %v", err)
		}
	})
}
