package s2s

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

const (
	minRetry = time.Second
	maxRetry = 15 * time.Second
	// silence is after how long the other side is asked for a sign of life, and
	// how long it may take for it.
	silence = 10 * time.Second
)

// Rooms is the service that a Link attaches.
type Rooms interface {
	// HandleShared takes a stanza of one of many people. It never waits.
	HandleShared(st stanza.Stanza)
	// EachSession shows everybody who is in a room: his address there, and the
	// real one. It does not wait for the end of it.
	EachSession(visit func(occupant, real jid.JID))
}

// LinkOptions say where a room service is attached, and as what.
type LinkOptions struct {
	Server    string      // host:port
	Domain    string      // of the rooms
	Secret    string      // that both sides know
	TLS       *tls.Config // nil: none
	MaxStanza int         // bytes of the largest stanza; default 256 KiB

	Logger        *slog.Logger // nil: silent
	Metrics       *Metrics
	StreamMetrics *stream.Metrics
	// Dial, if set, connects instead of TCP.
	Dial func(ctx context.Context) (net.Conn, error)
	// OnAttached, if set, is called each time the link stands, and must not wait.
	OnAttached func()
}

// Link is the stream on which a room service is attached to another server. It is
// what the rooms send through, and it stays when the connection does not:
// then it connects again. Its methods are safe for concurrent use.
type Link struct {
	// Set at construction.
	opts  LinkOptions
	self  jid.JID // the rooms' domain
	log   *slog.Logger
	rooms Rooms // set by Attach, before Run
	check verification

	stream  atomic.Pointer[stream.Stream] // nil while there is none that carries stanzas
	closing atomic.Bool

	mu sync.Mutex
	// Guarded by mu.
	cancel    context.CancelFunc // of Run
	farewells []stanza.Stanza    // to people who have left a room while the link was down
}

// maxFarewells bounds what is kept for people who have been taken out of rooms.
const maxFarewells = 100_000

// NewLink returns a link that is not connected yet.
func NewLink(o LinkOptions) (*Link, error) {
	self, err := domainOf(o.Domain)
	if err != nil {
		return nil, fmt.Errorf("attach %s: %w", o.Domain, err)
	}
	if o.Secret == "" {
		return nil, errors.New("attach " + o.Domain + ": the secret is empty")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.MaxStanza == 0 {
		o.MaxStanza = defaultStanza
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", o.Server)
		}
	}
	l := &Link{opts: o, self: self, log: o.Logger.With(slog.String("server", o.Server), slog.String("domain", o.Domain))}
	l.check.link = l
	return l, nil
}

// Attach gives the link the rooms that it is for, before Run.
func (l *Link) Attach(rooms Rooms) { l.rooms = rooms }

// Run keeps the link up until ctx ends or Close is called. It ends with an error
// only if the server says, or shows, that it will never take this component, and
// has not taken it before.
func (l *Link) Run(ctx context.Context) error {
	defer l.check.stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	l.cancel = cancel
	l.mu.Unlock()
	if l.closing.Load() {
		return nil
	}
	retry, attached := minRetry, false
	for {
		l.opts.Metrics.attempts.Inc()
		stood, err := l.session(ctx)
		if ctx.Err() != nil || l.closing.Load() {
			return nil
		}
		if attached = attached || stood; !attached && isFinal(err) {
			return l.explain(err)
		}
		if stood {
			retry = minRetry
		}
		wait := retry/2 + rand.N(retry) //nolint:gosec // nobody gains by guessing it
		l.log.LogAttrs(ctx, slog.LevelWarn, "not attached", slog.Any("err", l.explain(err)), slog.Duration("retry_in", wait.Round(time.Millisecond)))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		retry = min(2*retry, maxRetry)
	}
}

// isFinal reports whether trying again cannot help.
func isFinal(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	se, ok := errors.AsType[*stream.Error](err)
	return ok && (se.Condition == stream.NotAuthorized || se.Condition == stream.HostUnknown || se.Condition == stream.InvalidNamespace)
}

// explain says what to do about an error.
func (l *Link) explain(err error) error {
	if err == nil {
		return errors.New("the server has closed the stream")
	}
	hint := ""
	switch se, _ := errors.AsType[*stream.Error](err); {
	case se == nil:
	case se.Condition == stream.NotAuthorized:
		hint = "the server has another secret for " + l.opts.Domain + ", or takes no such component"
	case se.Condition == stream.HostUnknown:
		hint = "the server has no component " + l.opts.Domain + " in its configuration"
	case se.Condition == stream.InvalidNamespace:
		hint = l.opts.Server + " is not a port for components"
	case se.Condition == stream.Conflict:
		hint = "another component is attached as " + l.opts.Domain
	}
	if hint != "" {
		return fmt.Errorf("attach %s to %s: %w: %s", l.opts.Domain, l.opts.Server, err, hint)
	}
	return fmt.Errorf("attach %s to %s: %w", l.opts.Domain, l.opts.Server, err)
}

// session is one connection, from dialling to its end. stood says whether it has
// carried stanzas.
func (l *Link) session(ctx context.Context) (stood bool, err error) {
	deadline := time.Now().Add(negotiationTime)
	dialling, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := l.opts.Dial(dialling)
	if err != nil {
		return false, err
	}
	s := stream.New(conn, stream.Options{
		Metrics: l.opts.StreamMetrics, MaxStanza: l.opts.MaxStanza, QueueBytes: queueBytes, Content: nsComponent, From: l.self,
	})
	defer s.Release()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // who wants good order calls Close before
	defer stop()
	if err := l.negotiate(s, deadline); err != nil {
		return false, err
	}
	l.begin(ctx, s)
	defer l.end(ctx)
	if l.closing.Load() { // Close has found no stream
		return true, nil
	}
	err = l.read(ctx, s)
	if broken := s.Err(); broken != nil {
		err = broken
	}
	if se, ok := errors.AsType[*stream.Error](err); ok && !se.Remote {
		s.Fail(se)
	}
	return true, err
}

// negotiate opens the stream and proves that we know the secret (XEP-0114 §3).
func (l *Link) negotiate(s *stream.Stream, deadline time.Time) error {
	if l.opts.TLS != nil {
		if err := s.ClientTLS(l.opts.TLS, deadline); err != nil {
			return err
		}
	}
	if err := s.SetReadDeadline(deadline); err != nil {
		return err
	}
	if err := s.SendHeader(stream.Header{To: l.self}); err != nil {
		return err
	}
	h, err := s.ReadHeader()
	if err != nil {
		return err
	}
	if h.ID == "" { // an error follows, if anything does
		if _, err := s.Next(); err != nil {
			return err
		}
		return errors.New("the server's stream has no id")
	}
	if err := checkContent(h); err != nil {
		if _, told := s.Next(); told != nil {
			if se, ok := errors.AsType[*stream.Error](told); ok && se.Remote {
				return told
			}
		}
		return err
	}
	if err := s.Send(handshakeElement(proof(h.ID, l.opts.Secret))); err != nil {
		return err
	}
	e, err := s.Next()
	if err != nil {
		return err
	}
	if !e.Is(stanza.NSClient, "handshake") {
		return fmt.Errorf("the server has answered the handshake with <%s/>", e.Name.Local)
	}
	return s.SetReadDeadline(time.Time{})
}

// begin lets stanzas pass, and asks those who were in rooms before whether they
// still are.
func (l *Link) begin(ctx context.Context, s *stream.Stream) {
	l.mu.Lock()
	l.stream.Store(s)
	farewells := l.farewells
	l.farewells = nil
	l.mu.Unlock()
	l.opts.Metrics.links.Inc()
	l.log.LogAttrs(ctx, slog.LevelInfo, "attached")
	for i := range farewells {
		l.sent(s.SendStanza(&farewells[i]))
	}
	l.check.up()
	if l.opts.OnAttached != nil {
		l.opts.OnAttached()
	}
}

func (l *Link) end(ctx context.Context) {
	l.mu.Lock()
	l.stream.Store(nil)
	l.mu.Unlock()
	l.opts.Metrics.links.Dec()
	l.log.LogAttrs(ctx, slog.LevelInfo, "detached")
	if !l.closing.Load() {
		l.check.down()
	}
}

// read handles what comes until the stream ends.
func (l *Link) read(ctx context.Context, s *stream.Stream) error {
	asked := uint64(0) // reads there were when the other side was asked for a sign of life; 0: it was not
	for {
		if err := s.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		e, err := s.Next()
		switch {
		case err == nil:
			asked = 0
			if err := l.take(ctx, e); err != nil {
				return err
			}
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case asked != 0 && asked == s.Reads():
			return fmt.Errorf("the server has been silent for %v", 2*silence)
		}
		asked = s.Reads()
		l.keepAlive(s)
	}
}

// keepAlive asks ourselves something through the other server, which thereby
// shows that it lives: it need not understand the question.
func (l *Link) keepAlive(s *stream.Stream) {
	ping := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, ID: keepAliveID, From: l.self, To: l.self}.With(stanza.NewElement(stanza.NSPing, "ping"))
	l.sent(s.SendStanza(&ping))
}

const keepAliveID = "muster-link"

// take handles one element. The other server is trusted with the addresses of
// everybody but those of our own domain.
func (l *Link) take(ctx context.Context, e *stanza.Element) error {
	st, ok, malformed := stanza.FromElement(e)
	if !ok {
		return &stream.Error{Condition: stream.UnsupportedStanzaType}
	}
	if malformed == nil {
		malformed = checkStanza(&st)
	}
	switch {
	case st.From.IsZero():
		l.opts.Metrics.drop(dropForged)
	case st.From.Domain() == l.self.Domain():
		if st.ID != keepAliveID {
			l.opts.Metrics.drop(dropForged)
		}
	case malformed != nil:
		l.refuse(&st, malformed)
	case st.To.Domain() != l.self.Domain():
		l.opts.Metrics.drop(dropMisaddressed)
		l.refuse(&st, stanza.NewError(stanza.Cancel, stanza.ItemNotFound, "There is no such domain here."))
	case !l.check.took(&st):
		l.handle(ctx, st)
	}
	return nil
}

// refuse answers st, unless it must not be answered.
func (l *Link) refuse(st *stanza.Stanza, err *stanza.Error) {
	if reply, ok := st.ErrorReply(err); ok {
		if reply.From.IsZero() {
			reply.From = l.self
		}
		l.Send(reply)
	}
}

// handle lets the rooms have a stanza. A panic costs no more than that.
func (l *Link) handle(ctx context.Context, st stanza.Stanza) {
	defer func() {
		if v := recover(); v != nil {
			l.opts.Metrics.panics.Inc()
			l.log.LogAttrs(ctx, slog.LevelError, "panic", slog.Any("panic", v), stack())
			l.refuse(&st, stanza.NewError(stanza.Cancel, stanza.InternalServerError, ""))
		}
	}()
	l.rooms.HandleShared(st)
}

// Send sends a stanza of the rooms to whomever it is addressed to.
func (l *Link) Send(st stanza.Stanza) {
	if st.To.Domain() == l.self.Domain() {
		l.rooms.HandleShared(st)
		return
	}
	if s := l.stream.Load(); s != nil {
		l.sent(s.SendStanza(&st))
		return
	}
	l.missed(st)
}

// sent counts what could not be sent. The stream ends itself then.
func (l *Link) sent(err error) {
	if err != nil {
		l.opts.Metrics.drop(dropSlow)
	}
}

// missed takes what is sent while the link is down. Most of it is for people who
// are asked later whether they are still there, or are told that they are not.
func (l *Link) missed(st stanza.Stanza) {
	if isFarewell(&st) && l.keep(st) {
		return
	}
	l.opts.Metrics.drop(dropLinkDown)
}

func (l *Link) keep(st stanza.Stanza) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.stream.Load(); s != nil { // it came meanwhile
		l.sent(s.SendStanza(&st))
		return true
	}
	if l.closing.Load() || len(l.farewells) >= maxFarewells {
		return false
	}
	l.farewells = append(l.farewells, st)
	return true
}

// Target returns where the stanzas of an occupant's session go: through whatever
// connection there is at the moment.
func (l *Link) Target(full jid.JID) stanza.Target {
	return &linkTarget{link: l, jid: full, to: stream.StanzaTo(full)}
}

type linkTarget struct {
	link *Link
	jid  jid.JID
	to   string // escaped
}

// Deliver queues what has been encoded for all recipients at once.
func (t *linkTarget) Deliver(batch []*stanza.Encoded) {
	if s := t.link.stream.Load(); s != nil {
		if err := s.Deliver(batch, t.to); err != nil {
			t.link.opts.Metrics.dropped.WithLabelValues(dropSlow).Add(float64(len(batch)))
		}
		return
	}
	for _, e := range batch {
		if st, ok := e.Missed(t.jid); ok {
			t.link.missed(st)
		}
	}
}

// Attached reports whether the link carries stanzas.
func (l *Link) Attached() bool { return l.stream.Load() != nil }

// Close ends the link in good order: what the rooms have said goes out before
// the stream is closed. Run returns soon after.
func (l *Link) Close() {
	l.mu.Lock()
	l.closing.Store(true)
	s, cancel := l.stream.Load(), l.cancel
	l.mu.Unlock()
	switch {
	case s != nil:
		s.Close()
	case cancel != nil:
		cancel()
	}
}

func pingID(n uint64) string { return "muster-there-" + strconv.FormatUint(n, 36) }
