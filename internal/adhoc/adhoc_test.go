package adhoc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/adhoc"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

var (
	boss = jid.MustParse("boss@a.test/desk")
	host = jid.MustParse("a.test")
)

// world is a list of two commands, of which anybody has one.
type world struct {
	*adhoc.List

	t    *testing.T
	fail error
	runs int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t}
	run := func(context.Context, *adhoc.Session) (*stanza.Element, error) {
		w.runs++
		return adhoc.Note(adhoc.NoteInfo, "Done."), w.fail
	}
	form := func(context.Context, *adhoc.Session) (*stanza.Form, error) {
		return adhoc.Ask("What?", adhoc.Text("what", "What", true)), nil
	}
	w.List = adhoc.New(adhoc.Options{Title: "Test", Commands: []adhoc.Command{
		{Node: "now", Name: "At once", Allowed: func(jid.JID, jid.JID) bool { return true }, Run: run},
		{Node: "ask", Name: "After a question", Allowed: func(who, _ jid.JID) bool { return who == boss }, Stages: []adhoc.Stage{form}, Early: 1, Run: run},
	}})
	return w
}

// do takes a step and says how it ended: a status, or a condition.
func (w *world) do(who jid.JID, node, session string, x *stanza.Form) (status, id string) {
	w.t.Helper()
	command := stanza.NewElement(adhoc.NS, "command", "node", node)
	if session != "" {
		command.SetAttr("sessionid", session)
	}
	if x != nil {
		command.Add(x.Element())
	}
	iq := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeSet, ID: "1", From: who, To: host}.With(command)
	answer, err := w.Handle(w.t.Context(), &iq)
	if err == nil {
		return answer.Attr("status"), answer.Attr("sessionid")
	}
	se, ok := errors.AsType[*stanza.Error](err)
	if !ok {
		w.t.Fatal(err)
	}
	if se.App != nil {
		return se.App.Name.Local, ""
	}
	return string(se.Condition), ""
}

func submit() *stanza.Form {
	f := stanza.NewForm(stanza.FormSubmit, "ask")
	f.Add(stanza.Field{Var: "what", Values: []string{"x"}})
	return f
}

func (w *world) expect(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		fail error
		want string
		over bool
	}{
		{"none", nil, "completed", true},
		{"to be corrected", &adhoc.Error{Text: "No."}, "bad-payload", false},
		{"for good", &adhoc.Error{Text: "Never.", Final: true}, "completed", true},
		{"of the server", errors.New("the disk is gone"), "completed", true},
	} {
		w := newWorld(t)
		w.fail = tt.fail
		_, id := w.do(boss, "ask", "", nil)
		got, _ := w.do(boss, "ask", id, submit())
		w.expect(tt.name, got, tt.want)
		w.fail = nil
		got, _ = w.do(boss, "ask", id, submit())
		w.expect(tt.name+", then", got, map[bool]string{true: "session-expired", false: "completed"}[tt.over])
	}
}

// TestOthers: who may not use a command does not learn that there is one.
func TestOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	romeo := jid.MustParse("romeo@a.test/x")
	for _, node := range []string{"ask", "none"} {
		got, _ := w.do(romeo, node, "", nil)
		w.expect(node, got, string(stanza.ItemNotFound))
		if w.Describe(romeo, host, node, false) != nil {
			t.Errorf("%s is described to him", node)
		}
	}
	got, _ := w.do(romeo, "now", "", nil)
	w.expect("his own", got, "completed")
	_, id := w.do(boss, "ask", "", nil)
	got, _ = w.do(jid.MustParse("boss@a.test/phone"), "now", id, nil)
	w.expect("another client's session", got, "bad-sessionid")
}

// TestBounds: executions end by themselves, and one person has no more than some.
func TestBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, first := w.do(boss, "ask", "", nil)
		for i := range 20 {
			time.Sleep(time.Second)
			got, _ := w.do(boss, "ask", "", nil)
			w.expect(fmt.Sprintf("session %d", i), got, "executing")
		}
		got, _ := w.do(boss, "ask", first, submit())
		w.expect("the oldest", got, "session-expired")
		_, last := w.do(boss, "ask", "", nil)
		time.Sleep(11 * time.Minute)
		got, _ = w.do(boss, "ask", last, submit())
		w.expect("after 11 minutes", got, "session-expired")
		if w.runs != 0 {
			t.Errorf("run %d times", w.runs)
		}
	})
}
