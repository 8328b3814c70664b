package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/muster-im/muster/internal/account"
	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/internal/c2s"
	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// Accounts is what the API needs of the account service. Errors wrap
// store.ErrNotFound and store.ErrConflict, and are account.IsInvalid, where that
// applies.
type Accounts interface {
	// Create adds an account.
	Create(ctx context.Context, j jid.JID, password string) error
	// SetPassword replaces the password of an account.
	SetPassword(ctx context.Context, j jid.JID, password string) error
	// Account returns an account.
	Account(ctx context.Context, j jid.JID) (store.Account, error)
	// Delete removes an account and what belongs to it.
	Delete(ctx context.Context, j jid.JID) error
	// List returns at most limit accounts of a domain behind the address after,
	// ordered by address.
	List(ctx context.Context, domain, after string, limit int) ([]store.Account, error)
}

// Clients is what the API needs of the client streams.
type Clients interface {
	SessionsOf(owner jid.JID) []c2s.SessionInfo
	EndSessions(ctx context.Context, who jid.JID) int
}

// LastSeen says when accounts were last seen.
type LastSeen interface {
	Last(ctx context.Context, account jid.JID) (store.LastActivity, error)
}

// Scopes of accounts.
const (
	scopeUsersRead  api.Scope = "users:read"
	scopeUsersWrite api.Scope = "users:write"
)

func (a *Admin) accountRoutes() []api.Route {
	const tag = "users"
	user := []api.Param{{Name: "user", Doc: "What stands before the @ in the user's address."}}
	missing := []int{http.StatusNotFound}
	routes := []api.Route{
		{
			Method: http.MethodGet, Path: "/users", ID: "listUsers", Scope: scopeUsersRead, Paged: true,
			Summary: "The accounts of a host, ordered by address.", Handler: api.Do(a.listAccounts),
		},
		{
			Method: http.MethodPost, Path: "/users", ID: "createUser", Scope: scopeUsersWrite,
			Summary: "Create an account.", Status: []int{http.StatusCreated}, Errors: []int{http.StatusConflict},
			Handler: api.Do(a.addAccount),
		},
		{
			Method: http.MethodGet, Path: "/users/{user}", ID: "getUser", Scope: scopeUsersRead, Params: user,
			Summary: "One account, with its sessions.", Errors: missing, Handler: api.Do(a.account),
		},
		{
			Method: http.MethodPut, Path: "/users/{user}", ID: "putUser", Scope: scopeUsersWrite, Params: user,
			Summary: "Create an account with a password, or give that password to the one that is there.",
			Doc:     "With If-None-Match: * an account that is there stays as it is, and with If-Match: * none is created.",
			Status:  []int{http.StatusOK, http.StatusCreated}, Errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
			Handler: api.Do(a.putAccount),
		},
		{
			Method: http.MethodPut, Path: "/users/{user}/password", ID: "setPassword", Scope: scopeUsersWrite, Params: user,
			Summary: "Change a password. Sessions that are logged in stay.", Errors: missing, Handler: api.Do(a.setPassword),
		},
		{
			Method: http.MethodDelete, Path: "/users/{user}", ID: "deleteUser", Scope: scopeUsersWrite, Params: user,
			Summary: "Delete an account with everything that belongs to it.", Errors: missing, Handler: api.Do(a.deleteAccount),
		},
	}
	if a.opts.Clients != nil {
		routes = append(routes, a.sessionRoutes(user[0])...)
	}
	for i := range routes {
		routes[i].Tag = tag
	}
	return routes
}

func (a *Admin) listAccounts(ctx context.Context, r *api.Request, _ api.None) (page api.Page[Account], err error) {
	limit, after, err := r.Page()
	if err != nil {
		return page, err
	}
	if after != "" {
		after += "@" + r.Host()
	}
	list, err := a.opts.Accounts.List(ctx, r.Host(), after, limit)
	if account.IsInvalid(err) {
		err = api.InvalidParam("after", "this is not the next of an answer")
	}
	if err != nil {
		return page, err
	}
	page.Items = make([]Account, len(list))
	for i, acc := range list {
		page.Items[i] = Account{JID: acc.JID, Created: acc.Created}
	}
	if len(list) == limit {
		page.Next = r.Next(list[len(list)-1].JID.Local())
	}
	return page, nil
}

func (a *Admin) account(ctx context.Context, r *api.Request, _ api.None) (d AccountDetails, err error) {
	acc, err := a.pathAccount(ctx, r)
	if err != nil {
		return d, err
	}
	r.SetETag(revision(acc))
	d = AccountDetails{Account: Account{JID: acc.JID, Created: acc.Created}, Sessions: a.sessionsOf(acc.JID)}
	if len(d.Sessions) > 0 || a.opts.LastSeen == nil {
		return d, nil
	}
	last, err := a.opts.LastSeen.Last(ctx, acc.JID)
	switch {
	case err == nil:
		d.LastSeen = &LastActivity{Time: last.Time, Status: last.Status}
	case !errors.Is(err, store.ErrNotFound):
		return d, err
	}
	return d, nil
}

// revision tells an account from a later one of the same name.
func revision(acc store.Account) string { return strconv.FormatInt(acc.Created.UnixMicro(), 36) }

func (a *Admin) addAccount(ctx context.Context, r *api.Request, in NewAccount) (Account, error) {
	j, err := jid.New(in.Name, r.Host(), "")
	if err != nil {
		return Account{}, api.Invalid("name", err.Error())
	}
	if err := a.create(ctx, r, j, in.Password); err != nil {
		return Account{}, err
	}
	return a.created(ctx, j)
}

// create adds an account and says where it is.
func (a *Admin) create(ctx context.Context, r *api.Request, j jid.JID, password string) error {
	if err := a.opts.Accounts.Create(ctx, j, password); err != nil {
		return accountError(j, err)
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "account added", slog.String("jid", j.String()), slog.String("actor", r.Actor()))
	r.Created("users", j.Local())
	return nil
}

// created returns what an account is that was there a moment ago.
func (a *Admin) created(ctx context.Context, j jid.JID) (Account, error) {
	acc, err := a.opts.Accounts.Account(ctx, j)
	return Account{JID: j, Created: acc.Created}, accountError(j, err)
}

func (a *Admin) putAccount(ctx context.Context, r *api.Request, in NewPassword) (Account, error) {
	j, err := pathJID(r)
	if err != nil {
		return Account{}, err
	}
	acc, err := a.opts.Accounts.Account(ctx, j)
	there := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Account{}, err
	}
	is := ""
	if there {
		is = revision(acc)
	}
	if err := r.IfMatch(is); err != nil {
		return Account{}, err
	}
	if there {
		err = a.changePassword(ctx, r, j, in.Password)
	} else {
		err = a.create(ctx, r, j, in.Password)
	}
	if err != nil {
		return Account{}, err
	}
	return a.created(ctx, j)
}

func (a *Admin) setPassword(ctx context.Context, r *api.Request, in NewPassword) (api.None, error) {
	j, err := pathJID(r)
	if err == nil {
		err = a.changePassword(ctx, r, j, in.Password)
	}
	return api.None{}, err
}

func (a *Admin) changePassword(ctx context.Context, r *api.Request, j jid.JID, password string) error {
	if err := a.opts.Accounts.SetPassword(ctx, j, password); err != nil {
		return accountError(j, err)
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "password changed", slog.String("jid", j.String()), slog.String("actor", r.Actor()))
	return nil
}

func (a *Admin) deleteAccount(ctx context.Context, r *api.Request, _ api.None) (none api.None, err error) {
	j, err := pathJID(r)
	if err != nil {
		return none, err
	}
	if err := a.opts.Accounts.Delete(ctx, j); err != nil {
		return none, accountError(j, err)
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "account deleted", slog.String("jid", j.String()), slog.String("actor", r.Actor()))
	return none, nil
}

// pathJID is the address of the user in the path.
func pathJID(r *api.Request) (jid.JID, error) {
	j, err := jid.New(r.Path("user"), r.Host(), "")
	if err != nil {
		return jid.JID{}, api.InvalidParam("user", err.Error())
	}
	return j, nil
}

// pathAccount is the account of the user in the path.
func (a *Admin) pathAccount(ctx context.Context, r *api.Request) (store.Account, error) {
	j, err := pathJID(r)
	if err != nil {
		return store.Account{}, err
	}
	acc, err := a.opts.Accounts.Account(ctx, j)
	return acc, accountError(j, err)
}

// accountError puts an error of the account service into an administrator's
// words.
func accountError(j jid.JID, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return api.NotFound("there is no account " + j.String())
	case errors.Is(err, store.ErrReserved):
		return api.Conflict(j.String() + " is kept for somebody who is invited: muster invite list shows by whom")
	case errors.Is(err, store.ErrConflict):
		return api.Conflict("there is an account " + j.String() + " already")
	case errors.Is(err, sasl.ErrPassword):
		return api.Invalid("password", err.Error())
	case account.IsInvalid(err):
		return api.Invalid("name", err.Error())
	}
	return err
}
