package server

import (
	"context"
	"fmt"
	"net"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/s2s"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
)

// buildComponents makes what external components attach to.
func (s *Server) buildComponents(cfg *config.Config, metrics *s2s.Metrics, streams *stream.Metrics) {
	s.components = s2s.NewComponents(s2s.ComponentsOptions{
		Router: s.router, Hosts: cfg.General.Hosts, Logger: s.logger("s2s"), Metrics: metrics, StreamMetrics: streams,
	})
	for i := range cfg.Listen.Component {
		s.components.Expect(cfg.Listen.Component[i].Domains)
	}
	s.router.SetRemote(s.components)
	s.onEnd("components", 0, func(context.Context) error { s.components.Shutdown(); return nil })
}

// componentListener says what the components of the i-th listener need and get.
func (s *Server) componentListener(i int, l *config.Component) *s2s.ListenerOptions {
	o := &s2s.ListenerOptions{
		Secret: string(l.Password), Domains: l.Domains, MaxStanza: int(l.MaxStanzaSize),
		KickOld: l.ConflictBehaviour == "kick_old", Hidden: l.HiddenComponents,
		Access: func(who jid.JID) bool {
			return s.policies.Load().rules.Allows(s.config.Load().Listen.Component[i].Access, who.Domain(), who)
		},
	}
	if l.TLS.Mode != "none" {
		o.TLS = s.tlsConfig(componentsKey(i))
	}
	return o
}

// DialComponent returns a component's end of a new connection to the first
// listener for components, which does not leave the process.
func (s *Server) DialComponent() (net.Conn, error) {
	list := s.config.Load().Listen.Component
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no listener for components", s.config.Load().Name())
	}
	component, server := net.Pipe()
	o := s.componentListener(0, &list[0])
	s.wg.Go(func() { s.components.ServeConn(s.serving, server, o) })
	return component, nil
}
