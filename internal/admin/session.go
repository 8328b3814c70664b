package admin

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/internal/c2s"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func (a *Admin) sessionRoutes(user api.Param) []api.Route {
	missing := []int{http.StatusNotFound}
	return []api.Route{
		{
			Method: http.MethodGet, Path: "/users/{user}/sessions", ID: "listSessions", Scope: scopeUsersRead,
			Params: []api.Param{user}, Errors: missing,
			Summary: "Where a user is logged in.", Handler: api.Do(a.sessions),
		},
		{
			Method: http.MethodDelete, Path: "/users/{user}/sessions", ID: "endSessions", Scope: scopeUsersWrite,
			Params: []api.Param{user}, Errors: missing,
			Summary: "End all sessions of a user, who may log in again.", Handler: api.Do(a.endSessions),
		},
		{
			Method: http.MethodDelete, Path: "/users/{user}/sessions/{resource}", ID: "endSession", Scope: scopeUsersWrite,
			Params: []api.Param{user, {Name: "resource", Doc: "The resource of the session."}}, Errors: missing,
			Summary: "End one session of a user.", Handler: api.Do(a.endSession),
		},
	}
}

func (a *Admin) sessions(ctx context.Context, r *api.Request, _ api.None) (Sessions, error) {
	acc, err := a.pathAccount(ctx, r)
	if err != nil {
		return Sessions{}, err
	}
	return Sessions{Items: a.sessionsOf(acc.JID)}, nil
}

func (a *Admin) endSessions(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	acc, err := a.pathAccount(ctx, r)
	if err != nil {
		return none, err
	}
	n := a.opts.Clients.EndSessions(ctx, acc.JID)
	a.log.LogAttrs(ctx, slog.LevelInfo, "sessions ended", slog.String("jid", acc.JID.String()),
		slog.Int("sessions", n), slog.String("actor", r.Actor()))
	return none, nil
}

func (a *Admin) endSession(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	acc, err := a.pathAccount(ctx, r)
	if err != nil {
		return none, err
	}
	full, err := jid.New(acc.JID.Local(), acc.JID.Domain(), r.Path("resource"))
	if err != nil {
		return none, api.InvalidParam("resource", err.Error())
	}
	if a.opts.Clients.EndSessions(ctx, full) == 0 {
		return none, api.NotFound("there is no session " + full.String())
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "session ended", slog.String("jid", full.String()), slog.String("actor", r.Actor()))
	return none, nil
}

// sessionsOf describes the sessions of an account.
func (a *Admin) sessionsOf(account jid.JID) []Session {
	if a.opts.Clients == nil {
		return []Session{}
	}
	infos := a.opts.Clients.SessionsOf(account)
	list := make([]Session, len(infos))
	for i := range infos {
		list[i] = describe(&infos[i])
	}
	return list
}

func describe(i *c2s.SessionInfo) Session {
	s := Session{
		JID: i.JID, Resource: i.JID.Resource(), Since: i.Since.UTC(),
		Connected: i.Remote != nil, Encrypted: i.TLS,
	}
	if i.Remote != nil {
		s.Remote = i.Remote.String()
	}
	presence, priority, available := i.State.Presence()
	s.Available, s.Priority = available, int(priority)
	if available {
		s.Show = presence.ChildText(stanza.NSClient, "show")
	}
	return s
}
