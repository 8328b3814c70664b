package s2s

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// ComponentsOptions connect Components to the server. Router is required.
type ComponentsOptions struct {
	Router        *router.Router
	Hosts         []string     // domains served
	Logger        *slog.Logger // nil: silent
	Metrics       *Metrics
	StreamMetrics *stream.Metrics
}

// ListenerOptions are what components of one listener need and get.
type ListenerOptions struct {
	Secret    string
	Domains   []string               // that components may have; nil: all below a host
	TLS       *tls.Config            // nil: none
	MaxStanza int                    // bytes of the largest stanza; default 256 KiB
	KickOld   bool                   // a second component of a domain takes the place of the first
	Hidden    bool                   // they are not listed
	Access    func(who jid.JID) bool // who may send them stanzas; nil: everybody
}

// Components are the external components that are attached to this server, and
// where stanzas for them go. It is safe for concurrent use.
type Components struct {
	// Set at construction.
	opts ComponentsOptions
	log  *slog.Logger

	mu sync.RWMutex
	// Guarded by mu.
	domains map[string]*component // nil: not attached, though it may be, or was
	closing bool
}

// component is one that is attached.
type component struct {
	// Set at construction.
	owner  *Components
	domain jid.JID
	stream *stream.Stream
	opts   *ListenerOptions
	log    *slog.Logger
}

// NewComponents returns Components without any; they serve the router once it is
// told.
func NewComponents(o ComponentsOptions) *Components {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return &Components{opts: o, log: o.Logger, domains: make(map[string]*component)}
}

// Expect makes domains known before their components are there. Before start.
func (c *Components) Expect(domains []string) {
	for _, d := range domains {
		c.domains[d] = nil
	}
}

// Service returns what takes the stanzas for a component; nil for a domain that
// has none and never had.
func (c *Components) Service(domain string) router.Service {
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch k, known := c.domains[domain]; {
	case k != nil:
		return k
	case known:
		return away{c}
	}
	return nil
}

// Listed are the components that are attached and not hidden, sorted.
func (c *Components) Listed() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var list []string
	for domain, k := range c.domains {
		if k != nil && !k.opts.Hidden {
			list = append(list, domain)
		}
	}
	slices.Sort(list)
	return list
}

// away answers for components that are not there at the moment.
type away struct{ owner *Components }

// Handle refuses a stanza (RFC 6120 §8.3.3.16).
func (a away) Handle(st stanza.Stanza) (busy <-chan struct{}) {
	a.owner.opts.Metrics.drop(dropAway)
	if reply, ok := st.ErrorReply(stanza.NewError(stanza.Wait, stanza.RemoteServerTimeout, "This component is not connected at the moment.")); ok {
		a.owner.opts.Router.Send(reply)
	}
	return nil
}

// Handle sends the component a stanza.
func (k *component) Handle(st stanza.Stanza) (busy <-chan struct{}) {
	m := k.owner.opts.Metrics
	if k.opts.Access != nil && !ends(&st) && !k.opts.Access(st.From) {
		m.drop(dropAccess)
		if reply, ok := st.ErrorReply(stanza.NewError(stanza.Auth, stanza.Forbidden, "You may not use this component.")); ok {
			k.owner.opts.Router.Send(reply)
		}
		return nil
	}
	if k.stream.SendStanza(&st) != nil { // it reads too slowly, and its stream is over
		m.drop(dropSlow)
		return away{k.owner}.Handle(st)
	}
	return nil
}

// ServeConn serves a connection until it ends. It owns conn.
func (c *Components) ServeConn(ctx context.Context, conn net.Conn, o *ListenerOptions) {
	opts := stream.Options{Metrics: c.opts.StreamMetrics, MaxStanza: o.MaxStanza, QueueBytes: queueBytes, Content: nsComponent}
	if opts.MaxStanza == 0 {
		opts.MaxStanza = defaultStanza
	}
	if len(c.opts.Hosts) > 0 {
		opts.From, _ = domainOf(c.opts.Hosts[0]) // hosts are valid
	}
	s := stream.New(conn, opts)
	defer s.Release()
	stop := context.AfterFunc(ctx, func() { s.Fail(&stream.Error{Condition: stream.SystemShutdown}) })
	defer stop()
	k := &component{owner: c, stream: s, opts: o}
	err := k.negotiate(time.Now().Add(negotiationTime))
	k.log = c.log.With(slog.String("domain", k.domain.String()), slog.String("remote", conn.RemoteAddr().String()))
	if err != nil {
		c.refused(ctx, k, err)
		return
	}
	c.opts.Metrics.components.Inc()
	k.log.LogAttrs(ctx, slog.LevelInfo, "component attached")
	err = k.read(ctx)
	c.remove(k)
	c.opts.Metrics.components.Dec()
	if se, ok := errors.AsType[*stream.Error](err); ok && !se.Remote {
		s.Fail(se)
	}
	k.log.LogAttrs(ctx, slog.LevelInfo, "component detached", slog.Any("err", err))
}

// refused ends a connection that has not become a component's.
func (c *Components) refused(ctx context.Context, k *component, err error) {
	reason := refusedProtocol
	if se, ok := errors.AsType[*stream.Error](err); ok {
		switch se.Condition {
		case stream.NotAuthorized:
			reason = refusedSecret
		case stream.HostUnknown:
			reason = refusedHost
		case stream.Conflict:
			reason = refusedConflict
		case stream.SystemShutdown:
			reason = refusedShutdown
		}
		if !se.Remote {
			k.stream.Fail(se)
		}
	}
	c.opts.Metrics.refused.WithLabelValues(reason).Inc()
	k.log.LogAttrs(ctx, slog.LevelWarn, "component refused", slog.String("reason", reason), slog.Any("err", err))
}

// negotiate takes the stream to where the component is attached (XEP-0114 §3).
func (k *component) negotiate(deadline time.Time) error {
	if k.opts.TLS != nil {
		if err := k.stream.StartTLS(k.opts.TLS, false, deadline); err != nil {
			return err
		}
	}
	if err := k.stream.SetReadDeadline(deadline); err != nil {
		return err
	}
	h, err := k.stream.ReadHeader()
	if _, wrong := errors.AsType[*stream.Error](err); err != nil && !wrong {
		return err
	}
	if err == nil {
		err = checkContent(h)
	}
	k.domain = h.To // for the log, whatever it is
	if err == nil && !k.owner.allows(k.opts, h.To) {
		err = &stream.Error{
			Condition: stream.HostUnknown,
			Text:      "No component has this domain: want one that listen.component.domains names or, without that key, a free one below a host.",
		}
	}
	id := rand.Text() // unpredictable: it goes into the proof
	if serr := k.stream.SendHeader(stream.Header{From: h.To, ID: id}); serr != nil {
		return serr
	}
	if err != nil { // the header comes before the error (RFC 6120 §4.9.1.2)
		return err
	}
	e, err := k.stream.Next()
	if err != nil {
		return err
	}
	if !e.Is(stanza.NSClient, "handshake") || !proves(e.Text(), id, k.opts.Secret) {
		return &stream.Error{Condition: stream.NotAuthorized, Text: "The handshake does not show that you know the secret."}
	}
	if err := k.stream.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return k.owner.add(k)
}

// allows reports whether a component may have a domain: one of those of the
// listener, or any below a host that nothing of the server's own has.
func (c *Components) allows(o *ListenerOptions, domain jid.JID) bool {
	d := domain.Domain()
	switch {
	case d == "" || domain != domain.DomainOnly() || c.opts.Router.IsLocal(d):
		return false
	case len(o.Domains) > 0:
		return slices.Contains(o.Domains, d)
	}
	return slices.ContainsFunc(c.opts.Hosts, func(host string) bool { return strings.HasSuffix(d, "."+host) })
}

// add attaches a component, and tells it so before anything else.
func (c *Components) add(k *component) error {
	d := k.domain.Domain()
	c.mu.Lock()
	old := c.domains[d]
	switch {
	case c.closing:
		c.mu.Unlock()
		return &stream.Error{Condition: stream.SystemShutdown}
	case old != nil && !k.opts.KickOld:
		c.mu.Unlock()
		return &stream.Error{Condition: stream.Conflict, Text: "This component is connected already."}
	}
	err := k.stream.Send(handshakeElement(""))
	if err == nil {
		c.domains[d] = k
	}
	c.mu.Unlock()
	if old != nil && err == nil {
		old.stream.Fail(&stream.Error{Condition: stream.Conflict, Text: "Another connection has taken the place of this one."})
	}
	return err
}

// remove takes a component out, unless another connection has its place.
func (c *Components) remove(k *component) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := k.domain.Domain(); c.domains[d] == k {
		c.domains[d] = nil
	}
}

// read passes on what the component sends until its stream ends.
func (k *component) read(ctx context.Context) error {
	for {
		e, err := k.stream.Next()
		if err != nil {
			return err
		}
		if err := k.take(ctx, e); err != nil {
			return err
		}
	}
}

// take passes on one stanza. A component speaks for everybody at its own domain,
// and for nobody else (XEP-0114 §3).
func (k *component) take(ctx context.Context, e *stanza.Element) error {
	st, ok, malformed := stanza.FromElement(e)
	m := k.owner.opts.Metrics
	if !ok {
		m.drop(dropNoStanza)
		return &stream.Error{Condition: stream.UnsupportedStanzaType}
	}
	if st.From.Domain() != k.domain.Domain() {
		m.drop(dropForged)
		return &stream.Error{Condition: stream.InvalidFrom, Text: "Components send as their own domain."} // RFC 6120 §4.9.3.9
	}
	if malformed == nil && st.To.IsZero() {
		m.drop(dropMisaddressed)
		return &stream.Error{Condition: stream.ImproperAddressing, Text: "Stanzas of components need an address."} // RFC 6120 §4.9.3.7
	}
	if malformed == nil {
		malformed = checkStanza(&st)
	}
	if malformed != nil {
		if reply, ok := st.ErrorReply(malformed); ok {
			_ = k.stream.SendStanza(&reply) // a broken stream ends by itself
		}
		return nil
	}
	k.owner.opts.Router.SendShared(ctx, st)
	return nil
}

// Shutdown ends the streams of all components, and lets no other in.
func (c *Components) Shutdown() {
	c.mu.Lock()
	c.closing = true
	list := slices.Collect(maps.Values(c.domains))
	c.mu.Unlock()
	for _, k := range list {
		if k != nil {
			k.stream.Fail(&stream.Error{Condition: stream.SystemShutdown})
		}
	}
}
