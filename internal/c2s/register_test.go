package c2s

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/muster-im/muster/stanza"
)

// clerk is a registration that makes accounts unless they are called romeo.
type clerk struct{ secureOnly bool }

func (clerk) Invites(net.Addr, bool) bool { return false }

func (clerk) Invited(_ context.Context, _ string, _ net.Addr, _ bool, iq *stanza.Stanza) (stanza.Stanza, Registration) {
	answer, _ := iq.ErrorReply(stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, ""))
	return answer, nil
}

func (c clerk) Offered(_ net.Addr, secure bool) bool { return secure || !c.secureOnly }

func (c clerk) Register(_ context.Context, host string, _ net.Addr, _ bool, iq *stanza.Stanza) (stanza.Stanza, bool) {
	if iq.Type == stanza.TypeSet && iq.Payload().ChildText(stanza.NSRegister, "username") == "romeo" {
		answer, _ := iq.ErrorReply(stanza.NewError(stanza.Cancel, stanza.Conflict, host))
		return answer, false
	}
	return iq.Result(nil), iq.Type == stanza.TypeSet
}

func registration(id, username string) string {
	return fmt.Sprintf("<iq type='set' id='%s'><query xmlns='jabber:iq:register'><username>%s</username><password>%s</password></query></iq>", id, username, password)
}

const registerFeature = "<register xmlns='http://jabber.org/features/iq-register'/>"

func TestRegistration(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *config) { c.options.Registration = clerk{} }, func(w *world) {
		p := w.dial()
		p.ask(header, registerFeature)
		p.ask(registration("1", "romeo"), "<iq type='error' id='1'", "<conflict ", ">a.test</text>")
		p.ask("<iq type='set'><query xmlns='jabber:iq:register'><username>x</username></query></iq>", "<bad-request ")
		p.ask("<iq type='get' id='2' to='a.test'><query xmlns='jabber:iq:register'/></iq>", "<iq type='result' id='2' from='a.test'/>")
		p.ask(registration("3", "mercutio"), "<iq type='result' id='3'/>")
		// XEP-0077 §3.1.1: one account for each stream, and the answer repeats no password.
		if got := p.ask(registration("4", "tybalt"), "<iq type='error' id='4'", "<not-acceptable "); strings.Contains(got, password) {
			t.Errorf("a password is repeated: %s", got)
		}
		p.ask(auth("PLAIN", plain("romeo", password)), "<success ")
		p.ask(header, "<bind ")
		if got := p.ask(registration("5", "tybalt"), "<unexpected-request "); strings.Contains(got, registerFeature) {
			t.Errorf("registration is offered to somebody who has logged in: %s", got)
		}
	})
}

// TestRegistrationElsewhere: before authentication nobody but the host may be
// asked (RFC 6120 §4.9.3.12).
func TestRegistrationElsewhere(t *testing.T) {
	t.Parallel()
	for _, request := range []string{
		"<iq type='set' id='1' to='b.test'><query xmlns='jabber:iq:register'/></iq>",
		"<iq type='set' id='1' to='romeo@a.test'><query xmlns='jabber:iq:register'/></iq>",
		"<iq type='result' id='1'><query xmlns='jabber:iq:register'/></iq>",
		"<message><query xmlns='jabber:iq:register'/></message>",
	} {
		inWorld(t, func(c *config) { c.options.Registration = clerk{} }, func(w *world) {
			p := w.dial()
			p.ask(header, "<stream:features>")
			p.send("%s", request)
			p.wantError("not-authorized")
		})
	}
}

// TestTriesOfNames: whoever tries names to find out who has an account is
// stopped on his stream, and then at his address, where logins are, too.
func TestTriesOfNames(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *config) { c.options.Registration, c.options.FailureBurst = clerk{}, 15 }, func(w *world) {
		p := w.dial()
		p.ask(header, registerFeature)
		for range maxRegistrations {
			p.ask(registration("1", "romeo"), "<conflict ")
		}
		for range maxRegistrations {
			p.ask(registration("1", "romeo"), "<not-acceptable ")
		}
		p.send("%s", registration("1", "romeo"))
		p.wantError("policy-violation")
		again := w.dial()
		again.ask(header, "<stream:features>")
		for range 5 {
			again.ask(registration("1", "romeo"), "<conflict ")
		}
		again.ask(registration("1", "romeo"), "<resource-constraint ")
		again.ask(auth("PLAIN", plain("romeo", password)), "<temporary-auth-failure/>")
		if n := w.metric("refused_total", refusedRegister); n != maxRegistrations+1 {
			t.Errorf("counted %v", n)
		}
	})
}

// TestRegistrationWantsTLS: it is neither offered nor taken where TLS comes
// first.
func TestRegistrationWantsTLS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		mode Mode
	}{{"required", StartTLSRequired}, {"offered", StartTLS}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(c *config) {
				cert := certificate(t, "a.test")
				c.options.Registration = clerk{secureOnly: true}
				c.listener = ListenerOptions{Mode: tt.mode, TLS: func(string) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} }}
			}, func(w *world) {
				p := w.dial()
				if got := p.ask(header, "<starttls "); strings.Contains(got, registerFeature) {
					t.Errorf("offered without TLS: %s", got)
				}
				if tt.mode == StartTLSRequired {
					p.ask(registration("1", "x"), "<not-authorized ")
				}
			})
		})
	}
}
