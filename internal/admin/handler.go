package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"slices"

	"github.com/muster-im/muster/groups"
	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/internal/invite"
)

// Options are what the administration works on. Accounts and Hosts are required.
// What is nil beside them is missing in the table.
type Options struct {
	Accounts Accounts
	Clients  Clients
	Tokens   Tokens
	Groups   *groups.Service
	Invites  *invite.Service
	// LastSeen says when an account's last session went; store.ErrNotFound if
	// that is not known.
	LastSeen LastSeen
	Rooms    *Rooms
	// Info is called for each request that asks what the server is.
	Info func() Info
	// Hosts are the domains that may have accounts.
	Hosts []string
	// Metrics answers with the metrics.
	Metrics http.Handler
	// Backup prepares a backup; progress is told what it does and how far that
	// is.
	Backup func(ctx context.Context, progress func(step string, done, total int64)) (Backup, error)
	Logger *slog.Logger

	Version    string
	APIMetrics *api.Metrics
}

// Admin is the administration of one server.
type Admin struct {
	opts   Options
	log    *slog.Logger
	routes []api.Route
	scopes []api.Scope
}

// New returns the administration.
func New(o Options) *Admin {
	a := &Admin{opts: o, log: o.Logger}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.routes = slices.Concat(a.serverRoutes(), a.accountRoutes(), a.groupRoutes(), a.invitationRoutes(), a.tokenRoutes())
	if o.Rooms != nil {
		a.routes = append(a.routes, a.roomRoutes()...)
	}
	a.scopes = api.Scopes(a.routes)
	return a
}

// Socket returns the handler of the API on the local socket: all routes, for
// everybody who reaches it.
func (a *Admin) Socket() http.Handler {
	return a.serve(api.Options{Authority: api.Everyone{}, Local: true})
}

// HandleProfiles adds the profiles of net/http/pprof under /debug/pprof/.
func HandleProfiles(mux *http.ServeMux) {
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

// Remote returns the handler of an HTTP listener. requireTLS refuses what
// crosses a network without encryption.
func (a *Admin) Remote(who api.Authority, requireTLS bool) http.Handler {
	return a.serve(api.Options{Authority: who, RequireTLS: requireTLS})
}

func (a *Admin) serve(o api.Options) http.Handler {
	o.Absent = a.absent()
	o.Routes, o.Hosts, o.Logger, o.Version, o.Metrics = a.routes, a.opts.Hosts, a.log, a.opts.Version, a.opts.APIMetrics
	return api.New(o)
}

// absent says what is switched off, and how to have it.
func (a *Admin) absent() map[string]string {
	absent := make(map[string]string)
	if a.opts.Groups == nil {
		absent["groups"] = "this server keeps no groups: [modules.mod_groups_internal] in its configuration switches them on"
	}
	if a.opts.Invites == nil {
		absent["invitations"] = "this server has no invitations: [modules.mod_invites] in its configuration switches them on"
	}
	return absent
}

// Scopes of the server itself.
const (
	scopeServer  api.Scope = "server:read"
	scopeMetrics api.Scope = "metrics"
)

func (a *Admin) serverRoutes() []api.Route {
	var list []api.Route
	if a.opts.Info != nil {
		list = append(list, api.Route{
			Method: http.MethodGet, Path: "/server", ID: "getServer", Tag: "server", Scope: scopeServer, Global: true,
			Summary: "What the server is and where it listens.",
			Handler: api.Do(func(context.Context, *api.Request, api.None) (Info, error) { return a.opts.Info(), nil }),
		})
	}
	if a.opts.Metrics != nil {
		list = append(list, api.Route{
			Method: http.MethodGet, Path: "/metrics", ID: "getMetrics", Tag: "server", Scope: scopeMetrics, Global: true,
			Summary: "The metrics, for Prometheus.",
			Handler: api.Stream("text/plain", func(w http.ResponseWriter, r *api.Request) error {
				a.opts.Metrics.ServeHTTP(w, r.HTTP)
				return nil
			}),
		})
	}
	if a.opts.Backup != nil {
		list = append(list, api.Route{
			Method: http.MethodPost, Path: "/backup", ID: "backup", Tag: "server", Local: true, Global: true, Timeout: -1,
			Summary: "A backup of everything.",
			Handler: api.Stream("application/octet-stream", a.backup),
		})
	}
	return list
}
