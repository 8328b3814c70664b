package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// thing is a body with a field of every kind.
type thing struct {
	Name  string            `json:"name" min:"1" max:"5"`
	Size  int               `json:"size,omitempty" min:"1" max:"9"`
	Color string            `json:"color,omitempty" enum:"red,green"`
	Tags  []string          `json:"tags,omitempty" max:"2"`
	More  map[string]int32  `json:"more,omitempty"`
	Inner *inner            `json:"inner,omitempty"`
	Extra json.RawMessage   `json:"extra,omitempty"`
	Flag  bool              `json:"flag,omitempty"`
	Words map[string]string `json:"words,omitempty"`
}

type inner struct {
	Rate float64 `json:"rate"`
}

// world is an API with routes for tests.
type world struct {
	api  *api.API
	got  *thing // what came through
	logs bytes.Buffer
}

func newWorld(change func(*api.Options)) *world {
	w := &world{}
	path := []api.Param{{Name: "name", Doc: "Whose."}}
	o := api.Options{
		Hosts: []string{"a.test", "b.test"}, Authority: api.Everyone{},
		Logger: slog.New(slog.NewTextHandler(&w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Routes: []api.Route{
			{
				Method: "POST", Path: "/things", ID: "add", Summary: "Add.", Tag: "things", Scope: "things:write",
				Handler: api.Do(func(_ context.Context, _ *api.Request, in thing) (thing, error) { w.got = &in; return in, nil }),
			},
			{
				Method: "GET", Path: "/things", ID: "list", Summary: "List.", Tag: "things", Scope: "things:read", Paged: true,
				Params: []api.Param{{Name: "deep", Query: true, Kind: "boolean", Doc: "Deep."}},
				Handler: api.Do(func(_ context.Context, r *api.Request, _ api.None) (api.Page[thing], error) {
					limit, after, err := r.Page()
					return api.Page[thing]{Items: []thing{{Name: after, Size: limit}}, Next: r.Next("é/" + after)}, err
				}),
			},
			{
				Method: "GET", Path: "/things/{name}", ID: "get", Summary: "Get.", Tag: "things", Scope: "things:read", Params: path,
				Handler: api.Do(func(_ context.Context, r *api.Request, _ api.None) (thing, error) {
					r.SetRevision(7, "")
					return thing{Name: r.Path("name"), Words: map[string]string{"host": r.Host()}}, nil
				}),
			},
			{
				Method: "DELETE", Path: "/things/{name}", ID: "delete", Summary: "Delete.", Tag: "things", Scope: "things:write", Params: path,
				Errors: []int{412},
				Handler: api.Do(func(_ context.Context, r *api.Request, _ api.None) (api.None, error) {
					if r.Path("name") == "panic" {
						panic("secret cause")
					}
					return api.None{}, r.IfMatch("7")
				}),
			},
		},
	}
	if change != nil {
		change(&o)
	}
	w.api = api.New(o)
	return w
}

// do sends one request; headers are lines like "Name: value".
func (w *world) do(t *testing.T, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	return rec
}

func TestBodies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		status     int
		want       string // in the answer
	}{
		{"good", `{"name":"x","size":3,"color":"red","tags":["a"],"more":{"k":1},"inner":{"rate":1.5},"extra":[{}],"flag":true}`, 200, `"name":"x"`},
		{"empty", ``, 415, `Content-Type`},
		{"white space", ` `, 400, `ends too early`},
		{"no JSON", `name=x`, 400, `not JSON`},
		{"broken off", `{"name":"x"`, 400, `ends too early`},
		{"more behind", `{"name":"x"} {}`, 400, `more behind`},
		{"key twice", `{"name":"x","name":"y"}`, 400, `\"name\" is there twice`},
		{"key twice in depth", `{"name":"x","extra":{"a":1,"a":2}}`, 400, `\"a\" is there twice`},
		{"too deep", `{"name":"x","extra":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, 400, `more than 32`},
		{"no UTF-8", "{\"name\":\"\xff\"}", 400, `not UTF-8`},
		{"too large", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, `1048576 bytes`},
		{"unknown field", `{"name":"x","nmae":1}`, 422, `"pointer":"#/nmae"`},
		{"other case", `{"Name":"x"}`, 422, `"pointer":"#/Name"`},
		{"missing field", `{}`, 422, `{"pointer":"#/name","detail":"this is required"}`},
		{"null", `{"name":null}`, 422, `want a string, got null`},
		{"wrong type", `{"name":5}`, 422, `want a string, got a number`},
		{"too short", `{"name":""}`, 422, `must not be empty`},
		{"too long", `{"name":"éééééé"}`, 422, `at most 5 characters, got 6`},
		{"fits in characters", `{"name":"ééééé"}`, 200, `ééééé`},
		{"below", `{"name":"x","size":0}`, 422, `"detail":"want an integer from 1 to 9, got 0"`},
		{"fraction", `{"name":"x","size":1.5}`, 422, `got 1.5`},
		{"huge number", `{"name":"x","inner":{"rate":1e999}}`, 422, `"pointer":"#/inner/rate"`},
		{"word", `{"name":"x","color":"blue"}`, 422, `want one of red, green`},
		{"too many items", `{"name":"x","tags":["a","b","c"]}`, 422, `at most 2 items`},
		{"item", `{"name":"x","tags":["a",1]}`, 422, `"pointer":"#/tags/1"`},
		{"value of a map", `{"name":"x","more":{"a/b~c":"z"}}`, 422, `"pointer":"#/more/a~1b~0c"`},
		{"bits of a map", `{"name":"x","more":{"a":3000000000}}`, 422, `#/more/a`},
		{"array", `[]`, 422, `want an object, got an array`},
		{"all at once", `{"nmae":1,"size":99}`, 422, `and 2 more`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(nil)
			rec := w.do(t, "POST", "/api/v1/things", tt.body)
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.want) {
				t.Errorf("%s: got %d %s, want %d %s", tt.body, rec.Code, rec.Body, tt.status, tt.want)
			}
			if (w.got != nil) != (tt.status == 200) {
				t.Errorf("%s: the handler got %v", tt.body, w.got)
			}
			if tt.status != 200 {
				wantProblem(t, rec)
			}
		})
	}
}

// wantProblem wants a whole problem document.
func wantProblem(t *testing.T, rec *httptest.ResponseRecorder) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	if rec.Header().Get("Content-Type") != "application/problem+json" || p.Status != rec.Code || p.Title != http.StatusText(rec.Code) ||
		!strings.HasPrefix(p.Type, "urn:muster:problem:") || p.Detail == "" || p.RequestID != rec.Header().Get("X-Request-ID") {
		t.Errorf("no problem document: %v %s", rec.Header(), rec.Body)
	}
	return p
}
