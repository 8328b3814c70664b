package c2s

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const startTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

// inTLSWorld is inWorld with certificates for both hosts and PLAIN only under
// TLS.
func inTLSWorld(t *testing.T, mode Mode, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		certs := []tls.Certificate{certificate(t, "a.test"), certificate(t, "b.test")}
		w := newWorld(t, func(c *config) {
			c.sasl.AllowPlainWithoutTLS = false
			c.listener = ListenerOptions{Mode: mode, TLS: func(string) *tls.Config { return &tls.Config{Certificates: certs} }}
		})
		defer w.close()
		f(w)
	})
}

// dialTLS connects and makes the handshake.
func (w *world) dialTLS(mode Mode, cfg *tls.Config) (*peer, *tls.Conn) {
	w.t.Helper()
	a, b := net.Pipe()
	addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711}
	w.wg.Go(func() { w.listener.ServeConn(w.t.Context(), addressed{a, addr}) })
	if mode != DirectTLS {
		readUntil(w.t, b, header, "</stream:features>")
		readUntil(w.t, b, startTLS, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	}
	cfg.InsecureSkipVerify = true
	conn := tls.Client(b, cfg)
	if err := conn.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	return w.collect(conn), conn
}

// readUntil sends and reads, byte for byte so as to take nothing of the
// handshake, until what is wanted has come.
func readUntil(t *testing.T, conn net.Conn, send, want string) string {
	t.Helper()
	if _, err := conn.Write([]byte(send)); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for b := make([]byte, 1); !strings.HasSuffix(got.String(), want); got.Write(b) {
		if _, err := conn.Read(b); err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
	}
	return got.String()
}

func TestTLSFeatures(t *testing.T) {
	t.Parallel()
	const offered = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	const required = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
	for _, tt := range []struct {
		name string
		mode Mode
		want string
	}{
		{"offered", StartTLS, "<stream:features>" + offered + "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" +
			"<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>"},
		{"required", StartTLSRequired, "<stream:features>" + required + "</stream:features>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTLSWorld(t, tt.mode, func(w *world) {
				p := w.dial()
				p.ask(header, tt.want)
				p.ask(auth("PLAIN", plain("romeo", password)), "<failure ", "<encryption-required/>")
				p.send("<presence/>")
				p.wantError("not-authorized")
			})
		})
	}
}

func TestRequiredTLSHoldsForEveryMechanism(t *testing.T) {
	t.Parallel()
	inTLSWorld(t, StartTLSRequired, func(w *world) {
		p := w.dial()
		p.ask(header, "<required/>")
		p.ask(auth("SCRAM-SHA-256", base64String("n,,n=romeo,r=x")), "<encryption-required/>")
	})
}

func TestPlainUnderTLS(t *testing.T) {
	t.Parallel()
	inTLSWorld(t, StartTLS, func(w *world) {
		p, _ := w.dialTLS(StartTLS, &tls.Config{ServerName: "a.test"})
		p.ask(header, "<mechanism>PLAIN</mechanism>")
		p.ask(auth("PLAIN", plain("romeo", password)), "<success ")
		p.ask(header, "<bind ")
		p.ask(startTLS, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
		p.wantClosed()
	})
}

// TestCertificate: the client's server name decides, and without one the host
// that the header names.
func TestCertificate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, serverName, want string
		mode                   Mode
	}{
		{"server name", "b.test", "b.test", DirectTLS},
		{"no server name", "", "a.test", StartTLS},
		{"server name before header", "b.test", "b.test", StartTLS},
		{"foreign server name", "c.test", "a.test", DirectTLS},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTLSWorld(t, tt.mode, func(w *world) {
				_, conn := w.dialTLS(tt.mode, &tls.Config{ServerName: tt.serverName})
				if got := conn.ConnectionState().PeerCertificates[0].DNSNames[0]; got != tt.want {
					t.Errorf("got the certificate of %s, want %s", got, tt.want)
				}
			})
		})
	}
}

func TestHandshakeRefusals(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.1":      {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"another ALPN": {NextProtos: []string{"h2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTLSWorld(t, DirectTLS, func(w *world) {
				a, b := net.Pipe()
				w.wg.Go(func() { w.listener.ServeConn(w.t.Context(), a) })
				cfg.InsecureSkipVerify = true
				if err := tls.Client(b, cfg).Handshake(); err == nil {
					t.Error("the handshake went through")
				}
				_ = b.Close()
				synctest.Wait()
				if n := w.metric("connections_ended_total", string(reasonTLS)); n != 1 {
					t.Errorf("counted %v ends", n)
				}
			})
		})
	}
}

// TestNoClosingTagAfterFailedHandshake: what follows <proceed/> is TLS or
// nothing (RFC 6120 §5.4.3.2).
func TestNoClosingTagAfterFailedHandshake(t *testing.T) {
	t.Parallel()
	inTLSWorld(t, StartTLS, func(w *world) {
		p := w.dial()
		p.ask(header, "<stream:features>")
		p.ask(startTLS, "<proceed ")
		p.send("GET / HTTP/1.1\r\n\r\n")
		if got := p.take(); strings.Contains(got, "stream") {
			t.Errorf("got %q", got)
		}
		p.wantClosed()
	})
}

// TestInjection: what was sent behind <starttls/> is not taken for something
// that was said under TLS (CVE-2011-0411).
func TestInjection(t *testing.T) {
	t.Parallel()
	inTLSWorld(t, StartTLS, func(w *world) {
		p := w.dial()
		p.ask(header, "<stream:features>")
		p.send("%s", startTLS+header+auth("PLAIN", plain("romeo", password)))
		got := p.want("<stream:error><policy-violation ")
		if strings.Contains(got, "proceed") || strings.Contains(got, "success") {
			t.Errorf("got %q", got)
		}
		p.wantClosed()
	})
}

func TestStartTLSWhereThereIsNone(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.dial()
		p.ask(header, "<stream:features><mechanisms ")
		p.ask(startTLS, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
		p.wantClosed()
	})
}

func TestSilentHandshakeTimesOut(t *testing.T) {
	t.Parallel()
	inTLSWorld(t, DirectTLS, func(w *world) {
		p := w.dial()
		time.Sleep(30 * time.Second)
		if got := p.take(); got != "" {
			t.Errorf("got %q", got)
		}
		p.wantClosed()
	})
}

func TestConfigurationErrors(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{}); err == nil {
		t.Error("a server without anything")
	}
	if _, err := (&Server{}).Listener(ListenerOptions{Mode: StartTLS}); err == nil {
		t.Error("STARTTLS without a certificate")
	}
	if _, err := choose(&tls.Config{}, &tls.ClientHelloInfo{}, ""); !errors.Is(err, errNoCertificate) {
		t.Errorf("no certificate: %v", err)
	}
}
