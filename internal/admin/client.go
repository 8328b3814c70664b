package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/muster-im/muster/internal/api"
	"github.com/muster-im/muster/jid"
)

// ErrNotRunning says that nobody answers on the socket.
var ErrNotRunning = errors.New("no server is running")

// requestTimeout bounds one request; making the keys of a password is the
// slowest thing a server does for one.
const requestTimeout = 30 * time.Second

// maxAnswer bounds what a client reads of an answer.
const maxAnswer = 16 << 20

// Client calls a running server. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client for the server behind a local socket. It connects
// with the first call.
func NewClient(socket string) *Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true, // a command line asks once, and idle connections hold up a server's end
	}
	return &Client{socket: socket, http: &http.Client{Transport: transport, Timeout: requestTimeout}}
}

// Socket is the path of the socket.
func (c *Client) Socket() string { return c.socket }

// baseURL is where the API is; the host means nothing on a socket.
const baseURL = "http://muster" + api.Prefix

// Info asks what the server is.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var info Info
	err := c.Do(ctx, http.MethodGet, "/server", nil, &info)
	return info, err
}

// Health asks how the server is. A server that is not well is no error.
func (c *Client) Health(ctx context.Context) (Health, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://muster/healthz", nil)
	if err != nil {
		return Health{}, fmt.Errorf("build request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Health{}, c.dialError(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	var h Health
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&h); err != nil {
		return h, fmt.Errorf("read the server's answer: %w", err)
	}
	return h, nil
}

// AddAccount creates an account.
func (c *Client) AddAccount(ctx context.Context, j jid.JID, password string) error {
	if err := checkAccount(j); err != nil {
		return err
	}
	return c.Do(ctx, http.MethodPost, "/users"+atHost(j), NewAccount{Name: j.Local(), Password: password}, nil)
}

// SetPassword replaces an account's password.
func (c *Client) SetPassword(ctx context.Context, j jid.JID, password string) error {
	if err := checkAccount(j); err != nil {
		return err
	}
	return c.Do(ctx, http.MethodPut, Path("users", j.Local(), "password")+atHost(j), NewPassword{Password: password}, nil)
}

// Account returns one account.
func (c *Client) Account(ctx context.Context, j jid.JID) (AccountDetails, error) {
	var a AccountDetails
	if err := checkAccount(j); err != nil {
		return a, err
	}
	err := c.Do(ctx, http.MethodGet, Path("users", j.Local())+atHost(j), nil, &a)
	return a, err
}

// DeleteAccount removes an account with everything that belongs to it.
func (c *Client) DeleteAccount(ctx context.Context, j jid.JID) error {
	if err := checkAccount(j); err != nil {
		return err
	}
	return c.Do(ctx, http.MethodDelete, Path("users", j.Local())+atHost(j), nil, nil)
}

// EndSessions ends the session of a full address, or all of a bare one.
func (c *Client) EndSessions(ctx context.Context, who jid.JID) error {
	if err := checkAccount(who.Bare()); err != nil {
		return err
	}
	steps := []string{"users", who.Local(), "sessions"}
	if !who.IsBare() {
		steps = append(steps, who.Resource())
	}
	return c.Do(ctx, http.MethodDelete, Path(steps...)+atHost(who), nil, nil)
}

// Accounts lists the accounts of a domain, of all domains if it is "". The
// sequence ends with the first error.
func (c *Client) Accounts(ctx context.Context, domain string) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		domains := []string{domain}
		if domain == "" {
			info, err := c.Info(ctx)
			if err != nil {
				yield(Account{}, err)
				return
			}
			domains = info.Hosts
		}
		for _, d := range domains {
			for a, err := range List[Account](ctx, c, "/users", url.Values{"host": {d}}) {
				if !yield(a, err) || err != nil {
					return
				}
			}
		}
	}
}

// AddToken makes a token.
func (c *Client) AddToken(ctx context.Context, t NewToken) (IssuedToken, error) {
	var issued IssuedToken
	err := c.Do(ctx, http.MethodPost, "/tokens", t, &issued)
	return issued, err
}

// Tokens lists the tokens. The sequence ends with the first error.
func (c *Client) Tokens(ctx context.Context) iter.Seq2[Token, error] {
	return List[Token](ctx, c, "/tokens", nil)
}

// RevokeToken removes a token, which is of no use at once.
func (c *Client) RevokeToken(ctx context.Context, name string) error {
	return c.Do(ctx, http.MethodDelete, Path("tokens", name), nil, nil)
}

// Scopes returns what tokens can be good for.
func (c *Client) Scopes(ctx context.Context) ([]string, error) {
	var list ScopeList
	err := c.Do(ctx, http.MethodGet, "/scopes", nil, &list)
	return list.Items, err
}

// List asks for a list, page by page. The sequence ends with the first error.
func List[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q := url.Values{"limit": {"1000"}}
		maps.Copy(q, query)
		for {
			var page api.Page[T]
			if err := c.Do(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &page); err != nil {
				yield(*new(T), err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			q.Set("after", page.Next)
		}
	}
}

// Path joins the steps of a path below the API's prefix.
func Path(steps ...string) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// atHost says which host an account is at.
func atHost(j jid.JID) string { return "?" + url.Values{"host": {j.Domain()}}.Encode() }

// checkAccount refuses what cannot be an account.
func checkAccount(j jid.JID) error {
	if j.Local() == "" || !j.IsBare() {
		return &Error{Status: http.StatusUnprocessableEntity, Detail: fmt.Sprintf("want an address like name@%s, got %q", j.Domain(), j)}
	}
	return nil
}

// Do sends in, if it is not nil, to a path below the API's prefix, and reads the
// answer into out, if it is not nil. What the server refuses comes back as
// *Error.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, baseURL+path, body)
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.dialError(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	answer := io.LimitReader(resp.Body, maxAnswer)
	if resp.StatusCode >= http.StatusBadRequest {
		return readProblem(resp, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// dialError puts the ways in which a socket is not served into words.
func (c *Client) dialError(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w (nobody answers on %s)", ErrNotRunning, c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s belongs to another user: run this as the user who runs the server", c.socket)
	}
	return fmt.Errorf("ask the server on %s: %w", c.socket, err)
}

func readProblem(resp *http.Response, body io.Reader) error {
	var p api.Problem
	if err := json.NewDecoder(body).Decode(&p); err != nil || p.Detail == "" {
		return &Error{Status: resp.StatusCode, Detail: "the server answered " + resp.Status}
	}
	e := &Error{Status: resp.StatusCode, Detail: p.Detail, Fields: p.Errors}
	if len(p.Errors) > 1 { // Detail is about the first
		list := make([]string, len(p.Errors))
		for i, f := range p.Errors {
			list[i] = f.String()
		}
		e.Detail = strings.Join(list, "; ")
	}
	return e
}
