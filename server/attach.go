package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/s2s"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// linksEnd is what links may take to send what rooms have said last.
const linksEnd = 3 * time.Second

// Attach makes a server the room service of another one, as its external
// component (XEP-0114): it has rooms, and neither accounts nor clients. The
// hosts of the configuration are then the other server's.
type Attach struct {
	Server string      // host:port of the other server
	Secret string      // that both have
	TLS    *tls.Config // nil: none
	// Dial, if set, connects instead of TCP.
	Dial func(ctx context.Context) (net.Conn, error)
	// OnAttached, if set, is called each time a domain's link stands. It must not
	// wait.
	OnAttached func(domain string)
}

// hosts are the domains whose accounts are here.
func (s *Server) hosts(cfg *config.Config) []string {
	if s.opts.Attach != nil {
		return nil
	}
	return cfg.General.Hosts
}

// roomRouter is what the rooms of a domain send through, and link their link to
// the server that they are attached to, if they are.
func (s *Server) roomRouter(domain string) (r muc.Router, link *s2s.Link, err error) {
	a := s.opts.Attach
	if a == nil {
		return s.router, nil, nil
	}
	o := s2s.LinkOptions{
		Server: a.Server, Domain: domain, Secret: a.Secret, TLS: a.TLS, Dial: a.Dial,
		Logger: s.logger("s2s"), Metrics: s.s2sMetrics, StreamMetrics: s.streamMetrics,
	}
	if a.OnAttached != nil {
		o.OnAttached = func() { a.OnAttached(domain) }
	}
	link, err = s2s.NewLink(o)
	return link, link, err
}

// runLinks keeps the rooms attached from the start to the end of the server.
func (s *Server) runLinks() {
	var wg sync.WaitGroup
	s.onEnd("links", linksEnd, func(context.Context) error {
		for _, l := range s.links {
			l.Close()
		}
		wg.Wait()
		return nil
	})
	s.onStart(func() {
		for _, l := range s.links {
			wg.Go(func() {
				if err := l.Run(s.serving); err != nil {
					select {
					case s.failed <- err:
					default: // one is enough
					}
				}
			})
		}
	})
}

// Failed returns where it is told that the server to which this one is attached
// does not want it; the server is of no use then.
func (s *Server) Failed() <-chan error { return s.failed }

// checkAttached refuses what makes no sense for rooms that another server's
// people use.
func checkAttached(cfg *config.Config) error {
	var problems config.Problems
	if len(cfg.Listen.C2S) > 0 {
		problems = append(problems, cfg.Problem("listen.c2s[0]", "clients connect to the server that this one is attached to: remove the listeners for clients"))
	}
	if len(cfg.Listen.Component) > 0 {
		problems = append(problems, cfg.Problem("listen.component[0]", "components attach to the server that this one is attached to: remove the listeners for components"))
	}
	if !slices.ContainsFunc(cfg.General.Hosts, func(h string) bool { return cfg.MUCOf(h) != nil }) {
		problems = append(problems, cfg.Problem("modules.mod_muc", "there are no rooms to attach: add the table"))
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// attachedRooms is a room service as its link sees it.
type attachedRooms struct {
	*muc.Service
	server *Server
}

// roomAnswers is how long a room may take to say who is in it.
const roomAnswers = 2 * time.Second

// EachSession shows visit every session that is in a room, one room after the
// other, in a goroutine of its own.
func (a attachedRooms) EachSession(visit func(occupant, real jid.JID)) {
	a.server.wg.Go(func() {
		for h := range a.LiveRooms() {
			a.visitRoom(h, visit)
		}
	})
}

func (a attachedRooms) visitRoom(h *muc.Handle, visit func(occupant, real jid.JID)) {
	ctx, cancel := context.WithTimeout(a.server.serving, roomAnswers)
	defer cancel()
	err := h.Do(ctx, func(r *muc.Room) error {
		for o := range r.Occupants() {
			for s := range o.Sessions() {
				visit(o.JID(), s.RealJID())
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, muc.ErrNoRoom) {
		a.server.log.LogAttrs(ctx, slog.LevelWarn, "ask who is in a room", slog.String("room", h.JID().String()), slog.Any("err", err))
	}
}
