package c2s

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestHeader(t *testing.T) {
	t.Parallel()
	const ns = "xmlns:stream='http://etherx.jabber.org/streams'"
	for _, tt := range []struct{ name, header, want string }{
		{"unknown host", "<stream:stream xmlns='jabber:client' " + ns + " to='c.test' version='1.0'>", "host-unknown"},
		{"account instead of host", "<stream:stream xmlns='jabber:client' " + ns + " to='romeo@a.test' version='1.0'>", "host-unknown"},
		{"no host", "<stream:stream xmlns='jabber:client' " + ns + " version='1.0'>", "improper-addressing"},
		{"malformed host", "<stream:stream xmlns='jabber:client' " + ns + " to='@' version='1.0'>", "improper-addressing"},
		{"malformed from", "<stream:stream xmlns='jabber:client' " + ns + " to='a.test' from='@' version='1.0'>", "invalid-from"},
		{"no version", "<stream:stream xmlns='jabber:client' " + ns + " to='a.test'>", "unsupported-version"},
		{"old version", "<stream:stream xmlns='jabber:client' " + ns + " to='a.test' version='0.9'>", "unsupported-version"},
		{"server stream", "<stream:stream xmlns='jabber:server' " + ns + " to='a.test' version='1.0'>", "invalid-namespace"},
		{"no content namespace", "<stream:stream " + ns + " to='a.test' version='1.0'>", "invalid-namespace"},
		{"wrong stream namespace", "<stream:stream xmlns='jabber:client' xmlns:stream='x' to='a.test' version='1.0'>", "invalid-namespace"},
		{"other element", "<stream:flow xmlns='jabber:client' " + ns + " to='a.test' version='1.0'>", "bad-format"},
		{"garbage", "GET / HTTP/1.1\r\n\r\n", "not-well-formed"},
		{"binary garbage", "\x16\x03\x01\x02\x00\x01", "not-well-formed"},
		{"entity tricks", "<!DOCTYPE x [<!ENTITY a 'aaaa'>]>", "restricted-xml"},
		{"a tag that never ends", "<stream:stream " + strings.Repeat("a", 11_000), "policy-violation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				p := w.dial()
				p.send("%s", tt.header)
				p.want("<stream:stream ", "version='1.0'", "<stream:error><"+tt.want+" ", "</stream:stream>")
				p.wantClosed()
				if n := w.metric("connections_ended_total", string(reasonProtocol)); n != 1 {
					t.Errorf("counted %v ends", n)
				}
			})
		})
	}
}

func TestHeaderAnswer(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		id := regexp.MustCompile(` id='([^']{22,})'`)
		seen := map[string]bool{}
		for _, host := range []string{"a.test", "b.test"} {
			p := w.dial()
			h := strings.Replace(header, "to='a.test'", "to='"+host+"' from='romeo@"+host+"'", 1)
			got := p.ask(h, "from='"+host+"'", "to='romeo@"+host+"'", "version='1.0'", "xml:lang='en'", "<stream:features>")
			m := id.FindStringSubmatch(got)
			if m == nil || seen[m[1]] {
				t.Fatalf("no fresh id in %q", got)
			}
			seen[m[1]] = true
			p.ask("</stream:stream>", "</stream:stream>")
			p.wantClosed()
		}
		if n := w.metric("connections_ended_total", string(reasonClosed)); n != 2 {
			t.Errorf("counted %v ends", n)
		}
	})
}

// TestRestartedHeader: after authentication the stream stays the account's.
func TestRestartedHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, to, from, want string }{
		{"own address", "a.test", "romeo@a.test", ""},
		{"own full address", "a.test", "romeo@a.test/orchard", ""},
		{"other host", "b.test", "", "host-unknown"},
		{"other account", "a.test", "juliet@a.test", "invalid-from"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				p := w.dial()
				p.ask(header, "<stream:features>")
				p.ask(fmt.Sprintf(plainAuth, plain("romeo", password)), "<success ")
				h := strings.Replace(header, "to='a.test'", "to='"+tt.to+"'", 1)
				if tt.from != "" {
					h = strings.Replace(h, " to=", " from='"+tt.from+"' to=", 1)
				}
				p.send("%s", h)
				if tt.want == "" {
					p.want("<stream:features><bind ")
					return
				}
				p.wantError(tt.want)
			})
		})
	}
}

func TestFeatures(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.dial()
		p.ask(header, "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"+
			"<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>")
		p.ask(fmt.Sprintf(plainAuth, plain("romeo", password)), "<success ")
		p.ask(header, "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"+
			"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"+
			"<sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>")
	})
}

// TestBeforeAuthentication: nothing but what leads to it is taken.
func TestBeforeAuthentication(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, send, want string }{
		{"message", "<message to='juliet@a.test'><body>hi</body></message>", "not-authorized"},
		{"presence", "<presence/>", "not-authorized"},
		{"bind", bindRequest("x"), "not-authorized"},
		{"old authentication", "<iq type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>", "not-authorized"},
		{"compression", "<compress xmlns='http://jabber.org/protocol/compress'/>", "not-authorized"},
		{"oversized stanza", "<message><body>" + strings.Repeat("a", 11_000), "policy-violation"},
		{"deep nesting", strings.Repeat("<a>", 2000), "policy-violation"},
		{"comment", "<!-- hello -->", "restricted-xml"},
		{"unknown entity", "<message>&lol;</message>", "restricted-xml"},
		{"undeclared prefix", "<x:message/>", "bad-namespace-prefix"},
		{"second header", header, "restricted-xml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				p := w.dial()
				p.ask(header, "<stream:features>")
				p.send("%s", tt.send)
				p.want("<stream:error><"+tt.want+" ", "</stream:stream>")
				p.wantClosed()
				w.wantTold()
			})
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		send []string
	}{
		{"nothing sent", nil},
		{"white space only", []string{strings.Repeat(" \n", 50_000)}},
		{"header only", []string{header}},
		{"half a challenge", []string{header, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>"}},
		{"not bound", []string{header, fmt.Sprintf(plainAuth, plain("romeo", password)), header}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				p := w.dial()
				for _, s := range tt.send {
					p.ask(s)
				}
				time.Sleep(30*time.Second - time.Millisecond)
				if got := p.take(); strings.Contains(got, "error") {
					t.Fatalf("too early: %q", got)
				}
				time.Sleep(time.Millisecond)
				p.wantError("connection-timeout")
				if n := w.metric("connections_ended_total", string(reasonTimeout)); n != 1 {
					t.Errorf("counted %v ends", n)
				}
			})
		})
	}
}

// TestSlowLoris: bytes that drip in do not put the timeout off.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.dial()
		p.ask(header, "<stream:features>")
		p.send("<")
		for range 30 {
			p.send("a")
			time.Sleep(time.Second)
		}
		p.wantError("connection-timeout")
	})
}

// TestLostConnections: sockets that break leave nothing behind; world.close
// checks the bookkeeping.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		act  func(w *world) *peer
	}{
		{"at once", func(w *world) *peer { return w.dial() }},
		{"in the header", func(w *world) *peer { p := w.dial(); p.send("<stream:str"); return p }},
		{"before authentication", func(w *world) *peer { p := w.dial(); p.ask(header); return p }},
		{"before binding", func(w *world) *peer { p := w.dial(); p.login("romeo"); return p }},
		{"in a session", func(w *world) *peer { return w.join("romeo", "x") }},
		{"in a stanza", func(w *world) *peer { p := w.join("romeo", "x"); p.send("<message"); return p }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				p := tt.act(w)
				p.take()
				_ = p.conn.Close()
				p.wantClosed()
				if n := w.metric("connections_ended_total", string(reasonLost)); n != 1 {
					t.Errorf("counted %v ends", n)
				}
				if n := w.metric("connections", ""); n != 0 {
					t.Errorf("%v connections left", n)
				}
			})
		})
	}
}
