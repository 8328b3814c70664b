package muc_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// TestCallsThatCannotWait makes every call from where it would wait for itself.
func TestCallsThatCannotWait(t *testing.T) {
	var service *muc.Service
	coven, other := jid.MustParse("coven@conf.test"), jid.MustParse("other@conf.test")
	calls := []struct {
		name string
		call func(ctx context.Context) error
	}{
		{"its own room", func(ctx context.Context) error { _, err := service.Room(ctx, coven); return err }},
		{"another room", func(ctx context.Context) error { _, err := service.Room(ctx, other); return err }},
		{"a new room", func(ctx context.Context) error { _, err := service.CreateRoom(ctx, other, nil); return err }},
		{"from far down the stack", func(ctx context.Context) error {
			return deep(200, func() error { _, err := service.Room(ctx, coven); return err })
		}},
	}
	for _, test := range calls {
		t.Run(test.name, func(t *testing.T) {
			var inHook, inDo, deferred error
			o := muc.Options{Extensions: []muc.Extension{extension(func(h *muc.Hooks) {
				h.BeforeMessage.Add("caller", 0, func(*muc.MessageEvent) error {
					inHook = test.call(context.Background())
					return nil
				})
				h.BeforePresence.Add("caller", 0, func(ev *muc.PresenceEvent) error {
					return ev.Defer(func(ctx context.Context) error {
						deferred = test.call(ctx)
						return nil
					})
				})
			})}}
			run(t, o, func(w *world) {
				service = w.Service
				w.send(enter("anna"))
				w.send(accept)
				w.send(say("anna", "hello"))
				w.send("<presence from='anna@test/r' to='coven@conf.test/anna'><show>away</show></presence>")
				synctest.Wait()
				h, err := service.Room(w.t.Context(), coven)
				if err != nil {
					t.Fatal(err)
				}
				if err := h.Do(w.t.Context(), func(*muc.Room) error { inDo = test.call(w.t.Context()); return nil }); err != nil {
					t.Error(err)
				}
				w.expect("anna@test/r", "<body>hello</body>", "<show>away</show>")
			})
			if !errors.Is(inHook, muc.ErrInRoom) || !strings.Contains(inHook.Error(), "ev.Room") {
				t.Errorf("in a hook: %v, want ErrInRoom and what to do", inHook)
			}
			if !errors.Is(inDo, muc.ErrInRoom) {
				t.Errorf("in Do: %v, want ErrInRoom", inDo)
			}
			if errors.Is(deferred, muc.ErrInRoom) {
				t.Errorf("in what ev.Defer runs: %v, want no ErrInRoom", deferred)
			}
		})
	}
}

func deep(n int, fn func() error) error {
	if n == 0 {
		return fn()
	}
	err := deep(n-1, fn)
	return err
}

func TestBadCalls(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		for _, bad := range []string{"conf.test", "coven@elsewhere.test", "conf.test/anna"} {
			if _, err := w.Room(w.t.Context(), jid.MustParse(bad)); !errors.Is(err, muc.ErrNoRoom) || !strings.Contains(err.Error(), "name@conf.test") {
				t.Errorf("room %s: %v, want ErrNoRoom and what an address is", bad, err)
			}
			if _, err := w.CreateRoom(w.t.Context(), jid.MustParse(bad), nil); err == nil {
				t.Errorf("creates %s", bad)
			}
		}
		w.send(enter("anna"))
		w.send(accept)
		h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.SetRole(w.t.Context(), muc.System, "nobody", muc.Visitor, ""); stanza.AsError(err) == nil {
			t.Errorf("role of nobody: %v, want an error stanza", err)
		}
		if err := w.Shutdown(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Info(w.t.Context()); !errors.Is(err, muc.ErrClosed) {
			t.Errorf("after the shutdown: %v, want ErrClosed", err)
		}
	})
}

func TestRoomsAndWhoIsInside(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.send(enter("anna"))
		w.send(accept)
		w.send(enter("bert"))
		w.send(strings.ReplaceAll(enter("bert"), "@test/r", "@test/phone"))
		w.send(strings.ReplaceAll(enter("anna"), "coven@", "attic@"))
		w.send(strings.ReplaceAll(accept, "coven@", "attic@"))
		synctest.Wait()

		var live, listed []string
		for h := range w.LiveRooms() {
			live = append(live, h.JID().Local())
		}
		for d, err := range w.Rooms(w.t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			listed = append(listed, d.JID.Local())
		}
		want := []string{"attic", "coven"}
		if !slices.Equal(live, want) || !slices.Equal(listed, want) {
			t.Errorf("live rooms %v, rooms %v, want %v", live, listed, want)
		}

		h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
		if err != nil {
			t.Fatal(err)
		}
		occupants, err := h.Occupants(w.t.Context())
		people := slices.Collect(occupants)
		if err != nil || len(people) != 2 {
			t.Fatalf("occupants %v, %v, want two", people, err)
		}
		bert := people[1]
		if bert.Nick != "bert" || bert.RealJID.String() != "bert@test" || bert.Role != muc.Participant || len(bert.Sessions) != 2 ||
			bert.Sessions[0].String() != "bert@test/r" {
			t.Errorf("bert is %+v", bert)
		}
		if err := h.SetRole(w.t.Context(), muc.System, "bert", muc.Visitor, "hush"); err != nil {
			t.Fatal(err)
		}
		w.expect("anna@test/r", "role='visitor'", "hush")
		affiliations, err := h.Affiliations(w.t.Context())
		entries := slices.Collect(affiliations)
		if err != nil || len(entries) != 1 || entries[0].JID.String() != "anna@test" || entries[0].Affiliation != muc.Owner {
			t.Errorf("affiliations %v, %v, want anna as owner", entries, err)
		}
	})
}

func TestBroadcast(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.send(enter("anna"))
		w.send(accept)
		w.send(enter("bert"))
		w.take("anna@test/r")
		w.take("bert@test/r")
		h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
		if err != nil {
			t.Fatal(err)
		}
		do := func(fn func(r *muc.Room)) {
			if err := h.Do(w.t.Context(), func(r *muc.Room) error { fn(r); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		word := func(text string) stanza.Stanza {
			st, err := stanza.Parse([]byte("<message type='headline'><body>" + text + "</body></message>"))
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		do(func(r *muc.Room) { r.Broadcast(word("to all"), nil) })
		w.expect("anna@test/r", "to all", "from='coven@conf.test'")
		w.expect("bert@test/r", "to all")
		do(func(r *muc.Room) {
			r.Broadcast(word("to moderators"), func(o *muc.Occupant) bool { return o.Role() == muc.Moderator })
		})
		w.expect("anna@test/r", "to moderators")
		w.expectNothing("bert@test/r")
		do(func(r *muc.Room) { r.SendToOccupant(r.Occupant("bert"), word("to bert")) })
		w.expectNothing("anna@test/r")
		w.expect("bert@test/r", "to bert")
	})
}
