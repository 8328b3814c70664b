package muc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// asking is a feature that answers requests as a test tells it to.
func asking(find func(context.Context, string) (muc.Answer, error)) muc.Extension {
	return extension(func(h *muc.Hooks) {
		h.OnRequest("now", stanza.TypeGet, stanza.Name{Space: "urn:example", Local: "now"}, func(ev *muc.RequestEvent) error {
			ev.Answer(stanza.NewElement("urn:example", "now", "inside", fmt.Sprint(ev.Session != nil)))
			return nil
		})
		h.OnRequest("later", stanza.TypeGet, stanza.Name{Space: "urn:example", Local: "later"}, func(ev *muc.RequestEvent) error {
			id := ev.Stanza.ID
			ev.AnswerLater(func(ctx context.Context) (muc.Answer, error) { return find(ctx, id) })
			return nil
		})
	})
}

func ask(from, id, name string) string {
	return fmt.Sprintf("<iq type='get' from='%s@test/r' to='coven@conf.test' id='%s'><%s xmlns='urn:example'/></iq>", from, id, name)
}

// TestAnswersFromElsewhere: whoever waits for an answer is the only one who
// waits, and gets his answers in the order of his questions.
func TestAnswersFromElsewhere(t *testing.T) {
	var gate chan struct{}
	find := func(_ context.Context, id string) (muc.Answer, error) {
		<-gate
		switch id {
		case "broken":
			return muc.Answer{}, errors.New("disk on fire")
		case "wild":
			panic("no")
		}
		return muc.Answer{Messages: []stanza.Stanza{{Kind: stanza.Message, ID: "m" + id}}}, nil
	}
	run(t, muc.Options{Extensions: []muc.Extension{asking(find)}}, func(w *world) {
		gate = make(chan struct{})
		w.open("ben")
		for _, id := range []string{"1", "broken", "wild", "2"} {
			w.send(ask("ben", id, "later"))
		}
		w.send(ask("eve", "e", "later"))
		w.send(ask("ben", "n", "now"))
		w.send(say("ben", "hello"))
		w.expect("ben@test/r", "id='n'", "inside='true'", "hello")
		w.send("<presence type='unavailable' from='ben@test/r' to='coven@conf.test/ben'/>")
		w.take("ben@test/r")
		close(gate)
		var got []string
		for _, st := range w.take("ben@test/r") {
			parsed := parseStanza(t, st)
			got = append(got, string(parsed.Type)+" "+parsed.ID)
		}
		if want := []string{" m1", "result 1", "error broken", "error wild", " m2", "result 2"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		w.expect("eve@test/r", "id='me'", "type='result' id='e'")
	})
}

// TestSlowQuestions: those that may take long hold up only each other, and end
// when their time is over.
func TestSlowQuestions(t *testing.T) {
	slow := extension(func(h *muc.Hooks) {
		h.OnRequest("slow", stanza.TypeSet, stanza.Name{Space: "urn:example", Local: "slow"}, func(ev *muc.RequestEvent) error {
			ev.AnswerSlowly(func(ctx context.Context) (muc.Answer, error) {
				<-ctx.Done()
				return muc.Answer{}, fmt.Errorf("look: %w", ctx.Err())
			})
			return nil
		})
	})
	quick := asking(func(context.Context, string) (muc.Answer, error) { return muc.Answer{}, nil })
	run(t, muc.Options{Extensions: []muc.Extension{slow, quick}}, func(w *world) {
		w.open()
		for i := range 5 {
			w.send(fmt.Sprintf("<iq type='set' from='slow%d@test/r' to='coven@conf.test' id='s'><slow xmlns='urn:example'/></iq>", i))
		}
		w.send(ask("eve", "q", "later"))
		w.expect("eve@test/r", "type='result' id='q'")
		for i := range 5 {
			who := fmt.Sprintf("slow%d@test/r", i)
			w.expectNothing(who)
		}
		time.Sleep(time.Minute)
		for i := range 5 {
			w.expect(fmt.Sprintf("slow%d@test/r", i), "type='error' id='s'", "resource-constraint")
		}
	})
}

// TestTooManyQuestions: somebody who asks faster than there are answers is
// refused, and a room that ends tells those who wait.
func TestTooManyQuestions(t *testing.T) {
	var gate chan struct{}
	find := func(context.Context, string) (muc.Answer, error) {
		<-gate
		return muc.Answer{}, nil
	}
	run(t, muc.Options{Extensions: []muc.Extension{asking(find)}}, func(w *world) {
		gate = make(chan struct{})
		w.open("ben")
		for i := range 11 {
			w.send(ask("eve", fmt.Sprint(i), "later"))
		}
		w.expect("eve@test/r", "type='error' id='10'", "resource-constraint")
		w.send("<iq type='set' id='d' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>")
		w.expect("anna@test/r", "id='d'")
		close(gate)
		w.expect("eve@test/r", "type='error' id='0'", "type='error' id='9'", "item-not-found")
		w.send(ask("eve", "late", "later"))
		w.expect("eve@test/r", "type='error' id='late'", "item-not-found")
	})
}
