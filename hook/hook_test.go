package hook_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/hook"
)

type event struct{ trail []string }

func mark(name string, err error) func(*event) error {
	return func(ev *event) error {
		ev.trail = append(ev.trail, name)
		return err
	}
}

func TestFilterOrder(t *testing.T) {
	t.Parallel()
	refusal := errors.New("no")
	var h hook.Filter[event]
	h.Add("second", 0, mark("second", nil))
	h.Add("third", 0, mark("third", refusal))
	h.Add("first", 10, mark("first", nil))
	h.Add("never", -1, mark("never", nil))
	var ev event
	err := h.Run(nil, &ev)
	if want := []string{"first", "second", "third"}; !slices.Equal(ev.trail, want) {
		t.Errorf("ran %v, want %v", ev.trail, want)
	}
	if !errors.Is(err, refusal) {
		t.Errorf("got %v, want the refusal", err)
	}
}

func TestPanicIsAnError(t *testing.T) {
	t.Parallel()
	var f hook.Filter[event]
	f.Add("bad", 0, func(*event) error { panic("boom") })
	err := f.Run(nil, &event{})
	p, ok := errors.AsType[*hook.Panic](err)
	if !ok || p.Name != "bad" || p.Value != "boom" || !strings.Contains(string(p.Stack), "hook_test.go") {
		t.Errorf("Filter: got %v, want a *Panic of bad with its stack", err)
	}

	var n hook.Notify[event]
	n.Add("bad", 1, func(*event) { panic("boom") })
	n.Add("good", 0, func(ev *event) { ev.trail = append(ev.trail, "good") })
	var ev event
	if err := n.Run(nil, &ev); err == nil || len(ev.trail) != 1 {
		t.Errorf("Notify: got %v with %v, want a panic and the other function run", err, ev.trail)
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	var d hook.Decide[event, int]
	if got, err := d.Run(nil, &event{}, 7); got != 7 || err != nil {
		t.Errorf("nobody to ask: got %d, %v, want 7", got, err)
	}
	d.Add("silent", 2, func(*event) (int, bool) { return 1, false })
	d.Add("answer", 1, func(*event) (int, bool) { return 2, true })
	d.Add("late", 0, func(*event) (int, bool) { return 3, true })
	if got, err := d.Run(nil, &event{}, 7); got != 2 || err != nil {
		t.Errorf("got %d, %v, want 2", got, err)
	}
}

func TestSealed(t *testing.T) {
	t.Parallel()
	var n hook.Notify[event]
	n.Seal()
	defer func() {
		if v, _ := recover().(string); !strings.Contains(v, "Register") {
			t.Errorf("panic %q does not say where hooks are added", v)
		}
	}()
	n.Add("late", 0, func(*event) {})
}

func TestRunsAllocateNothing(t *testing.T) {
	var f hook.Filter[event]
	var n hook.Notify[event]
	for range 10 {
		f.Add("f", 0, func(*event) error { return nil })
		n.Add("n", 0, func(*event) {})
	}
	var ev event
	allocs := testing.AllocsPerRun(100, func() {
		_ = f.Run(nil, &ev)
		_ = n.Run(nil, &ev)
	})
	if allocs != 0 {
		t.Errorf("ten filters and ten notifications: %v allocations, want 0", allocs)
	}
}

func TestNoFunction(t *testing.T) {
	t.Parallel()
	var f hook.Filter[event]
	var n hook.Notify[event]
	var d hook.Decide[event, int]
	for kind, add := range map[string]func(){
		"Filter": func() { f.Add("nothing", 0, nil) }, "Notify": func() { n.Add("nothing", 0, nil) }, "Decide": func() { d.Add("nothing", 0, nil) },
	} {
		func() {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, "nothing is nil") {
					t.Errorf("%s: panic %q does not say what is nil", kind, v)
				}
			}()
			add()
		}()
	}
}
