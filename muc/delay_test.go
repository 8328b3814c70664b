package muc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// later lets messages and presence wait a minute that say so.
var later = extension(func(h *muc.Hooks) { //nolint:gochecknoglobals // a test's own
	wait := func(ev *muc.Event, st *stanza.Stanza) error {
		said := st.ChildText(stanza.NSClient, "body") + st.ChildText(stanza.NSClient, "status")
		if progress := ev.Progress(); *progress == 0 && strings.HasPrefix(said, "later") {
			*progress = 1
			return ev.Delay(ev.Time().Add(time.Minute))
		}
		return nil
	}
	h.BeforeMessage.Add("later", 0, func(ev *muc.MessageEvent) error { return wait(&ev.Event, ev.Stanza) })
	h.Before.Presence.Add("later", 0, func(ev *muc.Arrival) error { return wait(&ev.Event, ev.Stanza) })
})

func update(name, status string) string {
	return "<presence from='" + name + "@test/r' to='coven@conf.test/" + name + "'><status>" + status + "</status></presence>"
}

// order reports in which order somebody got what contains the words.
func (w *world) order(addr string, words ...string) string {
	all, got := strings.Join(w.take(addr), "\n"), ""
	for at := 0; at < len(all); at++ {
		for _, word := range words {
			if strings.HasPrefix(all[at:], word) {
				got += word + " "
			}
		}
	}
	return strings.TrimSpace(got)
}

// TestDelayOrder: what was to wait until a moment comes before what is sent at
// that moment, and in the order of being sent.
func TestDelayOrder(t *testing.T) {
	run(t, muc.Options{Extensions: []muc.Extension{later}}, func(w *world) {
		w.open("ben", "chloe")
		w.send(say("ben", "later-1"))
		w.send(say("anna", "later-2"))
		w.take("chloe@test/r")
		time.Sleep(time.Minute)
		w.send(say("chloe", "fresh"))
		if got, want := w.order("chloe@test/r", "later-1", "later-2", "fresh"), "later-1 later-2 fresh"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestDelayReceipts: a stanza that waits counts as handled when it is said,
// answered, or replaced by a newer one (XEP-0198 §4).
func TestDelayReceipts(t *testing.T) {
	run(t, muc.Options{Extensions: []muc.Extension{later}}, func(w *world) {
		w.open()
		h := &handled{seqs: make(map[uint32]int)}
		want := func(what string, counts ...int) {
			t.Helper()
			for i, n := range counts {
				if got := h.count(uint32(i + 1)); got != n {
					t.Errorf("%s: stanza %d handled %d times, want %d", what, i+1, got, n)
				}
			}
		}
		w.follow(h, 1, say("anna", "later"))
		w.follow(h, 2, say("anna", "later"))
		w.follow(h, 3, update("anna", "later"))
		want("while they wait", 0, 1, 0)
		w.follow(h, 4, update("anna", "later still"))
		want("when newer presence comes", 0, 1, 1, 0)
		time.Sleep(time.Minute)
		want("a minute later", 1, 1, 1, 1)
		w.follow(h, 5, say("anna", "later"))
		w.follow(h, 6, update("anna", "later"))
		w.follow(h, 7, "<presence type='unavailable' from='anna@test/r' to='coven@conf.test/anna'/>")
		want("after a leave", 1, 1, 1, 1, 1, 1, 1)
	})
}

// TestDelayedAndPutOut: what waits of somebody who is put out is answered, and
// not said when he is back.
func TestDelayedAndPutOut(t *testing.T) {
	run(t, muc.Options{Extensions: []muc.Extension{later}}, func(w *world) {
		w.open("ben")
		w.send(say("ben", "later"))
		w.send("<iq type='set' id='k' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='ben' role='none'/></query></iq>")
		w.expect("ben@test/r", "<not-acceptable", "code='307'")
		w.send(enter("ben"))
		w.take("ben@test/r")
		w.take("anna@test/r")
		time.Sleep(time.Hour)
		w.expectNothing("anna@test/r")
		w.expectNothing("ben@test/r")
	})
}

// TestDelayedAndShutDown: a service that ends waits for nobody's time.
func TestDelayedAndShutDown(t *testing.T) {
	run(t, muc.Options{Extensions: []muc.Extension{later}}, func(w *world) {
		w.open("ben")
		w.send(say("ben", "later"))
		w.take("ben@test/r")
		start := time.Now()
		if err := w.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("the shutdown took %v", took)
		}
		w.expect("ben@test/r", "<service-unavailable", "shutting down", "code='332'")
		w.take("anna@test/r")
		time.Sleep(time.Hour)
		w.expectNothing("anna@test/r")
	})
}

// TestDelayedEntry: messages of somebody whose entry waits wait behind it, also
// when the room has ended meanwhile and begins anew with him.
func TestDelayedEntry(t *testing.T) {
	run(t, muc.Options{Extensions: []muc.Extension{later}}, func(w *world) {
		w.open()
		w.send(strings.Replace(enter("ben"), "</presence>", "<status>later</status></presence>", 1))
		w.send(say("ben", "hello"))
		w.expectNothing("ben@test/r")
		w.send("<presence type='unavailable' from='anna@test/r' to='coven@conf.test/anna'/>")
		w.take("anna@test/r")
		time.Sleep(time.Minute)
		w.expect("ben@test/r", "<status code='201'/>", "<item-not-found") // he has to configure his room first
	})
}

// TestDelayedEntryAndUpdate: presence that takes the place of an entry enters.
func TestDelayedEntryAndUpdate(t *testing.T) {
	run(t, muc.Options{Extensions: []muc.Extension{later}}, func(w *world) {
		w.open()
		w.send(strings.Replace(enter("ben"), "</presence>", "<status>later</status></presence>", 1))
		w.send("<presence from='ben@test/r' to='coven@conf.test'><status>later, away</status></presence>")
		w.expectNothing("ben@test/r")
		time.Sleep(time.Minute)
		w.expect("ben@test/r", "<status code='110'/>", "later, away")
		w.expect("anna@test/r", "from='coven@conf.test/ben'", "later, away")
	})
}
