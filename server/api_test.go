package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/admin"
	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
)

// apiWorld is a whole server with two hosts, and tokens for its API.
type apiWorld struct {
	*server.Server

	cfg   *config.Config
	base  string // URL of the API
	admin *admin.Client
	token string // for everything
}

func newAPIWorld(t *testing.T, more ...func(*config.Config)) *apiWorld {
	t.Helper()
	cfg := onNetwork(t)
	cfg.General.Hosts = []string{"localhost", "b.test"}
	cfg.Listen.HTTP[0].APIRate = 0 // tests are in a hurry
	for _, change := range more {
		change(cfg)
	}
	s := start(t, cfg, server.Options{})
	t.Cleanup(func() { shutdown(t, s) })
	listeners := s.Info().Listeners
	w := &apiWorld{
		Server: s, cfg: cfg, base: "http://" + listeners[len(listeners)-1].Address + "/api/v1",
		admin: admin.NewClient(filepath.Join(cfg.General.DataDir, admin.SocketName)),
	}
	scopes, err := w.admin.Scopes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.token = w.newToken(t, admin.NewToken{Name: "everything", Scopes: scopes})
	return w
}

func (w *apiWorld) newToken(t *testing.T, n admin.NewToken) string {
	t.Helper()
	issued, err := w.admin.AddToken(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return issued.Secret
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request; headers are lines like "Name: value", those without a
// value are left out.
func (w *apiWorld) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		if r.Header.Del(name); value != "" {
			r.Header.Set(name, strings.TrimSpace(value))
		}
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, data}
}

// step is one request and its answer.
type step struct {
	name, method, path, body string
	headers                  []string
	status                   int
	want                     string // in the answer
}

func (w *apiWorld) run(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		got := w.do(t, s.method, s.path, s.body, s.headers...)
		if got.status != s.status || !bytes.Contains(got.body, []byte(s.want)) || s.want == "" && s.status == 204 && len(got.body) > 0 {
			t.Errorf("%s: %s %s %s: got %d %s, want %d %s", s.name, s.method, s.path, s.body, got.status, got.body, s.status, s.want)
		}
		if got.status == 201 && got.header.Get("Location") == "" {
			t.Errorf("%s: 201 without Location", s.name)
		}
	}
}

func TestAPIAccounts(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t)
	w.run(t, []step{
		{"nobody yet", "GET", "/users", "", nil, 200, `{"items":[]}`},
		{"create", "POST", "/users", `{"name":"Juliet","password":"wherefore"}`, nil, 201, `{"jid":"juliet@localhost","created":"`},
		{"create again", "POST", "/users", `{"name":"juliet","password":"other"}`, nil, 409, `there is an account juliet@localhost already`},
		{"elsewhere", "POST", "/users?host=b.test", `{"name":"juliet","password":"other"}`, nil, 201, `juliet@b.test`},
		{"nowhere", "POST", "/users?host=c.test", `{"name":"juliet","password":"other"}`, nil, 404, `does not serve \"c.test\" but localhost, b.test`},
		{"bad name", "POST", "/users", `{"name":"a b","password":"x"}`, nil, 422, `"pointer":"#/name"`},
		{"bad password", "POST", "/users", `{"name":"romeo","password":"a\u0007b"}`, nil, 422, `"pointer":"#/password"`},
		{"long password", "POST", "/users", `{"name":"romeo","password":"` + strings.Repeat("x", 1100) + `"}`, nil, 422, `"pointer":"#/password"`},
		{"name in a path", "GET", "/users/a%20b", "", nil, 422, `"parameter":"user"`},
		{"address in a path", "GET", "/users/juliet@localhost", "", nil, 422, `"parameter":"user"`},
		{"put", "PUT", "/users/romeo", `{"password":"one"}`, nil, 201, `romeo@localhost`},
		{"put again", "PUT", "/users/romeo", `{"password":"two"}`, nil, 200, `romeo@localhost`},
		{"put only a new one", "PUT", "/users/romeo", `{"password":"three"}`, []string{"If-None-Match: *"}, 412, `there already`},
		{"put only an old one", "PUT", "/users/paris", `{"password":"three"}`, []string{"If-Match: *"}, 412, `If-Match`},
		{"look", "GET", "/users/romeo", "", nil, 200, `"sessions":[]`},
		{"no such", "GET", "/users/paris", "", nil, 404, `there is no account paris@localhost`},
		{"password", "PUT", "/users/romeo/password", `{"password":"four"}`, nil, 204, ``},
		{"password of nobody", "PUT", "/users/paris/password", `{"password":"four"}`, nil, 404, `there is no account paris@localhost`},
		{"odd name", "PUT", "/users/%F0%9F%8C%B9%2Frose", `{"password":"x"}`, nil, 422, `"parameter":"user"`},
		{"dots", "PUT", "/users/%2E%2E", `{"password":"x"}`, nil, 201, `"jid":"..@localhost"`},
		{"dots again", "DELETE", "/users/%2E%2E", ``, nil, 204, ``},
		{"first page", "GET", "/users?limit=1", "", nil, 200, `"next":"`},
		{"sessions", "GET", "/users/romeo/sessions", "", nil, 200, `{"items":[]}`},
		{"no session", "DELETE", "/users/romeo/sessions/phone", "", nil, 404, `there is no session romeo@localhost/phone`},
		{"sessions of nobody", "DELETE", "/users/paris/sessions", "", nil, 404, `there is no account`},
		{"delete", "DELETE", "/users/romeo", "", nil, 204, ``},
		{"delete again", "DELETE", "/users/romeo", "", nil, 404, `there is no account`},
		{"list", "GET", "/users?host=b.test", "", nil, 200, `{"items":[{"jid":"juliet@b.test"`},
	})
	// Pages are complete.
	for _, name := range []string{"a", "b", "c"} {
		w.do(t, "PUT", "/users/"+name, `{"password":"x"}`)
	}
	var seen []string
	for path := "/users?limit=2"; path != ""; {
		got := w.do(t, "GET", path, "")
		var page struct {
			Items []admin.Account `json:"items"`
			Next  string          `json:"next"`
		}
		if err := json.Unmarshal(got.body, &page); err != nil || got.status != 200 {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
		for _, a := range page.Items {
			seen = append(seen, a.JID.Local())
		}
		path = ""
		if page.Next != "" {
			path = "/users?limit=2&after=" + page.Next
			if link := got.header.Get("Link"); link != `</api/v1/users?after=`+page.Next+`&limit=2>; rel="next"` {
				t.Errorf("Link: %s", link)
			}
		}
	}
	if got := strings.Join(seen, " "); got != "a b c juliet" {
		t.Errorf("the pages have %s", got)
	}
}

func TestAPITokens(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t)
	reads := "Authorization: Bearer " + w.newToken(t, admin.NewToken{Name: "reads", Scopes: []string{"users:read"}})
	local := "Authorization: Bearer " + w.newToken(t, admin.NewToken{Name: "local", Scopes: []string{"users:read", "users:write", "metrics"}, Hosts: []string{"b.test"}})
	other := "Authorization: Bearer " + w.token[:len(w.token)-1] + "!"
	w.run(t, []step{
		{"none", "GET", "/users", "", []string{"Authorization:"}, 401, `urn:muster:problem:unauthorized`},
		{"wrong", "GET", "/users", "", []string{other}, 401, `not valid`},
		{"another scheme", "GET", "/users", "", []string{"Authorization: Basic eDp5"}, 401, `not valid`},
		{"scheme in lower case", "GET", "/users", "", []string{"Authorization: bearer " + w.token}, 200, `items`},
		{"reads", "GET", "/users", "", []string{reads}, 200, `items`},
		{"does not write", "PUT", "/users/x", `{"password":"x"}`, []string{reads}, 403, `lacks the scope users:write`},
		{"is refused before it is understood", "PUT", "/users/x", `nonsense`, []string{reads}, 403, `lacks the scope`},
		{"other host", "GET", "/users", "", []string{local}, 403, `not for \"localhost\" but for b.test`},
		{"host that is not there", "GET", "/users?host=c.test", "", []string{local}, 403, `not for \"c.test\"`},
		{"own host", "PUT", "/users/x?host=b.test", `{"password":"x"}`, []string{local}, 201, `x@b.test`},
		{"whole server", "GET", "/metrics", "", []string{local}, 403, `the whole server`},
		{"metrics", "GET", "/metrics", "", nil, 200, "muster_api_requests_total{operation=\"putUser\",status=\"201\"} 1\n"},
		{"tokens are local", "GET", "/tokens", "", nil, 404, `the API has no`},
		{"no more are made", "POST", "/tokens", `{"name":"x","scopes":["metrics"]}`, nil, 404, `the API has no`},
		{"backups are local", "POST", "/backup", "", nil, 404, `the API has no`},
		{"the document is for all", "GET", "/openapi.json", "", []string{"Authorization:"}, 200, `"openapi":"3.1.0"`},
	})
	for name, want := range map[string]string{"Authorization:": `Bearer realm="muster"`, other: `Bearer realm="muster", error="invalid_token"`} {
		if got := w.do(t, "GET", "/users", "", name).header.Get("WWW-Authenticate"); got != want {
			t.Errorf("%s: WWW-Authenticate: %s, want %s", name, got, want)
		}
	}
	if err := w.admin.RevokeToken(t.Context(), "reads"); err != nil {
		t.Fatal(err)
	}
	w.run(t, []step{{"revoked", "GET", "/users", "", []string{reads}, 401, `not valid`}})
	for tok, err := range w.admin.Tokens(t.Context()) {
		if err != nil || tok.Name != "everything" && tok.Name != "local" || tok.Used == nil {
			t.Errorf("listed %+v, %v", tok, err)
		}
	}
}

func connect(t *testing.T, w *apiWorld, name, password, resource string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Options{
		Conn: w.Dial(), Domain: "localhost", TLSConfig: roots(t, w.cfg), Username: name, Password: password, Resource: resource,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAPIAbsent: who asks for what is switched off is told what switches it on.
func TestAPIAbsent(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, func(c *config.Config) {
		c.Modules.MUC, c.Modules.GroupsInternal, c.Modules.Invites = nil, nil, nil
	})
	w.run(t, []step{
		{"groups", "GET", "/groups", "", nil, 404, `[modules.mod_groups_internal] in its configuration`},
		{"a group", "PUT", "/groups/team", `{"name":"Team"}`, nil, 404, `[modules.mod_groups_internal] in its configuration`},
		{"invitations", "POST", "/invitations", `{}`, nil, 404, `[modules.mod_invites] in its configuration`},
		{"rooms", "GET", "/rooms", "", nil, 404, `[modules.mod_muc] in the configuration`},
		{"what there never is", "GET", "/nothing", "", nil, 404, `the API has no`},
	})
}

func TestAPISessions(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t)
	w.run(t, []step{{"create", "PUT", "/users/romeo", `{"password":"secret"}`, nil, 201, ``}})
	connect := func(resource string) *client.Client { return connect(t, w, "romeo", "secret", resource) }
	phone, desk := connect("phone/☎"), connect("desk")
	w.run(t, []step{
		{"both", "GET", "/users/romeo", "", nil, 200, `"resource":"desk"`},
		{"one", "DELETE", "/users/romeo/sessions/phone%2F%E2%98%8E", "", nil, 204, ``},
		{"the other", "GET", "/users/romeo/sessions", "", nil, 200, `{"items":[{"jid":"romeo@localhost/desk"`},
	})
	<-phone.Done()
	if e, ok := errors.AsType[*stream.Error](phone.Err()); !ok || e.Condition != stream.Reset {
		t.Errorf("stream ended with %v, want reset", phone.Err())
	}
	w.run(t, []step{{"all", "DELETE", "/users/romeo/sessions", "", nil, 204, ``}})
	<-desk.Done()
	again := connect("desk") // the account is as good as before
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestAPIOverTLS: the API is behind the same certificates as clients' streams.
func TestAPIOverTLS(t *testing.T) {
	t.Parallel()
	cfg := onNetwork(t)
	cfg.Listen.HTTP[0].TLS.Mode = "tls"
	s := start(t, cfg, server.Options{})
	defer shutdown(t, s)
	listeners := s.Info().Listeners
	address := listeners[len(listeners)-1].Address
	request := func(scheme string) (int, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+address+"/api/v1/users", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Transport{DisableKeepAlives: true, TLSClientConfig: roots(t, cfg)}).RoundTrip(r)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	if code, err := request("https"); err != nil || code != 401 {
		t.Errorf("https: got %d, %v, want 401", code, err)
	}
	if code, err := request("http"); err == nil && code != 400 {
		t.Errorf("http: got %d", code)
	}
}

// TestAPIOnSocket: names mean what they say there, too.
func TestAPIOnSocket(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t)
	for _, name := range []string{".", "..", "%2e", "ÄÖÜ", "a+b", "a?b", "a#b"} {
		j, err := jid.New(name, "b.test", "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := errors.Join(w.admin.AddAccount(t.Context(), j, "x"), w.admin.SetPassword(t.Context(), j, "y")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if a, err := w.admin.Account(t.Context(), j); err != nil || a.JID != j {
			t.Errorf("%s: got %v, %v", name, a, err)
		}
		if err := w.admin.DeleteAccount(t.Context(), j); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
