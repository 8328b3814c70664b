package c2s

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestBind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, send, want string }{
		{"resource", bindRequest("x"), "<jid>romeo@a.test/x</jid>"},
		{"resource is prepared", bindRequest("a\u00a0b"), "<jid>romeo@a.test/a b</jid>"},
		{"resource is escaped", bindRequest("&lt;'&amp;"), "<jid>romeo@a.test/&lt;'&amp;</jid>"},
		{"addressed to the host", strings.Replace(bindRequest("x"), " id=", " to='a.test' id=", 1), "<jid>romeo@a.test/x</jid>"},
		{"addressed to the account", strings.Replace(bindRequest("x"), " id=", " to='romeo@a.test' id=", 1), "<jid>romeo@a.test/x</jid>"},
		{"malformed resource", bindRequest("\u0007\u200e"[1:]), "<error type='modify'><bad-request "},
		{"endless resource", bindRequest(strings.Repeat("x", 1024)), "<error type='modify'><bad-request "},
		{"get", strings.Replace(bindRequest("x"), "'set'", "'get'", 1), "<error type='modify'><bad-request "},
		{"no id", strings.Replace(bindRequest("x"), "id='b1'", "", 1), "<error type='modify'><bad-request "},
		{"two children", strings.Replace(bindRequest("x"), "</iq>", "<x xmlns='y'/></iq>", 1), "<error type='modify'><bad-request "},
		{"something else to the server", "<iq type='get' id='p' to='a.test'><ping xmlns='urn:xmpp:ping'/></iq>", "<error type='wait'><unexpected-request "},
		{"bad address", "<iq type='get' id='p' to='@'><ping xmlns='urn:xmpp:ping'/></iq>", "<error type='modify'><jid-malformed "},
		{"to somebody else", "<iq type='get' id='p' to='juliet@a.test'><ping xmlns='urn:xmpp:ping'/></iq>", "<stream:error><not-authorized "},
		{"message", "<message><body>hi</body></message>", "<stream:error><not-authorized "},
		{"presence", "<presence/>", "<stream:error><not-authorized "},
		{"no stanza", "<nonza xmlns='urn:x'/>", "<stream:error><unsupported-stanza-type "},
		{"stream management before a resource (XEP-0198 §3)", "<enable xmlns='urn:xmpp:sm:3'/>", "<failed xmlns='urn:xmpp:sm:3'><unexpected-request "},
		{"authentication again", auth("PLAIN", plain("juliet", password)), "<stream:error><unsupported-stanza-type "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				p := w.dial()
				p.login("romeo")
				got := p.ask(tt.send, tt.want)
				switch {
				case strings.Contains(tt.want, "<jid>"):
					if told := w.told(); len(told) != 1 || !strings.HasPrefix(told[0], "bind romeo@a.test/") {
						t.Errorf("told %q", told)
					}
				case strings.Contains(got, "stream:error"):
					p.wantClosed()
					w.wantTold()
				default: // another attempt is welcome
					p.ask(bindRequest("x"), "<jid>romeo@a.test/x</jid>")
				}
			})
		})
	}
}

func TestServerChoosesResource(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		seen := map[string]bool{}
		for _, send := range []string{
			"<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", bindRequest(""),
		} {
			p := w.dial()
			p.login("romeo")
			_, resource, _ := strings.Cut(p.ask(send, "<jid>romeo@a.test/"), "<jid>romeo@a.test/")
			resource, _, _ = strings.Cut(resource, "<")
			if len(resource) < 22 || seen[resource] {
				t.Errorf("the resource is %q", resource)
			}
			seen[resource] = true
		}
	})
}

// TestReplace: the newer session wins, and the older one is over in every
// respect before the newer begins (RFC 6120 §7.7.2.2).
func TestReplace(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		old := w.join("romeo", "x")
		w.join("romeo", "other")
		w.told()
		p := w.dial()
		p.login("romeo")
		p.ask(bindRequest("x"), "<jid>romeo@a.test/x</jid>")
		w.wantTold("unbind romeo@a.test/x", "ended romeo@a.test/x", "bind romeo@a.test/x")
		old.wantError("conflict")
		old.send("<presence/>")
		p.ask("<presence/>")
		w.wantTold("outbound <presence from='romeo@a.test/x'/>")
		if w.srv.Sessions() != 2 || w.metric("sessions", "") != 2 || w.metric("connections_ended_total", string(reasonReplaced)) != 1 {
			t.Errorf("%d sessions", w.srv.Sessions())
		}
	})
}

// TestReplaceCrowd: however many bind the same resource at once, one is left.
func TestReplaceCrowd(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		peers := make([]*peer, 8)
		for i := range peers {
			peers[i] = w.dial()
			peers[i].login("romeo")
		}
		for _, p := range peers {
			p.send("%s", bindRequest("x"))
		}
		synctest.Wait()
		conflicts := 0
		for _, p := range peers {
			if strings.Contains(p.take(), "<conflict ") {
				conflicts++
			}
		}
		if conflicts != len(peers)-1 || w.srv.Sessions() != 1 {
			t.Errorf("%d conflicts, %d sessions", conflicts, w.srv.Sessions())
		}
		bound := 0
		for _, e := range w.told() {
			if bound += map[string]int{"bind": 1, "unbind": -1}[strings.Fields(e)[0]]; bound > 1 {
				t.Error("two sessions had the resource at once")
			}
		}
	})
}

// TestRouterReplaces: the router may end a session as well.
func TestRouterReplaces(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.join("romeo", "x")
		w.session("romeo@a.test/x").Replace()
		p.wantError("conflict")
	})
}

func TestResourceLimit(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *config) { c.options.MaxResources = 2 }, func(w *world) {
		first := w.join("romeo", "1")
		w.join("romeo", "2")
		p := w.dial()
		p.login("romeo")
		p.ask(bindRequest("3"), "<error type='wait'><resource-constraint ")
		p.ask(bindRequest("2"), "<jid>romeo@a.test/2</jid>") // replaces one
		w.join("juliet", "3")                                // has a limit of her own
		first.ask("</stream:stream>", "</stream:stream>")
		w.join("romeo", "3")
	})
}

// TestStanzas: what a client may send, what becomes of it, and what it hears.
func TestStanzas(t *testing.T) {
	t.Parallel()
	const ping = "<ping xmlns='urn:xmpp:ping'/>"
	for _, tt := range []struct{ name, send, told, want string }{
		{
			"message", "<message to='juliet@a.test'><body>hi</body></message>",
			"route <message from='romeo@a.test/x' to='juliet@a.test'><body>hi</body></message>", "",
		},
		{
			"own full address as from", "<message from='romeo@a.test/x' to='juliet@a.test'/>",
			"route <message from='romeo@a.test/x' to='juliet@a.test'/>", "",
		},
		{
			"own bare address as from", "<message from='Romeo@a.test' to='juliet@a.test'/>",
			"route <message from='romeo@a.test/x' to='juliet@a.test'/>", "",
		},
		{"message to nobody", "<message/>", "route <message from='romeo@a.test/x' to='romeo@a.test'/>", ""},
		{
			"message of unknown type", "<message type='x' to='juliet@a.test'/>",
			"route <message type='x' from='romeo@a.test/x' to='juliet@a.test'/>", "",
		},
		{
			"request to nobody", "<iq type='get' id='1'>" + ping + "</iq>",
			"route <iq type='get' id='1' from='romeo@a.test/x' to='romeo@a.test'>" + ping + "</iq>", "",
		},
		{
			"result", "<iq type='result' id='1' to='juliet@a.test/y'/>",
			"route <iq type='result' id='1' from='romeo@a.test/x' to='juliet@a.test/y'/>", "",
		},
		{"presence", "<presence/>", "outbound <presence from='romeo@a.test/x'/>", ""},
		{"directed presence", "<presence to='room@c.test/nick'/>", "outbound <presence from='romeo@a.test/x' to='room@c.test/nick'/>", ""},
		{
			"unknown children pass", "<message to='juliet@a.test'><x xmlns='y' z='1'>t</x></message>",
			"route <message from='romeo@a.test/x' to='juliet@a.test'><x xmlns='y' z='1'>t</x></message>", "",
		},
		{"white space", " \n\t ", "", ""},

		{
			"bad to", "<message to='@' id='1'><body>hi</body></message>", "",
			"<message type='error' id='1' to='romeo@a.test/x'><body>hi</body><error type='modify'><jid-malformed ",
		},
		{"bad to in an IQ", "<iq type='get' id='1' to='a b@c'>" + ping + "</iq>", "", "<error type='modify'><jid-malformed "},
		{"bad to in a presence", "<presence to='@'/>", "", "<error type='modify'><jid-malformed "},
		{"bad to in an error", "<message type='error' to='@'/>", "", ""},
		{"empty to", "<message to=''/>", "", "<error type='modify'><jid-malformed "},
		{"IQ without id", "<iq type='get'>" + ping + "</iq>", "", "<iq type='error' to='romeo@a.test/x'><ping xmlns='urn:xmpp:ping'/><error type='modify'><bad-request "},
		{"IQ without type", "<iq id='1'>" + ping + "</iq>", "", "<error type='modify'><bad-request "},
		{"IQ of unknown type", "<iq type='subscribe' id='1'>" + ping + "</iq>", "", "<error type='modify'><bad-request "},
		{"request without child", "<iq type='get' id='1'/>", "", "<error type='modify'><bad-request "},
		{"request with two children", "<iq type='set' id='1'>" + ping + ping + "</iq>", "", "<error type='modify'><bad-request "},
		{"result without id", "<iq type='result' to='juliet@a.test'/>", "", ""},
		{"presence of unknown type", "<presence type='away'/>", "", "<error type='modify'><bad-request "},
		{"old session", "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", "", "<iq type='result' id='s' to='romeo@a.test/x'/>"},
		{"second binding", bindRequest("y"), "", "<error type='cancel'><not-allowed "},
		{
			"session of somebody else", "<iq type='set' id='s' to='juliet@a.test'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
			"route <iq type='set' id='s' from='romeo@a.test/x' to='juliet@a.test'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				p := w.join("romeo", "x")
				w.told()
				if p.send("%s", tt.send); tt.want == "" {
					p.wantNothing()
				} else {
					p.want(tt.want)
				}
				if tt.told == "" {
					w.wantTold()
				} else {
					w.wantTold(tt.told)
				}
				p.ask("<presence/>") // the stream goes on
				w.wantTold("outbound <presence from='romeo@a.test/x'/>")
			})
		})
	}
}

// TestFatal: what ends a session, and only that one.
func TestFatal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, send, want string }{
		{"foreign from", "<message from='juliet@a.test'/>", "invalid-from"},
		{"another resource as from", "<message from='romeo@a.test/y'/>", "invalid-from"},
		{"malformed from", "<message from='@'/>", "invalid-from"},
		{"empty from", "<message from=''/>", "invalid-from"},
		{"unknown element", "<hello xmlns='jabber:client'/>", "unsupported-stanza-type"},
		{"unknown namespace", "<message xmlns='x'/>", "unsupported-stanza-type"},
		{"starttls", startTLS, "unsupported-stanza-type"},
		{"text", "hello", "bad-format"},
		{"broken tag", "<message></presence>", "not-well-formed"},
		{"oversized stanza", "<message><body>" + strings.Repeat("x", 300<<10), "policy-violation"},
		{"processing instruction", "<?php ?>", "restricted-xml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				other := w.join("juliet", "y")
				p := w.join("romeo", "x")
				w.told()
				p.send("%s", tt.send)
				p.want("<stream:error><"+tt.want+" ", "</stream:stream>")
				w.wantTold("unbind romeo@a.test/x", "ended romeo@a.test/x")
				p.wantClosed()
				other.ask("<presence/>")
				w.wantTold("outbound <presence from='juliet@a.test/y'/>")
			})
		})
	}
}

func TestPeersStreamError(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.join("romeo", "x")
		if got := p.ask("<stream:error><connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"); got != "</stream:stream>" {
			t.Errorf("answered %q", got)
		}
		p.wantClosed()
		if n := w.metric("connections_ended_total", string(reasonPeerError)); n != 1 {
			t.Errorf("counted %v ends", n)
		}
	})
}

// TestLargeStanzas: after authentication stanzas may be large.
func TestLargeStanzas(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *config) { c.listener.MaxStanza = 50_000 }, func(w *world) {
		p := w.join("romeo", "x")
		w.told()
		p.ask("<message><body>" + strings.Repeat("x", 49_000) + "</body></message>")
		if told := w.told(); len(told) != 1 {
			t.Errorf("told of %d stanzas", len(told))
		}
		p.send("%s", "<message><body>"+strings.Repeat("x", 51_000)+"</body></message>")
		p.wantError("policy-violation")
	})
}

// TestPanic: a panic costs the stanza, is answered and counted, and leaves its
// stack in the log.
func TestPanic(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.route = func(stanza.Stanza) <-chan struct{} { panic("as asked") }
		p := w.join("romeo", "x")
		p.ask("<iq type='get' id='1' to='a.test'><ping xmlns='urn:xmpp:ping'/></iq>",
			"<iq type='error' id='1' from='a.test' to='romeo@a.test/x'>", "<error type='cancel'><internal-server-error ")
		p.ask("<presence to='juliet@a.test'><panic xmlns='panic'/></presence>", "<presence type='error'", "<internal-server-error ")
		if n := w.metric("panics_total", ""); n != 2 {
			t.Errorf("counted %v panics", n)
		}
		if log := w.log.String(); !strings.Contains(log, "dispatch") || !strings.Contains(log, "as asked") {
			t.Errorf("no stack in %q", log)
		}
		w.route = nil
		w.told()
		p.ask("<message/>")
		w.wantTold("route <message from='romeo@a.test/x' to='romeo@a.test'/>")
	})
}

// TestBusy: a busy recipient stops the reading, and nothing else.
func TestBusy(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		busy := make(chan struct{})
		w.route = func(stanza.Stanza) <-chan struct{} { return busy }
		p := w.join("romeo", "x")
		w.told()
		p.ask("<message id='1'/>")
		w.wg.Go(func() { p.send("<message id='2'/>") }) // nobody reads it
		if told := w.told(); len(told) != 1 {
			t.Fatalf("told %q", told)
		}
		w.session("romeo@a.test/x").Deliver([]*stanza.Encoded{stanza.Encode(stanza.Stanza{Kind: stanza.Message})})
		p.want("<message to='romeo@a.test/x'/>")
		close(busy)
		if told := w.told(); len(told) != 1 || !strings.Contains(told[0], "id='2'") {
			t.Errorf("told %q", told)
		}
	})
}

// TestBusyForever: a session that waits can be ended.
func TestBusyForever(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.route = func(stanza.Stanza) <-chan struct{} { return make(chan struct{}) }
		p := w.join("romeo", "x")
		p.ask("<message/>")
		w.session("romeo@a.test/x").Replace()
		p.wantError("conflict")
	})
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.join("romeo", "x&amp;y")
		s := w.session("romeo@a.test/x&y")
		from := jid.MustParse("room@c.test/nick")
		s.Deliver([]*stanza.Encoded{
			stanza.Encode(stanza.Stanza{Kind: stanza.Message, ID: "1", From: from}), stanza.Encode(stanza.Stanza{Kind: stanza.Message, ID: "2", From: from}),
		})
		const to = " to='romeo@a.test/x&amp;y'/>"
		p.want("<message id='1' from='room@c.test/nick'"+to, "<message id='2' from='room@c.test/nick'"+to)
		if _, priority, ok := s.State().Presence(); ok || priority != 0 {
			t.Error("a new session is available")
		}
		p.ask("</stream:stream>")
		s.Deliver([]*stanza.Encoded{stanza.Encode(stanza.Stanza{Kind: stanza.Message})})
		if n := w.metric("missed_total", ""); n != 1 {
			t.Errorf("counted %v that came too late", n)
		}
		w.wantTold("bind romeo@a.test/x&y", "unbind romeo@a.test/x&y", "ended romeo@a.test/x&y", "send <message to='romeo@a.test/x&amp;y'/>")
	})
}

// TestGather: what a session is given while it gathers waits for a moment at most,
// whoever has forgotten it.
func TestGather(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.join("romeo", "x")
		s := w.session("romeo@a.test/x")
		release := router.Gather([]router.Session{s})
		e := stanza.Encode(stanza.Stanza{Kind: stanza.Message, ID: "1"})
		s.Deliver([]*stanza.Encoded{e})
		s.Deliver([]*stanza.Encoded{e})
		p.wantNothing()
		time.Sleep(100 * time.Millisecond)
		const message = "<message id='1' to='romeo@a.test/x'/>"
		p.want(message, message)
		release()
		s.Deliver([]*stanza.Encoded{e})
		p.want(message)
	})
}

// TestSlowConsumer: a client that stops reading loses its session, whoever
// delivers to it is not kept waiting.
func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *config) { c.options.QueueBytes = 10_000 }, func(w *world) {
		a, b := net.Pipe()
		w.wg.Go(func() { w.listener.ServeConn(w.t.Context(), addressed{a, &net.TCPAddr{}}) })
		readUntil(w.t, b, header, "</stream:features>")
		readUntil(w.t, b, auth("PLAIN", plain("romeo", password)), "/>")
		readUntil(w.t, b, header, "</stream:features>")
		readUntil(w.t, b, bindRequest("x"), "</iq>")
		synctest.Wait()
		s, began := w.session("romeo@a.test/x"), time.Now()
		e := stanza.Encode(stanza.Stanza{Kind: stanza.Message, ID: strings.Repeat("x", 1000)})
		for range 20 {
			s.Deliver([]*stanza.Encoded{e})
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("delivering took %v", took)
		}
		told := w.told()
		if len(told) < 5 || told[1] != "unbind romeo@a.test/x" || !strings.HasPrefix(told[2], "redeliver <message") || told[len(told)-1] != "ended romeo@a.test/x" {
			t.Errorf("told %.200q", told)
		}
		if w.metric("connections_ended_total", string(reasonSlow)) != 1 {
			t.Error("nobody has counted it")
		}
		_ = b.Close()
	})
}

func TestEndAccount(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		x, y := w.join("romeo", "x"), w.join("romeo", "y")
		unbound := w.dial()
		unbound.login("romeo")
		other := w.join("juliet", "z")
		w.told()
		w.srv.EndAccount(w.t.Context(), jid.MustParse("romeo@a.test"))
		if told := w.told(); len(told) != 4 {
			t.Errorf("told %q", told)
		}
		for _, p := range []*peer{x, y, unbound} {
			p.wantError("not-authorized")
		}
		other.ask("<presence/>")
		w.wantTold("outbound <presence from='juliet@a.test/z'/>")
	})
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		fresh, half, bound := w.dial(), w.dial(), w.join("romeo", "x")
		half.ask(header)
		w.told()
		if err := w.srv.Shutdown(w.t.Context()); err != nil {
			t.Error(err)
		}
		w.wantTold("unbind romeo@a.test/x", "ended romeo@a.test/x")
		for _, p := range []*peer{fresh, half, bound} {
			p.wantError("system-shutdown")
		}
		late := w.dial()
		late.wantNothing()
		late.wantClosed()
	})
}

// TestShutdownIsBounded: a handler that hangs does not hold it up.
func TestShutdownIsBounded(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		hang := make(chan struct{})
		w.route = func(stanza.Stanza) <-chan struct{} { <-hang; return nil }
		p := w.join("romeo", "x")
		p.ask("<message/>")
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		defer cancel()
		if err := w.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(hang)
	})
}

// TestHalfClosedAndReset are sockets as only TCP has them.
func TestHalfClosedAndReset(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn) error{
		"half-closed": (*net.TCPConn).CloseWrite,
		"reset": func(c *net.TCPConn) error {
			return errors.Join(c.SetLinger(0), c.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			over := make(chan struct{})
			go func() {
				defer close(over)
				if conn, err := l.Accept(); err == nil {
					w.listener.ServeConn(context.Background(), conn)
				}
			}()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			readUntil(t, c, header, "</stream:features>")
			readUntil(t, c, auth("PLAIN", plain("romeo", password)), "/>")
			readUntil(t, c, header, "</stream:features>")
			readUntil(t, c, bindRequest("x"), "</iq>")
			if err := end(c.(*net.TCPConn)); err != nil {
				t.Fatal(err)
			}
			<-over
			w.close()
			if n := w.metric("connections_ended_total", string(reasonLost)); n != 1 {
				t.Errorf("counted %v ends", n)
			}
		})
	}
}

func TestEndBy(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]reason{
		os.ErrDeadlineExceeded: reasonTimeout, context.DeadlineExceeded: reasonTimeout, errTLS: reasonTLS, net.ErrClosed: reasonLost,
	} {
		inWorld(t, nil, func(w *world) {
			a, b := net.Pipe()
			k := w.srv.open(w.listener, a)
			_ = b.Close()
			k.endBy(err)
			k.endBy(errors.New("too late"))
			if k.release(); k.why != want {
				t.Errorf("%v: ended for %s, want %s", err, k.why, want)
			}
		})
	}
}

// TestKnownBeforeTheClientKnows: when a client learns that its resource is bound
// others reach it there (RFC 6120 §7.1), and nothing of theirs comes to it
// before.
func TestKnownBeforeTheClientKnows(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		var p *peer
		early := make(chan string, 1)
		w.bound = func(s router.Session) {
			time.Sleep(time.Second) // whatever was sent before would come meanwhile
			p.mu.Lock()
			early <- p.got.String()
			p.mu.Unlock()
			go s.Deliver([]*stanza.Encoded{stanza.Encode(stanza.Stanza{Kind: stanza.Message, ID: "m"})})
		}
		p = w.dial()
		p.login("romeo")
		p.send("%s", bindRequest("x"))
		if got := <-early; got != "" {
			t.Errorf("before it was bound the client got %q", got)
		}
		p.want("<iq type='result' id='b1'", "</iq>", "<message ")
	})
}
