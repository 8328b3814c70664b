package api_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/muster-im/muster/internal/api"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, target, body string
		headers                    []string
		status                     int
		want                       string // in the answer
		header                     string // of the answer: "Name: value"
	}{
		{"good", "GET", "/api/v1/things/x", "", nil, 200, `{"name":"x","words":{"host":"a.test"}}`, `ETag: "7"`},
		{"other host", "GET", "/api/v1/things/x?host=b.test", "", nil, 200, `b.test`, "Cache-Control: no-store"},
		{"escapes", "GET", "/api/v1/things/%F0%9F%8C%B9%2F%2E%2e", "", nil, 200, "🌹/..", "Content-Type: application/json"},
		{"as it is", "GET", "/api/v1/things/<&>", "", nil, 200, `"<&>"`, ""},
		{"no such host", "GET", "/api/v1/things/x?host=c.test", "", nil, 404, `\"c.test\"`, "Content-Type: application/problem+json"},
		{"no such path", "GET", "/api/v1/nothing", "", nil, 404, `openapi.json`, ""},
		{"longer path", "GET", "/api/v1/things/x/y", "", nil, 404, `the API has no`, ""},
		{"slash at the end", "GET", "/api/v1/things/", "", nil, 404, `the API has no`, ""},
		{"two slashes", "GET", "/api/v1//things", "", nil, 404, `the API has no`, ""},
		{"huge step", "GET", "/api/v1/things/" + strings.Repeat("x", 10_000), "", nil, 404, `the API has no`, ""},
		{"the prefix alone", "GET", "/api/v1", "", nil, 404, `the API has no`, ""},
		{"method", "PATCH", "/api/v1/things", "", nil, 405, `want GET, HEAD, POST`, "Allow: GET, HEAD, POST"},
		{"head", "HEAD", "/api/v1/things/x", "", nil, 200, ``, `ETag: "7"`},
		{"options", "OPTIONS", "/api/v1/things", "", []string{"Origin: https://evil.test", "Access-Control-Request-Method: GET"}, 405, ``, "Access-Control-Allow-Origin: "},
		{"unknown parameter", "GET", "/api/v1/things?size=1", "", nil, 422, `{"parameter":"size","detail":"there is no such parameter"}`, ""},
		{"parameter of another route", "GET", "/api/v1/things/x?limit=1", "", nil, 422, `"parameter":"limit"`, ""},
		{"twice", "GET", "/api/v1/things?limit=1&limit=2", "", nil, 422, `twice`, ""},
		{"no number", "GET", "/api/v1/things?limit=x", "", nil, 422, `want an integer from 1 to 1000, got x`, ""},
		{"no boolean", "GET", "/api/v1/things?deep=1", "", nil, 422, `want true or false`, ""},
		{"all at once", "GET", "/api/v1/things?deep=1&limit=0&x=1", "", nil, 422, `and 2 more`, ""},
		{"broken query", "GET", "/api/v1/things?%zz", "", nil, 400, `the query is wrong`, ""},
		{"first page", "GET", "/api/v1/things?deep=true", "", nil, 200, `{"items":[{"name":"","size":100}],"next":"w6kv"}`, `Link: </api/v1/things?after=w6kv&deep=true>; rel="next"`},
		{"next page", "GET", "/api/v1/things?after=w6kv&limit=3", "", nil, 200, `{"name":"é/","size":3}`, `Link: </api/v1/things?after=w6kvw6kv&limit=3>; rel="next"`},
		{"no cursor", "GET", "/api/v1/things?after=*", "", nil, 422, `"parameter":"after"`, "Link: "},
		{"body of a GET", "GET", "/api/v1/things", "{}", nil, 400, `takes no body`, ""},
		{"unchanged", "GET", "/api/v1/things/x", "", []string{`If-None-Match: "6", "7"`}, 304, ``, `ETag: "7"`},
		{"unchanged behind a proxy", "GET", "/api/v1/things/x", "", []string{`If-None-Match: W/"7"`}, 304, ``, `ETag: "7"`},
		{"changed", "GET", "/api/v1/things/x", "", []string{`If-None-Match: "6"`}, 200, `"x"`, ""},
		{"any", "DELETE", "/api/v1/things/x", "", nil, 204, ``, ""},
		{"the same", "DELETE", "/api/v1/things/x", "", []string{`If-Match: "6", "7"`}, 204, ``, ""},
		{"if it is there", "DELETE", "/api/v1/things/x", "", []string{`If-Match: *`}, 204, ``, ""},
		{"another", "DELETE", "/api/v1/things/x", "", []string{`If-Match: "6"`}, 412, `urn:muster:problem:precondition`, ""},
		{"if it is not there", "DELETE", "/api/v1/things/x", "", []string{`If-None-Match: *`}, 412, `there already`, ""},
		{"charset", "POST", "/api/v1/things", `{"name":"x"}`, []string{"Content-Type: application/json; charset=utf-8"}, 200, `"x"`, ""},
		{"other charset", "POST", "/api/v1/things", `{"name":"x"}`, []string{"Content-Type: application/json; charset=latin1"}, 415, ``, "Accept: application/json"},
		{"compressed", "POST", "/api/v1/things", `{"name":"x"}`, []string{"Content-Encoding: gzip"}, 415, `Content-Encoding`, ""},
		{"own id", "GET", "/api/v1/things/x", "", []string{"X-Request-ID: abc-1.2_3"}, 200, ``, "X-Request-ID: abc-1.2_3"},
		{"local", "POST", "/api/v1/local", "", nil, 404, `the API has no`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := newWorld(nil).do(t, tt.method, tt.target, tt.body, tt.headers...)
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.want) {
				t.Errorf("%s %s: got %d %s, want %d %s", tt.method, tt.target, rec.Code, rec.Body, tt.status, tt.want)
			}
			if name, value, ok := strings.Cut(tt.header, ": "); ok && rec.Header().Get(name) != value {
				t.Errorf("got %s: %s, want %s", name, rec.Header().Get(name), value)
			}
			if rec.Code >= 400 {
				wantProblem(t, rec)
			}
			if id := rec.Header().Get("X-Request-ID"); id == "" {
				t.Error("no request id")
			}
		})
	}
}

func TestOddRequestID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"a b", "a\"b", strings.Repeat("x", 65), "ä"} {
		rec := newWorld(nil).do(t, "GET", "/api/v1/things/x", "", "X-Request-ID: "+id)
		if got := rec.Header().Get("X-Request-ID"); got == id || len(got) != 16 {
			t.Errorf("%q was answered as %q", id, got)
		}
	}
}

// TestPanic costs one request, and its cause goes to the log alone.
func TestPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(nil)
	rec := w.do(t, "DELETE", "/api/v1/things/panic", "")
	if p := wantProblem(t, rec); rec.Code != 500 || strings.Contains(rec.Body.String(), "secret") || !strings.Contains(p.Detail, "went wrong") {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
	if log := w.logs.String(); !strings.Contains(log, "secret cause") || !strings.Contains(log, "serve_test.go") && !strings.Contains(log, "api_test.go") ||
		!strings.Contains(log, rec.Header().Get("X-Request-ID")) {
		t.Errorf("the log does not help: %s", log)
	}
	if rec := w.do(t, "GET", "/api/v1/things/x", ""); rec.Code != 200 {
		t.Errorf("afterwards: %d %s", rec.Code, rec.Body)
	}
}

// failing is a route whose handler returns err.
func failing(err error) func(*api.Options) {
	return func(o *api.Options) {
		o.Routes = append(o.Routes, api.Route{
			Method: "GET", Path: "/failing", ID: "fail", Summary: "Fail.", Tag: "x", Scope: "x", Timeout: time.Minute,
			Handler: api.Do(func(ctx context.Context, r *api.Request, _ api.None) (api.None, error) {
				r.SetETag("1")
				if err == nil {
					<-ctx.Done()
					return api.None{}, ctx.Err()
				}
				return api.None{}, err
			}),
		})
	}
}

// TestCauses: what is wrong inside is for administrators of the machine.
func TestCauses(t *testing.T) {
	t.Parallel()
	for _, local := range []bool{false, true} {
		w := newWorld(func(o *api.Options) { failing(errors.New("disk is full"))(o); o.Local = local })
		rec := w.do(t, "GET", "/api/v1/failing", "")
		if rec.Code != 500 || strings.Contains(rec.Body.String(), "disk is full") != local || rec.Header().Get("ETag") != "" {
			t.Errorf("local %v: got %d %v %s", local, rec.Code, rec.Header(), rec.Body)
		}
		if !strings.Contains(w.logs.String(), "disk is full") {
			t.Errorf("the log does not have the cause: %s", &w.logs)
		}
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		rec := newWorld(failing(nil)).do(t, "GET", "/api/v1/failing", "")
		if took := time.Since(begin); rec.Code != 503 || took != time.Minute || rec.Header().Get("Retry-After") == "" {
			t.Errorf("got %d %s after %v", rec.Code, rec.Body, took)
		}
	})
}

func TestRefusesPlaintext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, remote string
		required     bool
		tls          bool
		status       int
	}{
		{"network", "192.0.2.1:5", true, false, 403},
		{"network, encrypted", "192.0.2.1:5", true, true, 200},
		{"network, allowed", "192.0.2.1:5", false, false, 200},
		{"this machine", "127.0.0.1:5", true, false, 200},
		{"this machine, IPv6", "[::1]:5", true, false, 200},
		{"this machine, mapped", "[::ffff:127.0.0.1]:5", true, false, 200},
		{"who knows", "@", true, false, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(func(o *api.Options) { o.RequireTLS = tt.required })
			target := "http://a.test/api/v1/things/x"
			if tt.tls {
				target = "https" + target[len("http"):]
			}
			r := httptest.NewRequestWithContext(t.Context(), "GET", target, nil)
			r.RemoteAddr = tt.remote
			r.Header.Set("Authorization", "Bearer hush")
			rec := httptest.NewRecorder()
			w.api.ServeHTTP(rec, r)
			if rec.Code != tt.status {
				t.Errorf("got %d %s, want %d", rec.Code, rec.Body, tt.status)
			}
			if log := w.logs.String(); strings.Contains(log, "a token was sent without encryption") != (tt.status == 403) || strings.Contains(log, "hush") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// TestLog: a line for each request, without what is secret.
func TestLog(t *testing.T) {
	t.Parallel()
	w := newWorld(nil)
	w.do(t, "POST", "/api/v1/things", `{"name":"hush"}`, "Authorization: Bearer hush")
	w.do(t, "GET", "/api/v1/things?after=hush", "")
	lines := strings.Split(strings.TrimSpace(w.logs.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "level="+slog.LevelInfo.String()) || !strings.Contains(lines[1], "level="+slog.LevelDebug.String()) ||
		!strings.Contains(lines[0], "actor=socket method=POST path=/api/v1/things status=200") || strings.Contains(w.logs.String(), "hush") {
		t.Errorf("log: %s", &w.logs)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	w := newWorld(func(o *api.Options) { o.Metrics = api.NewMetrics(reg) })
	w.do(t, "GET", "/api/v1/things/x", "")
	w.do(t, "GET", "/api/v1/things/y", "")
	w.do(t, "POST", "/api/v1/things", "{")
	w.do(t, "GET", "/api/v1/nonsense", "")
	const want = `
# HELP muster_api_refusals_total Requests to the API that were refused, by kind of problem.
# TYPE muster_api_refusals_total counter
muster_api_refusals_total{reason="not-found"} 1
muster_api_refusals_total{reason="syntax"} 1
# HELP muster_api_requests_total Requests to the API by operation and status.
# TYPE muster_api_requests_total counter
muster_api_requests_total{operation="add",status="400"} 1
muster_api_requests_total{operation="get",status="200"} 2
muster_api_requests_total{operation="none",status="404"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "muster_api_refusals_total", "muster_api_requests_total"); err != nil {
		t.Error(err)
	}
}

// TestWrongTables: a mistake in a table does not come as far as a request.
func TestWrongTables(t *testing.T) {
	t.Parallel()
	good := api.Route{
		Method: "GET", Path: "/x", ID: "x", Summary: "X.", Tag: "x", Scope: "x",
		Handler: api.Do(func(context.Context, *api.Request, api.None) (api.None, error) { return api.None{}, nil }),
	}
	for name, change := range map[string]func(*api.Route){
		"no scope":             func(r *api.Route) { r.Scope = "" },
		"no id":                func(r *api.Route) { r.ID = "" },
		"undeclared parameter": func(r *api.Route) { r.Path = "/x/{y}" },
		"id twice":             func(r *api.Route) { r.ID = "get" },
		"path twice":           func(r *api.Route) { r.Path = "/things" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("was taken")
				}
			}()
			newWorld(func(o *api.Options) {
				r := good
				change(&r)
				o.Routes = append(o.Routes, r)
			})
		})
	}
}
