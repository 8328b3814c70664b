package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

const (
	endedLost     = `muster_c2s_connections_ended_total{reason="lost"}`
	endedProtocol = `muster_c2s_connections_ended_total{reason="protocol"}`
	endedSlow     = `muster_c2s_connections_ended_total{reason="slow_consumer"}`
	endedTLS      = `muster_c2s_connections_ended_total{reason="tls"}`
	slowConsumers = "muster_stream_slow_consumers_total"
)

func streamErrors(condition string) string {
	return `muster_stream_errors_total{condition="` + condition + `"}`
}

// TestHostile does to a running server whatever a client must not do. Each time
// the peer is told the condition of RFC 6120 and its connection ends, that is
// counted, memory stays bounded, and a client that behaves notices nothing.
// That a slow login ends after 30 s is tested in virtual time: TestTimeout and
// TestSlowLoris of internal/c2s.
func TestHostile(t *testing.T) {
	s := newSiege(t)
	resident := s.memory(t, "VmRSS")
	for _, test := range []struct {
		name string
		run  func(*testing.T, *siege)
	}{
		{"stream errors", testStreamErrors},
		{"white space", testWhiteSpace},
		{"SASL", testSASL},
		{"STARTTLS injection", testInjection},
		{"half-closed and reset sockets", testBrokenSockets},
		{"stops reading a room", testStopsReading},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
	if now := s.memory(t, "VmRSS"); now > resident+headroom {
		t.Errorf("all that has left the server with %d KiB instead of %d", now, resident)
	}
}

// repeat is text a number of times.
func repeat(text string, times int) string { return strings.Repeat(text, times) }

// testStreamErrors has what is answered with a stream error (RFC 6120 §4.9.3).
func testStreamErrors(t *testing.T, s *siege) {
	noise := make([]byte, 64<<10)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same noise each time
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	noise[0] = 0xfe // no UTF-8 begins so
	const message = "<message to='witness@localhost'><body>"
	doctype := func(declarations string) string { return "<?xml version='1.0'?><!DOCTYPE a [" + declarations + "]>" }
	for _, test := range []struct {
		name string
		at   stage
		send string
		want string
	}{
		{"noise", fresh, string(noise), "unsupported-encoding"},
		{"control characters", fresh, "\x00\xff\xfe\x01garbage", "not-well-formed"},
		{"HTTP", fresh, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "not-well-formed"},
		{"TLS without asking", fresh, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "not-well-formed"},
		{"noise behind the header", opened, string(noise), "bad-format"},
		{"noise after login", bound, string(noise), "bad-format"},
		{"text between stanzas", bound, "hello", "bad-format"},
		{"no UTF-8", bound, message + "\xc0\xaf\xed\xa0\x80</body></message>", "unsupported-encoding"},
		{"crossed tags", bound, message + "</message></body>", "not-well-formed"},
		{"another encoding", fresh, "<?xml version='1.0' encoding='UTF-16'?>", "unsupported-encoding"},

		{"another host", fresh, strings.Replace(hello, "localhost", "elsewhere.example", 1), "host-unknown"},
		{"another namespace", fresh, strings.Replace(hello, "etherx.jabber.org/streams", "x", 1), "invalid-namespace"},

		{"a declaration that never ends", fresh, "<?xml " + repeat(" ", 20_000), "policy-violation"},
		{"a first tag that never ends", fresh, "<stream:stream x='" + repeat("x", 500_000), "policy-violation"},
		{"a first name that never ends", fresh, "<" + repeat("x", 500_000), "policy-violation"},
		{"a first tag of many attributes", fresh, "<stream:stream " + repeat("x='' ", 20_000), "policy-violation"},
		{"a tag that never ends after login", bound, "<message id='" + repeat("x", 500_000), "policy-violation"},
		{"an end tag that never ends", bound, "<message></" + repeat("x", 500_000), "policy-violation"},

		{"deep nesting before login", opened, repeat("<a>", 3_000), "policy-violation"},
		{"deep nesting after login", bound, message + repeat("<a>", 50_000), "policy-violation"},

		{"document type", fresh, doctype("<!ELEMENT a ANY>"), "restricted-xml"},
		{"external entity", fresh, doctype("<!ENTITY x SYSTEM 'file:///etc/passwd'>"), "restricted-xml"},
		{"billion laughs", fresh, doctype("<!ENTITY a 'lol'><!ENTITY b '" + repeat("&a;", 10) + "'><!ENTITY c '" + repeat("&b;", 10) + "'>"), "restricted-xml"},
		{"document type in a stream", bound, "<!DOCTYPE a [<!ENTITY a 'lol'>]>", "restricted-xml"},
		{"document type in a stanza", bound, message + "<!DOCTYPE a [<!ENTITY a 'lol'>]>&a;</body></message>", "restricted-xml"},
		{"unknown entity before login", opened, "<a>&lol;</a>", "restricted-xml"},
		{"unknown entity after login", bound, message + "&lol;</body></message>", "restricted-xml"},
		{"unknown entity in an attribute", bound, "<message id='&lol;'/>", "restricted-xml"},
		{"reference to no character", bound, message + "&#0;</body></message>", "not-well-formed"},
		{"reference beyond Unicode", bound, message + "&#x110000;</body></message>", "not-well-formed"},
		{"comment before the header", fresh, "<!-- x -->" + hello, "restricted-xml"},
		{"comment", opened, "<!-- x -->", "restricted-xml"},
		{"comment in a stanza", bound, message + "<!-- x --></body></message>", "restricted-xml"},
		{"processing instruction before the header", fresh, "<?xml version='1.0'?><?php x ?>" + hello, "restricted-xml"},
		{"processing instruction", opened, "<?php x ?>", "restricted-xml"},
		{"processing instruction in a stanza", bound, message + "<?php x ?></body></message>", "restricted-xml"},
		{"undeclared prefix", bound, "<x:message/>", "bad-namespace-prefix"},

		{"message in the clear", opened, message + "x</body></message>", "not-authorized"},
		{"message before login", secured, message + "x</body></message>", "not-authorized"},
		{"presence before login", secured, "<presence/>", "not-authorized"},
		{"request before login", secured, "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>", "not-authorized"},
		{"binding before login", secured, "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "not-authorized"},
		{"message within authentication", secured, auth("PLAIN", "") + message + "x</body></message>", "not-authorized"},
		{"message before binding", authenticated, message + "x</body></message>", "not-authorized"},

		{"oversized in the clear", opened, message + repeat("x", 11_000) + "</body></message>", "policy-violation"},
		{"oversized before login", secured, auth("PLAIN", repeat("A", 11_000)), "policy-violation"},
		{"oversized after login", bound, message + repeat("x", 300_000) + "</body></message>", "policy-violation"},
		{"oversized attribute after login", bound, "<message id='" + repeat("x", 300_000) + "'/>", "policy-violation"},
		{"many children after login", bound, "<message>" + repeat("<a/>", 100_000) + "</message>", "policy-violation"},
		{"many attributes after login", bound, "<message " + manyAttributes(1_000) + "/>", "policy-violation"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.refused(t, attack{at: test.at, block: []byte(test.send), times: 1}, test.want)
		})
	}
	t.Run("a first tag that drips", func(t *testing.T) {
		if sent := s.refused(t, attack{first: "<stream:stream x='", block: []byte("x"), times: 500_000}, "policy-violation"); sent < 9_000 {
			t.Errorf("refused after %d bytes, want 10,000 allowed (RFC 6120 §13.12)", sent)
		}
	})
}

func manyAttributes(n int) string {
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, " a%d=''", i)
	}
	return list.String()
}

// attack is a flood of blocks from a stage on.
type attack struct {
	at    stage
	first string // before the blocks
	block []byte
	times int
}

// refused attacks and expects a stream error that ends the connection. It
// returns how many blocks went out.
func (s *siege) refused(t *testing.T, a attack, condition string) (sent int) {
	t.Helper()
	s.suffer(t, map[string]float64{streamErrors(condition): 1, endedProtocol: 1}, func() {
		p := s.peer(t, a.at)
		p.send(a.first)
		var answer string
		answer, sent = p.flood(a.block, a.times)
		want := "<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
		if strings.Count(answer, want) != 1 || !strings.HasSuffix(answer, "</stream:error></stream:stream>") {
			t.Errorf("%.100q: got %s, want %s", a.block, answer, want)
		}
	})
	return sent
}

// testWhiteSpace sends a gibibyte of it, where it means nothing but that
// somebody is there (RFC 6120 §4.6.1).
func testWhiteSpace(t *testing.T, s *siege) {
	const gibibyte = 1 << 30
	block := bytes.Repeat([]byte(" \t\r\n"), 64<<10)
	for _, test := range []struct {
		name string
		at   stage
	}{
		{"before the header", fresh},
		{"in the clear", opened},
		{"before login", secured},
		{"before binding", authenticated},
		{"after login", bound},
	} {
		t.Run(test.name, func(t *testing.T) {
			if sent := s.refused(t, attack{at: test.at, block: block, times: gibibyte / len(block)}, "policy-violation"); sent == gibibyte/len(block) {
				t.Error("a gibibyte was taken")
			}
		})
	}
	t.Run("behind the end of the stream", func(t *testing.T) {
		s.suffer(t, map[string]float64{`muster_c2s_connections_ended_total{reason="closed"}`: 1}, func() {
			p := s.peer(t, bound)
			p.ask("</stream:stream>", "</stream:stream>")
			if _, sent := p.flood(block, gibibyte/len(block)); sent == gibibyte/len(block) {
				t.Error("a gibibyte was taken")
			}
		})
	})
}

// testSASL answers each failure with its condition (RFC 6120 §6.5), and a stream
// that fails three times with policy-violation (§6.4.5).
func testSASL(t *testing.T, s *siege) {
	const (
		response = "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
		abort    = "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
	)
	scram := auth("SCRAM-SHA-256", b64("n,,n=mallory,r=x"))
	good := b64("\x00mallory\x00secret-mallory")
	for _, test := range []struct {
		name  string
		at    stage
		first string // what is answered with a challenge
		send  string
		want  string
	}{
		{"in the clear", opened, "", plain("secret-mallory"), "encryption-required"},
		{"not base64", secured, "", auth("PLAIN", "$$$"), "incorrect-encoding"},
		{"no padding", secured, "", auth("PLAIN", "AHJvbWVvAHg"), "incorrect-encoding"},
		{"too much padding", secured, "", auth("PLAIN", "AHJvbWVvAHg=="), "incorrect-encoding"},
		{"padding within", secured, "", auth("PLAIN", "AHJv=bWVvAHg="), "incorrect-encoding"},
		{"stray bits", secured, "", auth("PLAIN", "AHJvbWVvAHh="), "incorrect-encoding"},
		{"base64 for URLs", secured, "", auth("PLAIN", "AHJv-_8="), "incorrect-encoding"},
		{"space before", secured, "", auth("PLAIN", " "+good), "incorrect-encoding"},
		{"line end behind", secured, "", auth("PLAIN", good+"\n"), "incorrect-encoding"},
		{"line end within", secured, "", auth("PLAIN", good[:4]+"\r\n"+good[4:]), "incorrect-encoding"},
		{"element within", secured, "", auth("PLAIN", "<x/>"), "malformed-request"},
		{"= for nothing", secured, "", auth("PLAIN", "="), "malformed-request"},
		{"= twice", secured, "", auth("PLAIN", "=="), "incorrect-encoding"},
		{"zeros missing", secured, "", auth("PLAIN", b64("mallory")), "malformed-request"},
		{"no UTF-8", secured, "", auth("PLAIN", b64("\x00\xff\x00\xfe")), "malformed-request"},
		{"no such mechanism", secured, "", auth("GSSAPI", ""), "invalid-mechanism"},
		{"no mechanism", secured, "", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "invalid-mechanism"},
		{"response to nothing", secured, "", response + good + "</response>", "malformed-request"},
		{"abort of nothing", secured, "", abort, "aborted"},
		{"abort", secured, scram, abort, "aborted"},
		{"response that is not base64", secured, scram, response + "!</response>", "incorrect-encoding"},
		{"response with white space", secured, scram, response + " Yz1iaXdz\n</response>", "incorrect-encoding"},
		{"response of nothing", secured, scram, response + "=</response>", "malformed-request"},
		{"another auth", secured, scram, scram, "malformed-request"},
		{"somebody else's identity", secured, "", auth("PLAIN", b64("witness@localhost\x00mallory\x00secret-mallory")), "invalid-authzid"},
		{"wrong password", secured, "", plain("secret-witness"), "not-authorized"},
		{"unknown user", secured, "", auth("PLAIN", b64("\x00nobody\x00x")), "not-authorized"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.suffer(t, map[string]float64{
				`muster_c2s_auth_failures_total{condition="` + test.want + `"}`: 3, streamErrors("policy-violation"): 1, endedProtocol: 1,
			}, func() {
				p := s.peer(t, test.at)
				for range 2 {
					p.fail(test.first, test.send, test.want)
				}
				if test.first != "" {
					p.ask(test.first, "</challenge>")
				}
				answer, _ := p.flood([]byte(test.send), 1)
				if !strings.Contains(answer, "<"+test.want+"/>") || !strings.Contains(answer, "</failure><stream:error><policy-violation ") {
					t.Errorf("the third time: got %s", answer)
				}
			})
		})
	}
	t.Run("second thoughts", func(t *testing.T) {
		s.suffer(t, map[string]float64{`muster_c2s_logins_total{mechanism="PLAIN"}`: 1}, func() {
			p := s.peer(t, secured)
			p.fail(scram, abort, "aborted")
			p.fail("", auth("PLAIN", "$"), "incorrect-encoding")
			p.ask(plain("secret-mallory"), "<success ")
			_ = p.conn.Close()
		})
	})
}

// fail lets an authentication fail in an orderly way.
func (p *peer) fail(first, send, want string) {
	p.t.Helper()
	if first != "" {
		p.ask(first, "</challenge>")
	}
	if got := p.ask(send, "</failure>"); !strings.HasPrefix(got, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><"+want+"/>") {
		p.t.Errorf("%.100q: got %s, want %s", send, got, want)
	}
}

// testInjection: what is sent behind <starttls/> is never taken for protected
// (RFC 6120 §5.3.4), be it there before the handshake or in its place.
func testInjection(t *testing.T, s *siege) {
	const injected = "<iq type='get' id='evil'><ping xmlns='urn:xmpp:ping'/></iq>"
	for name, behind := range map[string]string{
		"a stanza": injected, "half a stanza": injected[:10], "a login": plain("secret-mallory"), "a header": hello,
	} {
		t.Run(name, func(t *testing.T) {
			s.refused(t, attack{at: opened, block: []byte(startTLS + behind), times: 1}, "policy-violation")
		})
	}
	t.Run("instead of the handshake", func(t *testing.T) {
		s.suffer(t, map[string]float64{endedTLS: 1}, func() {
			p := s.peer(t, opened)
			p.ask(startTLS, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
			// RFC 6120 §5.4.3.2: no closing tag follows a failed handshake.
			if answer, _ := p.flood([]byte(hello+injected), 1); strings.ContainsAny(answer, "<>") {
				t.Errorf("got XML in the clear: %q", answer)
			}
		})
	})
}

// testBrokenSockets ends connections in all ways but the right one. Whoever was
// in a room leaves it.
func testBrokenSockets(t *testing.T, s *siege) {
	reset := func(p *peer) error { return errors.Join(p.tcp.SetLinger(0), p.tcp.Close()) }
	halfClose := func(p *peer) error { return p.tcp.CloseWrite() }
	for _, way := range []struct {
		name string
		end  func(*peer) error
	}{
		{"reset", reset},
		{"half-closed", halfClose},
		{"half-closed above TLS", func(p *peer) error {
			if c, ok := p.conn.(interface{ CloseWrite() error }); ok {
				return c.CloseWrite()
			}
			return errors.New("no connection to close half of")
		}},
	} {
		for _, where := range []struct {
			name string
			at   stage
			send string // before the end
		}{
			{"at once", fresh, ""},
			{"in the header", fresh, "<stream:str"},
			{"before login", secured, ""},
			{"within authentication", secured, auth("PLAIN", "")},
			{"before binding", authenticated, ""},
			{"in a room", bound, ""},
			{"in a room, in a stanza", bound, "<message to='wit"},
		} {
			t.Run(way.name+" "+where.name, func(t *testing.T) {
				s.suffer(t, map[string]float64{endedLost: 1}, func() {
					p := s.peer(t, where.at)
					if where.at == bound {
						p.enter("square")
					}
					p.send(where.send)
					if err := way.end(p); err != nil {
						t.Fatal(err)
					}
					p.seesTheEnd()
					if where.at == bound {
						s.witness.sees(t, "mallory")
					}
				})
			})
		}
	}
}

// enter enters a room.
func (p *peer) enter(room string) {
	p.t.Helper()
	p.ask("<presence to='"+room+"@conference.localhost/mallory'><x xmlns='http://jabber.org/protocol/muc'/></presence>", "<status code='110'/>")
}

// seesTheEnd reads on to the end of the connection, which must come.
func (p *peer) seesTheEnd() (got int) {
	p.t.Helper()
	_ = p.tcp.SetReadBuffer(1 << 20) // nothing to see on a socket that is closed already
	n, err := io.Copy(io.Discard, p.conn)
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		p.t.Error("the connection does not end")
	}
	return int(n)
}

// sees waits for somebody to leave the witness's room.
func (w *witness) sees(t *testing.T, nick string) {
	t.Helper()
	select {
	case got := <-w.gone:
		if got != nick {
			t.Errorf("%s has left the room, want %s", got, nick)
		}
	case <-time.After(patience):
		t.Errorf("%s is still in the room", nick)
	}
}

// testStopsReading lets one of three people in a room read no more while another
// says 3,000 things: he is cut off, and the others hear everything in order.
func testStopsReading(t *testing.T, s *siege) {
	const messages, window = 3000, 16
	long := repeat("y", 4<<10)
	heard := make(chan int, messages)
	gone := make(chan struct{}, 1)
	connect := func(name string, handle func(stanza.Stanza)) *actor {
		c, err := s.connect(t, name, client.Options{Resource: "a", Handler: handle})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return &actor{t: t, c: c}
	}
	number := func(st stanza.Stanza) (n int, ok bool) {
		_, err := fmt.Sscanf(st.Body(), "%d y", &n)
		return n, err == nil
	}
	echo, entered := make(chan int, messages), make(chan struct{}, 16)
	enter := func(a *actor, nick string) {
		a.send("<presence to='stage@conference.localhost/" + nick + "'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
		select {
		case <-entered:
		case <-time.After(patience):
			t.Fatalf("%s does not get in", nick)
		}
	}
	watch := func(own string, said chan<- int) func(stanza.Stanza) {
		return func(st stanza.Stanza) {
			n, ok := number(st)
			switch {
			case ok:
				said <- n
			case st.Kind == stanza.Presence && st.Type == "" && st.From.Resource() == own:
				entered <- struct{}{}
			case st.Type == stanza.TypeUnavailable && st.From.Resource() == "mallory" && own == "listener":
				gone <- struct{}{}
			}
		}
	}
	talker := connect("talker", watch("talker", echo))
	enter(talker, "talker")
	talker.request("<iq type='set' to='stage@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
	enter(connect("listener", watch("listener", heard)), "listener")

	mallory := s.peer(t, bound)
	if err := mallory.tcp.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	mallory.enter("stage")
	s.suffer(t, map[string]float64{slowConsumers: 1, endedSlow: 1, "muster_c2s_connections": -1}, func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for sent := range messages + window {
			if sent < messages {
				talker.send(fmt.Sprintf("<message type='groupchat' to='stage@conference.localhost'><body>%d %s</body></message>", sent, long))
			}
			if sent >= window {
				inOrder(ctx, t, "talker", echo, sent-window)
				inOrder(ctx, t, "listener", heard, sent-window)
			}
		}
		select {
		case <-gone:
		case <-ctx.Done():
			t.Error("who reads nothing is still in the room")
		}
		if got := mallory.seesTheEnd(); got >= messages*len(long) {
			t.Errorf("who reads nothing was sent all %d bytes", got)
		}
	})
}

// inOrder takes the next message, which must be number want.
func inOrder(ctx context.Context, t *testing.T, who string, said <-chan int, want int) {
	t.Helper()
	select {
	case got := <-said:
		if got != want {
			t.Fatalf("%s: got message %d, want %d", who, got, want)
		}
	case <-ctx.Done():
		t.Fatalf("%s: message %d does not come", who, want)
	}
}
