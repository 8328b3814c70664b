// Package api is the base of the administration over HTTP: a table of routes
// that is served and documented. A Route says its method, path, scope, types and
// errors; Handler serves the table strictly (bearer tokens, problem documents,
// bodies that are checked against the types before anything is done), and makes
// the OpenAPI document from it. What the routes do is in package admin.
//
// The package owns no goroutine. A request blocks on the store of the tokens and
// on what its route calls, within the route's time.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Prefix is where all routes are.
const Prefix = "/api/v1"

// Defaults and bounds.
const (
	maxBody        = 1 << 20
	maxDepth       = 32
	requestTime    = 30 * time.Second
	answerTime     = time.Minute // for a client to read an answer
	defaultPage    = 100
	maxPage        = 1000
	maxPathSegment = 3 * 3072 // of an address, escaped
)

// Scope is a permission of a token, such as users:read.
type Scope string

// None is the body of a request that has none, and the result of a route that
// answers 204.
type None struct{}

// Route is one operation. Method, Path, ID, Summary, Tag and Handler are
// required, and Scope unless the route is Local or Open.
type Route struct {
	Method  string
	Path    string // below Prefix, with parameters as {name}
	ID      string // operationId, as unique as Method with Path
	Tag     string // the group in the document
	Summary string // one line
	Doc     string // more of it
	Scope   Scope
	Params  []Param // all of the path's, and those of the query but for host, limit and after
	Paged   bool    // has limit and after; see Request.Page
	// Status are the codes of success. Empty is 200, or 204 without a result.
	// Those beside the first are set by Request.SetStatus.
	Status []int
	// Errors are the codes that the handler itself answers with. Those of the
	// frame (400, 401, 403, 405, 408, 413, 415, 422, 429, 500, 503, and 404 for a
	// host) are known.
	Errors  []int
	Handler Handler

	// Local routes are served on the local socket alone, and not documented.
	Local bool
	// Open routes need no token.
	Open bool
	// Global routes concern the whole server: a token for single hosts does not
	// suffice. One that says whose names are meant declares the parameter host
	// itself, and the code 404.
	Global bool
	// Domain says which of the server's hosts a request concerns. nil: the
	// parameter host of the query, the first host by default. A token for other
	// hosts alone is refused.
	Domain func(r *Request) (host string, err error)
	// Timeout bounds the handler; 0 is 30 seconds, negative is without end.
	Timeout time.Duration
}

// Handler is what a route does; Do and Stream make one.
type Handler struct {
	in, out reflect.Type // nil: none
	media   string       // of a stream
	call    func(ctx context.Context, r *Request, in any) (out any, err error)
	stream  func(w http.ResponseWriter, r *Request) error
}

// Do returns a handler that reads an In from the body and answers with an Out,
// either of which may be None. An *Error is answered as it is, everything else
// is the server's fault. In is what its tags say when f is called: a field
// without omitempty or omitzero is there; see Schema for further tags.
func Do[In, Out any](f func(ctx context.Context, r *Request, in In) (Out, error)) Handler {
	h := Handler{in: typeOf[In](), out: typeOf[Out]()}
	h.call = func(ctx context.Context, r *Request, in any) (any, error) {
		body, _ := in.(*In)
		if body == nil {
			body = new(In)
		}
		return f(ctx, r, *body)
	}
	return h
}

// typeOf is T's type, nil for None.
func typeOf[T any]() reflect.Type {
	if t := reflect.TypeFor[T](); t != reflect.TypeFor[None]() {
		return t
	}
	return nil
}

// Stream returns a handler that writes its answer, of a media type, by itself.
// An error is answered if nothing has been written yet, else the connection
// breaks off.
func Stream(media string, f func(w http.ResponseWriter, r *Request) error) Handler {
	return Handler{media: media, stream: f}
}

// Param is a parameter in the path or in the query.
type Param struct {
	Name     string
	Doc      string
	Query    bool // else in the path
	Required bool // in the query; those in the path are
	// Kind is "string" (the default), "integer" or "boolean".
	Kind string
	// Enum are the words allowed; empty: all.
	Enum []string
	// Min and Max bound an integer, if Max is not 0.
	Min, Max int
	// Default is what an absent parameter means; for the document.
	Default any
}

// Page is one page of a list. Next is given as the parameter after to get the
// following page; "" says that there is none.
type Page[T any] struct {
	Items []T    `json:"items" doc:"What is on this page."`
	Next  string `json:"next,omitempty" doc:"Parameter after of the following page; absent on the last one."`
}

// Principal is who asks.
type Principal struct {
	Name   string // for the log
	Scopes []Scope
	Hosts  []string // empty: all
	All    bool     // full authority
}

// Authority says who asks.
type Authority interface {
	// Authenticate returns who asks, or an *Error.
	Authenticate(r *http.Request) (Principal, error)
}

// Everyone gives everybody full authority: the socket's file mode says who
// reaches it.
type Everyone struct{}

// Authenticate returns the administrator.
func (Everyone) Authenticate(*http.Request) (Principal, error) {
	return Principal{Name: "socket", All: true}, nil
}

// Options configure an API. Routes, Hosts and Authority are required.
type Options struct {
	Routes []Route
	// Absent says, by first step of a path, what switches on routes that the API
	// would have.
	Absent    map[string]string
	Hosts     []string // that the server serves
	Authority Authority
	Local     bool // the local routes, too; causes of internal errors are told
	// RequireTLS refuses requests that come over a network without encryption.
	RequireTLS bool
	Version    string // of the program
	Metrics    *Metrics
	Logger     *slog.Logger
}

// Metrics count requests.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	refused  *prometheus.CounterVec
}

// NewMetrics registers the metrics of an API; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_api_requests_total", Help: "Requests to the API by operation and status.",
		}, []string{"operation", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "muster_api_request_duration_seconds", Help: "Time that requests to the API took.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 30},
		}, []string{"operation"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_api_refusals_total", Help: "Requests to the API that were refused, by kind of problem.",
		}, []string{"reason"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.duration, m.refused)
	}
	return m
}
