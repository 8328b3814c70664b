// Package httppool asks HTTP services of others: each pool one, at most so many
// requests at a time, each within a time and with an answer of bounded size. It
// follows no redirects, uses no proxy, and keeps no cookies. What is sent, and
// the address it is sent to, may be secret: no error and no metric has any of
// it.
//
// A pool has no goroutines but those of net/http that belong to its connections;
// Close ends the idle ones. Get and Post block on the network until the answer
// is there, the pool's time is up, or their context ends.
package httppool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxBody and maxHeader bound an answer.
	maxBody   = 64 << 10
	maxHeader = 16 << 10
	// maxWaiting bounds the calls that wait for a worker.
	maxWaiting = 1000
	// idleTimeout is below what services and what lies before them usually have.
	idleTimeout = 30 * time.Second
)

// Options describe a pool. Name and Host are required.
type Options struct {
	Name           string
	Host           string        // like https://auth.example.org:8443
	PathPrefix     string        // what all paths begin with; "" is /
	Workers        int           // requests at a time; 0 is 10
	RequestTimeout time.Duration // for one request; 0 is 2 s
	CallTimeout    time.Duration // for a call, waiting for a worker included; 0 is 5 s
	TLS            TLS
	// Dial opens connections; nil: over the network.
	Dial       func(ctx context.Context, network, address string) (net.Conn, error)
	Registerer prometheus.Registerer // nil: no metrics
}

// Pool asks one service. Its methods are safe for concurrent use.
type Pool struct {
	// Set at construction.
	opts      Options
	base      string // host and path prefix
	transport *http.Transport
	metrics   *metrics
	workers   chan struct{} // holds one for each request under way

	waiting atomic.Int64
}

// New returns a pool. It reads the files of o.TLS.
func New(o Options) (*Pool, error) {
	o.PathPrefix = cmp.Or(o.PathPrefix, "/")
	o.Workers = cmp.Or(o.Workers, 10)
	o.RequestTimeout = cmp.Or(o.RequestTimeout, 2*time.Second)
	o.CallTimeout = cmp.Or(o.CallTimeout, 5*time.Second)
	host, err := ParseHost(o.Host)
	if err != nil {
		return nil, err
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	p := &Pool{opts: o, base: host.String() + o.PathPrefix, metrics: newMetrics(o.Registerer, o.Name), workers: make(chan struct{}, o.Workers)}
	p.transport = &http.Transport{
		DialContext:            o.Dial,
		MaxIdleConnsPerHost:    o.Workers,
		MaxConnsPerHost:        o.Workers,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // of a few bytes
	}
	if host.Scheme == "https" {
		if p.transport.DialTLSContext, err = o.TLS.dialer(o.Dial); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// ParseHost reads the address of a service: http or https, a host, and perhaps a
// port.
func ParseHost(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", strings.HasSuffix(u.Host, ":"),
		s != u.Scheme+"://"+u.Host, // no user, path, query or fragment
		!isPort(u.Port()):
		return nil, fmt.Errorf("want an address like https://auth.example.org:8443, without a path")
	}
	return u, nil
}

// isPort reports whether s is the number of a port, or says none.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}

// Param is a parameter of a request.
type Param struct{ Name, Value string }

// encode returns the parameters as application/x-www-form-urlencoded.
func encode(params []Param) string {
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.Name) + "=" + url.QueryEscape(p.Value))
	}
	return b.String()
}

// Answer is what a service has said.
type Answer struct {
	Status int
	Body   []byte
}

// Name returns the pool's name.
func (p *Pool) Name() string { return p.opts.Name }

// CallTimeout returns how long a call may take.
func (p *Pool) CallTimeout() time.Duration { return p.opts.CallTimeout }

// Get asks for a path, which is appended to the prefix as it is, with params
// behind it. If there is no answer the error is an *Error.
func (p *Pool) Get(ctx context.Context, path string, params ...Param) (*Answer, error) {
	return p.call(ctx, func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, p.base+path+"?"+encode(params), http.NoBody)
	})
}

// Post is Get with params as the form that is sent.
func (p *Pool) Post(ctx context.Context, path string, params ...Param) (*Answer, error) {
	return p.call(ctx, func(ctx context.Context) (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, strings.NewReader(encode(params)))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			// Not sent: it lets net/http try again on a new connection if the
			// service has just closed the one at hand, as it does with GET.
			req.Header["Idempotency-Key"] = nil
		}
		return req, err
	})
}

// call waits for a worker and makes the request.
func (p *Pool) call(ctx context.Context, request func(context.Context) (*http.Request, error)) (answer *Answer, err error) {
	call, cancel := context.WithTimeout(ctx, p.opts.CallTimeout)
	defer cancel()
	if !p.acquire(call) {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, p.metrics.failed(&Error{Reason: Cancelled, err: context.Canceled})
		}
		return nil, p.metrics.failed(&Error{Reason: Overloaded, text: "no worker was free"})
	}
	defer func() { <-p.workers }()
	begin := time.Now()
	defer func() { p.metrics.seconds.Observe(time.Since(begin).Seconds()) }()
	call, cancel = context.WithTimeout(call, p.opts.RequestTimeout)
	defer cancel()
	req, err := request(call)
	if err != nil {
		return nil, p.metrics.failed(&Error{Reason: Broken, text: "the address is malformed"})
	}
	req.Header.Set("User-Agent", "muster")
	if answer, err = p.exchange(req); err != nil {
		return nil, p.metrics.failed(explain(ctx, call, err))
	}
	p.metrics.requests.WithLabelValues(answered).Inc()
	return answer, nil
}

// acquire takes a worker, and reports whether there was one in time.
func (p *Pool) acquire(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case p.workers <- struct{}{}:
		return true
	default:
	}
	if p.waiting.Add(1) > maxWaiting {
		p.waiting.Add(-1)
		return false
	}
	defer p.waiting.Add(-1)
	select {
	case p.workers <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	// A worker may become free in the very moment in which the time is up: that
	// is no request, which could not but fail. The deadline tells it earlier
	// than the context.
	if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && !time.Now().Before(deadline) {
		<-p.workers
		return false
	}
	return true
}

// exchange sends a request and reads the answer. It asks the transport itself:
// an http.Client would follow redirects.
func (p *Pool) exchange(req *http.Request) (*Answer, error) {
	res, err := p.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxBody:
		return nil, errTooLarge
	}
	return &Answer{Status: res.StatusCode, Body: body}, nil
}

// Close closes the connections that nobody uses. Calls under way end with their
// contexts.
func (p *Pool) Close() { p.transport.CloseIdleConnections() }
