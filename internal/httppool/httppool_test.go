package httppool_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/httppool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "hunter2 & co"

// serve returns a pool of a real service.
func serve(t *testing.T, o httppool.Options, handler http.HandlerFunc) *httppool.Pool {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	o.Name, o.Host = "test", s.URL
	return pool(t, o)
}

// pool has time enough for real connections on a busy machine.
func pool(t *testing.T, o httppool.Options) *httppool.Pool {
	t.Helper()
	o.RequestTimeout, o.CallTimeout = time.Minute, 2*time.Minute
	p, err := httppool.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// wantReason checks an error, and that it gives nothing away.
func wantReason(t *testing.T, err error, want httppool.Reason) {
	t.Helper()
	e, ok := errors.AsType[*httppool.Error](err)
	if !ok || e.Reason != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	if text := fmt.Sprintf("%v %+v %#v", err, err, e); strings.Contains(text, "hunter2") {
		t.Errorf("the error has the secret: %s", text)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	var got atomic.Value
	p := serve(t, httppool.Options{PathPrefix: "/api/v1/"}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.Store(fmt.Sprintf("%s %s %q %s %v", r.Method, r.RequestURI, body, r.Header.Get("Content-Type"), len(r.Header)))
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	})
	params := []httppool.Param{{"from", "a@b/ü r"}, {"to", "c@d"}, {"pass", secret}}
	for _, test := range []struct {
		name string
		ask  func(context.Context, string, ...httppool.Param) (*httppool.Answer, error)
		want string
	}{
		{"get", p.Get, `GET /api/v1/check?from=a%40b%2F%C3%BC+r&to=c%40d&pass=hunter2+%26+co ""  1`},
		{"post", p.Post, `POST /api/v1/check "from=a%40b%2F%C3%BC+r&to=c%40d&pass=hunter2+%26+co" application/x-www-form-urlencoded 3`},
	} {
		answer, err := test.ask(t.Context(), "check", params...)
		if err != nil {
			t.Fatal(err)
		}
		if got.Load() != test.want || answer.Status != http.StatusTeapot || string(answer.Body) != "short and stout" {
			t.Errorf("%s: the service saw\n%s\nwant\n%s\nand the answer is %d %s", test.name, got.Load(), test.want, answer.Status, answer.Body)
		}
	}
}

// TestRedirect: a secret goes nowhere but where the operator wants it to.
func TestRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed") }))
	defer elsewhere.Close()
	p := serve(t, httppool.Options{}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.RequestURI, http.StatusTemporaryRedirect)
	})
	for _, ask := range []func(context.Context, string, ...httppool.Param) (*httppool.Answer, error){p.Get, p.Post} {
		if answer, err := ask(t.Context(), "check", httppool.Param{Name: "pass", Value: secret}); err != nil || answer.Status != http.StatusTemporaryRedirect {
			t.Errorf("got %v, %v", answer, err)
		}
	}
}

// TestProxy: variables of the environment do not send passwords to a proxy.
func TestProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	var hosts atomic.Value
	p := pool(t, httppool.Options{Name: "test", Host: "http://auth.test:8000", Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		hosts.Store(address)
		return nil, &net.OpError{Op: "dial", Err: errors.New("nobody there")}
	}})
	_, err := p.Get(t.Context(), "check", httppool.Param{Name: "pass", Value: secret})
	wantReason(t, err, httppool.Unreachable)
	if hosts.Load() != "auth.test:8000" {
		t.Errorf("asked %v", hosts.Load())
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	// What a service sends back instead of HTTP.
	raw := func(answer func(request string) string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				b := make([]byte, 4096)
				n, _ := conn.Read(b)
				_, _ = io.WriteString(conn, answer(string(b[:n])))
				_ = conn.Close()
			}
		}()
		return "http://" + l.Addr().String()
	}
	tests := []struct {
		name, host string
		want       httppool.Reason
	}{
		{"nobody listens", closed.URL, httppool.Unreachable},
		{"no such name", "http://auth.invalid", httppool.Unreachable},
		{"an echo", raw(func(request string) string { return request }), httppool.Broken},
		{"hangs up", raw(func(string) string { return "" }), httppool.Broken},
		{"ends too early", raw(func(string) string { return "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort" }), httppool.Broken},
		{"TLS with one that has none", strings.Replace(raw(func(string) string { return "HTTP/1.1 400 Bad Request\r\n\r\n" }), "http:", "https:", 1), httppool.Untrusted},
		{"large header", raw(func(string) string {
			return "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64<<10) + "\r\nContent-Length: 0\r\n\r\n"
		}), httppool.Broken},
		{"large body", raw(func(string) string {
			return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + strings.Repeat("x", 65<<10)
		}), httppool.TooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := pool(t, httppool.Options{Name: "test", Host: test.host})
			_, err := p.Get(t.Context(), "check", httppool.Param{Name: "pass", Value: secret})
			wantReason(t, err, test.want)
		})
	}
}

func TestParseHost(t *testing.T) {
	t.Parallel()
	for host, ok := range map[string]bool{
		"http://my_server:8000": true, "https://auth.example.org": true, "http://[::1]:80": true,
		"": false, "auth.example.org": false, "ftp://a": false, "http://": false, "http://:80": false, "http://a/": false, "http://a/b": false,
		"http://u:p@a": false, "http://a?x": false, "http://a#x": false, "http://a:": false, "http://a:b": false, "http://a b": false,
	} {
		if _, err := httppool.ParseHost(host); (err == nil) != ok {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// memory is a network of pipes inside a bubble.
type memory struct{ conns chan net.Conn }

func (m *memory) Accept() (net.Conn, error) {
	conn, ok := <-m.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (m *memory) Close() error   { close(m.conns); return nil }
func (m *memory) Addr() net.Addr { return &net.TCPAddr{} }

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs fn with a pool of a service that is in the bubble, too.
func inBubble(t *testing.T, o httppool.Options, handler http.HandlerFunc, fn func(t *testing.T, p *httppool.Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{make(chan net.Conn)}
		s := &http.Server{Handler: handler}
		go func() { _ = s.Serve(m) }()
		o.Name, o.Host, o.Dial = "test", "http://auth.test", m.dial
		p, err := httppool.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { // after a fatal error, too: what is left in a bubble is a panic
			p.Close()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		fn(t, p)
	})
}

// TestTimes: a request has its time, and a call its own, waiting included.
func TestTimes(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	slow := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(time.Minute):
		case <-r.Context().Done():
		}
	}
	inBubble(t, httppool.Options{Workers: 1, Registerer: reg}, slow, func(t *testing.T, p *httppool.Pool) {
		begin := time.Now()
		took := make([]time.Duration, 4)
		errs := make([]error, len(took))
		done := make(chan struct{})
		for i := range took {
			go func() {
				_, errs[i] = p.Get(t.Context(), "check")
				took[i] = time.Since(begin)
				done <- struct{}{}
			}()
			synctest.Wait()
		}
		for range took {
			<-done
		}
		for i, want := range []struct {
			reason httppool.Reason
			took   time.Duration
		}{{httppool.Timeout, 2 * time.Second}, {httppool.Timeout, 4 * time.Second}, {httppool.Timeout, 5 * time.Second}, {httppool.Overloaded, 5 * time.Second}} {
			wantReason(t, errs[i], want.reason)
			if took[i] != want.took {
				t.Errorf("call %d took %v, want %v", i, took[i], want.took)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { time.Sleep(time.Second / 2); cancel() }()
		_, err := p.Get(ctx, "check")
		wantReason(t, err, httppool.Cancelled)
		if !errors.Is(err, context.Canceled) || time.Since(begin) != 5500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
	want := `
# HELP muster_httppool_requests_total Requests to HTTP services of others, by outcome.
# TYPE muster_httppool_requests_total counter
muster_httppool_requests_total{outcome="cancelled",pool="test"} 1
muster_httppool_requests_total{outcome="overloaded",pool="test"} 1
muster_httppool_requests_total{outcome="timeout",pool="test"} 3
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "muster_httppool_requests_total"); err != nil {
		t.Error(err)
	}
}

// TestWorkers: never more requests at a time than there are workers, and
// everybody gets his answer.
func TestWorkers(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	handler := func(http.ResponseWriter, *http.Request) {
		raise(&most, now.Add(1))
		time.Sleep(10 * time.Millisecond)
		now.Add(-1)
	}
	inBubble(t, httppool.Options{Workers: 7}, handler, func(t *testing.T, p *httppool.Pool) {
		results := make(chan error)
		for range 100 {
			go func() {
				_, err := p.Post(t.Context(), "check")
				results <- err
			}()
		}
		for range 100 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if most.Load() != 7 {
			t.Errorf("%d at once, want 7", most.Load())
		}
	})
}

// TestTLS: who the service has to prove to be.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var sni atomic.Value
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sni.Store(r.TLS.ServerName) }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	s.StartTLS() // its certificate is for example.com and 127.0.0.1, and its own authority
	defer s.Close()
	authority := filepath.Join(dir, "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(authority, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		tls  httppool.TLS
		ok   bool
		sni  string
	}{
		{"the system's authorities", httppool.TLS{}, false, ""},
		{"its authority", httppool.TLS{CACertFile: authority, ServerName: "example.com"}, true, "example.com"},
		{"its authority, by address", httppool.TLS{CACertFile: authority}, true, ""},
		{"not in the handshake", httppool.TLS{CACertFile: authority, ServerName: "example.com", NoSNI: true}, true, ""},
		{"not in the handshake, another", httppool.TLS{CACertFile: authority, ServerName: "example.org", NoSNI: true}, false, ""},
		{"another name", httppool.TLS{CACertFile: authority, ServerName: "example.org"}, false, ""},
		{"self-signed", httppool.TLS{Verify: httppool.VerifySelfSigned, ServerName: "example.com"}, true, "example.com"},
		{"self-signed for another", httppool.TLS{Verify: httppool.VerifySelfSigned, ServerName: "example.org"}, false, ""},
		{"whoever it is", httppool.TLS{Verify: httppool.VerifyNone, ServerName: "example.org"}, true, "example.org"},
	}
	for _, test := range tests {
		p := pool(t, httppool.Options{Name: "test", Host: s.URL, TLS: test.tls})
		_, err := p.Get(t.Context(), "check", httppool.Param{Name: "pass", Value: secret})
		switch {
		case !test.ok:
			wantReason(t, err, httppool.Untrusted)
		case err != nil:
			t.Errorf("%s: %v", test.name, err)
		case sni.Load() != test.sni:
			t.Errorf("%s: name in the handshake is %q, want %q", test.name, sni.Load(), test.sni)
		}
		p.Close()
	}
	for key, files := range map[string]httppool.TLS{"cacertfile": {CACertFile: dir}, "certfile": {CertFile: authority}} {
		_, err := httppool.New(httppool.Options{Name: "test", Host: s.URL, TLS: files})
		if e, ok := errors.AsType[*httppool.FileError](err); !ok || e.Key != key {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

// TestClientCertificate: a service may want to know who asks.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 {
			t.Error("no certificate")
		}
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert} //nolint:gosec // a test
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	s.StartTLS()
	defer s.Close()
	file := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(file, keyPair(t), 0o600); err != nil {
		t.Fatal(err)
	}
	p := pool(t, httppool.Options{Name: "test", Host: s.URL, TLS: httppool.TLS{Verify: httppool.VerifyNone, CertFile: file}})
	if _, err := p.Get(t.Context(), "check"); err != nil {
		t.Error(err)
	}
	p = pool(t, httppool.Options{Name: "test", Host: s.URL, TLS: httppool.TLS{Verify: httppool.VerifyNone}})
	if _, err := p.Get(t.Context(), "check"); err == nil { // untrusted, unless the connection is gone before the alert is read
		t.Error("no certificate was shown, and there is an answer")
	}
}

// raise makes most at least n.
func raise(most *atomic.Int64, n int64) {
	for {
		m := most.Load()
		if m >= n || most.CompareAndSwap(m, n) {
			return
		}
	}
}
