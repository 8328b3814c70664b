package c2s

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

const (
	ack     = "<r xmlns='urn:xmpp:sm:3'/>"
	enabled = "<enabled xmlns='urn:xmpp:sm:3'"
)

func message(id string) *stanza.Encoded {
	st := stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeChat, ID: id, From: jid.MustParse("juliet@a.test/z"), To: jid.MustParse("romeo@a.test/x")}
	return stanza.EncodeAddressed(st.With(stanza.NewElement(stanza.NSClient, "body").AddText(id)))
}

func deliver(s router.Session, ids ...string) {
	for _, id := range ids {
		s.Deliver([]*stanza.Encoded{message(id)})
	}
}

// manage binds a session with stream management and returns its id.
func (w *world) manage(name, resource string) (*peer, string) {
	w.t.Helper()
	p := w.join(name, resource)
	got := p.ask("<enable xmlns='urn:xmpp:sm:3' resume='true'/>", enabled)
	return p, regexp.MustCompile(`id='([^']+)'`).FindStringSubmatch(got)[1]
}

// resume logs in and resumes a session.
func (w *world) resume(name, id string, h int, want ...string) *peer {
	w.t.Helper()
	p := w.dial()
	p.login(name)
	p.ask(fmt.Sprintf("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>", id, h), want...)
	return p
}

// drop cuts the connection as a lost network does.
func (p *peer) drop() {
	_ = p.conn.Close()
	synctest.Wait()
}

// TestAcks: both sides count and answer (XEP-0198 §3, §4).
func TestAcks(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.join("romeo", "x")
		p.ask("<message id='before'/><enable xmlns='urn:xmpp:sm:3'/>", enabled+"/>")
		p.ask(ack, "<a xmlns='urn:xmpp:sm:3' h='0'/>")
		p.ask("<message/><presence/><iq type='get' id='1' to='a.test'><x xmlns='u'/></iq>"+ack, "<a xmlns='urn:xmpp:sm:3' h='3'/>")
		p.ask("<message to='@'/>"+ack, "jid-malformed", "h='4'/>") // answered is handled
		p.ask("<enable xmlns='urn:xmpp:sm:3'/>", "<failed xmlns='urn:xmpp:sm:3'><unexpected-request")
		p.ask("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>", "<failed xmlns='urn:xmpp:sm:3'><unexpected-request")

		s := w.session("romeo@a.test/x")
		p.ask("<a xmlns='urn:xmpp:sm:3' h='1'/>") // of the error
		deliver(s, "1", "2")
		if got := p.want("id='1'", ack, "id='2'"); strings.Count(got, ack) != 1 {
			t.Errorf("asked more than once: %q", got)
		}
		p.ask("<a xmlns='urn:xmpp:sm:3' h='2'/>", ack) // not all yet
		p.ask("<a xmlns='urn:xmpp:sm:3' h='3'/>")
		p.wantNothing()
		p.ask("<a xmlns='urn:xmpp:sm:3' h='9'/>", "<undefined-condition", "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='9' send-count='3'/>")
		p.wantClosed()
	})
}

// TestAckMisuse: what makes no sense is answered (XEP-0198 §6).
func TestAckMisuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, send, want string }{
		{"request without management", ack, "<failed xmlns='urn:xmpp:sm:3'><unexpected-request"},
		{"answer without management", "<a xmlns='urn:xmpp:sm:3' h='0'/>", "<failed xmlns='urn:xmpp:sm:3'><unexpected-request"},
		{"answer without h", "<enable xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3'/>", "<bad-format"},
		{"negative h", "<enable xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='-1'/>", "<bad-format"},
		{"unknown element", "<q xmlns='urn:xmpp:sm:3'/>", "<unsupported-stanza-type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) { w.join("romeo", "x").ask(c.send, c.want) })
		})
	}
}

// TestHandledLate: h counts a stanza when the room is done with it; an <r/> is
// answered then, or after a second with what there is (XEP-0198 §4).
func TestHandledLate(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		var open []*stanza.Receipt
		w.route = func(st stanza.Stanza) <-chan struct{} {
			if st.ID != "fast" {
				st.Receipt.Hold()
				open = append(open, st.Receipt)
			}
			return nil
		}
		p, _ := w.manage("romeo", "x")
		p.ask("<message id='1'/><message id='fast'/>" + ack)
		p.wantNothing()
		open[0].Release()
		p.want("h='2'/>")
		p.ask("<message id='2'/><message id='3'/>" + ack)
		time.Sleep(answerTime)
		p.want("h='2'/>")
		open[2].Release()
		p.wantNothing()
		open[1].Release()
		p.want("h='4'/>")
		p.ask(ack, "h='4'/>")
	})
}

// TestResume: a session that lost its connection goes on where it was
// (XEP-0198 §5).
func TestResume(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p, id := w.manage("romeo", "x")
		s := w.session("romeo@a.test/x")
		p.ask("<message id='1'/>")
		deliver(s, "a", "b")
		p.drop()
		w.told()
		deliver(s, "c")
		w.wantTold() // it is still bound
		if got := w.metric("sessions_detached", ""); got != 1 {
			t.Errorf("%v sessions are detached", got)
		}
		q := w.dial()
		q.login("romeo")
		got := q.ask("<resume xmlns='urn:xmpp:sm:3' previd='"+id+"' h='1'/>", "<resumed xmlns='urn:xmpp:sm:3' previd='"+id+"' h='1'/>", "id='b'", "id='c'", ack)
		if strings.Contains(got, "id='a'") || strings.Index(got, "id='b'") > strings.Index(got, "id='c'") || strings.Index(got, "<resumed") > strings.Index(got, "id='b'") {
			t.Errorf("resumed with %q", got)
		}
		w.wantTold()
		q.ask("<message id='2'/>"+ack, "h='2'/>")
		w.wantTold("route <message id='2' from='romeo@a.test/x' to='romeo@a.test'/>")
		q.ask("<a xmlns='urn:xmpp:sm:3' h='3'/>")
		q.ask("</stream:stream>")
		w.wantTold("unbind romeo@a.test/x", "ended romeo@a.test/x") // nothing was left to redeliver
		if w.metric("sessions_detached", "") != 0 || w.metric("resumptions_total", resumeDone) != 1 {
			t.Error("the metrics are wrong")
		}
	})
}

// TestResumeTakesOver: the former connection may not know yet that it is dead.
func TestResumeTakesOver(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p, id := w.manage("romeo", "x")
		w.told()
		q := w.resume("romeo", id, 0, "<resumed")
		p.wantError("conflict")
		w.wantTold()
		deliver(w.session("romeo@a.test/x"), "1")
		q.want("id='1'")
	})
}

// TestResumeWaits: what the former connection has brought is counted before the
// client is told what to send again.
func TestResumeWaits(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		var open []*stanza.Receipt
		w.route = func(st stanza.Stanza) <-chan struct{} {
			st.Receipt.Hold()
			open = append(open, st.Receipt)
			return nil
		}
		p, id := w.manage("romeo", "x")
		p.ask("<message/>")
		p.drop()
		q := w.resume("romeo", id, 0)
		q.wantNothing()
		open[0].Release()
		q.want("<resumed xmlns='urn:xmpp:sm:3' previd='" + id + "' h='1'/>")
	})
}

// TestNoResume: who cannot resume may bind (XEP-0198 §5).
func TestNoResume(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p, id := w.manage("romeo", "x")
		p.ask("<message id='1'/>")
		deliver(w.session("romeo@a.test/x"), "a")
		p.drop()
		w.told()
		w.resume("juliet", id, 0, "<failed xmlns='urn:xmpp:sm:3'><item-not-found") // not hers
		time.Sleep(10*time.Minute + time.Second)
		told := w.told()
		if len(told) != 3 || told[0] != "unbind romeo@a.test/x" || !strings.Contains(told[1], "redeliver <message") ||
			!strings.Contains(told[1], "<delay xmlns='urn:xmpp:delay' from='a.test' stamp='2000-01-01T") || told[2] != "ended romeo@a.test/x" {
			t.Errorf("told %q", told)
		}
		q := w.resume("romeo", id, 0, "<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found")
		q.ask("<resume xmlns='urn:xmpp:sm:3' previd='nonsense' h='0'/>", "<failed xmlns='urn:xmpp:sm:3'><item-not-found")
		q.ask("<resume xmlns='urn:xmpp:sm:3' previd='nonsense'/>", "<failed xmlns='urn:xmpp:sm:3'><bad-request")
		q.ask(bindRequest("x"), "<iq type='result'")
	})
}

// TestEndsForGood: what ends a session that could be resumed, and what becomes
// of what it was sent.
func TestEndsForGood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(w *world, p *peer)
	}{
		{"in good order", func(_ *world, p *peer) { p.ask("</stream:stream>") }},
		{"by a stream error", func(_ *world, p *peer) { p.ask("<message"); p.ask("<<>") }},
		{"replaced while detached", func(w *world, p *peer) { p.drop(); w.join("romeo", "x") }},
		{"account removed while detached", func(w *world, p *peer) {
			p.drop()
			w.srv.EndAccount(w.t.Context(), jid.MustParse("romeo@a.test"))
		}},
		{"shutdown while detached", func(w *world, p *peer) {
			p.drop()
			if err := w.srv.Shutdown(w.t.Context()); err != nil {
				w.t.Error(err)
			}
		}},
		{"too much unacknowledged", func(w *world, p *peer) {
			p.drop()
			s := w.session("romeo@a.test/x")
			for range 100 {
				deliver(s, strings.Repeat("x", 1000))
			}
			synctest.Wait()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(c *config) { c.options.QueueBytes = 40_000 }, func(w *world) {
				p, _ := w.manage("romeo", "x")
				deliver(w.session("romeo@a.test/x"), "a")
				synctest.Wait()
				w.told()
				c.end(w, p)
				told := strings.Join(w.told(), "\n")
				if !strings.HasPrefix(told, "unbind romeo@a.test/x\nredeliver <message type='chat' id='a'") || !strings.Contains(told, "ended romeo@a.test/x") {
					t.Errorf("told %.300q", told)
				}
			})
		})
	}
}

// TestResumeTooMuch: what was held back may be more than a session may leave
// unacknowledged. It ends then, once, and nobody carries on with what is left.
func TestResumeTooMuch(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *config) { c.options.MaxUnacked = 2 }, func(w *world) {
		p, id := w.manage("romeo", "x")
		s := w.session("romeo@a.test/x")
		p.drop()
		deliver(s, "a", "b")
		st := stanza.Stanza{Kind: stanza.Presence, From: jid.MustParse("juliet@a.test/z")}
		s.Deliver([]*stanza.Encoded{stanza.Encode(st)})
		w.told()
		q := w.resume("romeo", id, 0, "<failed xmlns='urn:xmpp:sm:3' h='0'><item-not-found")
		synctest.Wait()
		if told := strings.Join(w.told(), "\n"); strings.Count(told, "redeliver <message") != 2 || strings.Count(told, "ended romeo@a.test/x") != 1 {
			t.Errorf("told %q", told)
		}
		if got := w.metric("sessions_detached", ""); got != 0 {
			t.Errorf("%v sessions wait", got)
		}
		q.ask(bindRequest("x"), "<iq type='result'")
	})
}

// TestManyDetached: an account cannot pile up sessions that nobody uses.
func TestManyDetached(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		for i := range maxDetached + 3 {
			p, _ := w.manage("romeo", fmt.Sprint(i))
			p.drop()
		}
		if n := w.srv.Sessions(); n != maxDetached {
			t.Errorf("%d sessions wait", n)
		}
		told := strings.Join(w.told(), "\n")
		if !strings.Contains(told, "ended romeo@a.test/0\n") || strings.Contains(told, "ended romeo@a.test/3\n") {
			t.Errorf("told %q", told)
		}
	})
}

// TestShutdownAsksOnce: clients may acknowledge what they have got before the
// server goes, so that it does not come twice.
func TestShutdownAsksOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p, _ := w.manage("romeo", "x")
		deliver(w.session("romeo@a.test/x"), "a")
		p.want(ack)
		w.told()
		w.wg.Go(func() {
			if err := w.srv.Shutdown(w.t.Context()); err != nil {
				t.Error(err)
			}
		})
		p.want(ack)
		p.ask("<a xmlns='urn:xmpp:sm:3' h='1'/>", "<system-shutdown")
		w.wantTold("unbind romeo@a.test/x", "ended romeo@a.test/x")
	})
}

// TestSignOfLife: a silent client is asked, a dead one given up
// (RFC 6120 §4.6; XEP-0199 §4.1).
func TestSignOfLife(t *testing.T) {
	t.Parallel()
	const gap = time.Second
	t.Run("ping", func(t *testing.T) {
		t.Parallel()
		inWorld(t, nil, func(w *world) {
			p := w.join("romeo", "x")
			time.Sleep(5*time.Minute + gap)
			p.want("<iq type='get'", "from='a.test'", "<ping xmlns='urn:xmpp:ping'/>")
			p.send(" ")
			time.Sleep(5*time.Minute + gap)
			p.wantNothing() // white space is a sign of life
			time.Sleep(2 * time.Minute)
			p.want("<ping")
			time.Sleep(90*time.Second + gap)
			p.wantError("connection-timeout")
		})
	})
	t.Run("acknowledgement", func(t *testing.T) {
		t.Parallel()
		inWorld(t, nil, func(w *world) {
			p, id := w.manage("romeo", "x")
			deliver(w.session("romeo@a.test/x"), "1")
			p.want(ack)
			time.Sleep(3*time.Minute + gap) // what came before may be taken for an answer once
			p.wantError("connection-timeout")
			w.resume("romeo", id, 0, "<resumed", "id='1'")
		})
	})
}

// TestClientState: a client that nobody looks at is left in peace, and misses
// nothing (XEP-0352).
func TestClientState(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.join("romeo", "x")
		s := w.session("romeo@a.test/x")
		show := func(from, typ string, children ...*stanza.Element) {
			st := stanza.Stanza{Kind: stanza.Presence, Type: stanza.Type(typ), From: jid.MustParse(from)}
			s.Deliver([]*stanza.Encoded{stanza.Encode(st.With(children...))})
		}
		status := func(text string) *stanza.Element { return stanza.NewElement(stanza.NSClient, "status").AddText(text) }
		room := func(code string) *stanza.Element {
			return stanza.NewElement(stanza.NSMUCUser, "x").Add(stanza.NewElement(stanza.NSMUCUser, "status", "code", code))
		}
		p.ask("<inactive xmlns='urn:xmpp:csi:0'/>")
		show("juliet@a.test/z", "", status("one"))
		show("juliet@a.test/z", "", status("two"))
		show("nurse@a.test/z", "", status("three"))
		show("room@c.test/nick", "unavailable", room("303"))
		show("room@c.test/nick", "unavailable", room("307"))
		s.Deliver([]*stanza.Encoded{stanza.Encode(stanza.Stanza{Kind: stanza.Message, From: jid.MustParse("juliet@a.test/z")}.
			With(stanza.NewElement(nsChatStates, "composing")))})
		p.wantNothing()
		deliver(s, "now") // it brings along what came before, in order
		got := p.want("two", "three", "303", "307", "composing", "id='now'")
		if strings.Contains(got, "one") || strings.Index(got, "composing") > strings.Index(got, "id='now'") {
			t.Errorf("got %q", got)
		}
		show("juliet@a.test/z", "", status("four"))
		p.wantNothing()
		got = p.ask("<active xmlns='urn:xmpp:csi:0'/><iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", "four", "id='s'")
		if strings.Index(got, "four") > strings.Index(got, "id='s'") { // §5.1
			t.Errorf("got %q", got)
		}
		show("juliet@a.test/z", "", status("five"))
		p.want("five")
		p.ask("<inactive xmlns='urn:xmpp:csi:0'/>")
		for i := range maxHeld {
			show(fmt.Sprintf("juliet@a.test/%d", i), "", status("many"))
		}
		p.want("many")
		p.ask("<sleepy xmlns='urn:xmpp:csi:0'/>", "<unsupported-stanza-type")
	})
}

// TestDetachedPresence: presence that changes while nobody is connected comes
// once, and the stream starts active (XEP-0352 §5.2).
func TestDetachedPresence(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p, id := w.manage("romeo", "x")
		s := w.session("romeo@a.test/x")
		p.ask("<inactive xmlns='urn:xmpp:csi:0'/>")
		p.drop()
		for _, text := range []string{"one", "two"} {
			st := stanza.Stanza{Kind: stanza.Presence, From: jid.MustParse("juliet@a.test/z")}
			s.Deliver([]*stanza.Encoded{stanza.Encode(st.With(stanza.NewElement(stanza.NSClient, "status").AddText(text)))})
		}
		q := w.resume("romeo", id, 0, "<resumed", "two")
		q.ask("<a xmlns='urn:xmpp:sm:3' h='1'/>")
		st := stanza.Stanza{Kind: stanza.Presence, From: jid.MustParse("juliet@a.test/z")}
		s.Deliver([]*stanza.Encoded{stanza.Encode(st)})
		q.want("<presence")
	})
}

// TestTakesWhatWasKept: messages that were stored while somebody was away come
// whole, however many they are: their reader, who would see acknowledgements, is
// the one who hands them over.
func TestTakesWhatWasKept(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *config) { c.options.QueueBytes, c.options.MaxUnacked = 40_000, 10 }, func(w *world) {
		p, _ := w.manage("romeo", "x")
		s := w.session("romeo@a.test/x").(*Session) //nolint:errcheck,forcetypeassert // what it is
		for i := range 100 {
			if err := s.Take([]*stanza.Encoded{message(fmt.Sprintf("%d-%s", i, strings.Repeat("x", 10_000)))}); err != nil {
				t.Fatal(err)
			}
		}
		p.want("id='0-", "id='99-")
		deliver(s, "live")
		p.want("id='live'")
		p.ask("<a xmlns='urn:xmpp:sm:3' h='101'/>")
		p.ask(ack, "<a xmlns='urn:xmpp:sm:3' h='0'/>")
	})
}
