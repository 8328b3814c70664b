package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	"github.com/muster-im/muster/internal/account"
	"github.com/muster-im/muster/internal/store"
	"github.com/muster-im/muster/jid"
)

// maxRequest bounds the body of a request.
const maxRequest = 1 << 20

// pageSize is the number of accounts in one page of a listing.
const pageSize = 500

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
	// List returns at most limit accounts of a domain ("": of all) behind the
	// address after, ordered by address.
	List(ctx context.Context, domain, after string, limit int) ([]store.Account, error)
}

// Options are what the API works on. All but Backup and Logger are required.
type Options struct {
	Accounts Accounts
	// Info is called for each request that asks what the server is.
	Info func() Info
	// Hosts are the domains that may have accounts.
	Hosts []string
	// Backup prepares a backup; progress is told what it does and how far that
	// is. nil: there is no such request.
	Backup func(ctx context.Context, progress func(step string, done, total int64)) (Backup, error)
	Logger *slog.Logger
}

// api holds the handlers. Fields are set at construction.
type api struct {
	Options
	log *slog.Logger
}

// NewHandler returns the handler of the whole API, with the profiles of
// net/http/pprof under /debug/pprof/. Whoever reaches it has full authority.
func NewHandler(o Options) http.Handler {
	a := &api{Options: o, log: o.Logger}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /v1/server":                  a.info,
		"GET /v1/accounts":                a.accounts,
		"POST /v1/accounts":               a.addAccount,
		"GET /v1/accounts/{jid}":          a.account,
		"PUT /v1/accounts/{jid}/password": a.setPassword,
		"DELETE /v1/accounts/{jid}":       a.deleteAccount,
	} {
		mux.Handle(pattern, a.answer(h))
	}
	if o.Backup != nil {
		mux.HandleFunc("POST /v1/backup", a.backup)
	}
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/", a.answer(func(r *http.Request) (any, error) {
		return nil, refuse(http.StatusNotFound, "the API has no "+r.Method+" "+r.URL.Path)
	}))
	return mux
}

// handler does one request. A nil result is answered with 204.
type handler func(r *http.Request) (any, error)

func (a *api) answer(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		result, err := h(r)
		switch {
		case err != nil:
			a.refuse(w, r, err)
		case result == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			a.write(w, http.StatusOK, "application/json", result)
		}
	})
}

// refuse answers with what went wrong. What is nobody's mistake is logged; its
// cause is told as well, since everybody here is an administrator.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problem{Status: http.StatusInternalServerError, Detail: err.Error()}
	if e, ok := errors.AsType[*Error](err); ok {
		p.Status, p.Detail = e.Status, e.Detail
	} else {
		a.log.LogAttrs(r.Context(), slog.LevelError, "admin request",
			slog.String("request", r.Method+" "+r.URL.Path), slog.Any("err", err))
	}
	p.Title = http.StatusText(p.Status)
	a.write(w, p.Status, "application/problem+json", p)
}

func (a *api) write(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		a.log.LogAttrs(context.Background(), slog.LevelDebug, "answer admin request", slog.Any("err", err))
	}
}

func refuse(status int, detail string) *Error { return &Error{Status: status, Detail: detail} }

// read decodes the body of a request into v.
func read(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return refuse(http.StatusBadRequest, "read the request: "+err.Error())
	}
	return nil
}

func (a *api) info(*http.Request) (any, error) { return a.Info(), nil }

func (a *api) accounts(r *http.Request) (any, error) {
	q := r.URL.Query()
	domain := q.Get("domain")
	if domain != "" && !a.serves(domain) {
		return nil, a.notServed(domain)
	}
	list, err := a.Accounts.List(r.Context(), domain, q.Get("after"), pageSize)
	if err != nil {
		return nil, err
	}
	page := AccountPage{Accounts: make([]Account, len(list))}
	for i, acc := range list {
		page.Accounts[i] = Account{JID: acc.JID, Created: acc.Created}
	}
	if len(list) == pageSize {
		page.Next = list[len(list)-1].JID.String()
	}
	return page, nil
}

func (a *api) account(r *http.Request) (any, error) {
	j, err := a.pathAccount(r)
	if err != nil {
		return nil, err
	}
	acc, err := a.Accounts.Account(r.Context(), j)
	if err != nil {
		return nil, a.accountError(j, err)
	}
	return Account{JID: acc.JID, Created: acc.Created}, nil
}

func (a *api) addAccount(r *http.Request) (any, error) {
	var in NewAccount
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := a.checkAddress(in.JID); err != nil {
		return nil, err
	}
	err := a.Accounts.Create(r.Context(), in.JID, in.Password)
	if err != nil {
		return nil, a.accountError(in.JID, err)
	}
	a.log.LogAttrs(r.Context(), slog.LevelInfo, "account added", slog.String("jid", in.JID.String()))
	return nil, nil
}

func (a *api) setPassword(r *http.Request) (any, error) {
	var in NewPassword
	j, err := a.pathAccount(r)
	if err != nil {
		return nil, err
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := a.Accounts.SetPassword(r.Context(), j, in.Password); err != nil {
		return nil, a.accountError(j, err)
	}
	a.log.LogAttrs(r.Context(), slog.LevelInfo, "password changed", slog.String("jid", j.String()))
	return nil, nil
}

func (a *api) deleteAccount(r *http.Request) (any, error) {
	j, err := a.pathAccount(r)
	if err != nil {
		return nil, err
	}
	if err := a.Accounts.Delete(r.Context(), j); err != nil {
		return nil, a.accountError(j, err)
	}
	a.log.LogAttrs(r.Context(), slog.LevelInfo, "account deleted", slog.String("jid", j.String()))
	return nil, nil
}

func (a *api) pathAccount(r *http.Request) (jid.JID, error) {
	j, err := jid.Parse(r.PathValue("jid"))
	if err != nil {
		return jid.JID{}, refuse(http.StatusBadRequest, err.Error())
	}
	return j, a.checkAddress(j)
}

// checkAddress refuses what cannot be an account of this server.
func (a *api) checkAddress(j jid.JID) error {
	switch {
	case j.Local() == "" || !j.IsBare():
		return refuse(http.StatusBadRequest, "want an address like name@"+a.Hosts[0]+", got "+quote(j.String()))
	case !a.serves(j.Domain()):
		return a.notServed(j.Domain())
	}
	return nil
}

func (a *api) serves(domain string) bool { return slices.Contains(a.Hosts, domain) }

func (a *api) notServed(domain string) error {
	return refuse(http.StatusNotFound, "this server has no accounts at "+quote(domain)+
		"; it serves "+strings.Join(a.Hosts, ", "))
}

// accountError puts an error of the account service into an administrator's
// words.
func (a *api) accountError(j jid.JID, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return refuse(http.StatusNotFound, "there is no account "+j.String())
	case errors.Is(err, store.ErrConflict):
		return refuse(http.StatusConflict, "there is an account "+j.String()+" already")
	case account.IsInvalid(err):
		return refuse(http.StatusUnprocessableEntity, err.Error())
	}
	return err
}

func quote(s string) string { return `"` + s + `"` }
