// Package server turns a configuration and extensions into a running server.
// It owns the data directory, the listeners and their certificates, and the
// order in which services start and stop; what they do is theirs. It has one
// goroutine per listener and one per client connection, in which package c2s
// works. New, Start and Shutdown block on the disk and the database.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/account"
	"github.com/muster-im/muster/internal/adhoc"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/blocking"
	"github.com/muster-im/muster/internal/c2s"
	"github.com/muster-im/muster/internal/entity"
	"github.com/muster-im/muster/internal/groupfile"
	"github.com/muster-im/muster/internal/invite"
	"github.com/muster-im/muster/internal/muclog"
	"github.com/muster-im/muster/internal/register"
	"github.com/muster-im/muster/internal/roomadmin"
	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/internal/roster"
	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/s2s"
	"github.com/muster-im/muster/internal/sqlstore"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/internal/userdata"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
	"github.com/muster-im/muster/stanza"
)

// ShutdownTimeout is the time within which a server ends.
const ShutdownTimeout = 9 * time.Second

// Options are what a program gives the server besides the configuration.
type Options struct {
	Logger *slog.Logger // nil: silent
	// LogLevel, if set, is what Logger is filtered by; it follows
	// general.loglevel.
	LogLevel   *slog.LevelVar
	Extensions []Extension
	// Listeners are open already, by systemd for instance. Each serves the
	// listener of the configuration that has its address; Start refuses one that
	// none has. The server closes them.
	Listeners []net.Listener
	// Dial opens connections to the services of [outgoing_pools]; nil: over the
	// network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Attach, if set, makes this the room service of another server.
	Attach *Attach
	// NoListen keeps the server off the network and makes no admin socket:
	// connections come through Dial and ServeC2S only.
	NoListen bool
}

// Server is a whole server. Its methods are safe for concurrent use, but Start
// and Shutdown are each for one call.
type Server struct {
	// Set at construction.
	opts          Options
	log           *slog.Logger
	registry      *prometheus.Registry
	started       time.Time
	db            *sqlstore.DB
	router        *router.Router
	accounts      *account.Service
	contacts      *roster.Service
	activity      *entity.Activity
	about         *entity.Service
	blocks        *blocking.Service
	groups        *groups.Service // nil unless modules.mod_groups_internal is there
	groupChats    *groupChats     // nil unless groups have chats
	userData      *userdata.Service
	groupFile     *groupfile.Source // nil unless modules.mod_groups is there
	extensions    []*Registrar      // in the order of Options.Extensions
	groupHooks    []func(*groups.Hooks)
	rooms         []*muc.Service
	admin         *admin.Admin
	pools         pools
	passwords     map[passwordsBy]*roomfeatures.PasswordService
	roomAdmin     *roomadmin.Admin
	roomLog       *muclog.Log // nil: rooms are not logged
	clients       *c2s.Server
	registration  *register.Service  // nil unless modules.mod_register or mod_invites is there
	invites       *invite.Service    // nil unless modules.mod_invites is there
	commands      *adhoc.List        // of hosts; nil: they have none
	serving       context.Context    //nolint:containedctx // what services are called with; ends after the last connection
	endServe      context.CancelFunc // ends serving
	components    *s2s.Components
	links         []*s2s.Link // of the rooms, if they are attached
	failed        chan error  // see Failed
	s2sMetrics    *s2s.Metrics
	streamMetrics *stream.Metrics

	// Owned by whoever calls New, Start and Shutdown.
	stages []stage  // what Shutdown ends, the last one first
	starts []func() // what Start begins once clients can connect

	backup    sync.Mutex  // held while there is a backup in the data directory
	running   atomic.Bool // Start has succeeded
	certs     atomic.Pointer[certificates]
	policies  atomic.Pointer[policies]
	config    atomic.Pointer[config.Config]
	listeners atomic.Pointer[[]admin.Listener]
	wg        sync.WaitGroup // of accept loops and connections
}

// stage is one part of a server and how it ends.
type stage struct {
	name string
	most time.Duration // that the end may take; 0: all that is left
	end  func(ctx context.Context) error
}

// New builds a server from a valid configuration. Nothing listens yet, but the
// data directory is locked and the database open: a server must be ended with
// Shutdown.
func New(cfg *config.Config, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: o, log: o.Logger, registry: newRegistry(), started: time.Now(), failed: make(chan error, 1)}
	s.s2sMetrics, s.streamMetrics = s2s.NewMetrics(s.registry), stream.NewMetrics(s.registry)
	s.serving, s.endServe = context.WithCancel(context.Background())
	s.config.Store(cfg)
	s.listeners.Store(&[]admin.Listener{})
	s.setLogLevel(cfg)
	if err := s.build(cfg); err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), ShutdownTimeout)
		defer cancel()
		return nil, errors.Join(err, s.Shutdown(ctx))
	}
	return s, nil
}

// Run starts the server, and ends it when ctx does.
func (s *Server) Run(ctx context.Context) error {
	err := s.Start(ctx)
	if err == nil {
		<-ctx.Done()
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), ShutdownTimeout)
	defer cancel()
	return errors.Join(err, s.Shutdown(end))
}

// Start opens the listeners, all of them or none, and returns once clients can
// connect. ctx bounds only that.
func (s *Server) Start(ctx context.Context) error {
	cfg := s.config.Load()
	if err := errors.Join(s.startGroups(ctx), s.startInvites(ctx)); err != nil {
		return err
	}
	if err := s.accounts.Resume(ctx); err != nil {
		return err
	}
	if err := s.startExtensions(ctx); err != nil {
		return err
	}
	if !s.opts.NoListen {
		if err := s.listen(ctx, cfg); err != nil {
			return err
		}
		s.wg.Go(func() { s.trimMemory(s.serving) })
	}
	for _, begin := range s.starts {
		begin()
	}
	s.running.Store(true)
	s.log.LogAttrs(ctx, slog.LevelInfo, "server started", slog.String("version", Version()),
		slog.Any("hosts", cfg.General.Hosts), s.extensionNames(), slog.Duration("took", time.Since(s.started)))
	return nil
}

// Shutdown ends the server: nobody is let in any more, rooms and streams are
// told, what waits to be stored is stored. If ctx ends first the rest is left
// as a killed server would leave it, which loses nothing that was promised.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := mayWait("end the server"); err != nil {
		return err
	}
	begin := time.Now()
	var errs []error
	for _, st := range slices.Backward(s.stages) {
		if err := endWithin(ctx, st); err != nil {
			errs = append(errs, fmt.Errorf("end %s: %w", st.name, err))
		}
	}
	s.stages = nil
	s.endServe()
	if s.running.Load() {
		s.log.LogAttrs(ctx, slog.LevelInfo, "server ended", slog.Duration("took", time.Since(begin)))
	}
	return errors.Join(errs...)
}

// mayWait refuses what waits, perhaps for rooms, inside of one.
func mayWait(what string) error {
	if err := muc.MayWait(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// endWithin ends a stage and waits no longer than it may take.
func endWithin(total context.Context, st stage) error {
	ctx, grace := total, 50*time.Millisecond
	if st.most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(total, st.most)
		defer cancel()
	}
	done := make(chan error, 1)
	go func() { done <- st.end(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	// It knows that its time is over: let it say so, but not for long.
	if total.Err() == nil {
		grace = time.Second / 2
	}
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return ctx.Err()
	}
}

// logger is the logger of one part of the server.
func (s *Server) logger(service string) *slog.Logger {
	return s.log.With(slog.String("service", service))
}

// onEnd adds a stage that ends before all earlier ones.
func (s *Server) onEnd(name string, most time.Duration, end func(ctx context.Context) error) {
	s.stages = append(s.stages, stage{name, most, end})
}

// onStart adds what begins once clients can connect.
func (s *Server) onStart(begin func()) { s.starts = append(s.starts, begin) }

// Info says what the server is and where it listens.
func (s *Server) Info() Info {
	info := Info{
		Version: Version(), PID: os.Getpid(), Started: s.started,
		Hosts: s.config.Load().General.Hosts, RoomHosts: s.RoomHosts(), Listeners: *s.listeners.Load(),
	}
	if s.groups != nil {
		info.GroupChatHost = s.groups.ChatHost()
		if s.groupChats != nil {
			info.MaxGroupChatID = s.groupChats.maxID
		}
	}
	if s.groupFile != nil {
		info.Problems = outdatedGroups(s.groupFile.Problems())
	}
	return info
}

// RoomHosts returns the domains of the rooms.
func (s *Server) RoomHosts() []string {
	hosts := make([]string, len(s.rooms))
	for i, r := range s.rooms {
		hosts[i] = r.Domain().String()
	}
	return hosts
}

// Rooms returns the room service of a domain, nil if there is none.
func (s *Server) Rooms(domain string) *muc.Service {
	for _, r := range s.rooms {
		if r.Domain().Domain() == domain {
			return r
		}
	}
	return nil
}

// Service is somebody who takes the stanzas of a domain. Handle takes one with
// valid addresses and never waits; a non-nil channel asks the caller to read no
// more from the sender until it closes.
type Service interface {
	Handle(st stanza.Stanza) (busy <-chan struct{})
}

// AddService gives a domain to a service, before Start.
func (s *Server) AddService(domain string, service Service) { s.router.AddService(domain, service) }

// Route brings a stanza to where it is addressed, and may wait for the database. A
// non-nil channel asks the caller to bring no more of this sender until it closes.
func (s *Server) Route(ctx context.Context, st stanza.Stanza) (busy <-chan struct{}) {
	return s.router.Route(ctx, st)
}

// AddUser creates an account.
func (s *Server) AddUser(ctx context.Context, account jid.JID, password string) error {
	if err := mayWait("add " + account.String()); err != nil {
		return err
	}
	return s.accounts.Create(ctx, account, password)
}

// DeleteUser removes an account with everything that belongs to it.
func (s *Server) DeleteUser(ctx context.Context, account jid.JID) error {
	if err := mayWait("delete " + account.String()); err != nil {
		return err
	}
	return s.accounts.Delete(ctx, account)
}

// Dial returns the client's end of a new connection that does not leave the
// process. The configuration must have a listener for clients.
func (s *Server) Dial() net.Conn {
	client, server := net.Pipe()
	s.wg.Go(func() { s.ServeC2S(server) })
	return client
}

// ServeC2S serves a client connection as the first listener in the
// configuration would, and returns when it is over.
func (s *Server) ServeC2S(conn net.Conn) {
	l, err := s.clientListener(0, &s.config.Load().Listen.C2S[0])
	if err != nil {
		s.log.LogAttrs(s.serving, slog.LevelError, "serve connection", slog.Any("err", err))
		_ = conn.Close() // nobody has used it
		return
	}
	l.ServeConn(s.serving, conn)
}
