package groups_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/jid"
)

// put gives a group a chat.
func (w *world) put(id groups.ID, chat string) error {
	_, err := w.PutGroupChat(w.t.Context(), id, groups.NewChat{ID: chat, Name: chat}, groups.Cause{})
	return err
}

// TestChatOfAnother: a room is the chat of one group, until it has been destroyed.
func TestChatOfAnother(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		w.make(groups.NewGroup{ID: "one", Name: "One"})
		w.make(groups.NewGroup{ID: "two", Name: "Two"})
		lounge, hall := jid.MustParse("lounge@chat.example.org"), jid.MustParse("hall@chat.example.org")
		w.chats.foreign = map[jid.JID]bool{hall: true}
		conflict := func(what string, id groups.ID, chat string) {
			t.Helper()
			if err := w.put(id, chat); !errors.Is(err, groups.ErrChatConflict) {
				t.Errorf("%s: got %v, want %v", what, err, groups.ErrChatConflict)
			}
		}
		if err := w.put("one", "lounge"); err != nil {
			t.Fatal(err)
		}
		if err := w.put("one", "lounge"); err != nil {
			t.Errorf("again: %v", err)
		}
		w.expectChats("create lounge with ")
		conflict("a chat of another group", "two", "lounge")
		conflict("another way to write it", "two", "LOUNGE")
		conflict("a room of people", "two", "hall")
		w.expectChats()
		w.chats.fail(errors.New("no disk"))
		if err := w.RemoveGroupChat(t.Context(), "one", "lounge", groups.Cause{}); err != nil {
			t.Fatal(err)
		}
		conflict("a room that is not destroyed yet", "two", "lounge")
		w.chats.fail(nil)
		w.Close()
		w.begin("chat.example.org")
		w.expectChats("destroy: The chat has been removed from the group One.")
		if err := w.put("two", "lounge"); err != nil {
			t.Errorf("a room that has been destroyed: %v", err)
		}
		if err := w.Delete(t.Context(), "two", groups.Cause{}); err != nil {
			t.Fatal(err)
		}
		if err := w.put("one", "lounge"); err != nil {
			t.Errorf("the chat of a group that was: %v", err)
		}
		if info, err := w.Info(t.Context(), "one"); err != nil || len(info.MUCs) != 1 || info.MUCs[0] != lounge {
			t.Errorf("chats are %v (%v)", info.MUCs, err)
		}
	})
}

// TestChatOfTwoAtOnce: of two administrators who want one room for two groups, one
// gets it.
func TestChatOfTwoAtOnce(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		w.make(groups.NewGroup{ID: "one", Name: "One"})
		w.make(groups.NewGroup{ID: "two", Name: "Two"})
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for i, id := range []groups.ID{"one", "two"} {
			wg.Go(func() { errs[i] = w.put(id, "lounge") })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), groups.ErrChatConflict) {
			t.Errorf("got %v", errs)
		}
	})
}

// TestChatThatIsGone: who asks for a chat whose room somebody has destroyed gets it.
func TestChatThatIsGone(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		w.make(groups.NewGroup{ID: "one", Name: "One"}, "romeo")
		if err := w.put("one", "lounge"); err != nil {
			t.Fatal(err)
		}
		w.chats.gone[jid.MustParse("lounge@chat.example.org")] = true
		w.chats.take()
		if err := w.put("one", "lounge"); err != nil {
			t.Fatal(err)
		}
		w.expectChats("create lounge with romeo member")
	})
}

// TestRefusedChat: a room that its host does not have keeps nobody waiting.
func TestRefusedChat(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		w.make(groups.NewGroup{ID: "one", Name: "One"}, "romeo")
		w.chats.refuse = "bad"
		for _, chat := range []string{"bad", "good"} {
			if err := w.put("one", chat); err != nil {
				t.Fatal(err)
			}
		}
		w.add("one", "juliet")
		w.expectChats("create good with romeo member", "affiliate juliet member", "affiliate juliet member")
		w.expectEvents("chat bad", "chat good", `added juliet as member by "" repeated false`)
		if tasks, err := w.db.GroupTasks(t.Context()); err != nil || len(tasks) > 0 {
			t.Errorf("%d tasks are left (%v)", len(tasks), err)
		}
	})
}

// TestShortChatIDs: where rooms must have short addresses, so have chats.
func TestShortChatIDs(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, w *world) {
		w.maxChatID = 6
		w.Close()
		w.begin("chat.example.org")
		info, err := w.Create(t.Context(), groups.NewGroup{ID: "one", Name: "One", DefaultChat: true}, groups.Cause{})
		if err != nil || len(info.MUCJID.Local()) != 6 {
			t.Errorf("the chat is %v (%v)", info.MUCJID, err)
		}
		if err := w.put("one", "lounge"); err != nil {
			t.Errorf("six bytes: %v", err)
		}
		if err := w.put("one", "lounges"); !errors.Is(err, groups.ErrInvalid) {
			t.Errorf("seven bytes: got %v, want %v", err, groups.ErrInvalid)
		}
	})
}
