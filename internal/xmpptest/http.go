package xmpptest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// httpService is the HTTP service of a transcript, at whatever address the
// server asks, inside the bubble. It answers by the lines of the file http:
//
//	GET romeo@localhost/romeo coven@conf.test open sesame = 200 {"code": 0}
//	POST * * slow = 3s 200 {"code": 0}
//
// A line has the method, the parameters from, to and pass (* is any), and the
// answer, before which a time may pass. The first line that fits counts; if none
// does the answer is 404.
type httpService struct {
	// Set at construction.
	rules  []httpRule
	conns  chan net.Conn
	server *http.Server
}

type httpRule struct {
	asked  [4]string // method, from, to, pass
	pause  time.Duration
	status int
	body   string
}

func newHTTPService(file string) (*httpService, error) {
	s := &httpService{conns: make(chan net.Conn)}
	for line := range strings.Lines(file) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		rule, err := parseHTTPRule(line)
		if err != nil {
			return nil, fmt.Errorf("http: %q: %w", line, err)
		}
		s.rules = append(s.rules, rule)
	}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(s) }() // until Close
	return s, nil
}

func parseHTTPRule(line string) (rule httpRule, err error) {
	question, answer, ok := strings.Cut(line, " = ")
	asked := strings.SplitN(question, " ", 4)
	if !ok || len(asked) != 4 {
		return rule, fmt.Errorf("want METHOD FROM TO PASS = STATUS BODY")
	}
	copy(rule.asked[:], asked)
	first, rest, _ := strings.Cut(answer, " ")
	if pause, err := time.ParseDuration(first); err == nil {
		rule.pause = pause
		first, rest, _ = strings.Cut(rest, " ")
	}
	rule.status, err = strconv.Atoi(first)
	rule.body = rest
	return rule, err
}

// ServeHTTP answers what the server asks.
func (s *httpService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	got := [4]string{r.Method, r.FormValue("from"), r.FormValue("to"), r.FormValue("pass")}
	for _, rule := range s.rules {
		if r.URL.Path != "/check_password" || !rule.fits(&got) {
			continue
		}
		select {
		case <-time.After(rule.pause):
			w.WriteHeader(rule.status)
			_, _ = io.WriteString(w, rule.body) // who has gone needs no answer
		case <-r.Context().Done():
		}
		return
	}
	http.NotFound(w, r)
}

func (r *httpRule) fits(got *[4]string) bool {
	for i, want := range r.asked {
		if want != "*" && want != got[i] {
			return false
		}
	}
	return true
}

// dial connects to the service; without one nobody is there.
func (s *httpService) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	if s == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	}
	client, server := net.Pipe()
	select {
	case s.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept makes the service a net.Listener.
func (s *httpService) Accept() (net.Conn, error) {
	conn, ok := <-s.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

// Close ends accepting.
func (s *httpService) Close() error { close(s.conns); return nil }

// Addr returns nowhere in particular.
func (s *httpService) Addr() net.Addr { return &net.TCPAddr{} }

// end ends the service.
func (s *httpService) end() error {
	if s == nil {
		return nil
	}
	return s.server.Close()
}
