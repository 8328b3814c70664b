package muc_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// waiting calls every method of v that may wait, with coven and functions that do
// nothing, and gives the error of each.
func waiting(ctx context.Context, v any, each func(method string, err error)) {
	r := reflect.ValueOf(v)
	for i := range r.NumMethod() {
		name, m := r.Type().Method(i).Name, r.Method(i)
		t := m.Type()
		if t.NumIn() == 0 || t.In(0) != reflect.TypeFor[context.Context]() || t.NumOut() == 0 || t.Out(t.NumOut()-1) != reflect.TypeFor[error]() {
			continue
		}
		args := []reflect.Value{reflect.ValueOf(ctx)}
		for j := 1; j < t.NumIn(); j++ {
			args = append(args, argument(t.In(j)))
		}
		var out []reflect.Value
		if t.IsVariadic() {
			out = m.CallSlice(args)
		} else {
			out = m.Call(args)
		}
		err, _ := reflect.TypeAssert[error](out[len(out)-1])
		each(name, err)
	}
}

func argument(t reflect.Type) reflect.Value {
	switch {
	case t == reflect.TypeFor[jid.JID]():
		return reflect.ValueOf(jid.MustParse("coven@conf.test"))
	case t.Kind() == reflect.Func:
		return reflect.MakeFunc(t, func([]reflect.Value) []reflect.Value {
			out := make([]reflect.Value, t.NumOut())
			for i := range out {
				out[i] = reflect.Zero(t.Out(i))
			}
			return out
		})
	}
	return reflect.Zero(t)
}

// TestNoCallWaitsInside: whatever a room would wait for says so at once.
func TestNoCallWaitsInside(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open()
		h, calls := w.coven(), 0
		w.inside(func(*muc.Room) error {
			for _, v := range []any{h, w.Service} {
				waiting(t.Context(), v, func(method string, err error) {
					if calls++; !errors.Is(err, muc.ErrInRoom) {
						t.Errorf("%T.%s: %v, want ErrInRoom", v, method, err)
					}
				})
			}
			return nil
		})
		if calls < 20 {
			t.Errorf("%d calls", calls)
		}
		w.send(say("anna", "still here"))
		w.expect("anna@test/r", "still here")
	})
}

func TestClosedService(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open()
		h := w.coven()
		if err := w.Shutdown(w.t.Context()); err != nil {
			t.Fatal(err)
		}
		check := func(method string, err error) {
			if !errors.Is(err, muc.ErrClosed) || !strings.Contains(err.Error(), "shut down") {
				t.Errorf("%s: %v, want ErrClosed", method, err)
			}
		}
		waiting(w.t.Context(), h, check)
		_, err := w.View(w.t.Context(), h.JID())
		check("View", err)
		for _, err := range w.Rooms(w.t.Context()) {
			check("Rooms", err)
		}
	})
}

// TestNothingToCall: nil is refused with what to do, where it is given.
func TestNothingToCall(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open()
		h := w.coven()
		_, awake := w.Awake(w.t.Context(), h.JID(), nil)
		for name, err := range map[string]error{
			"Do": h.Do(w.t.Context(), nil), "Change": h.Change(w.t.Context(), nil), "Awake": awake,
		} {
			if err == nil || !strings.Contains(err.Error(), "function is nil") {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := muc.New(muc.Options{Domain: "other.test", Router: w, Extensions: []muc.Extension{nil}})
		if err == nil || !strings.Contains(err.Error(), "extension 0 is nil") {
			t.Errorf("no extension: %v", err)
		}
	})
}

// TestRoomsInside: neither does a list of rooms wait in one.
func TestRoomsInside(t *testing.T) {
	run(t, muc.Options{Store: &cabinet{}}, func(w *world) {
		w.open()
		w.inside(func(*muc.Room) error {
			n := 0
			for _, err := range w.Rooms(w.t.Context()) {
				if n++; !errors.Is(err, muc.ErrInRoom) {
					t.Errorf("got %v, want ErrInRoom", err)
				}
			}
			if _, err := w.View(w.t.Context(), jid.MustParse("coven@conf.test")); !errors.Is(err, muc.ErrInRoom) || n != 1 {
				t.Errorf("view: %v, and %d rooms", err, n)
			}
			return nil
		})
	})
}

// TestNothingToSay: what is no message of a room is refused, and names what
// would be one.
func TestNothingToSay(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open()
		h, ctx := w.coven(), w.t.Context()
		hello := parsed(t, say("anna", "x")).Children
		for name, st := range map[string]stanza.Stanza{
			"nothing":  {},
			"empty":    {Kind: stanza.Message, Type: stanza.TypeGroupchat},
			"presence": {Kind: stanza.Presence, Children: hello},
			"request":  {Kind: stanza.IQ, Type: stanza.TypeGet, Children: hello},
		} {
			_, sent := h.Send(ctx, muc.By(jid.MustParse("anna@test/r")), st)
			for _, err := range []error{sent, h.Post(ctx, st)} {
				if stanza.AsError(err) == nil || !strings.Contains(err.Error(), "message") {
					t.Errorf("%s: %v, want an error that asks for a message", name, err)
				}
			}
		}
	})
}

// TestNamesInErrors: what is not there, or there already, is named with what
// helps.
func TestNamesInErrors(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open()
		h, ctx := w.coven(), w.t.Context()
		_, none := w.Room(ctx, jid.MustParse("nowhere@conf.test"))
		_, exists := w.CreateRoom(ctx, h.JID(), nil)
		_, person := w.CreateRoom(ctx, jid.MustParse("attic@conf.test/anna"), nil)
		panicked := h.Do(ctx, func(*muc.Room) error { panic("ouch") })
		for err, parts := range map[error][]string{
			none: {"nowhere@conf.test", "CreateRoom"}, exists: {"coven@conf.test", "Service.Room"},
			person: {"attic@conf.test/anna", "name@conf.test"}, panicked: {"panic: ouch"},
		} {
			for _, p := range parts {
				if !strings.Contains(err.Error(), p) {
					t.Errorf("%v: does not say %q", err, p)
				}
			}
		}
		if strings.HasPrefix(panicked.Error(), "hook") {
			t.Errorf("%v: that was no hook", panicked)
		}
	})
}

// TestTooLate: after the start there is nothing to add to.
func TestTooLate(t *testing.T) {
	var hooks *muc.Hooks
	x := extension(func(h *muc.Hooks) {
		hooks = h
		h.Before.Request("urn:known").Add("x", 0, func(*muc.Arrival) error { return nil })
	})
	name := stanza.Name{Space: "urn:x", Local: "x"}
	run(t, muc.Options{Extensions: []muc.Extension{x}}, func(*world) {
		for what, add := range map[string]func(){
			"a filter":       func() { hooks.BeforeMessage.Add("x", 0, func(*muc.MessageEvent) error { return nil }) },
			"an arrival":     func() { hooks.Before.Groupchat.Add("x", 0, func(*muc.Arrival) error { return nil }) },
			"requests":       func() { hooks.Before.Request("urn:new") },
			"known requests": func() { hooks.Before.Request("urn:known").Add("x", 0, func(*muc.Arrival) error { return nil }) },
			"a field":        func() { muc.NewBoolField(hooks, muc.FieldSpec{Var: "x"}, false) },
			"a slot":         func() { muc.NewSlot[int](hooks) },
			"a request":      func() { hooks.OnRequest("x", stanza.TypeGet, name, func(*muc.RequestEvent) error { return nil }) },
			"a service's request": func() {
				hooks.OnServiceRequest("x", stanza.TypeGet, name, func(*muc.ServiceRequestEvent) error { return nil })
			},
			"a computed field":     func() { muc.AddComputed(hooks, muc.FieldSpec{Var: "y"}, stanza.FieldTextSingle, muc.Computed{}) },
			"somebody's decision":  func() { hooks.DefaultRole.Add("x", 0, func(*muc.RoleQuestion) (muc.Role, bool) { return 0, false }) },
			"somebody who listens": func() { hooks.Joined.Add("x", 0, func(*muc.JoinedEvent) {}) },
		} {
			func() {
				defer func() {
					if v, _ := recover().(string); !strings.Contains(v, "Register") {
						t.Errorf("%s: panic %q does not say where it belongs", what, v)
					}
				}()
				add()
			}()
		}
	})
}

// TestBlockingHandler: who blocks holds up its own room; others go on, and who
// waits for that one from outside is told in time.
func TestBlockingHandler(t *testing.T) {
	var release chan struct{}
	x := extension(func(h *muc.Hooks) {
		h.BeforeMessage.Add("blocks", 0, func(ev *muc.MessageEvent) error {
			if ev.Stanza.Body() == "block" {
				<-release
			}
			return nil
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{x}}, func(w *world) {
		release = make(chan struct{})
		w.open("ben")
		h := w.coven()
		w.send(say("anna", "block"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		if _, err := h.Info(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "coven@conf.test") ||
			!strings.Contains(err.Error(), "ev.Defer") {
			t.Errorf("the room that is held up: %v, want the deadline, the room, and what to do", err)
		}
		w.send(strings.ReplaceAll(enter("chloe"), "coven@", "elsewhere@"))
		w.expect("chloe@test/r", "<status code='201'/>")
		close(release)
		w.expect("ben@test/r", "<body>block</body>")
	})
}
