package muc_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// TestNoDeferWithinAnotherEvent: an event that is part of another one cannot
// wait, says so, and does not spin.
func TestNoDeferWithinAnotherEvent(t *testing.T) {
	calls := 0
	bad := extension(func(h *muc.Hooks) {
		h.BeforeSetAffiliation.Add("slow", 0, func(ev *muc.AffiliationEvent) error {
			calls++
			return ev.Defer(func(context.Context) error { return nil })
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{bad}}, func(w *world) {
		w.open()
		w.send("<iq type='set' id='1' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='ben@test'/></query></iq>")
		w.expect("anna@test/r", "internal-server-error")
		if calls != 1 {
			t.Errorf("the hook ran %d times", calls)
		}
	})
}

// TestPresenceWaitsBehindDeferredMessage: only a join or a leave ends what a
// sender has under way.
func TestPresenceWaitsBehindDeferredMessage(t *testing.T) {
	var release chan error
	slow := extension(func(h *muc.Hooks) {
		h.BeforeMessage.Add("slow", 0, func(ev *muc.MessageEvent) error {
			return ev.Defer(func(context.Context) error { return <-release })
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{slow}}, func(w *world) {
		release = make(chan error)
		w.open("ben")
		w.send(say("anna", "patience"))
		w.send("<presence from='anna@test/r' to='coven@conf.test/anna'><show>away</show></presence>")
		w.expectNothing("ben@test/r")
		release <- nil
		got := strings.Join(w.take("ben@test/r"), "")
		if m, p := strings.Index(got, "patience"), strings.Index(got, "<show>"); m < 0 || p < m {
			t.Errorf("ben has %s", got)
		}
	})
}

// TestFailedCreationLeavesNothing: a room that code could not store is not
// there.
func TestFailedCreationLeavesNothing(t *testing.T) {
	s := &troubled{}
	run(t, persistent(s), func(w *world) {
		room := jid.MustParse("lobby@conf.test")
		s.err = errors.New("disk full")
		if _, err := w.CreateRoom(w.t.Context(), room, nil); err == nil {
			t.Error("created without a store")
		}
		s.err = nil
		if _, err := w.CreateRoom(w.t.Context(), room, func(*muc.Room) error { panic("boom") }); err == nil {
			t.Error("created in spite of a panic")
		}
		if _, err := w.CreateRoom(w.t.Context(), room, nil); err != nil {
			t.Errorf("at last: %v", err)
		}
	})
}

// TestLockedRoomIsNotSeen: until its owner has configured it, a room is
// nobody's business (XEP-0045 §10.1).
func TestLockedRoomIsNotSeen(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.send(enter("anna"))
		w.send("<iq type='get' id='1' from='eve@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
		w.expect("eve@test/r", "item-not-found")
		items := "<iq type='get' id='2' from='eve@test/r' to='conf.test'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
		w.send(items)
		if got := strings.Join(w.take("eve@test/r"), ""); strings.Contains(got, "coven") {
			t.Errorf("listed: %s", got)
		}
		w.send(accept)
		w.take("anna@test/r")
		w.send(items)
		w.expect("eve@test/r", "jid='coven@conf.test'")
	})
}

// TestListsOfPeopleOnly: who may read the lists of a room does not learn who its
// other occupants are.
func TestListsOfPeopleOnly(t *testing.T) {
	run(t, muc.Options{Defaults: map[string][]string{"muc#roomconfig_getmemberlist": {"participant"}}}, func(w *world) {
		w.open("ben", "chloe")
		ask := func(a string) {
			w.send("<iq type='get' id='l' from='ben@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='" + a + "'/></query></iq>")
		}
		ask("none")
		w.expect("ben@test/r", "<forbidden")
		ask("owner")
		w.expect("ben@test/r", "type='result'")
		ask("member")
		w.expect("ben@test/r", "type='result'")
	})
}
