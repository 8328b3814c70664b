package muc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// TestCollapse: a room that fails while something takes effect closes, and
// everybody has an answer, once: who made it fail, whose message waits for the
// archive, whose stanzas wait behind a check.
func TestCollapse(t *testing.T) {
	s := &troubled{}
	slow := extension(func(h *muc.Hooks) {
		h.BeforeMessage.Add("slow", 0, func(ev *muc.MessageEvent) error {
			if !strings.Contains(ev.Stanza.Body(), "checked") {
				return nil
			}
			return ev.Defer(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		})
	})
	o := persistent(s)
	o.Extensions = append(o.Extensions, slow)
	run(t, o, func(w *world) {
		w.open("ben", "chloe")
		w.send(say("ben", "waits for the archive"))
		w.send(say("chloe", "is being checked"))
		w.send(say("chloe", "waits behind the check"))
		synctest.Wait()
		w.panicsAt = "dora@test/r"
		w.send(strings.Replace(enter("dora"), "<presence ", "<presence id='d1' ", 1))
		w.expect("dora@test/r", "type='error'", "id='d1'", "internal-server-error")
		for name, errs := range map[string]int{"anna": 0, "ben": 1, "chloe": 2} {
			got := strings.Join(w.take(name+"@test/r"), "")
			if n := strings.Count(got, "type='error'"); n != errs {
				w.t.Errorf("%s has %d errors, want %d:\n%s", name, n, errs, got)
			}
			if !strings.Contains(got, "type='unavailable'") || !strings.Contains(got, "<status code='332'/>") {
				w.t.Errorf("%s is not told that he is outside:\n%s", name, got)
			}
			if strings.Contains(got, "waits for the archive<") && !strings.Contains(got, "type='error'") {
				w.t.Errorf("%s hears what was refused:\n%s", name, got)
			}
		}
		s.settle(w.t, errors.New("disk full")) // of what was refused already
		w.expectNothing("ben@test/r")
		w.panicsAt = ""
		w.send(enter("dora"))
		w.expect("dora@test/r", "<status code='110'/>")
	})
}

// TestPanickingSession: a session whose deliveries panic harms nobody else.
func TestPanickingSession(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben", "chloe")
		w.rejects = "ben@test/r"
		w.send(say("anna", "hello"))
		w.expect("chloe@test/r", "hello")
		w.rejects = ""
		w.send(say("anna", "again"))
		w.expect("ben@test/r", "again")
	})
}

// gate is a store whose changes wait for a test.
type gate struct {
	troubled
	pass chan struct{}
}

func (g *gate) ApplyRoomChange(ctx context.Context, room jid.JID, epoch int64, c muc.RoomChange) error {
	<-g.pass
	return g.troubled.ApplyRoomChange(ctx, room, epoch, c)
}

// TestOneWriteAtATime: of subjects that change faster than they can be stored
// the last is stored last, and no settings are committed before it.
func TestOneWriteAtATime(t *testing.T) {
	g := &gate{}
	o := persistent(&g.troubled)
	o.Store = g
	run(t, o, func(w *world) {
		g.pass = make(chan struct{}, 100)
		g.pass <- struct{}{}
		w.open()
		for _, text := range []string{"first", "second", "third"} {
			w.send("<message type='groupchat' from='anna@test/r' to='coven@conf.test'><subject>" + text + "</subject></message>")
			g.settle(w.t, nil)
		}
		w.expect("anna@test/r", "<subject>third</subject>") // though nothing is in the record yet
		w.send("<iq type='set' id='1' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='ben@test'/></query></iq>")
		w.expectNothing("anna@test/r")
		for range 10 {
			g.pass <- struct{}{}
		}
		w.expect("anna@test/r", "type='result'")
		var got []string
		for _, c := range g.changes[1:] {
			switch {
			case c.Subject != nil:
				got = append(got, c.Subject.Text)
			case len(c.Affiliations) > 0:
				got = append(got, "member")
			}
		}
		if text := strings.Join(got, " "); text != "first member third" {
			w.t.Errorf("written were %s, want first member third", text)
		}
	})
}

// TestCheckBesideCommit: a check that answers while settings are committed does
// not let its command into the room before the commit.
func TestCheckBesideCommit(t *testing.T) {
	g := &gate{}
	answer := make(map[string]chan error)
	o := persistent(&g.troubled)
	o.Store = g
	o.Extensions = append(o.Extensions, extension(func(h *muc.Hooks) {
		h.BeforeConfigure.Add("slow", 0, func(ev *muc.ConfigureEvent) error {
			return ev.Defer(func(context.Context) error { return <-answer["config"] })
		})
	}))
	set := func(id, name, value string) string {
		return "<iq type='set' id='" + id + "' from='anna@test/" + id + "' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
			"<field var='" + name + "'><value>" + value + "</value></field></x></query></iq>"
	}
	run(t, o, func(w *world) {
		g.pass = make(chan struct{}, 100)
		answer["config"] = make(chan error, 10)
		answer["config"] <- nil
		g.pass <- struct{}{}
		w.open()
		w.send(set("one", "muc#roomconfig_roomname", "Name"))
		w.send(set("two", "muc#roomconfig_roomdesc", "Description"))
		answer["config"] <- nil
		synctest.Wait()
		answer["config"] <- nil // while the first is being stored
		synctest.Wait()
		for range 10 {
			g.pass <- struct{}{}
		}
		synctest.Wait()
		last := g.changes[len(g.changes)-1].Settings
		if last["muc#roomconfig_roomname"][0] != "Name" || last["muc#roomconfig_roomdesc"][0] != "Description" {
			w.t.Errorf("stored is %v", last)
		}
	})
}

// TestListSetsThePace: who asks for the list of rooms is read no further until
// he has it.
func TestListSetsThePace(t *testing.T) {
	run(t, persistent(&troubled{}), func(w *world) {
		for range 10 {
			busy := w.send("<iq type='get' id='1' from='anna@test/r' to='conf.test'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
			if busy == nil {
				t.Fatal("he may ask on and on")
			}
			<-busy
			w.expect("anna@test/r", "type='result'")
		}
	})
}
