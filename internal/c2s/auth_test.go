package c2s

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/jid"
)

func auth(mechanism, data string) string {
	return "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='" + mechanism + "'>" + data + "</auth>"
}

func respond(data string) string {
	return "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + data + "</response>"
}

func base64String(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

const abort = "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"

// TestFailures: each way to fail has its condition (RFC 6120 §6.5), and the
// client may try again on the same stream.
func TestFailures(t *testing.T) {
	t.Parallel()
	scramFirst := auth("SCRAM-SHA-256", base64String("n,,n=romeo,r=x"))
	for _, tt := range []struct {
		name string
		send []string
		want string
	}{
		{"wrong password", []string{auth("PLAIN", plain("romeo", "x"))}, "not-authorized"},
		{"unknown user", []string{auth("PLAIN", plain("nobody", "x"))}, "not-authorized"},
		{"unknown mechanism", []string{auth("GSSAPI", "")}, "invalid-mechanism"},
		{"no mechanism", []string{"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"}, "invalid-mechanism"},
		{"plus without TLS", []string{auth("SCRAM-SHA-256-PLUS", "")}, "invalid-mechanism"},
		{"bad base64", []string{auth("PLAIN", "$$$")}, "incorrect-encoding"},
		{"no padding", []string{auth("PLAIN", "AHJvbWVvAHg")}, "incorrect-encoding"},
		{"stray bits", []string{auth("PLAIN", "AHJvbWVvAHh=")}, "incorrect-encoding"},
		{"space", []string{auth("PLAIN", " "+plain("romeo", password))}, "incorrect-encoding"},
		{"line end", []string{auth("PLAIN", plain("romeo", password)+"\n")}, "incorrect-encoding"},
		{"carriage return inside", []string{auth("PLAIN", "AHJv&#xD;bWVvAHg=")}, "incorrect-encoding"},
		{"an element", []string{auth("PLAIN", "<x/>")}, "malformed-request"},
		{"empty initial response", []string{auth("PLAIN", "=")}, "malformed-request"},
		{"empty response", []string{auth("PLAIN", ""), respond("")}, "malformed-request"},
		{"empty response as =", []string{auth("PLAIN", ""), respond("=")}, "malformed-request"},
		{"bad base64 in a response", []string{scramFirst, respond("!")}, "incorrect-encoding"},
		{"malformed final message", []string{scramFirst, respond(base64String("c=biws"))}, "malformed-request"},
		{"abort", []string{scramFirst, abort}, "aborted"},
		{"abort of nothing", []string{abort}, "aborted"},
		{"response to nothing", []string{respond("")}, "malformed-request"},
		{"auth within auth", []string{scramFirst, scramFirst}, "malformed-request"},
		{"foreign authzid", []string{auth("PLAIN", base64String("juliet@a.test\x00romeo\x00"+password))}, "invalid-authzid"},
		{"store broken", []string{auth("PLAIN", plain("broken", password))}, "temporary-auth-failure"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				p := w.dial()
				p.ask(header, "<stream:features>")
				for _, s := range tt.send[:len(tt.send)-1] {
					p.ask(s, "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'")
				}
				p.ask(tt.send[len(tt.send)-1], "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><"+tt.want+"/>")
				if n := w.metric("auth_failures_total", tt.want); n != 1 {
					t.Errorf("counted %v failures", n)
				}
				p.ask(auth("PLAIN", plain("romeo", password)), "<success ")
			})
		})
	}
}

func TestStanzaWithinAuthentication(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.dial()
		p.ask(header, "<stream:features>")
		p.ask(auth("PLAIN", ""), "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
		p.send("<presence/>")
		p.wantError("not-authorized")
	})
}

// TestUnknownUserLooksLikeWrongPassword compares everything on the wire.
func TestUnknownUserLooksLikeWrongPassword(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		seen := map[string][]string{}
		for _, user := range []string{"romeo", "nobody"} {
			p := w.dial()
			p.ask(header, "<stream:features>")
			seen[user] = append(seen[user], p.ask(auth("PLAIN", plain(user, "wrong")), "<failure "))
			got := p.ask(auth("SCRAM-SHA-256", base64String("n,,n="+user+",r=abc")), "<challenge ")
			challenge, _ := base64.StdEncoding.DecodeString(strings.TrimSuffix(got[strings.IndexByte(got, '>')+1:], "</challenge>"))
			fields := strings.Split(string(challenge), ",")
			if len(fields) != 3 {
				t.Fatalf("challenge %q", challenge)
			}
			seen[user] = append(seen[user], fmt.Sprint(len(fields[0]), len(fields[1]), fields[2]))
			final := "c=biws," + fields[0] + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))
			seen[user] = append(seen[user], p.ask(respond(base64String(final)), "<failure "))
		}
		if a, b := fmt.Sprintf("%q", seen["romeo"]), fmt.Sprintf("%q", seen["nobody"]); a != b {
			t.Errorf("a wrong password is answered\n%s, an unknown name\n%s", a, b)
		}
	})
}

// TestTooManyFailures: a stream has three attempts (RFC 6120 §6.4.5).
func TestTooManyFailures(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.dial()
		p.ask(header, "<stream:features>")
		for range 2 {
			p.ask(auth("PLAIN", plain("romeo", "x")), "<failure ", "</failure>")
		}
		p.send("%s", auth("PLAIN", plain("romeo", "x")))
		p.want("<failure ", "<stream:error><policy-violation ")
		p.wantClosed()
	})
}

// TestFailuresOfAnAddress: an address that guesses is refused before it is
// heard, whatever it guesses, until it has waited.
func TestFailuresOfAnAddress(t *testing.T) {
	t.Parallel()
	attacker := &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1}
	for _, tt := range []struct {
		name     string
		from     net.Addr
		loopback bool
		wait     time.Duration
		refused  bool
	}{
		{"the same address", attacker, false, 0, true},
		{"another of its network", &net.TCPAddr{IP: net.ParseIP("2001:db8::2"), Port: 1}, false, 0, true},
		{"another network", &net.TCPAddr{IP: net.ParseIP("2001:db8:1::1"), Port: 1}, false, 0, false},
		{"the same after a while", attacker, false, 11 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(c *config) { c.options.FailureBurst, c.options.FailureEvery = 4, 10*time.Second }, func(w *world) {
				for range 2 {
					p := w.dialFrom(attacker)
					p.ask(header, "<stream:features>")
					for range 2 {
						p.ask(auth("PLAIN", plain("romeo", "x")), "<not-authorized/>")
					}
					_ = p.conn.Close()
				}
				time.Sleep(tt.wait)
				p := w.dialFrom(tt.from)
				p.ask(header, "<stream:features>")
				p.send("%s", auth("PLAIN", plain("romeo", password)))
				if !tt.refused {
					p.want("<success ")
					return
				}
				p.want("<failure ", "<temporary-auth-failure/>", "<stream:error><policy-violation ")
				p.wantClosed()
				if n := w.metric("refused_total", refusedLogins); n != 1 {
					t.Errorf("counted %v refusals", n)
				}
			})
		})
	}
}

// TestStrangers: an address has so many connections that are nobody's yet, and
// as many as it likes that are somebody's.
func TestStrangers(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *config) { c.options.MaxStrangers = 2 }, func(w *world) {
		from := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
		login := func(p *peer) {
			p.ask(header, "<stream:features>")
			p.ask(auth("PLAIN", plain("romeo", password)), "<success ")
			p.ask(header, "<bind ")
			p.ask("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "<jid>")
		}
		first, second := w.dialFrom(from), w.dialFrom(from)
		first.ask(header, "<stream:features>")
		second.ask(header, "<stream:features>")
		w.dialFrom(from).wantClosed()
		if n := w.metric("refused_total", refusedStranger); n != 1 {
			t.Errorf("counted %v refusals", n)
		}
		w.dialFrom(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1}).ask(header, "<stream:features>")
		_ = first.conn.Close()
		synctest.Wait()
		for range 5 {
			login(w.dialFrom(from))
		}
	})
}

func TestLoopbackIsNotLimited(t *testing.T) {
	t.Parallel()
	for _, limited := range []bool{false, true} {
		inWorld(t, func(c *config) { c.options.FailureBurst, c.options.LimitLoopback = 1, limited }, func(w *world) {
			p := w.dialFrom(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
			p.ask(header, "<stream:features>")
			p.ask(auth("PLAIN", plain("romeo", "x")), "<not-authorized/>")
			p.send("%s", auth("PLAIN", plain("romeo", "x")))
			if want := map[bool]string{false: "<not-authorized/>", true: "<temporary-auth-failure/>"}[limited]; !strings.Contains(p.take(), want) {
				t.Errorf("limited %v: not %s", limited, want)
			}
		})
	}
}

// TestRemovedWhileLoggingIn: an account that goes between the proof and the
// answer does not get in.
func TestRemovedWhileLoggingIn(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.dial()
		p.ask(header, "<stream:features>")
		c := scramClient(t)
		first, _ := c.Step("")
		got := p.ask(auth("SCRAM-SHA-256", base64String(first)), "<challenge ")
		w.mu.Lock()
		delete(w.accounts, jid.MustParse("romeo@a.test"))
		w.mu.Unlock()
		p.ask(respond(base64String(step(t, c, got))), "<failure ", "<not-authorized/>")
	})
}

func scramClient(t *testing.T) *scram.ClientConversation {
	t.Helper()
	c, err := scram.SHA256.NewClientUnprepped("romeo", password, "")
	if err != nil {
		t.Fatal(err)
	}
	return c.NewConversation()
}

// step gives the content of a challenge or success to the oracle's client.
func step(t *testing.T, c *scram.ClientConversation, element string) string {
	t.Helper()
	content := element[strings.IndexByte(element, '>')+1:]
	data, err := base64.StdEncoding.DecodeString(content[:strings.IndexByte(content, '<')])
	if err != nil {
		t.Fatalf("%q: %v", element, err)
	}
	out, err := c.Step(string(data))
	if err != nil {
		t.Fatalf("%q: %v", element, err)
	}
	return out
}

// TestSCRAMOverTLS is the whole way: STARTTLS, a mechanism with channel binding
// of each type, binding.
func TestSCRAMOverTLS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		mode    Mode
		version uint16
		binding string
	}{
		{"STARTTLS, exporter", StartTLS, tls.VersionTLS13, sasl.TLSExporter},
		{"STARTTLS, end point", StartTLSRequired, tls.VersionTLS13, sasl.TLSServerEndPoint},
		{"TLS 1.2, exporter", StartTLS, tls.VersionTLS12, sasl.TLSExporter},
		{"direct TLS, end point", DirectTLS, tls.VersionTLS12, sasl.TLSServerEndPoint},
		{"direct TLS, exporter", DirectTLS, tls.VersionTLS13, sasl.TLSExporter},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTLSWorld(t, tt.mode, func(w *world) {
				p, conn := w.dialTLS(tt.mode, &tls.Config{ServerName: "a.test", MaxVersion: tt.version, NextProtos: alpn(tt.mode)})
				p.ask(header, "<stream:features><mechanisms ",
					"<mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism><mechanism>SCRAM-SHA-256</mechanism>",
					"<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/><channel-binding type='tls-server-end-point'/></sasl-channel-binding>")
				client, err := scram.SHA256.NewClientUnprepped("romeo", password, "")
				if err != nil {
					t.Fatal(err)
				}
				state := conn.ConnectionState()
				binding, err := scram.NewTLSServerEndpointBinding(&state)
				if tt.binding == sasl.TLSExporter {
					binding, err = scram.NewTLSExporterBinding(&state)
				}
				if err != nil {
					t.Fatal(err)
				}
				c := client.NewConversationWithChannelBinding(binding)
				first, _ := c.Step("")
				got := p.ask(auth("SCRAM-SHA-256-PLUS", base64String(first)), "<challenge ")
				got = p.ask(respond(base64String(step(t, c, got))), "<success ")
				if step(t, c, got); !c.Valid() {
					t.Fatal("the server has not proved itself")
				}
				p.ask(header, "<bind ")
				p.ask(bindRequest("x"), "<jid>romeo@a.test/x</jid>")
				if log := w.log.String(); strings.Count(log, "level=INFO") != 1 || !strings.Contains(log, "mechanism=SCRAM-SHA-256-PLUS") ||
					!strings.Contains(log, "jid=romeo@a.test/x") || !strings.Contains(log, "remote=192.0.2.1:4711") {
					t.Errorf("want one line about the login in %q", log)
				}
				if n := w.metric("logins_total", "SCRAM-SHA-256-PLUS"); n != 1 {
					t.Errorf("counted %v logins", n)
				}
			})
		})
	}
}

func alpn(mode Mode) []string {
	if mode == DirectTLS {
		return []string{"xmpp-client"}
	}
	return nil
}
