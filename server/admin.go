package server

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/api"
)

// tokenBurst is how many seconds' worth of requests a token may make at once.
const tokenBurst = 2

// buildAdmin makes the administration, which the socket and the listeners for
// HTTP share.
func (s *Server) buildAdmin(cfg *config.Config) {
	s.admin = admin.New(admin.Options{
		Accounts: s.accounts, Clients: s.clients, Tokens: s.db, LastSeen: s.activity, Groups: s.groups, Invites: s.invites,
		Rooms: &admin.Rooms{Admin: s.roomAdmin, Domain: s.roomsOf, Host: s.hostOf},
		Info:  s.Info, Hosts: cfg.General.Hosts, Metrics: s.metrics(), Logger: s.logger("admin"),
		Version: Version(), APIMetrics: api.NewMetrics(s.registry),
		Backup: func(ctx context.Context, progress func(string, int64, int64)) (admin.Backup, error) {
			p, err := s.Backup(ctx, progress)
			if err != nil {
				return nil, err
			}
			return p, nil
		},
	})
}

// forSocket is what the admin socket serves.
func (s *Server) forSocket() http.Handler {
	mux := s.observation()
	admin.HandleProfiles(mux)
	return api.Before(mux, s.admin.Socket())
}

// forHTTP is what a listener for HTTP serves.
func (s *Server) forHTTP(l *config.HTTP) http.Handler {
	mux := withTimeout(s.observation())
	if !l.API {
		return mux
	}
	who := api.NewTokens(api.TokenOptions{
		Store: s.db, Rate: float64(l.APIRate), Burst: tokenBurst * int(l.APIRate),
		LimitLoopback: s.config.Load().General.LimitLoopback, Logger: s.logger("api"),
	})
	return api.Before(mux, s.admin.Remote(who, !l.APIWithoutTLS))
}

// readableAPIs warns of listeners where requests to the API would cross a network
// without encryption.
func readableAPIs(cfg *config.Config) config.Problems {
	var list config.Problems
	for i := range cfg.Listen.HTTP {
		l := &cfg.Listen.HTTP[i]
		ip, err := netip.ParseAddr(l.IPAddress)
		if err != nil || ip.IsLoopback() || l.TLS.Mode != "none" || !l.API {
			continue
		}
		key, text := fmt.Sprintf("listen.http[%d].ip_address", i), "without encryption the API answers this machine alone here: set tls.mode to \"tls\", or api to false"
		if l.APIWithoutTLS {
			key, text = fmt.Sprintf("listen.http[%d].api_without_tls", i), "whoever is on the network can read tokens, and use them: this is for a proxy that encrypts, on a network of its own"
		}
		list = append(list, cfg.Problem(key, text))
	}
	return list
}

// roomsOf is the domain of the rooms of a host, "" if it has none.
func (s *Server) roomsOf(host string) string {
	m := s.config.Load().MUCOf(host)
	if m == nil {
		return ""
	}
	return m.HostFor(host)
}

// hostOf is the host whose rooms are at a domain, "" if there is none.
func (s *Server) hostOf(domain string) string {
	at, _ := s.config.Load().RoomsAt(domain)
	return at.Host
}
