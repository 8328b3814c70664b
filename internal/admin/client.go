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
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

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

// Info asks what the server is.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var info Info
	err := c.do(ctx, http.MethodGet, "/v1/server", nil, &info)
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
func (c *Client) AddAccount(ctx context.Context, a NewAccount) error {
	return c.do(ctx, http.MethodPost, "/v1/accounts", a, nil)
}

// SetPassword replaces an account's password.
func (c *Client) SetPassword(ctx context.Context, j jid.JID, p NewPassword) error {
	return c.do(ctx, http.MethodPut, accountPath(j)+"/password", p, nil)
}

// Account returns one account.
func (c *Client) Account(ctx context.Context, j jid.JID) (Account, error) {
	var a Account
	err := c.do(ctx, http.MethodGet, accountPath(j), nil, &a)
	return a, err
}

// DeleteAccount removes an account with everything that belongs to it.
func (c *Client) DeleteAccount(ctx context.Context, j jid.JID) error {
	return c.do(ctx, http.MethodDelete, accountPath(j), nil, nil)
}

// Accounts lists the accounts of a domain, of all domains if it is "", page by
// page. The sequence ends with the first error.
func (c *Client) Accounts(ctx context.Context, domain string) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		query := url.Values{}
		if domain != "" {
			query.Set("domain", domain)
		}
		for {
			var page AccountPage
			if err := c.do(ctx, http.MethodGet, "/v1/accounts?"+query.Encode(), nil, &page); err != nil {
				yield(Account{}, err)
				return
			}
			for _, a := range page.Accounts {
				if !yield(a, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			query.Set("after", page.Next)
		}
	}
}

func accountPath(j jid.JID) string { return "/v1/accounts/" + url.PathEscape(j.String()) }

// do sends in, if it is not nil, and reads the answer into out, if it is not
// nil. What the server refuses comes back as *Error.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://muster"+path, body)
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
	var p problem
	if err := json.NewDecoder(body).Decode(&p); err != nil || p.Detail == "" {
		return &Error{Status: resp.StatusCode, Detail: "the server answered " + resp.Status}
	}
	return &Error{Status: resp.StatusCode, Detail: p.Detail}
}
