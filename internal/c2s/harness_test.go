package c2s

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/router"
	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	password  = "secret"
	header    = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a.test' version='1.0'>"
	plainAuth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"
)

// world is a server with what it needs, inside a synctest bubble.
type world struct {
	t        *testing.T
	srv      *Server
	listener *Listener
	reg      *prometheus.Registry
	log      *logBuffer
	wg       sync.WaitGroup

	mu       sync.Mutex
	accounts map[jid.JID][]sasl.Keys
	sessions map[jid.JID]router.Session
	events   []string // what router and contacts were told, since the last look
	history  []string // all of it
	route    func(stanza.Stanza) <-chan struct{}
	bound    func(router.Session) // runs when one is in the table
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type config struct {
	options  Options
	sasl     sasl.Options
	listener ListenerOptions
}

// inWorld runs f in a bubble with a server that lets PLAIN in without TLS.
func inWorld(t *testing.T, change func(*config), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, change)
		defer w.close()
		f(w)
	})
}

func newWorld(t *testing.T, change func(*config)) *world {
	t.Helper()
	w := &world{
		t: t, reg: prometheus.NewRegistry(), log: &logBuffer{},
		accounts: map[jid.JID][]sasl.Keys{}, sessions: map[jid.JID]router.Session{},
	}
	hasher := sasl.NewHasher(4096, 1)
	keys, err := hasher.Keys(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"romeo@a.test", "juliet@a.test", "romeo@b.test"} {
		w.accounts[jid.MustParse(name)] = keys
	}
	c := config{
		options: Options{
			Hosts: []string{"a.test", "b.test"}, Accounts: w, Router: w, Contacts: w, Registerer: w.reg,
			Logger: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		},
		sasl:     sasl.Options{Lookup: w.lookup, Hasher: hasher, AllowPlainWithoutTLS: true, Settle: -1},
		listener: ListenerOptions{Mode: NoTLS},
	}
	if change != nil {
		change(&c)
	}
	if c.options.SASL, err = sasl.New(c.sasl); err != nil {
		t.Fatal(err)
	}
	if w.srv, err = New(c.options); err != nil {
		t.Fatal(err)
	}
	if w.listener, err = w.srv.Listener(c.listener); err != nil {
		t.Fatal(err)
	}
	return w
}

// close shuts down and checks that each session was taken leave of once.
func (w *world) close() {
	if err := w.srv.Shutdown(w.t.Context()); err != nil {
		w.t.Error(err)
	}
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	count := map[string]int{}
	for _, e := range w.history {
		kind, who, _ := strings.Cut(e, " ")
		switch kind {
		case "bind":
			count[who]++
		case "unbind":
			count[who] -= 10
		case "ended":
			count[who] += 9
		}
	}
	for who, n := range count {
		if n != 0 {
			w.t.Errorf("%s was not bound, unbound and ended equally often: %q", who, w.history)
		}
	}
	if w.srv.Sessions() != 0 || len(w.srv.links) != 0 || len(w.srv.accounts) != 0 {
		w.t.Errorf("left behind: %d sessions, %v, %v", w.srv.Sessions(), w.srv.links, w.srv.accounts)
	}
	if strings.Contains(w.log.String(), password) || strings.Contains(w.log.String(), plain("romeo", password)) {
		w.t.Error("the log shows a password")
	}
}

func (w *world) lookup(_ context.Context, account jid.JID) ([]sasl.Keys, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch account.Local() {
	case "broken":
		return nil, errors.New("the disk is on fire")
	case "panic":
		panic("as asked")
	case "locked":
		return w.accounts[jid.MustParse("romeo@a.test")], sasl.ErrDisabled
	}
	keys, ok := w.accounts[account]
	if !ok {
		return nil, sasl.ErrNoAccount
	}
	return keys, nil
}

func (w *world) Exists(_ context.Context, account jid.JID) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.accounts[account]
	return ok, nil
}

func (w *world) event(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := fmt.Sprintf(format, args...)
	w.events, w.history = append(w.events, e), append(w.history, e)
}

func (w *world) Bind(s router.Session) {
	w.event("bind %s", s.JID())
	w.mu.Lock()
	w.sessions[s.JID()] = s
	w.mu.Unlock()
	if w.bound != nil {
		w.bound(s)
	}
}

func (w *world) Unbind(s router.Session) {
	w.event("unbind %s", s.JID())
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sessions[s.JID()] == s {
		delete(w.sessions, s.JID())
	}
}

func (w *world) Route(_ context.Context, st stanza.Stanza) <-chan struct{} {
	w.event("route %s", st.AppendXML(nil))
	if w.route != nil {
		return w.route(st)
	}
	return nil
}

func (w *world) Send(st stanza.Stanza) { w.event("send %s", st.AppendXML(nil)) }

func (w *world) Redeliver(_ context.Context, st stanza.Stanza) {
	w.event("redeliver %s", st.AppendXML(nil))
}

func (w *world) Outbound(_ context.Context, s router.Session, p stanza.Stanza) <-chan struct{} {
	w.event("outbound %s", p.AppendXML(nil))
	if p.Child("panic", "panic") != nil {
		panic("as asked")
	}
	return nil
}

func (w *world) Ended(ctx context.Context, s router.Session) {
	if ctx.Err() != nil {
		w.t.Error("ended: the context is over")
	}
	w.event("ended %s", s.JID())
}

func (w *world) session(full string) router.Session {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sessions[jid.MustParse(full)]
	if s == nil {
		w.t.Fatalf("%s is not bound", full)
	}
	return s
}

// told returns and forgets what router and contacts were told.
func (w *world) told() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.events
	w.events = nil
	return list
}

// wantTold checks the last things that router and contacts were told.
func (w *world) wantTold(want ...string) {
	w.t.Helper()
	if got := w.told(); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		w.t.Errorf("told\n%q, want\n%q", got, want)
	}
}

// metric returns the sum of a metric's values whose labels contain label.
func (w *world) metric(name, label string) float64 {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "muster_c2s_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// peer is the client's end of a connection. What the server writes is collected
// at once, so that the server never waits for the test.
type peer struct {
	w    *world
	conn net.Conn

	mu     sync.Mutex
	got    strings.Builder
	closed bool
}

// addressed is a connection from somewhere.
type addressed struct {
	net.Conn
	addr net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.addr }

func (w *world) dial() *peer { return w.dialFrom(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711}) }

func (w *world) dialFrom(addr net.Addr) *peer {
	a, b := net.Pipe()
	w.wg.Go(func() { w.listener.ServeConn(w.t.Context(), addressed{a, addr}) })
	return w.collect(b)
}

func (w *world) collect(conn net.Conn) *peer {
	p := &peer{w: w, conn: conn}
	w.wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			p.mu.Lock()
			p.got.Write(buf[:n])
			p.closed = err != nil
			p.mu.Unlock()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, net.ErrClosed) {
					w.t.Logf("read: %v", err)
				}
				_ = conn.Close()
				return
			}
		}
	})
	return p
}

// send writes data; a server that has closed takes none, which is no failure.
func (p *peer) send(format string, args ...any) {
	data := format
	if len(args) > 0 {
		data = fmt.Sprintf(format, args...)
	}
	_, _ = p.conn.Write([]byte(data))
}

// take returns and forgets what the server has sent.
func (p *peer) take() string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.got.String()
	p.got.Reset()
	return s
}

// want checks that the server has sent all of parts, in order.
func (p *peer) want(parts ...string) string {
	p.w.t.Helper()
	got := p.take()
	rest := got
	for _, part := range parts {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			p.w.t.Fatalf("got %q, want in it %q", got, part)
		}
		rest = after
	}
	return got
}

// ask sends and checks what comes back.
func (p *peer) ask(send string, want ...string) string {
	p.w.t.Helper()
	p.send("%s", send)
	return p.want(want...)
}

// wantNothing checks that the server has sent nothing.
func (p *peer) wantNothing() {
	p.w.t.Helper()
	if got := p.take(); got != "" {
		p.w.t.Errorf("got %q, want nothing", got)
	}
}

// wantError checks that the stream ends with an error and the connection with
// it, once the client has closed, too.
func (p *peer) wantError(condition string) {
	p.w.t.Helper()
	p.want("<stream:error><"+condition+" xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", "</stream:error></stream:stream>")
	p.wantClosed()
}

// wantClosed checks that the server closes the connection, at the latest when
// it has waited for the client to do so.
func (p *peer) wantClosed() {
	p.w.t.Helper()
	time.Sleep(lingerTime + time.Millisecond)
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.w.t.Error("the connection is still open")
	}
}

func plain(name, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + name + "\x00" + password))
}

// login authenticates and opens the last stream.
func (p *peer) login(name string) {
	p.w.t.Helper()
	p.ask(header, "<mechanism>PLAIN</mechanism>")
	p.ask(fmt.Sprintf(plainAuth, plain(name, password)), "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
	p.ask(header, "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
}

func bindRequest(resource string) string {
	return "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" + resource + "</resource></bind></iq>"
}

// join logs in and binds a resource.
func (w *world) join(name, resource string) *peer {
	w.t.Helper()
	p := w.dial()
	p.login(name)
	p.ask(bindRequest(resource), "<iq type='result' id='b1'", "<jid>"+name+"@a.test/"+resource+"</jid>")
	return p
}

// certificate is made in the bubble, whose clock it must fit.
func certificate(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
