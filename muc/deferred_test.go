package muc_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// TestChecksOfOneName: functions of one name, in hooks that one stanza passes,
// each have their own answer and progress.
func TestChecksOfOneName(t *testing.T) {
	var progress []int
	x := extension(func(h *muc.Hooks) {
		h.BeforeCreate.Add("door", 0, func(ev *muc.JoinEvent) error {
			*ev.Progress()++
			return ev.Defer(func(context.Context) error { return nil })
		})
		h.BeforeJoin.Add("door", 1, func(ev *muc.JoinEvent) error {
			*ev.Progress()++
			progress = append(progress, *ev.Progress())
			return ev.Defer(func(context.Context) error { return nil })
		})
		h.BeforeJoin.Add("door", 0, func(ev *muc.JoinEvent) error {
			return ev.Defer(func(context.Context) error {
				return stanza.NewError(stanza.Auth, stanza.Forbidden, "Not today.")
			})
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{x}}, func(w *world) {
		w.send(enter("anna"))
		w.expect("anna@test/r", "Not today.")
		if len(progress) != 3 || progress[0] != 1 || progress[2] != 3 {
			t.Errorf("the second function's progress is %v, want 1, 2, 3: once for each of its runs", progress)
		}
	})
}

// TestAsk: the answer of a deferred check is its asker's, and is asked for once.
func TestAsk(t *testing.T) {
	var asked atomic.Int32
	x := extension(func(h *muc.Hooks) {
		h.BeforeJoin.Add("ranks", 0, func(ev *muc.JoinEvent) (err error) {
			ev.Role, err = muc.Ask(&ev.Event, func(context.Context) (muc.Role, error) {
				asked.Add(1)
				switch ev.RealJID.Local() {
				case "anna":
					time.Sleep(time.Second)
					return muc.Moderator, nil
				case "ben":
					return muc.Visitor, nil
				}
				return muc.Moderator, errors.New("who is that?")
			})
			return err
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{x}, Defaults: map[string][]string{muc.FieldPersistent: {"1"}}}, func(w *world) {
		h, err := w.CreateRoom(w.t.Context(), jid.MustParse("coven@conf.test"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"anna", "ben", "chloe"} {
			w.send(enter(name))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		occupants, err := h.Occupants(w.t.Context())
		got := map[string]muc.Role{}
		for o := range occupants {
			got[o.Nick] = o.Role
		}
		if err != nil || len(got) != 2 || got["anna"] != muc.Moderator || got["ben"] != muc.Visitor || asked.Load() != 3 {
			t.Errorf("inside are %v, %v, after %d questions", got, err, asked.Load())
		}
		w.expect("chloe@test/r", "internal-server-error")
		err = h.Do(w.t.Context(), func(r *muc.Room) error {
			_, err := muc.Ask(&muc.Event{Room: r}, func(context.Context) (int, error) { return 1, nil })
			return err
		})
		if err == nil {
			t.Error("what cannot wait has asked")
		}
	})
}
