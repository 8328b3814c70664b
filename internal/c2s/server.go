// Package c2s serves client streams: TLS, authentication, resource binding, and
// the sessions that come of it, whose stanzas it checks, stamps with their
// sender and hands on. A connection has one goroutine, that of its ServeConn,
// which reads and handles one stanza after the other; it may block on the
// router, the contacts and the account store, and stops reading while the
// router says that the recipient is busy. Any goroutine may deliver to a
// session; that never waits.
package c2s

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/shaper"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Router is what sessions need of routing.
type Router interface {
	// Bind makes s the session of its full JID.
	Bind(s router.Session)
	// Unbind takes it away, if s has it still.
	Unbind(s router.Session)
	// Route brings a stanza to where it is addressed. A non-nil channel asks
	// not to read on before it closes.
	Route(ctx context.Context, st stanza.Stanza) (busy <-chan struct{})
}

// Contacts is what sessions need of rosters and presence.
type Contacts interface {
	// Outbound takes every presence that a client sends, with or without to.
	Outbound(ctx context.Context, s router.Session, p stanza.Stanza) (busy <-chan struct{})
	// Ended tells everybody who saw s that it is gone.
	Ended(ctx context.Context, s router.Session)
}

// Accounts says which accounts exist.
type Accounts interface {
	Exists(ctx context.Context, account jid.JID) (bool, error)
}

// Options configure a Server. Hosts, SASL, Accounts, Router and Contacts are
// required; zero limits are defaults.
type Options struct {
	Hosts    []string // domains served, prepared
	SASL     *sasl.Server
	Accounts Accounts
	Router   Router
	Contacts Contacts

	// Features are advertised beside binding, such as those of other services.
	Features []*stanza.Element

	AuthTimeout     time.Duration // until a resource is bound; default 30 s
	MaxUnauthStanza int           // bytes of an element before authentication; default and least 10,000 (RFC 6120 §13.12)
	MaxAuthFailures int           // per stream; default 3
	FailureBurst    int           // failed attempts that an address may make at once; default 20
	FailureEvery    time.Duration // and one more in each of these; default 3 s
	LimitLoopback   bool          // whether loopback is limited, too
	MaxResources    int           // sessions of one account; default 1000
	QueueBytes      int           // what may wait to be written to a client; default 2 MiB
	KeepAlive       time.Duration // idle time before TCP probes the peer; default 60 s, negative is off

	Logger        *slog.Logger
	Registerer    prometheus.Registerer
	StreamMetrics *stream.Metrics
}

func (o *Options) setDefaults() {
	def(&o.AuthTimeout, 30*time.Second)
	def(&o.MaxUnauthStanza, 10_000)
	o.MaxUnauthStanza = max(o.MaxUnauthStanza, 10_000)
	def(&o.MaxAuthFailures, 3)
	def(&o.FailureBurst, 20)
	def(&o.FailureEvery, 3*time.Second)
	def(&o.MaxResources, 1000)
	def(&o.KeepAlive, time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.StreamMetrics == nil {
		o.StreamMetrics = stream.NewMetrics(nil)
	}
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Mode says how a listener uses TLS.
type Mode uint8

// The modes.
const (
	StartTLS         Mode = iota // offered (RFC 6120 §5)
	StartTLSRequired             // nothing happens without it
	DirectTLS                    // from the first byte on (XEP-0368)
	NoTLS
)

// ListenerOptions are what connections of one listener have in common.
type ListenerOptions struct {
	Mode Mode
	// TLS returns the configuration for a host, "" as long as it is not known.
	// Its Certificates or GetCertificate are used, GetConfigForClient is not.
	// Required unless Mode is NoTLS.
	TLS       func(host string) *tls.Config
	MaxStanza int // bytes of an element after authentication; default 256 KiB
	// Policy returns who may use the listener, and how fast; see also
	// Server.ApplyPolicies. nil: everybody, without limit.
	Policy func() Policy
}

// Listener serves the connections of one listening socket.
type Listener struct {
	// Set at construction.
	srv  *Server
	opts ListenerOptions
}

// Server serves client streams. It is safe for concurrent use.
type Server struct {
	// Set at construction.
	opts     Options
	log      *slog.Logger
	metrics  *metrics
	failures *shaper.Addresses
	host     jid.JID // the first of opts.Hosts: who speaks before a client has named one

	wg sync.WaitGroup // one per connection
	mu sync.Mutex
	// Guarded by mu.
	closed   bool
	sessions int
	links    map[*link]struct{}
	accounts map[jid.JID][]*link // by bare JID, once authenticated
}

// New returns a server.
func New(o Options) (*Server, error) {
	if len(o.Hosts) == 0 || o.SASL == nil || o.Accounts == nil || o.Router == nil || o.Contacts == nil {
		return nil, errors.New("c2s: hosts, SASL, accounts, router and contacts are required")
	}
	host, err := jid.New("", o.Hosts[0], "")
	if err != nil {
		return nil, fmt.Errorf("c2s: host %q: %w", o.Hosts[0], err)
	}
	o.setDefaults()
	return &Server{
		opts: o, log: o.Logger, metrics: newMetrics(o.Registerer), host: host,
		failures: shaper.NewAddresses(o.FailureBurst, o.FailureEvery, o.LimitLoopback),
		links:    make(map[*link]struct{}), accounts: make(map[jid.JID][]*link),
	}, nil
}

// Listener returns what serves the connections of one listening socket.
func (s *Server) Listener(o ListenerOptions) (*Listener, error) {
	if o.Mode != NoTLS && o.TLS == nil {
		return nil, errors.New("c2s: a listener with TLS needs a TLS configuration")
	}
	def(&o.MaxStanza, 256<<10)
	o.MaxStanza = max(o.MaxStanza, 10_000) // RFC 6120 §13.12
	return &Listener{srv: s, opts: o}, nil
}

// ServeConn serves one connection and returns when it is over. ctx is for the
// services it calls; Shutdown is what ends it.
func (l *Listener) ServeConn(ctx context.Context, conn net.Conn) {
	k := l.srv.open(l, conn)
	if k == nil {
		_ = conn.Close() // the server is going down
		return
	}
	defer k.release()
	if s := k.negotiate(ctx); s != nil {
		s.run(ctx)
	}
}

// open registers a new connection; nil once the server is closed.
func (s *Server) open(l *Listener, conn net.Conn) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.wg.Add(1)
	k := newLink(l, conn)
	s.links[k] = struct{}{}
	s.metrics.connections.Inc()
	return k
}

// drop forgets a connection that is over.
func (s *Server) drop(k *link) {
	s.mu.Lock()
	delete(s.links, k)
	s.mu.Unlock()
	s.metrics.connections.Dec()
	s.wg.Done()
}

// login records whose connection k is.
func (s *Server) login(k *link, account jid.JID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.account = account
	s.accounts[account] = append(s.accounts[account], k)
}

// logout takes back what login has recorded.
func (s *Server) logout(k *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(k)
}

// removeLocked takes k out of the connections of its account.
func (s *Server) removeLocked(k *link) {
	if k.account.IsZero() {
		return
	}
	rest := slices.DeleteFunc(s.accounts[k.account], func(o *link) bool { return o == k })
	if s.accounts[k.account] = rest; len(rest) == 0 {
		delete(s.accounts, k.account)
	}
	k.account = jid.JID{}
}

// claim gives k a resource of its account. If another connection has it, that
// one is returned and must go first; ok is false if there are too many.
func (s *Server) claim(k *link, resource string) (other *link, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, o := range s.accounts[k.account] {
		switch {
		case o == k || o.resource == "":
		case o.resource == resource:
			return o, false
		default:
			n++
		}
	}
	if n >= s.opts.MaxResources {
		return nil, false
	}
	k.resource = resource
	s.sessions++
	return nil, true
}

// forget takes k away from its account: its resource is free.
func (s *Server) forget(k *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(k)
	if k.resource != "" {
		s.sessions--
	}
	k.resource = ""
}

// Sessions returns the number of bound sessions.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// endWait is how long EndAccount waits for sessions to be over.
const endWait = 5 * time.Second

// EndAccount ends all streams of an account that is no more (RFC 6120
// §4.9.3.12). It returns when its sessions are over, or have had their time.
func (s *Server) EndAccount(ctx context.Context, account jid.JID) {
	ctx, cancel := context.WithTimeout(ctx, endWait)
	defer cancel()
	s.mu.Lock()
	list := slices.Clone(s.accounts[account.Bare()])
	s.mu.Unlock()
	for _, k := range list {
		k.end(reasonAccount, &stream.Error{Condition: stream.NotAuthorized, Text: "The account has been removed."})
	}
	for _, k := range list {
		select {
		case <-k.gone:
		case <-ctx.Done():
			return
		}
	}
}

// Shutdown ends all streams with system-shutdown, serves no more, and returns
// when every connection is over. If ctx ends first the rest are cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	list := make([]*link, 0, len(s.links))
	for k := range s.links {
		list = append(list, k)
	}
	s.mu.Unlock()
	for _, k := range list {
		k.end(reasonShutdown, &stream.Error{Condition: stream.SystemShutdown})
	}
	over := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(over)
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
	}
	for _, k := range list {
		_ = k.conn.Close() // it has had its time
	}
	return ctx.Err()
}
