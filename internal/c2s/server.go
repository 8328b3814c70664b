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
	// Send routes a stanza without waiting.
	Send(st stanza.Stanza)
	// Redeliver takes back a stanza that was delivered to a session which is
	// over and has not acknowledged it (XEP-0198 §4).
	Redeliver(ctx context.Context, st stanza.Stanza)
}

// Contacts is what sessions need of rosters and presence.
type Contacts interface {
	// Outbound takes every presence that a client sends, with or without to.
	Outbound(ctx context.Context, s router.Session, p stanza.Stanza) (busy <-chan struct{})
	// Ended tells everybody who saw s that it is gone.
	Ended(ctx context.Context, s router.Session)
}

// Blocks keeps what people have blocked (XEP-0191).
type Blocks interface {
	// Open returns the block list that all sessions of an account share. Every
	// Open needs a Close.
	Open(ctx context.Context, account jid.JID) (*router.BlockList, error)
	Close(l *router.BlockList)
	// Screen returns what of batch a session may be given. It never waits.
	Screen(s router.Session, batch []*stanza.Encoded) []*stanza.Encoded
	// Refusal answers what a client sends to somebody it has blocked.
	Refusal() *stanza.Error
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
	Blocks   Blocks // nil: nobody can be blocked

	// Registration makes accounts before authentication; nil: there is none.
	Registration Registration
	// Features are advertised beside binding, such as those of other services.
	Features []*stanza.Element

	AuthTimeout     time.Duration // until a resource is bound; default 30 s
	MaxUnauthStanza int           // bytes of an element before authentication; default and least 10,000 (RFC 6120 §13.12)
	MaxAuthFailures int           // per stream; default 3
	MaxStrangers    int           // connections of an address without a resource bound; default 500
	FailureBurst    int           // failed attempts that an address may make at once; default 20
	FailureEvery    time.Duration // and one more in each of these; default 3 s
	LimitLoopback   bool          // whether loopback is limited, too
	MaxResources    int           // sessions of one account; default 1000
	QueueBytes      int           // what may wait to be written to a client; default 2 MiB
	KeepAlive       time.Duration // idle time before TCP probes the peer; default 60 s, negative is off
	PingAfter       time.Duration // silence before a client is asked for a sign of life; default 5 min, negative is never
	AckTimeout      time.Duration // for a sign of life, or an acknowledgement; default 90 s
	ResumeTimeout   time.Duration // for which a session waits to be resumed; default 10 min, negative is never
	MaxUnacked      int           // stanzas that a client has not acknowledged; default 10,000
	UnackedBytes    int           // and their bytes; default twice QueueBytes

	Logger        *slog.Logger
	Registerer    prometheus.Registerer
	StreamMetrics *stream.Metrics
}

func (o *Options) setDefaults() {
	def(&o.AuthTimeout, 30*time.Second)
	def(&o.MaxUnauthStanza, 10_000)
	o.MaxUnauthStanza = max(o.MaxUnauthStanza, 10_000)
	def(&o.MaxAuthFailures, 3)
	def(&o.MaxStrangers, 500)
	def(&o.FailureBurst, 20)
	def(&o.FailureEvery, 3*time.Second)
	def(&o.MaxResources, 1000)
	def(&o.QueueBytes, 2<<20)
	def(&o.KeepAlive, time.Minute)
	def(&o.PingAfter, 5*time.Minute)
	def(&o.AckTimeout, 90*time.Second)
	def(&o.ResumeTimeout, 10*time.Minute)
	def(&o.MaxUnacked, 10_000)
	def(&o.UnackedBytes, 2*o.QueueBytes)
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
	opts      Options
	log       *slog.Logger
	metrics   *metrics
	failures  *shaper.Addresses
	strangers *shaper.Crowd
	host      jid.JID // the first of opts.Hosts: who speaks before a client has named one

	wg sync.WaitGroup // one per connection, and one per session
	mu sync.Mutex
	// Guarded by mu.
	closed     bool
	sessions   int
	links      map[*link]struct{}
	accounts   map[jid.JID]*account // by bare JID
	resumables map[string]*Session  // by id for resuming
	stale      map[string]stale     // the same of sessions that are over
	staleOrder []string             // oldest first
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
		failures:  shaper.NewAddresses(o.FailureBurst, o.FailureEvery, o.LimitLoopback),
		strangers: shaper.NewCrowd(o.MaxStrangers, o.LimitLoopback),
		links:     make(map[*link]struct{}), accounts: make(map[jid.JID]*account),
		resumables: make(map[string]*Session), stale: make(map[string]stale),
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
	leave, ok := l.srv.strangers.Enter(conn.RemoteAddr())
	if !ok {
		l.srv.metrics.refuse(refusedStranger)
		_ = conn.Close() // to say why would cost what is to be saved
		return
	}
	k := l.srv.open(l, conn)
	if k == nil {
		leave()
		_ = conn.Close() // the server is going down
		return
	}
	defer k.release()
	s := k.negotiate(ctx)
	leave()
	if s != nil {
		s.run(ctx, k)
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

// endWait is how long EndAccount waits for sessions to be over.
const endWait = 5 * time.Second

// ackWait is how long clients may take at a shutdown to acknowledge what they
// have got: what they do not is stored, and comes to them again.
const ackWait = time.Second

// awaitAcks gives clients a last chance to acknowledge.
func awaitAcks(ctx context.Context, sessions []*Session) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	var waiting []<-chan struct{}
	for _, session := range sessions {
		if c := session.lastAcks(); c != nil {
			waiting = append(waiting, c)
		}
	}
	for _, c := range waiting {
		select {
		case <-c:
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
	var sessions []*Session
	for _, a := range s.accounts {
		sessions = append(sessions, a.sessions...)
	}
	s.mu.Unlock()
	awaitAcks(ctx, sessions)
	for _, session := range sessions {
		session.end(reasonShutdown, &stream.Error{Condition: stream.SystemShutdown})
	}
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
