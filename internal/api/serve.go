package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// API serves a table of routes. It is safe for concurrent use.
type API struct {
	opts   Options
	log    *slog.Logger
	routes []*route
	types  *schemas
	doc    []byte
}

// New returns the API. It panics if the table is wrong.
func New(o Options) *API {
	a := &API{opts: o, log: o.Logger, types: newSchemas()}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.opts.Metrics == nil {
		a.opts.Metrics = NewMetrics(nil)
	}
	table := append(slices.Clone(o.Routes), Route{
		Method: http.MethodGet, Path: "/openapi.json", ID: "openapi", Tag: "server", Open: true, Global: true,
		Summary: "This document.",
		Handler: Do(func(context.Context, *Request, None) (json.RawMessage, error) { return a.doc, nil }),
	})
	for _, r := range table {
		if o.Local || !r.Local {
			a.add(newRoute(r, a.types))
		}
	}
	a.doc = a.document()
	return a
}

// add adds a route, which has to be another one than those that are there.
func (a *API) add(r *route) {
	for _, o := range a.routes {
		if o.ID == r.ID || o.Method == r.Method && o.Path == r.Path {
			panic("api: " + r.ID + " is there twice")
		}
	}
	a.routes = append(a.routes, r)
}

// Scopes are the scopes of a table, sorted.
func Scopes(routes []Route) []Scope {
	var list []Scope
	for _, r := range routes {
		if r.Scope != "" {
			list = append(list, r.Scope)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// answer is what goes to the client, and what is logged of it.
type answer struct {
	http.ResponseWriter
	status int // 0: nothing has been written
	size   int64
}

// WriteHeader writes the header.
func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body.
func (w *answer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.size += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController the connection.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ServeHTTP answers one request. A panic costs that request.
func (a *API) ServeHTTP(rw http.ResponseWriter, hr *http.Request) {
	begin := time.Now()
	w := &answer{ResponseWriter: rw}
	r := &Request{HTTP: hr, id: requestID(hr), header: rw.Header()}
	h := rw.Header()
	h.Set("X-Request-ID", r.id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	defer func() {
		v := recover()
		if v != nil && v != http.ErrAbortHandler { //nolint:errorlint // the very value that is thrown
			a.log.LogAttrs(hr.Context(), slog.LevelError, "panic in a request", slog.String("request", r.id),
				slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			v = nil
			if w.status == 0 {
				a.refuse(w, r, refuse(http.StatusInternalServerError, reasonInternal, "something went wrong inside the server"))
			} else {
				v = http.ErrAbortHandler // the client must not take it for whole
			}
		}
		a.record(w, r, begin)
		if v != nil {
			panic(v)
		}
	}()
	if err := a.serve(w, r); err != nil {
		if w.status != 0 {
			a.log.LogAttrs(hr.Context(), slog.LevelWarn, "answer broken off", slog.String("request", r.id), slog.Any("err", err))
			panic(http.ErrAbortHandler)
		}
		a.refuse(w, r, err)
	}
}

// serve does what is asked, step by step from what costs least.
func (a *API) serve(w *answer, r *Request) (err error) {
	if err := a.secure(r.HTTP); err != nil {
		return err
	}
	var path map[string]string
	if r.route, path, err = a.find(r.HTTP); err != nil {
		return err
	}
	r.path = path
	control := http.NewResponseController(w)
	if r.route.Timeout >= 0 {
		limit := time.Now().Add(answerTime)
		// A writer without deadlines is a test's.
		_, _ = control.SetReadDeadline(limit), control.SetWriteDeadline(limit)
	}
	if err := a.authorize(r); err != nil {
		return err
	}
	if r.query, err = r.route.checkQuery(r.HTTP.URL); err != nil {
		return err
	}
	if err := a.chooseHost(r); err != nil {
		return err
	}
	return a.do(w, r)
}

// secure refuses what has crossed a network readably. The token in it is no
// secret any more, which its owner should hear of.
func (a *API) secure(r *http.Request) error {
	if !a.opts.RequireTLS || r.TLS != nil {
		return nil
	}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && ap.Addr().Unmap().IsLoopback() {
		return nil
	}
	if r.Header.Get("Authorization") != "" {
		a.log.LogAttrs(r.Context(), slog.LevelWarn, "a token was sent without encryption", slog.String("remote", r.RemoteAddr))
	}
	return refuse(http.StatusForbidden, reasonInsecure,
		"this connection is not encrypted: use https. A token that was sent over it may have been read: revoke it")
}

// authorize finds out who asks and whether he may.
func (a *API) authorize(r *Request) (err error) {
	if r.route.Open {
		return nil
	}
	if r.principal, err = a.opts.Authority.Authenticate(r.HTTP); err != nil {
		return err
	}
	if r.route.Scope != "" && !r.May(r.route.Scope) {
		return refuse(http.StatusForbidden, reasonScope, "this token lacks the scope "+string(r.route.Scope)).
			with("WWW-Authenticate", fmt.Sprintf(`Bearer realm="muster", error="insufficient_scope", scope=%q`, r.route.Scope)) // RFC 6750 §3.1
	}
	if r.route.Global && !r.principal.All && len(r.principal.Hosts) > 0 {
		return refuse(http.StatusForbidden, reasonHost, "this concerns the whole server, and the token is for "+strings.Join(r.principal.Hosts, ", ")+" alone")
	}
	return nil
}

// chooseHost finds out which host a request concerns, and whether who asks may
// administrate that.
func (a *API) chooseHost(r *Request) (err error) {
	if r.route.Global && r.route.query["host"] == nil {
		return nil
	}
	host := a.opts.Hosts[0]
	switch {
	case r.route.Domain != nil:
		if host, err = r.route.Domain(r); err != nil {
			// What another host has is not told either.
			if len(r.principal.Hosts) == 0 || r.principal.All {
				return err
			}
			host = ""
		}
	case r.query.Has("host"):
		host = r.query.Get("host")
	}
	r.host = host
	if !r.MayHost(host) {
		return refuse(http.StatusForbidden, reasonHost, fmt.Sprintf("this token is not for %s but for %s",
			orWhat(host), strings.Join(r.principal.Hosts, ", ")))
	}
	if !slices.Contains(a.opts.Hosts, host) {
		return NotFound(fmt.Sprintf("this server does not serve %.200q but %s", host, strings.Join(a.opts.Hosts, ", ")))
	}
	return nil
}

func orWhat(host string) string {
	if host == "" {
		return "that"
	}
	return strconv.Quote(host)
}

// do reads the body, runs the handler and writes what it returns.
func (a *API) do(w *answer, r *Request) error {
	rt := r.route
	if rt.Handler.stream != nil {
		if err := noBody(r.HTTP); err != nil {
			return err
		}
		w.Header().Set("Content-Type", rt.Handler.media)
		return rt.Handler.stream(w, r)
	}
	var in any
	if rt.in == nil {
		if err := noBody(r.HTTP); err != nil {
			return err
		}
	} else {
		data, err := readBody(w, r.HTTP)
		if err == nil {
			in, err = decode(data, rt.in, rt.Handler.in)
		}
		if err != nil {
			return err
		}
	}
	ctx, cancel := r.HTTP.Context(), context.CancelFunc(func() {})
	if rt.Timeout >= 0 {
		ctx, cancel = context.WithTimeout(ctx, cmp.Or(rt.Timeout, requestTime))
	}
	defer cancel()
	out, err := rt.Handler.call(ctx, r, in)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
			return refuse(http.StatusServiceUnavailable, reasonTime, "this took too long; it may have been done all the same").retryAfter(time.Second)
		}
		return err
	}
	return a.write(w, r, out)
}

// write answers with a result.
func (a *API) write(w *answer, r *Request, out any) error {
	status := r.status
	if status == 0 {
		status = r.route.Status[0]
	}
	tag := w.Header().Get("ETag")
	if none, ok := tags(r.HTTP.Header, "If-None-Match"); ok && tag != "" && looks(r.HTTP) && (weakly(none, tag) || slices.Contains(none, "*")) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if r.route.out == nil || status == http.StatusNoContent {
		w.WriteHeader(status)
		return nil
	}
	body, err := encode(out)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone needs no answer
	return nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return b.Bytes(), nil
}

// refuse answers with a problem. The cause of what is the server's fault is in
// the log; it is told to those only who have full authority.
func (a *API) refuse(w *answer, r *Request, err error) {
	e, internal := asError(err)
	detail := e.Detail
	if internal {
		a.log.LogAttrs(r.HTTP.Context(), slog.LevelError, "request", slog.String("request", r.id), slog.Any("err", err))
		if !a.opts.Local {
			detail = "something went wrong inside the server; its log has more about request " + r.id
		}
	}
	a.opts.Metrics.refused.WithLabelValues(e.kind()).Inc()
	h := w.Header()
	for _, k := range []string{"ETag", "Link", "Location"} {
		h.Del(k) // of an answer that is not given
	}
	maps.Copy(h, e.header)
	h.Set("Content-Type", problemMedia)
	body, err := encode(Problem{
		Type: problemType + e.kind(), Title: http.StatusText(e.Status), Status: e.Status, Detail: detail,
		Errors: e.Fields, RequestID: r.id,
	})
	if err != nil {
		panic(err) // strings and numbers
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// record counts and logs a request: what changes something or was refused at
// level info, what only looks at level debug. Neither headers nor bodies nor
// queries are logged.
func (a *API) record(w *answer, r *Request, begin time.Time) {
	operation := "none"
	level := slog.LevelInfo
	if r.route != nil {
		operation = r.route.ID
	}
	if looks(r.HTTP) && w.status < http.StatusBadRequest {
		level = slog.LevelDebug
	}
	took := time.Since(begin)
	a.opts.Metrics.requests.WithLabelValues(operation, strconv.Itoa(w.status)).Inc()
	a.opts.Metrics.duration.WithLabelValues(operation).Observe(took.Seconds())
	a.log.LogAttrs(context.WithoutCancel(r.HTTP.Context()), level, "request",
		slog.String("request", r.id), slog.String("actor", r.principal.Name), slog.String("method", r.HTTP.Method),
		slog.String("path", cut(r.HTTP.URL.EscapedPath())), slog.Int("status", w.status),
		slog.Int64("size", w.size), slog.Duration("took", took), slog.String("remote", remote(r.HTTP)))
}

func cut(path string) string { return path[:min(len(path), 512)] }

// remote is the address that a request comes from.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// maxRequestID bounds the names that clients give their requests.
const maxRequestID = 64

// requestID is the client's name for a request if it is a plain one, else a new
// one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-ID")
	plain := strings.IndexFunc(id, func(c rune) bool {
		return c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) < 0
	if id != "" && len(id) <= maxRequestID && plain {
		return id
	}
	return strings.ToLower(rand.Text()[:16])
}

// Before gives requests for an API to it and all others to rest. A mux would
// clean paths on their way, and with that take names out of them.
func Before(rest, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == Prefix || strings.HasPrefix(r.URL.Path, Prefix+"/") {
			api.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}
