package c2s

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// negotiation is what a connection needs until a resource is bound
// (RFC 6120 §4.3), and forgets then. It belongs to the reader.
type negotiation struct {
	*link
	deadline      time.Time
	host          string
	lang          string // of the client's stream, for stanzas that name none
	streamID      string
	channel       sasl.Channel
	failures      int          // of authentication
	mismatches    int          // of channel binding, which are no failures yet
	registration  Registration // nil: there is none; another one for who has shown an invitation
	registered    bool         // an account has been made
	registrations int          // tries to make one
	account       jid.JID
	mechanism     sasl.Mechanism
}

// negotiate brings a connection to a session; nil if it has ended before.
func (k *link) negotiate(ctx context.Context) (s *Session) {
	n := &negotiation{link: k, registration: k.srv.opts.Registration, deadline: time.Now().Add(k.srv.opts.AuthTimeout)}
	defer func() {
		if v := recover(); v != nil {
			s = nil
			k.panicked(ctx, v)
			k.end(reasonPanic, &stream.Error{Condition: stream.InternalServerError})
		}
	}()
	ctx, cancel := context.WithDeadline(ctx, n.deadline)
	defer cancel()
	s, err := n.run(ctx)
	if err != nil {
		k.log(ctx, slog.LevelDebug, "stream not negotiated", slog.Any("err", err))
		k.endBy(err)
		return nil
	}
	return s
}

// panicked records a panic.
func (k *link) panicked(ctx context.Context, v any) {
	k.srv.panicked(ctx, v, slog.String("remote", k.conn.RemoteAddr().String()))
}

// panicked records a panic.
func (s *Server) panicked(ctx context.Context, v any, who slog.Attr) {
	s.metrics.panics.Inc()
	s.log.LogAttrs(ctx, slog.LevelError, "panic", who, slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
}

func (n *negotiation) run(ctx context.Context) (*Session, error) {
	n.setReadDeadline(n.deadline)
	if n.listener.opts.Mode == DirectTLS {
		if err := n.startTLS(false); err != nil {
			return nil, err
		}
	}
	for n.account.IsZero() { // once per stream: TLS and SASL begin a new one
		if err := n.open(); err != nil {
			return nil, err
		}
		if err := n.secure(ctx); err != nil {
			return nil, err
		}
	}
	if err := n.open(); err != nil {
		return nil, err
	}
	return n.bind(ctx)
}

// open exchanges headers and offers features (RFC 6120 §4.2, §4.3.2).
func (n *negotiation) open() error {
	h, err := n.stream.ReadHeader()
	if _, wrong := errors.AsType[*stream.Error](err); err != nil && !wrong {
		return err
	}
	refused := cmp.Or(err, n.checkHeader(h))
	n.streamID = rand.Text() // RFC 6120 §4.7.3: unpredictable
	answer := stream.Header{ID: n.streamID, To: h.From, Version: "1.0", Lang: "en"}
	if answer.From, err = jid.New("", n.host, ""); err != nil {
		return err
	}
	if err := n.stream.SendHeader(answer); err != nil {
		return err
	}
	if refused != nil { // RFC 6120 §4.9.1.2: the header comes before the error
		return refused
	}
	n.lang = strings.Clone(h.Lang) // it outlives the header
	return n.stream.SendRaw(n.features())
}

// checkHeader accepts a stream for one of our hosts (RFC 6120 §4.7, §4.8).
func (n *negotiation) checkHeader(h stream.Header) error {
	served := h.To == h.To.DomainOnly() && slices.Contains(n.srv.opts.Hosts, h.To.Domain())
	switch {
	case served && n.account.IsZero():
		n.host = h.To.Domain()
	case n.host == "":
		n.host = n.srv.host.Domain() // RFC 6120 §4.9.3.6: who answers all the same
	}
	switch {
	case h.Content != stanza.NSClient:
		return &stream.Error{Condition: stream.InvalidNamespace, Text: "The content namespace must be jabber:client."}
	case h.Version == "":
		return &stream.Error{Condition: stream.UnsupportedVersion, Text: "This server speaks XMPP 1.0."}
	case h.To.IsZero():
		return &stream.Error{Condition: stream.ImproperAddressing, Text: "The header must say in 'to' which host is meant."}
	case !served:
		return &stream.Error{Condition: stream.HostUnknown}
	case !n.account.IsZero() && h.To.Domain() != n.host:
		return &stream.Error{Condition: stream.HostUnknown, Text: "The host must not change after authentication."}
	case !n.account.IsZero() && !h.From.IsZero() && h.From.Bare() != n.account:
		return &stream.Error{Condition: stream.InvalidFrom} // RFC 6120 §4.7.1
	}
	return nil
}

// features returns the features of the stream as it stands, in the order in
// which they are to be negotiated.
func (n *negotiation) features() []byte {
	var list []*stanza.Element
	if n.account.IsZero() {
		list = n.featuresBefore()
	} else {
		list = n.featuresAfter()
	}
	dst := []byte("<stream:features>") // RFC 6120 §4.8.5: with the prefix that the header declares
	for _, e := range list {
		dst = e.AppendXML(dst, stanza.NSClient)
	}
	return append(dst, "</stream:features>"...)
}

const nsChannelBinding = "urn:xmpp:sasl-cb:0"

// featuresBefore are those before authentication: STARTTLS (RFC 6120 §5.4.1),
// mechanisms (§6.4.1), channel bindings (XEP-0440) and registration (XEP-0077
// §8).
func (n *negotiation) featuresBefore() []*stanza.Element {
	var list []*stanza.Element
	offer := n.offer()
	if n.mayStartTLS() {
		e := stanza.NewElement(stanza.NSTLS, "starttls")
		if len(offer) == 0 {
			e.Add(stanza.NewElement(stanza.NSTLS, "required"))
		}
		list = append(list, e)
	}
	if len(offer) == 0 {
		return list
	}
	if n.takesInvitations() {
		list = append(list, stanza.NewElement(nsInviteFeature, "register"))
	}
	if n.offersRegistration() {
		list = append(list, stanza.NewElement("http://jabber.org/features/iq-register", "register"))
	}
	mechanisms := stanza.NewElement(stanza.NSSASL, "mechanisms")
	for _, m := range offer {
		mechanisms.AddTextElement("mechanism", string(m))
	}
	list = append(list, mechanisms)
	if len(n.channel.Bindings) > 0 {
		bindings := stanza.NewElement(nsChannelBinding, "sasl-channel-binding")
		for _, b := range n.channel.Bindings {
			bindings.Add(stanza.NewElement(nsChannelBinding, "channel-binding", "type", b.Type))
		}
		list = append(list, bindings)
	}
	return list
}

// featuresAfter are those after authentication: binding (RFC 6120 §7.3), the
// session of RFC 3921 for old clients, stream management (XEP-0198 §2), client
// state (XEP-0352 §4.1), and what other services bring.
func (n *negotiation) featuresAfter() []*stanza.Element {
	return append([]*stanza.Element{
		stanza.NewElement(stanza.NSBind, "bind"),
		stanza.NewElement(stanza.NSSession, "session").Add(stanza.NewElement(stanza.NSSession, "optional")),
		stanza.NewElement(nsSM, "sm"),
		stanza.NewElement(nsCSI, "csi"),
	}, n.srv.opts.Features...)
}

func (n *negotiation) mayStartTLS() bool {
	mode := n.listener.opts.Mode
	return !n.channel.Secure && (mode == StartTLS || mode == StartTLSRequired)
}

// offer returns the mechanisms that may be used now.
func (n *negotiation) offer() []sasl.Mechanism {
	if n.listener.opts.Mode == StartTLSRequired && !n.channel.Secure {
		return nil
	}
	return n.srv.opts.SASL.Offer(n.channel)
}

// secure takes elements until TLS or SASL begins a new stream.
func (n *negotiation) secure(ctx context.Context) error {
	for {
		e, err := n.stream.Next()
		if err != nil {
			return err
		}
		switch {
		case e.Is(stanza.NSTLS, "starttls"):
			return n.startTLS(true)
		case isRegistration(e):
			if err := n.register(ctx, e); err != nil {
				return err
			}
		case e.Is(stanza.NSSASL, "auth"):
			done, err := n.authenticate(ctx, e)
			if done || err != nil {
				return err
			}
		case e.Is(stanza.NSSASL, "response"):
			if err := n.fail(ctx, &sasl.Error{Condition: sasl.MalformedRequest, Text: "No authentication is under way."}); err != nil {
				return err
			}
		case e.Is(stanza.NSSASL, "abort"):
			if err := n.fail(ctx, &sasl.Error{Condition: sasl.Aborted}); err != nil {
				return err
			}
		default:
			return notAuthorized() // RFC 6120 §4.9.3.12
		}
	}
}

func notAuthorized() error {
	return &stream.Error{Condition: stream.NotAuthorized, Text: "Authenticate first."}
}

// errTLS is the cause of every end for want of TLS.
var errTLS = errors.New("no TLS")
