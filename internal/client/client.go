// Package client is an XMPP client over our own codec: for the demo, the load
// meter and tests. It logs in, binds a resource, matches the answers of IQs and
// hands over everything else. It has one goroutine, which reads, and one for
// writing while there is something to write.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Options say where and as whom to connect.
type Options struct {
	Addr      string      // host:port to dial
	Conn      net.Conn    // instead of Addr
	Domain    string      // of the account
	TLSConfig *tls.Config // nil: the system's roots, and Domain as server name
	DirectTLS bool        // TLS from the first byte instead of STARTTLS
	PlainText bool        // no TLS, even if the server offers it
	Username  string      // the account's local part
	Password  string
	Resource  string // "": the server chooses
	Mechanism string // of SASL; "": the strongest that both sides know
	Keys      *Keys  // remembers what SCRAM makes of passwords; nil: nothing does

	// Handler, if set, gets every stanza that answers no IQ, in the reading
	// goroutine: it must not block. Otherwise they wait for Receive.
	Handler func(stanza.Stanza)
	// RawHandler, if set, sees every element unparsed and reports whether it
	// has dealt with it. data is valid during the call.
	RawHandler func(data []byte) bool
	// OnClose, if set, is called once when the stream has ended, with the
	// cause.
	OnClose func(error)
}

// receiveQueue bounds the stanzas that wait for Receive; a client that does not
// take them reads no further.
const receiveQueue = 4096

// ErrClosed is the cause when the stream has ended in good order.
var ErrClosed = errors.New("stream is closed")

// AuthError says that the server did not accept the credentials.
type AuthError struct {
	Condition string // RFC 6120 §6.5
	Text      string
}

// Error returns the condition and the text.
func (e *AuthError) Error() string {
	if e.Text != "" {
		return "login refused: " + e.Condition + ": " + e.Text
	}
	return "login refused: " + e.Condition
}

// Client is a bound session. Its methods are safe for concurrent use.
type Client struct {
	// Set at construction.
	opts    Options
	stream  *stream.Stream
	jid     jid.JID
	queue   chan stanza.Stanza
	done    chan struct{} // closed when the stream has ended
	nextID  atomic.Uint64
	closing atomic.Bool // Close has been called

	mu sync.Mutex
	// Guarded by mu.
	waiting map[string]chan stanza.Stanza // by IQ id
	cause   error
}

// Dial connects, logs in and binds a resource. ctx bounds that, not the
// session.
func Dial(ctx context.Context, o Options) (*Client, error) {
	return dial(ctx, o, (*Client).negotiate)
}

// Register creates the account of the options in-band (XEP-0077 §3.1.1). What
// the server has against it is a *stanza.Error; that the account exists is the
// condition conflict.
func Register(ctx context.Context, o Options) error {
	c, err := dial(ctx, o, (*Client).register)
	if err != nil {
		return err
	}
	_ = c.Close() // the account is there, however the stream ends
	return nil
}

// dial connects, and takes the stream as far as negotiate does.
func dial(ctx context.Context, o Options, negotiate func(*Client, context.Context) error) (*Client, error) {
	conn := o.Conn
	if conn == nil {
		var d net.Dialer
		var err error
		if conn, err = d.DialContext(ctx, "tcp", o.Addr); err != nil {
			return nil, err
		}
	}
	c := &Client{
		opts: o, stream: stream.New(conn, stream.Options{MaxStanza: 16 << 20, QueueBytes: 64 << 20}),
		queue: make(chan stanza.Stanza, receiveQueue), done: make(chan struct{}),
		waiting: make(map[string]chan stanza.Stanza),
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // makes reading fail
	err := negotiate(c, ctx)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close() // the error that counts is err
		c.stream.Release()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	go c.read()
	return c, nil
}

// JID returns the full address that the server has bound.
func (c *Client) JID() jid.JID { return c.jid }

// Stream returns the stream beneath, for tests that send what no client should.
func (c *Client) Stream() *stream.Stream { return c.stream }

// Send queues a stanza and never waits.
func (c *Client) Send(st stanza.Stanza) error { return c.stream.SendStanza(&st) }

// ID returns an id that no other stanza of this client has.
func (c *Client) ID() string { return "c" + strconv.FormatUint(c.nextID.Add(1), 36) }

// IQ sends a request and waits for its answer; an error answer is a
// *stanza.Error. The id is set if it is missing.
func (c *Client) IQ(ctx context.Context, st stanza.Stanza) (stanza.Stanza, error) {
	if st.ID == "" {
		st.ID = c.ID()
	}
	st.Kind = stanza.IQ
	answer := make(chan stanza.Stanza, 1)
	c.mu.Lock()
	c.waiting[st.ID] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, st.ID)
		c.mu.Unlock()
	}()
	if err := c.Send(st); err != nil {
		return stanza.Stanza{}, err
	}
	select {
	case r := <-answer:
		if r.Type == stanza.TypeError {
			if e := r.ParseError(); e != nil {
				return r, e
			}
		}
		return r, nil
	case <-c.done:
		return stanza.Stanza{}, c.Err()
	case <-ctx.Done():
		return stanza.Stanza{}, context.Cause(ctx)
	}
}

// Receive returns the next stanza that answers no IQ.
func (c *Client) Receive(ctx context.Context) (stanza.Stanza, error) {
	select {
	case st := <-c.queue:
		return st, nil
	default:
	}
	select {
	case st := <-c.queue:
		return st, nil
	case <-c.done:
		return stanza.Stanza{}, c.Err()
	case <-ctx.Done():
		return stanza.Stanza{}, context.Cause(ctx)
	}
}

// Done is closed when the stream has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the stream has ended, nil while it has not.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// Close closes the stream in good order and waits for its end.
func (c *Client) Close() error {
	c.closing.Store(true)
	c.stream.Close()
	<-c.done
	if err := c.Err(); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// read takes what the server sends until the stream ends.
func (c *Client) read() {
	err := c.readAll()
	if errors.Is(err, io.EOF) || c.closing.Load() && errors.Is(err, io.ErrUnexpectedEOF) {
		err = ErrClosed // some servers close the socket instead of their stream (RFC 6120 §4.4)
	}
	c.stream.Release()
	c.mu.Lock()
	c.cause = err
	c.mu.Unlock()
	close(c.done)
	if c.opts.OnClose != nil {
		c.opts.OnClose(err)
	}
}

func (c *Client) readAll() error {
	for {
		frame, err := c.stream.NextFrame()
		if err != nil {
			return err
		}
		if c.opts.RawHandler != nil && c.opts.RawHandler(frame.Data) {
			continue
		}
		e, err := c.stream.Parse(frame)
		if err != nil {
			return err
		}
		if st, ok, _ := stanza.FromElement(e); ok { // a malformed address is not the client's to judge
			c.dispatch(st)
		}
	}
}

func (c *Client) dispatch(st stanza.Stanza) {
	if st.Kind == stanza.IQ && !st.IsRequest() {
		c.mu.Lock()
		answer := c.waiting[st.ID]
		delete(c.waiting, st.ID)
		c.mu.Unlock()
		if answer != nil {
			answer <- st
			return
		}
	}
	if st.Kind == stanza.IQ && st.Type == stanza.TypeGet && st.Child(stanza.NSPing, "ping") != nil {
		result := st.Result(nil) // XEP-0199 §4.1: a sign of life
		_ = c.stream.SendStanza(&result)
		return
	}
	if c.opts.Handler != nil {
		c.opts.Handler(st)
		return
	}
	select {
	case c.queue <- st:
	case <-time.After(time.Minute): // nobody receives: the session must not hang for ever
		c.stream.Close()
	}
}

// secure takes the stream from its first byte to the features of a stream with
// the encryption that is wanted.
func (c *Client) secure(ctx context.Context) (*stanza.Element, error) {
	deadline, _ := ctx.Deadline()
	if c.opts.DirectTLS {
		if err := c.stream.ClientTLS(c.tlsConfig(), deadline); err != nil {
			return nil, err
		}
	}
	features, err := c.open()
	if err != nil || c.opts.PlainText || c.opts.DirectTLS {
		return features, err
	}
	return c.startTLS(features, deadline)
}

// negotiate takes the stream from its first byte to a bound resource.
func (c *Client) negotiate(ctx context.Context) error {
	features, err := c.secure(ctx)
	if err != nil {
		return err
	}
	if c.opts.Username == "" {
		return errors.New("no user name given")
	}
	if err := c.authenticate(features); err != nil {
		return err
	}
	c.stream.Restart()
	if _, err = c.open(); err != nil {
		return err
	}
	return c.bind()
}

// open sends our header and returns the server's features.
func (c *Client) open() (*stanza.Element, error) {
	domain, err := jid.Parse(c.opts.Domain)
	if err != nil {
		return nil, err
	}
	if err := c.stream.SendHeader(stream.Header{To: domain, Version: "1.0", Lang: "en"}); err != nil {
		return nil, err
	}
	if _, err := c.stream.ReadHeader(); err != nil {
		return nil, err
	}
	return c.expect(stanza.NSStream, "features")
}

func (c *Client) expect(space, local string) (*stanza.Element, error) {
	e, err := c.stream.Next()
	if err != nil {
		return nil, err
	}
	if !e.Is(space, local) {
		return nil, fmt.Errorf("server sent <%s/> where <%s/> was expected", e.Name.Local, local)
	}
	return e, nil
}

func (c *Client) startTLS(features *stanza.Element, deadline time.Time) (*stanza.Element, error) {
	if features.Child(stanza.NSTLS, "starttls") == nil {
		return nil, errors.New("server does not offer STARTTLS")
	}
	if err := c.stream.Send(stanza.NewElement(stanza.NSTLS, "starttls")); err != nil {
		return nil, err
	}
	if _, err := c.expect(stanza.NSTLS, "proceed"); err != nil {
		return nil, err
	}
	if err := c.stream.ClientTLS(c.tlsConfig(), deadline); err != nil {
		return nil, err
	}
	return c.open()
}

func (c *Client) tlsConfig() *tls.Config {
	if c.opts.TLSConfig != nil {
		return c.opts.TLSConfig
	}
	return &tls.Config{ServerName: c.opts.Domain, MinVersion: tls.VersionTLS12}
}

func (c *Client) bind() error {
	bind := stanza.NewElement(stanza.NSBind, "bind")
	if c.opts.Resource != "" {
		bind.AddTextElement("resource", c.opts.Resource)
	}
	st, err := c.set(bind)
	if err != nil {
		return err
	}
	c.jid, err = jid.Parse(st.Child(stanza.NSBind, "bind").ChildText(stanza.NSBind, "jid"))
	return err
}

// register creates the account.
func (c *Client) register(ctx context.Context) error {
	if _, err := c.secure(ctx); err != nil {
		return err
	}
	query := stanza.NewElement(stanza.NSRegister, "query")
	query.AddTextElement("username", c.opts.Username).AddTextElement("password", c.opts.Password)
	_, err := c.set(query)
	return err
}

// set sends a request while nobody reads yet, and returns its answer.
func (c *Client) set(payload *stanza.Element) (stanza.Stanza, error) {
	request := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeSet, ID: c.ID()}.With(payload)
	if err := c.stream.SendStanza(&request); err != nil {
		return stanza.Stanza{}, err
	}
	e, err := c.expect(stanza.NSClient, "iq")
	if err != nil {
		return stanza.Stanza{}, err
	}
	st, _, _ := stanza.FromElement(e)
	if se := st.ParseError(); se != nil {
		return st, se
	}
	return st, nil
}
