package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/internal/store"
)

// Tokens is where the tokens are. Errors wrap store.ErrNotFound and
// store.ErrConflict where that applies.
type Tokens interface {
	// AddToken stores a new token.
	AddToken(ctx context.Context, t store.Token) error
	// Tokens returns at most limit tokens behind a name, ordered by name.
	Tokens(ctx context.Context, after string, limit int) ([]store.Token, error)
	// DeleteToken removes the token with a name.
	DeleteToken(ctx context.Context, name string) error
}

// tokenRoutes are local: a token does not make others.
func (a *Admin) tokenRoutes() []api.Route {
	if a.opts.Tokens == nil {
		return nil
	}
	routes := []api.Route{
		{
			Method: http.MethodGet, Path: "/tokens", ID: "listTokens", Paged: true,
			Summary: "The tokens.", Handler: api.Do(a.listTokens),
		},
		{
			Method: http.MethodPost, Path: "/tokens", ID: "addToken", Status: []int{http.StatusCreated}, Errors: []int{http.StatusConflict},
			Summary: "Make a token.", Handler: api.Do(a.addToken),
		},
		{
			Method: http.MethodDelete, Path: "/tokens/{name}", ID: "revokeToken", Errors: []int{http.StatusNotFound},
			Params:  []api.Param{{Name: "name", Doc: "What the token is called."}},
			Summary: "Revoke a token.", Handler: api.Do(a.revokeToken),
		},
		{
			Method: http.MethodGet, Path: "/scopes", ID: "listScopes",
			Summary: "The scopes that tokens can have.",
			Handler: api.Do(func(context.Context, *api.Request, api.None) (ScopeList, error) {
				return ScopeList{Items: a.scopeNames()}, nil
			}),
		},
	}
	for i := range routes {
		routes[i].Tag, routes[i].Local, routes[i].Global = "tokens", true, true
	}
	return routes
}

func (a *Admin) scopeNames() []string {
	names := make([]string, len(a.scopes))
	for i, s := range a.scopes {
		names[i] = string(s)
	}
	return names
}

func (a *Admin) listTokens(ctx context.Context, r *api.Request, _ api.None) (page api.Page[Token], err error) {
	limit, after, err := r.Page()
	if err != nil {
		return page, err
	}
	list, err := a.opts.Tokens.Tokens(ctx, after, limit)
	if err != nil {
		return page, err
	}
	page.Items = make([]Token, len(list))
	for i, t := range list {
		page.Items[i] = shown(t)
	}
	if len(list) == limit {
		page.Next = r.Next(list[len(list)-1].Name)
	}
	return page, nil
}

func shown(t store.Token) Token {
	s := Token{Name: t.Name, Scopes: t.Scopes, Hosts: t.Hosts, Created: t.Created, Expired: t.Expired(time.Now())}
	if !t.Expires.IsZero() {
		s.Expires = &t.Expires
	}
	if !t.Used.IsZero() {
		s.Used = &t.Used
	}
	return s
}

func (a *Admin) addToken(ctx context.Context, r *api.Request, in NewToken) (issued IssuedToken, err error) {
	if err := a.checkToken(&in); err != nil {
		return issued, err
	}
	t := store.Token{Name: in.Name, Scopes: in.Scopes, Hosts: in.Hosts, Created: time.Now().UTC()}
	if in.Expires != nil {
		t.Expires = in.Expires.UTC()
	}
	issued.Secret, t.ID, t.Hash = api.NewToken()
	err = a.opts.Tokens.AddToken(ctx, t)
	if errors.Is(err, store.ErrConflict) {
		return IssuedToken{}, api.Conflict(fmt.Sprintf("there is a token %q already: revoke it, or choose another name", in.Name))
	}
	if err != nil {
		return IssuedToken{}, err
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "token added", slog.String("token", t.Name), slog.Any("scopes", t.Scopes), slog.Any("hosts", t.Hosts))
	r.Created("tokens", t.Name)
	issued.Token = shown(t)
	return issued, nil
}

// checkToken refuses a token that would be good for nothing, and tidies what is
// there twice.
func (a *Admin) checkToken(in *NewToken) error {
	in.Scopes = tidy(in.Scopes)
	in.Hosts = tidy(in.Hosts)
	if len(in.Scopes) == 0 {
		return api.Invalid("scopes", "want at least one of "+strings.Join(a.scopeNames(), ", "))
	}
	for _, s := range in.Scopes {
		if !slices.Contains(a.scopes, api.Scope(s)) {
			return api.Invalid("scopes", fmt.Sprintf("%.80q is no scope: there are %s", s, strings.Join(a.scopeNames(), ", ")))
		}
	}
	for _, h := range in.Hosts {
		if !slices.Contains(a.opts.Hosts, h) {
			return api.Invalid("hosts", fmt.Sprintf("this server does not serve %.200q but %s", h, strings.Join(a.opts.Hosts, ", ")))
		}
	}
	if in.Expires != nil && !in.Expires.After(time.Now()) {
		return api.Invalid("expires", "this is past")
	}
	return nil
}

func tidy(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func (a *Admin) revokeToken(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	name := r.Path("name")
	err = a.opts.Tokens.DeleteToken(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return none, api.NotFound(fmt.Sprintf("there is no token %.80q", name))
	}
	if err == nil {
		a.log.LogAttrs(ctx, slog.LevelInfo, "token revoked", slog.String("token", name))
	}
	return none, err
}
