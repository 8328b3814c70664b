package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/c2s"
	"github.com/muster-im/muster/internal/s2s"
)

// Waits of an accept loop after a failure that passes, such as too many open
// files.
const (
	minAcceptWait = 5 * time.Millisecond
	maxAcceptWait = time.Second
)

// listenTCP listens on an address; the error says what to do about it. key is
// the setting that named the address.
func listenTCP(ctx context.Context, key, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err == nil {
		return l, nil
	}
	host, port, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return nil, fmt.Errorf("%s: listen on %s: %w", key, address, err)
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: port %s on %s is taken: stop the program that uses it, or set another port", key, port, host)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: this user may not listen on port %s: set a port above 1023, or give the program the right", key, port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: this machine has no address %s: set ip_address to one that it has, or to 0.0.0.0", key, host)
	}
	return nil, fmt.Errorf("%s: listen on %s: %w", key, address, err)
}

// accept gives each connection to serve, which must not block, until l is
// closed. ctx ends a wait.
func accept(ctx context.Context, l net.Listener, log *slog.Logger, serve func(net.Conn)) {
	wait := minAcceptWait
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			wait = minAcceptWait
			serve(conn)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		log.LogAttrs(ctx, slog.LevelWarn, "accept", slog.Any("err", err), slog.Duration("wait", wait))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, maxAcceptWait)
	}
}

// opened is a listener that does not serve yet.
type opened struct {
	net.Listener
	info      admin.Listener
	c2s       *c2s.Listener        // nil: HTTP
	http      *config.HTTP         // of HTTP
	component *s2s.ListenerOptions // of components
	tls       *tls.Config          // HTTP over TLS
}

// listen opens all listeners and the admin socket, or none, and serves them.
func (s *Server) listen(ctx context.Context, cfg *config.Config) error {
	list, err := s.open(ctx, cfg)
	if err == nil {
		var socket net.Listener
		if socket, err = admin.Listen(cfg.General.DataDir); err == nil {
			list = append(list, opened{Listener: socket})
		}
	}
	if err != nil {
		for _, l := range list {
			_ = l.Close() // nobody has used it
		}
		return err
	}
	infos := make([]admin.Listener, 0, len(list))
	for _, l := range list {
		switch {
		case l.c2s != nil:
			s.serveClients(l)
		case l.component != nil:
			s.serveComponents(l)
		case l.info.Kind == "":
			s.serveHTTP(l, s.forSocket())
			continue
		default:
			s.serveHTTP(l, s.forHTTP(l.http))
		}
		infos = append(infos, l.info)
		s.log.LogAttrs(ctx, slog.LevelInfo, "listening", slog.String("kind", l.info.Kind),
			slog.String("address", l.info.Address), slog.String("tls", l.info.TLS))
	}
	s.listeners.Store(&infos)
	return nil
}

// open opens the TCP listeners; the error has a line for each that cannot be.
func (s *Server) open(ctx context.Context, cfg *config.Config) ([]opened, error) {
	var list []opened
	var errs []error
	given := slices.Clone(s.opts.Listeners)
	open := func(kind string, i int, ip string, port config.Port, mode string) *opened {
		l := take(&given, ip, port)
		var err error
		if l == nil {
			l, err = listenTCP(ctx, fmt.Sprintf("listen.%s[%d]", kind, i), net.JoinHostPort(ip, strconv.Itoa(int(port))))
		}
		if err != nil {
			errs = append(errs, err)
			return &opened{}
		}
		list = append(list, opened{Listener: l, info: admin.Listener{Kind: kind, Address: l.Addr().String(), TLS: mode}})
		return &list[len(list)-1]
	}
	for i := range cfg.Listen.C2S {
		l := &cfg.Listen.C2S[i]
		serve, err := s.clientListener(i, l)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		open("c2s", i, l.IPAddress, l.Port, l.TLS.Mode).c2s = serve
	}
	for i := range cfg.Listen.Component {
		l := &cfg.Listen.Component[i]
		open("component", i, l.IPAddress, l.Port, l.TLS.Mode).component = s.componentListener(i, l)
	}
	for i := range cfg.Listen.HTTP {
		l := &cfg.Listen.HTTP[i]
		o := open("http", i, l.IPAddress, l.Port, l.TLS.Mode)
		o.http = l
		if l.TLS.Mode == "tls" {
			o.tls = s.tlsConfig(httpKey(i))
		}
	}
	for _, l := range given {
		errs = append(errs, fmt.Errorf("the service manager has opened %s, which is no listener of %s: correct the one or the other", l.Addr(), cfg.Name()))
		_ = l.Close() // nobody has used it
	}
	return list, errors.Join(errs...)
}

// take takes the listener with an address out of list; nil if there is none.
// Any address is any address: [::] takes connections to 0.0.0.0 as well.
func take(list *[]net.Listener, ip string, port config.Port) net.Listener {
	want, err := netip.ParseAddr(ip)
	if err != nil {
		return nil
	}
	i := slices.IndexFunc(*list, func(l net.Listener) bool {
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok || addr.Port != int(port) {
			return false
		}
		have := addr.AddrPort().Addr().Unmap()
		return have == want || have.IsUnspecified() && want.IsUnspecified()
	})
	if i < 0 {
		return nil
	}
	l := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return l
}

// clientListener returns what serves the connections of the i-th listener.
func (s *Server) clientListener(i int, l *config.C2S) (*c2s.Listener, error) {
	modes := map[string]c2s.Mode{
		"starttls": c2s.StartTLS, "starttls_required": c2s.StartTLSRequired, "tls": c2s.DirectTLS, "none": c2s.NoTLS,
	}
	o := c2s.ListenerOptions{Mode: modes[l.TLS.Mode], MaxStanza: int(l.MaxStanzaSize), Policy: s.listenerPolicy(i)}
	if o.Mode != c2s.NoTLS {
		tlsConfig := s.tlsConfig(clientsKey(i))
		o.TLS = func(string) *tls.Config { return tlsConfig } // the host is in the handshake
	}
	return s.clients.Listener(o)
}

// serveClients accepts client connections until the server ends.
func (s *Server) serveClients(l opened) {
	s.serveStreams(l, func(conn net.Conn) { l.c2s.ServeConn(s.serving, conn) })
}

// serveComponents accepts connections of components until the server ends.
func (s *Server) serveComponents(l opened) {
	s.serveStreams(l, func(conn net.Conn) { s.components.ServeConn(s.serving, conn, l.component) })
}

// serveStreams gives each connection to serve, in a goroutine of its own.
func (s *Server) serveStreams(l opened, serve func(net.Conn)) {
	var loop sync.WaitGroup
	ctx, cancel := context.WithCancel(s.serving)
	loop.Go(func() {
		accept(ctx, l, s.log, func(conn net.Conn) {
			s.wg.Go(func() { serve(conn) })
		})
	})
	s.onEnd("listener "+l.info.Address, time.Second, func(context.Context) error {
		cancel()
		err := l.Close()
		loop.Wait()
		return err
	})
}

// serveHTTP serves h until the server ends.
func (s *Server) serveHTTP(l opened, h http.Handler) {
	srv := newHTTPServer(h, s.log)
	var loop sync.WaitGroup
	loop.Go(func() {
		listener := l.Listener
		if l.tls != nil {
			listener = tls.NewListener(listener, l.tls)
		}
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.LogAttrs(s.serving, slog.LevelError, "serve http", slog.Any("err", err))
		}
	})
	s.onEnd("http "+l.Addr().String(), time.Second, func(ctx context.Context) error {
		defer loop.Wait()
		if err := srv.Shutdown(ctx); err != nil {
			return srv.Close() // somebody takes a long profile
		}
		return nil
	})
}
