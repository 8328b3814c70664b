package c2s

import (
	"context"
	"net"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Registration makes accounts for those who have none yet (XEP-0077 §3.1.1).
type Registration interface {
	// Offered reports whether somebody who connects from an address may make
	// an account. secure says that others cannot read what he says.
	Offered(addr net.Addr, secure bool) bool
	// Invites reports whether he may show an invitation to make one (XEP-0445 §3).
	Invites(addr net.Addr, secure bool) bool
	// Invited answers who shows an invitation to host, and returns what makes the
	// account then; nil if the invitation is not good.
	Invited(ctx context.Context, host string, addr net.Addr, secure bool, iq *stanza.Stanza) (answer stanza.Stanza, with Registration)
	// Register answers a request to host; made says that there is a new account.
	Register(ctx context.Context, host string, addr net.Addr, secure bool, iq *stanza.Stanza) (answer stanza.Stanza, made bool)
}

// maxRegistrations bounds the tries of one stream to make an account. More are
// refused, and twice as many end it.
const maxRegistrations = 10

// offersRegistration reports whether the stream as it stands may be used to make
// an account.
func (n *negotiation) offersRegistration() bool {
	return n.registration != nil && len(n.offer()) > 0 && !n.registered &&
		(n.registration.Offered(n.conn.RemoteAddr(), n.channel.Secure) || n.takesInvitations())
}

// takesInvitations reports whether invitations may be shown (XEP-0445 §3).
func (n *negotiation) takesInvitations() bool {
	return n.registration != nil && len(n.offer()) > 0 && !n.registered && n.registration.Invites(n.conn.RemoteAddr(), n.channel.Secure)
}

// The namespaces of invitations (XEP-0445).
const (
	nsInviteFeature = "urn:xmpp:ibr-token:0"
	nsPreauth       = "urn:xmpp:pars:0"
)

func isInvitation(e *stanza.Element) bool { return e.Is(nsPreauth, "preauth") }

// isRegistration reports whether an element is a request about accounts.
func isRegistration(e *stanza.Element) bool {
	return e.Is(stanza.NSClient, "iq") && e.FirstElement() != nil &&
		(e.FirstElement().Name.Space == stanza.NSRegister || isInvitation(e.FirstElement()))
}

// register answers a request about accounts before authentication.
func (n *negotiation) register(ctx context.Context, e *stanza.Element) error {
	if n.registrations++; n.registrations > 2*maxRegistrations {
		return &stream.Error{Condition: stream.PolicyViolation, Text: "Too many attempts to register."}
	}
	st, _, malformed := stanza.FromElement(e)
	st.From = jid.JID{} // there is nobody yet
	if malformed == nil {
		malformed = checkIQ(&st)
	}
	if malformed == nil && (!st.To.IsZero() && (st.To.Local() != "" || st.To.Domain() != n.host || !st.To.IsBare()) || !st.IsRequest()) {
		return notAuthorized() // RFC 6120 §4.9.3.12: nobody else can be asked yet
	}
	if malformed == nil {
		malformed = n.mayTryRegistration(&st)
	}
	if malformed != nil {
		n.srv.metrics.refuse(refusedRegister)
		st.Children = nil // there may be a password in it
		return n.reply(&st, malformed)
	}
	answer := n.answerRegistration(ctx, &st)
	if answer.Type == stanza.TypeError {
		n.srv.failures.Take(n.conn.RemoteAddr()) // whoever tries names finds out who is here
	}
	return n.stream.SendStanza(&answer)
}

// answerRegistration has a request answered. Who has shown an invitation makes
// his account with it from then on.
func (n *negotiation) answerRegistration(ctx context.Context, st *stanza.Stanza) stanza.Stanza {
	addr, secure := n.conn.RemoteAddr(), n.channel.Secure
	if isInvitation(st.Payload()) {
		answer, with := n.registration.Invited(ctx, n.host, addr, secure, st)
		if with != nil {
			n.registration = with
		}
		return answer
	}
	answer, made := n.registration.Register(ctx, n.host, addr, secure, st)
	n.registered = n.registered || made
	return answer
}

// mayTryRegistration refuses requests that are not to be looked at.
func (n *negotiation) mayTryRegistration(st *stanza.Stanza) *stanza.Error {
	switch {
	case n.registration == nil: // XEP-0077 §3.1
		return stanza.NewError(stanza.Cancel, stanza.ServiceUnavailable, "")
	case len(n.offer()) == 0: // TLS is required first
		return stanza.NewError(stanza.Modify, stanza.NotAuthorized, "Use TLS first.")
	case n.registered && st.Type == stanza.TypeSet: // XEP-0077 §3.1.1
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "This stream has made an account already: log in.")
	case !n.srv.failures.Allowed(n.conn.RemoteAddr()):
		return stanza.NewError(stanza.Wait, stanza.ResourceConstraint, "Too many failed attempts. Try again later.")
	case n.registrations > maxRegistrations: // XEP-0077 §3.1.1
		return stanza.NewError(stanza.Modify, stanza.NotAcceptable, "Too many attempts.")
	}
	return nil
}

// Secure reports whether others cannot read what the session's client says.
func (s *Session) Secure() bool {
	s.mu.Lock()
	k := s.link
	s.mu.Unlock()
	return k != nil && k.stream.TLS() != nil
}
