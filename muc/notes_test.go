package muc_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// scores counts what people say, and refuses every third message after it has
// counted it.
type scores struct{ notes, others *muc.Notes }

func (s *scores) Register(h *muc.Hooks) {
	s.notes, s.others = muc.NewNotes(h, "scores"), muc.NewNotes(h, "others")
	h.BeforeMessage.Add("scores", 0, func(ev *muc.MessageEvent) error {
		count := s.notes.Get(ev.Room, "said") + "x"
		if err := s.notes.Set(ev.Room, "said", count); err != nil {
			return err
		}
		if count == "xxx" {
			return stanza.NewError(stanza.Wait, stanza.PolicyViolation, "Enough.")
		}
		return nil
	})
}

// TestNotesCommitWithTheRoom: what a hook keeps of a room takes effect with the
// event, and with it alone; and it is found again.
func TestNotesCommitWithTheRoom(t *testing.T) {
	t.Parallel()
	files := &cabinet{}
	o := muc.Options{
		Store: files, Defaults: map[string][]string{muc.FieldPersistent: {"1"}},
		Hibernation: muc.Hibernation{After: time.Second, EmptyAfter: time.Minute},
	}
	read := func(w *world, s *scores) (got map[string]string) {
		t.Helper()
		h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
		if err != nil {
			t.Fatal(err)
		}
		err = h.Do(w.t.Context(), func(r *muc.Room) error {
			got = maps.Collect(s.notes.All(r))
			if n := len(maps.Collect(s.others.All(r))); n != 0 {
				t.Errorf("somebody else finds %d notes", n)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return got
	}
	first := &scores{}
	o.Extensions = []muc.Extension{first}
	run(t, o, func(w *world) {
		w.send(enter("anna"))
		w.send(accept)
		for range 3 {
			w.send(say("anna", "hi"))
		}
		w.expect("anna@test/r", "Enough.")
		time.Sleep(time.Hour) // hibernates
		synctest.Wait()
		if got := read(w, first); !maps.Equal(got, map[string]string{"said": "xx"}) {
			t.Errorf("got %v, want what two messages left", got)
		}
	})
	o.Extensions = nil
	run(t, o, func(w *world) { // a server without the extension keeps its notes
		h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Configure(w.t.Context(), muc.System, map[string][]string{muc.FieldName: {"Witches"}}); err != nil {
			t.Error(err)
		}
	})
	again := &scores{}
	o.Extensions = []muc.Extension{again}
	run(t, o, func(w *world) {
		if got := read(w, again); !maps.Equal(got, map[string]string{"said": "xx"}) {
			t.Errorf("got %v after a restart", got)
		}
	})
}

// TestNotesNeedTheStore: if the store fails nothing is noted and nothing said.
func TestNotesNeedTheStore(t *testing.T) {
	t.Parallel()
	s, broken := &scores{}, &troubled{}
	o := muc.Options{Store: broken, Extensions: []muc.Extension{s}, Defaults: map[string][]string{muc.FieldPersistent: {"1"}}}
	run(t, o, func(w *world) {
		w.send(enter("anna"))
		w.send(accept)
		w.take("anna@test/r")
		broken.mu.Lock()
		broken.err = errors.New("disk full")
		broken.mu.Unlock()
		w.send(say("anna", "hello"))
		w.expect("anna@test/r", "internal-server-error")
		broken.mu.Lock()
		broken.err = nil
		broken.mu.Unlock()
		h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Do(w.t.Context(), func(r *muc.Room) error {
			if got := s.notes.Get(r, "said"); got != "" {
				t.Errorf("noted %q", got)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

func TestNotesLimits(t *testing.T) {
	t.Parallel()
	s := &scores{}
	run(t, muc.Options{Extensions: []muc.Extension{s}}, func(w *world) {
		w.send(enter("anna"))
		w.send(accept)
		h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
		if err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("x", muc.MaxNotes-1)
		tests := []struct {
			name, key, value string
			want             error
		}{
			{"no key", "", "x", muc.ErrNoteKey},
			{"long key", strings.Repeat("k", muc.MaxNoteKey+1), "x", muc.ErrNoteKey},
			{"key that is no text", "\xff", "x", muc.ErrNoteKey},
			{"value that is no text", "k", "\xff", muc.ErrNoteValue},
			{"too much", "k", long + "x", muc.ErrTooManyNotes},
			{"all there is room for", "k", long, nil},
			{"one more", "l", "x", muc.ErrTooManyNotes},
			{"the same again", "k", long, nil},
			{"less", "k", "🦄\x00</x>", nil},
			{"then one more", "l", "x", nil},
			{"removed", "l", "", nil},
		}
		err = h.Do(w.t.Context(), func(r *muc.Room) error {
			for _, tt := range tests {
				if err := s.notes.Set(r, tt.key, tt.value); !errors.Is(err, tt.want) {
					t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
				}
			}
			if got := maps.Collect(s.notes.All(r)); !maps.Equal(got, map[string]string{"k": "🦄\x00</x>"}) {
				t.Errorf("staged %q", got)
			}
			return errors.New("never mind")
		})
		if err == nil {
			t.Error("no error of the function")
		}
		if err := h.Do(w.t.Context(), func(r *muc.Room) error {
			if got := maps.Collect(s.notes.All(r)); len(got) > 0 {
				t.Errorf("kept %q of what was taken back", got)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestBeforeCreateStages: what is staged while it is decided whether there is to
// be a room takes effect when there is one, and with its settings.
func TestBeforeCreateStages(t *testing.T) {
	t.Parallel()
	var notes *muc.Notes
	refuse := true
	guest := jid.MustParse("guest@test")
	ext := extension(func(h *muc.Hooks) {
		notes = muc.NewNotes(h, "ext")
		h.BeforeCreate.Add("ext", 0, func(ev *muc.JoinEvent) error {
			if err := notes.Set(ev.Room, "by", ev.Nick); err != nil {
				return err
			}
			return ev.Room.SetAffiliation(muc.System, guest, muc.Admin, muc.AffiliationOptions{})
		})
		h.BeforeJoin.Add("ext", 0, func(ev *muc.JoinEvent) error {
			if refuse {
				return stanza.NewError(stanza.Auth, stanza.Forbidden, "Not today.")
			}
			return nil
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{ext}}, func(w *world) {
		w.send(enter("anna"))
		w.expect("anna@test/r", "Not today.")
		if _, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test")); !errors.Is(err, muc.ErrNoRoom) {
			t.Errorf("a refused room: %v", err)
		}
		refuse = false
		w.send(enter("anna"))
		w.expect("anna@test/r", "status code='201'", "affiliation='owner'")
		w.send(accept)
		h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Do(w.t.Context(), func(r *muc.Room) error {
			if by, a := notes.Get(r, "by"), r.Affiliation(guest); by != "anna" || a != muc.Admin {
				t.Errorf("noted %q, the guest is %v", by, a)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestSettersOfLateHooks: what a function stages that runs when a message has been
// committed takes effect, too, whatever comes to the room next.
func TestSettersOfLateHooks(t *testing.T) {
	t.Parallel()
	var notes *muc.Notes
	files := &troubled{}
	ext := extension(func(h *muc.Hooks) {
		notes = muc.NewNotes(h, "ext")
		h.MessageSent.Add("ext", 0, func(ev *muc.PostedEvent) {
			if ev.Message.RealJID.IsZero() {
				return
			}
			if err := notes.Set(ev.Room, "said", ev.Stanza.Body()); err != nil {
				t.Error(err)
			}
			if err := ev.Room.Post(body("answer")); err != nil {
				t.Error(err)
			}
		})
	})
	o := muc.Options{Store: files, Archive: files, Extensions: []muc.Extension{ext}, Defaults: map[string][]string{muc.FieldPersistent: {"1"}}}
	run(t, o, func(w *world) {
		w.send(enter("anna"))
		w.send(accept)
		w.send(say("anna", "question"))
		files.settle(t, nil)
		synctest.Wait()
		files.settle(t, nil) // the answer
		w.expect("anna@test/r", ">question<", "from='coven@conf.test'", ">answer<")
		h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Do(w.t.Context(), func(r *muc.Room) error {
			if got := notes.Get(r, "said"); got != "question" {
				t.Errorf("noted %q", got)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}
