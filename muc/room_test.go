package muc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a room service and everybody who talks to it.
type world struct {
	*muc.Service
	t *testing.T

	mu sync.Mutex
	// Guarded by mu.
	got      map[jid.JID][]string
	panicsAt string // who makes the room panic when he enters
	rejects  string // whose deliveries panic
}

func (w *world) Target(full jid.JID) stanza.Target {
	w.mu.Lock()
	defer w.mu.Unlock()
	if full.String() == w.panicsAt {
		panic("no target")
	}
	return inbox{w, full}
}

func (w *world) Send(st stanza.Stanza) { inbox{w, st.To}.Deliver([]*stanza.Encoded{stanza.Encode(st)}) }

type inbox struct {
	w    *world
	addr jid.JID
}

func (b inbox) Deliver(batch []*stanza.Encoded) {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if b.addr.String() == b.w.rejects {
		panic("no delivery")
	}
	for _, e := range batch {
		b.w.got[b.addr] = append(b.w.got[b.addr], string(e.AppendTo(nil, b.addr.String())))
	}
}

// extension is an extension made of one function.
type extension func(h *muc.Hooks)

func (e extension) Register(h *muc.Hooks) { e(h) }

// run runs a test with a room service in virtual time.
func run(t *testing.T, o muc.Options, test func(w *world)) {
	t.Helper()
	runWith(t, o, roomfeatures.Options{HistorySize: 20}, test)
}

// runWith is run with other settings of features.
func runWith(t *testing.T, o muc.Options, features roomfeatures.Options, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, got: make(map[jid.JID][]string)}
		o.Domain, o.Router = "conf.test", w
		o.Extensions = append(roomfeatures.All(features), o.Extensions...)
		s, err := muc.New(o)
		if err != nil {
			t.Fatal(err)
		}
		w.Service = s
		test(w)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) send(xml string) <-chan struct{} {
	w.t.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		w.t.Fatalf("%s: %v", xml, err)
	}
	return w.Handle(st)
}

// take returns what somebody has received since the last call.
func (w *world) take(addr string) []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	j := jid.MustParse(addr)
	got := w.got[j]
	delete(w.got, j)
	return got
}

func (w *world) expect(addr string, parts ...string) {
	w.t.Helper()
	all := strings.Join(w.take(addr), "\n")
	for _, p := range parts {
		if !strings.Contains(all, p) {
			w.t.Errorf("%s did not get %q but\n%s", addr, p, all)
		}
	}
}

func (w *world) expectNothing(addr string) {
	w.t.Helper()
	if got := w.take(addr); len(got) > 0 {
		w.t.Errorf("%s got\n%s", addr, strings.Join(got, "\n"))
	}
}

func enter(name string) string {
	return fmt.Sprintf("<presence from='%[1]s@test/r' to='coven@conf.test/%[1]s'><x xmlns='http://jabber.org/protocol/muc'/></presence>", name)
}

func say(name, text string) string {
	return fmt.Sprintf("<message type='groupchat' from='%s@test/r' to='coven@conf.test'><body>%s</body></message>", name, text)
}

const accept = "<iq type='set' id='cfg' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>"

// open makes anna's room, with more people in it.
func (w *world) open(more ...string) {
	w.t.Helper()
	w.send(enter("anna"))
	w.send(accept)
	w.expect("anna@test/r", "<status code='201'/>", "id='cfg'")
	for _, name := range more {
		w.send(enter(name))
		w.expect(name+"@test/r", "<status code='110'/>", "<subject/>")
	}
	for _, name := range append([]string{"anna"}, more...) {
		w.take(name + "@test/r")
	}
}

// TestVetoedFirstJoin: a refused creation leaves no trace of the room.
func TestVetoedFirstJoin(t *testing.T) {
	refuse := true
	veto := extension(func(h *muc.Hooks) {
		h.BeforeJoin.Add("veto", 0, func(*muc.JoinEvent) error {
			if refuse {
				return stanza.NewError(stanza.Cancel, stanza.NotAllowed, "")
			}
			return nil
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{veto}}, func(w *world) {
		w.send(enter("anna"))
		w.expect("anna@test/r", "not-allowed")
		refuse = false
		w.send(enter("ben"))
		w.expect("ben@test/r", "<status code='201'/>", "affiliation='owner'")
	})
}

// TestLoneNickChange: the only occupant of a temporary room may change his
// nickname (XEP-0045 §7.6) without ending it.
func TestLoneNickChange(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open()
		w.send("<presence from='anna@test/r' to='coven@conf.test/Hecate'/>")
		w.expect("anna@test/r", "<status code='303'/>", "nick='Hecate'", "from='coven@conf.test/Hecate'")
		w.send(say("anna", "still here"))
		w.expect("anna@test/r", "from='coven@conf.test/Hecate'", "still here")
	})
}

// TestTemporaryRoomEndsByKick: a room that a kick leaves empty ends like one
// that is left.
func TestTemporaryRoomEndsByKick(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben")
		w.send("<presence type='unavailable' from='anna@test/r' to='coven@conf.test/anna'/>")
		h, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test"))
		if err != nil {
			t.Fatal(err)
		}
		err = h.Do(w.t.Context(), func(r *muc.Room) error { return r.SetRole(muc.System, r.Occupant("ben"), muc.RoleNone, "") })
		if err != nil {
			t.Fatal(err)
		}
		w.expect("ben@test/r", "<status code='307'/>", "<status code='110'/>")
		if _, err := w.Room(w.t.Context(), jid.MustParse("coven@conf.test")); !errors.Is(err, muc.ErrNoRoom) {
			t.Errorf("the empty room is still there: %v", err)
		}
	})
}

// TestMembersOnlyTellsEverybody: all see who is put out by status 322.
func TestMembersOnlyTellsEverybody(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben", "chloe")
		w.send("<iq type='set' id='1' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='chloe@test'/></query></iq>")
		w.take("chloe@test/r")
		w.take("anna@test/r")
		w.send("<iq type='set' id='2' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
			"<field var='muc#roomconfig_membersonly'><value>1</value></field></x></query></iq>")
		w.expect("ben@test/r", "<status code='322'/>", "<status code='110'/>")
		w.expect("chloe@test/r", "<status code='322'/>", "from='coven@conf.test/ben'", "<status code='104'/>")
	})
}

// TestAffiliationsAreAtomic: one bad item of several changes nothing, and is
// named.
func TestAffiliationsAreAtomic(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben")
		w.send("<iq type='set' id='1' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'>" +
			"<item affiliation='outcast' jid='ben@test'/><item affiliation='boss' jid='x@test'/></query></iq>")
		w.expect("anna@test/r", "bad-request", "Item 2")
		w.expectNothing("ben@test/r")
		w.send("<iq type='set' id='2' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='none' jid='anna@test'/></query></iq>")
		w.expect("anna@test/r", "<conflict") // the last owner
	})
}

// TestPanicInHook costs the stanza and nothing else.
func TestPanicInHook(t *testing.T) {
	bad := extension(func(h *muc.Hooks) {
		h.BeforeMessage.Add("bad", 0, func(ev *muc.MessageEvent) error {
			if ev.Stanza.Body() == "boom" {
				panic("boom")
			}
			return nil
		})
		h.Joined.Add("worse", 0, func(*muc.JoinedEvent) { panic("boom") })
	})
	run(t, muc.Options{Extensions: []muc.Extension{bad}}, func(w *world) {
		w.open("ben")
		w.send(say("anna", "boom"))
		w.expect("anna@test/r", "internal-server-error")
		w.expectNothing("ben@test/r")
		w.send(say("anna", "fine"))
		w.expect("ben@test/r", "fine")
	})
}

// TestDefer: a check that blocks holds its sender's stanzas in order, and
// nobody else's; all checks run again when it is done.
func TestDefer(t *testing.T) {
	var release chan error // made inside the bubble
	var asked int
	slow := extension(func(h *muc.Hooks) {
		h.BeforeJoin.Add("slow", 0, func(ev *muc.JoinEvent) error {
			if ev.Nick != "ben" {
				return nil
			}
			return ev.Defer(func(ctx context.Context) error {
				asked++
				select {
				case err := <-release:
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{slow}, DeferTimeout: time.Minute}, func(w *world) {
		release = make(chan error)
		w.open("chloe")
		w.send(enter("ben"))
		w.send(say("ben", "first words"))
		w.send(say("chloe", "meanwhile"))
		w.expect("anna@test/r", "meanwhile")
		w.expectNothing("ben@test/r")
		release <- nil
		w.expect("ben@test/r", "<status code='110'/>", "first words")
		w.send("<presence type='unavailable' from='ben@test/r' to='coven@conf.test/ben'/>")
		w.take("ben@test/r")

		w.send(enter("ben")) // banned while the check runs
		synctest.Wait()
		w.send("<iq type='set' id='b' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast' jid='ben@test'/></query></iq>")
		synctest.Wait()
		release <- nil
		w.expect("ben@test/r", "<forbidden")
		w.send("<iq type='set' id='b' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='none' jid='ben@test'/></query></iq>")
		synctest.Wait()

		w.send(enter("ben")) // nobody answers
		time.Sleep(2 * time.Minute)
		w.expect("ben@test/r", "remote-server-timeout")
		w.send(enter("ben")) // he changes his mind
		synctest.Wait()
		w.send("<presence type='unavailable' from='ben@test/r' to='coven@conf.test/ben'/>")
		w.expectNothing("ben@test/r")
		if asked != 4 {
			t.Errorf("the check ran %d times, want 4", asked)
		}
	})
}

// TestBusyRoom: a room that is given more than it can take parks what is too
// much, asks the sender to wait, and loses nothing.
func TestBusyRoom(t *testing.T) {
	var gate chan struct{} // made inside the bubble
	var once sync.Once
	slow := extension(func(h *muc.Hooks) {
		h.BeforeMessage.Add("gate", 0, func(*muc.MessageEvent) error {
			once.Do(func() { <-gate })
			return nil
		})
	})
	run(t, muc.Options{Extensions: []muc.Extension{slow}}, func(w *world) {
		gate = make(chan struct{})
		w.open("ben")
		var busy <-chan struct{}
		sent := 0
		for busy == nil && sent < 2000 {
			busy = w.send(say("anna", fmt.Sprintf("m%d", sent)))
			sent++
		}
		if busy == nil {
			t.Fatal("nobody was asked to wait")
		}
		if w.send(say("ben", "me too")) != nil {
			t.Error("ben was asked to wait for what anna has sent")
		}
		w.HandleShared(parseStanza(t, say("x", "no")))
		close(gate)
		<-busy
		got := w.take("ben@test/r")
		next := 0
		for _, st := range got {
			if strings.Contains(st, fmt.Sprintf("<body>m%d<", next)) {
				next++
			}
		}
		if next != sent || !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "me too") }) {
			t.Errorf("%d of %d messages came in order", next, sent)
		}
		w.expect("x@test/r", "resource-constraint")
	})
}

func parseStanza(t *testing.T, xml string) stanza.Stanza {
	t.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestShutdown tells everybody (XEP-0045 §11.2, status 332).
func TestShutdown(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben")
		if err := w.Shutdown(w.t.Context()); err != nil {
			t.Error(err)
		}
		w.expect("ben@test/r", "<status code='332'/>", "<status code='110'/>", "type='unavailable'")
	})
}

// TestSpoofing: what only a room may say is taken out of what clients say.
func TestSpoofing(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben")
		w.send("<message type='groupchat' from='anna@test/r' to='coven@conf.test'><body>hi</body><x xmlns='http://jabber.org/protocol/muc#user'><status code='301'/></x>" +
			"<stanza-id xmlns='urn:xmpp:sid:0' by='coven@conf.test' id='fake'/><delay xmlns='urn:xmpp:delay' from='coven@conf.test' stamp='2000-01-01T00:00:00Z'/><keep xmlns='u'/></message>")
		got := strings.Join(w.take("ben@test/r"), "")
		if strings.Contains(got, "301") || strings.Contains(got, "fake") || strings.Contains(got, "delay") || !strings.Contains(got, "<keep xmlns='u'/>") {
			t.Errorf("passed on: %s", got)
		}
	})
}

// TestNicknames: nicknames that look alike are one, blank ones none (RFC 8266).
func TestNicknames(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open()
		w.send("<presence from='eve@test/r' to='coven@conf.test/ANNA'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
		w.expect("eve@test/r", "<conflict")
		w.send("<presence from='eve@test/r' to='coven@conf.test/\u3000'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
		w.expect("eve@test/r", "jid-malformed")
		w.send("<presence from='eve@test/r' to='coven@conf.test'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
		w.expect("eve@test/r", "jid-malformed") // §7.2.1
	})
}
