// Package stream is one XML stream over one connection, server or client side
// (RFC 6120 §4): header, first-level elements, TLS, restart, write queue,
// stream errors. One goroutine, its owner's, reads; any goroutine sends, and
// sending never waits. A goroutine of the stream's own exists only while there
// is something to write.
package stream

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/muster-im/muster/internal/xmlstream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// Options configure a Stream; zero fields are defaults.
type Options struct {
	Metrics      *Metrics
	MaxStanza    int           // bytes of one first-level element; default 256 KiB
	QueueBytes   int           // bytes that may wait to be written; default 2 MiB
	WriteTimeout time.Duration // for each 64 KiB; default 30 s
	CloseTimeout time.Duration // for the peer to close after we have; default 2 s
	Content      string        // content namespace of our header; default jabber:client
	// Trace, if set, is told what is received and sent, in whole elements, from
	// the goroutines that read and write. It does not keep data.
	Trace func(direction string, data []byte)
	From  jid.JID // who speaks if an error comes before our header (RFC 6120 §4.9.1.2)
}

const (
	// maxBlank bounds the white space between two elements: keep-alives of years.
	maxBlank          = 1 << 20
	readSize          = 8 << 10
	readSizeTLS       = 1 << 10 // held while waiting; TLS reads its records whole all the same
	defaultQueue      = 2 << 20
	defaultWriteLimit = 30 * time.Second
	defaultCloseLimit = 2 * time.Second
)

// Stream is one XML stream.
type Stream struct {
	// Set at construction.
	opts    Options
	base    net.Conn // beneath TLS
	metrics *Metrics
	wg      sync.WaitGroup
	queue   writeQueue

	// Owned by the reader.
	conn   net.Conn // base, or TLS on it
	raw    syscall.RawConn
	framer *xmlstream.Framer
	scope  *stanza.Scope
	in     []byte  // read and not yet framed
	inBuf  *[]byte // what in is part of; nil while nothing is left
	tls    bool
	root   string // name of the peer's root element, as written
	blank  int    // white space since the last frame
	pacer  Pacer  // nil: nobody holds the reader back
	unpaid int    // bytes read that pacer has not heard of
	count  uint64 // reads that brought something

	mu sync.Mutex
	// Guarded by mu.
	opened   bool   // our header has been sent
	answer   Header // what our header says if an error comes before it: as the last one
	closing  bool
	linger   *time.Timer
	shutOnce sync.Once
}

// New returns a stream over conn, which it owns from now on.
func New(conn net.Conn, o Options) *Stream {
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = defaultQueue
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = defaultWriteLimit
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = defaultCloseLimit
	}
	s := &Stream{
		opts: o, base: conn, conn: conn, metrics: o.Metrics,
		framer: xmlstream.NewFramer(xmlstream.Limits{MaxBytes: o.MaxStanza}),
		answer: Header{From: o.From, Version: "1.0", Lang: "en"},
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			s.raw = raw
			sendLittleAhead(raw)
		}
	}
	s.queue = writeQueue{
		max: o.QueueBytes, timeout: o.WriteTimeout, wg: &s.wg, metrics: o.Metrics,
		conn: conn, raw: s.raw, onError: func(error) { s.abort() }, trace: o.Trace,
	}
	return s
}

// What Linux calls TCP_NOTSENT_LOWAT.
const tcpNotSentLowat = 25

// sendLittleAhead lets the kernel hold no more than a part beyond what the peer
// can take now. Otherwise it would keep megabytes for a peer that does not read,
// and say very late that one which reads slowly has read something.
func sendLittleAhead(raw syscall.RawConn) {
	if runtime.GOOS != "linux" {
		return
	}
	_ = raw.Control(func(fd uintptr) { // it works without
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, writePart)
	})
}

// RemoteAddr returns the peer's network address.
func (s *Stream) RemoteAddr() net.Addr { return s.base.RemoteAddr() }

// SetReadDeadline makes reading fail with os.ErrDeadlineExceeded from t on;
// zero is never.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// SetLimits changes the size of the largest element that is accepted.
func (s *Stream) SetLimits(maxStanza int) {
	s.opts.MaxStanza = maxStanza
	s.framer.SetLimits(xmlstream.Limits{MaxBytes: maxStanza})
}

// Pacer holds a reader back, and thereby the peer: the network waits as well.
type Pacer interface {
	// Pace is called after n bytes have been read and before more are. It may
	// wait.
	Pace(n int)
}

// SetPacer gives the reader a pacer, before it reads anything.
func (s *Stream) SetPacer(p Pacer) { s.pacer = p }

// ReadHeader reads the peer's header. What the peer does wrong is a *Error;
// the header then holds what could be read.
func (s *Stream) ReadHeader() (Header, error) {
	frame, err := s.NextFrame()
	if err != nil {
		return Header{}, err
	}
	if frame.Kind != xmlstream.FrameHeader {
		return Header{}, &Error{Condition: BadFormat, Text: "The stream has no header."}
	}
	if end := bytes.IndexAny(frame.Data, " \t\r\n>"); end > 0 {
		s.root = string(frame.Data[1:end])
	}
	h, scope, err := parseHeader(frame)
	s.scope = scope
	return h, err
}

// Next reads the next first-level element; io.EOF after the peer has closed the
// stream. What the peer does wrong, and a stream error that it sends, is a
// *Error.
//
// It waits by itself and not somewhere below NextFrame: an idle connection has
// its stack for as long as it is idle, and one of 4 KiB must do.
func (s *Stream) Next() (*stanza.Element, error) {
	for {
		if e, err := s.element(); e != nil || err != nil {
			return e, err
		}
		if err := s.more(); err != nil {
			return nil, err
		}
	}
}

// element parses the next first-level element; nil if it is not complete.
func (s *Stream) element() (*stanza.Element, error) {
	frame, err := s.frame()
	if err != nil || frame.Kind == xmlstream.FrameNone {
		return nil, err
	}
	return s.Parse(frame)
}

// NextFrame is Next without parsing: the frame's data are valid until the next
// call.
func (s *Stream) NextFrame() (xmlstream.Frame, error) {
	for {
		frame, err := s.frame()
		if err != nil || frame.Kind != xmlstream.FrameNone {
			return frame, err
		}
		if err := s.more(); err != nil {
			return xmlstream.Frame{}, err
		}
	}
}

// Parse parses what NextFrame has returned.
func (s *Stream) Parse(frame xmlstream.Frame) (*stanza.Element, error) {
	if frame.Kind != xmlstream.FrameElement {
		return nil, &Error{Condition: BadFormat, Text: "A second stream header."}
	}
	e, err := stanza.ParseElement(frame, s.scope)
	if err != nil {
		return nil, fromXML(err)
	}
	if e.Is(stanza.NSStream, "error") {
		return nil, parseError(e)
	}
	return e, nil
}

// frame returns the next frame of what has been read; io.EOF for the peer's end
// tag.
func (s *Stream) frame() (xmlstream.Frame, error) {
	if len(s.in) == 0 {
		return xmlstream.Frame{}, nil
	}
	frame, n, err := s.framer.Next(s.in)
	s.in = s.in[n:]
	if s.blank += n; frame.Kind != xmlstream.FrameNone || s.framer.Partial() {
		s.blank = 0
	}
	if s.opts.Trace != nil && err == nil && frame.Kind != xmlstream.FrameNone {
		s.opts.Trace(Received, frame.Data)
	}
	switch {
	case s.blank > maxBlank:
		return frame, &Error{Condition: PolicyViolation, Text: "Too much white space."}
	case err != nil:
		return frame, fromXML(err)
	case frame.Kind != xmlstream.FrameClose:
		return frame, nil
	}
	if name := bytes.TrimRight(frame.Data[len("</"):len(frame.Data)-1], " \t\r\n"); string(name) != s.root {
		return frame, &Error{Condition: NotWellFormed, Text: "The end tag is not that of the stream."}
	}
	return frame, io.EOF
}

// more waits until something has been read.
func (s *Stream) more() error {
	err := s.fill()
	if err == nil {
		return nil
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) { // by which the owner wakes the reader to end it
		s.afterClose()
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the stream was not closed
	}
	return err
}

// fill reads something into in. While it waits on plain TCP it holds no
// buffer: most connections are idle most of the time.
func (s *Stream) fill() error {
	s.releaseInput()
	if s.pacer != nil && s.unpaid > 0 {
		s.pacer.Pace(s.unpaid)
		s.unpaid = 0
	}
	var n int
	var err error
	if s.raw != nil {
		n, err = s.readRaw()
	} else {
		s.inBuf = s.takeInput()
		n, err = s.conn.Read(*s.inBuf)
	}
	if err != nil {
		s.releaseInput()
		return err
	}
	s.count++
	s.metrics.read.Add(float64(n))
	if s.pacer != nil {
		s.unpaid += n
	}
	s.in = (*s.inBuf)[:n]
	return nil
}

func (s *Stream) readRaw() (n int, err error) {
	rerr := s.raw.Read(func(fd uintptr) bool {
		s.inBuf = s.takeInput()
		for {
			n, err = syscall.Read(int(fd), *s.inBuf)
			if !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		if errors.Is(err, syscall.EAGAIN) {
			s.releaseInput()
			return false
		}
		return true
	})
	switch {
	case rerr != nil:
		return 0, rerr
	case err != nil:
		return 0, fmt.Errorf("read: %w", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// The read buffers of all streams.
//
//nolint:gochecknoglobals // scratch memory, not state
var (
	inputs    = sync.Pool{New: func() any { b := make([]byte, readSize); return &b }}
	inputsTLS = sync.Pool{New: func() any { b := make([]byte, readSizeTLS); return &b }}
)

// pool is where the stream's read buffers are from.
func (s *Stream) pool() *sync.Pool {
	if s.tls {
		return &inputsTLS
	}
	return &inputs
}

func (s *Stream) takeInput() *[]byte { return s.pool().Get().(*[]byte) } //nolint:errcheck,forcetypeassert // only []byte are in it

func (s *Stream) releaseInput() {
	if s.inBuf != nil {
		s.pool().Put(s.inBuf)
		s.inBuf, s.in = nil, nil
	}
}

// SendHeader sends our header.
func (s *Stream) SendHeader(h Header) error {
	h.Content = s.opts.Content
	s.mu.Lock()
	s.opened, s.answer = true, h
	s.mu.Unlock()
	return s.queue.append(512, h.appendXML)
}

// Send queues an element. It never waits.
func (s *Stream) Send(e *stanza.Element) error {
	return s.queue.append(256, func(dst []byte) []byte {
		return e.AppendXML(dst, stanza.NSClient)
	})
}

// SendStanza queues a stanza. It never waits.
func (s *Stream) SendStanza(st *stanza.Stanza) error {
	return s.queue.append(512, st.AppendXML)
}

// SendRaw queues bytes as they are.
func (s *Stream) SendRaw(data []byte) error {
	return s.queue.append(len(data), func(dst []byte) []byte { return append(dst, data...) })
}

// Reads returns how often something has come from the peer. For the reader.
func (s *Stream) Reads() uint64 { return s.count }

// Replay queues stanzas like Deliver, however many bytes that are: for what has
// been bounded elsewhere, on a stream that has just begun.
func (s *Stream) Replay(batch []*stanza.Encoded, to string) error { return s.queue.replay(batch, to) }

// Deliver queues stanzas for to, which is escaped for an attribute. It never
// waits, and does not keep batch.
func (s *Stream) Deliver(batch []*stanza.Encoded, to string) error { return s.queue.deliver(batch, to) }

// Gather lets what is queued wait for what comes next until the function that it
// returns is called: one write takes both. What is much, or waited for, is written
// in any case.
func (s *Stream) Gather() (release func()) {
	s.queue.hold()
	return s.queue.release
}

// Err returns why nothing can be written any more, such as ErrSlowConsumer; nil
// while it can.
func (s *Stream) Err() error {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.err
}

// Pressure returns nil while the peer takes what it is sent, else a channel that
// closes when it has taken most of it or the stream is broken. Who waits for it
// before he reads on lets the peer's own requests go no faster than it takes the
// answers.
func (s *Stream) Pressure() <-chan struct{} { return s.queue.pressure() }

// Flush waits until everything queued has been written, or cannot be.
func (s *Stream) Flush() { <-s.queue.drain() }

// StartTLS begins TLS as a server, after <proceed/> has been sent if proceed is
// set (RFC 6120 §5.4). Nothing but TLS may have been received behind
// <starttls/>: what came before the handshake is not protected by it. A line
// end, which some clients send, is harmless and dropped.
func (s *Stream) StartTLS(cfg *tls.Config, proceed bool, deadline time.Time) error {
	if len(bytes.TrimLeft(s.in, " \t\r\n")) > 0 || s.framer.Partial() {
		return &Error{Condition: PolicyViolation, Text: "Data was sent behind <starttls/> before the handshake."}
	}
	if proceed {
		if err := s.Send(stanza.NewElement(stanza.NSTLS, "proceed")); err != nil {
			return err
		}
		s.Flush()
	}
	return s.handshake(tls.Server(s.base, cfg), deadline)
}

// ClientTLS begins TLS as a client.
func (s *Stream) ClientTLS(cfg *tls.Config, deadline time.Time) error {
	if len(s.in) > 0 {
		return &Error{Condition: PolicyViolation, Text: "The server sent data before the handshake."}
	}
	s.Flush()
	return s.handshake(tls.Client(s.base, cfg), deadline)
}

func (s *Stream) handshake(conn *tls.Conn, deadline time.Time) error {
	if err := s.base.SetDeadline(deadline); err != nil {
		return err
	}
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	if err := s.base.SetDeadline(time.Time{}); err != nil {
		return err
	}
	s.releaseInput()
	s.conn, s.raw, s.tls = conn, nil, true
	s.queue.swap(conn, nil)
	s.Restart()
	return nil
}

// Restart makes the next thing read a header, after TLS and SASL.
func (s *Stream) Restart() {
	s.framer.Reset()
	s.scope = nil
	s.mu.Lock()
	s.opened = false
	s.mu.Unlock()
}

// TLS returns the state of TLS, nil on a plain connection.
func (s *Stream) TLS() *tls.ConnectionState {
	if c, ok := s.conn.(*tls.Conn); ok && s.tls {
		state := c.ConnectionState()
		return &state
	}
	return nil
}

// Fail sends a stream error and closes the stream (RFC 6120 §4.9). The first
// call of Fail and Close counts.
func (s *Stream) Fail(e *Error) { s.shut(e) }

// Close closes the stream in good order.
func (s *Stream) Close() { s.shut(nil) }

func (s *Stream) shut(e *Error) {
	s.shutOnce.Do(func() {
		s.mu.Lock()
		opened, answer := s.opened, s.answer
		s.opened, s.closing = true, true
		s.linger = time.AfterFunc(s.opts.CloseTimeout, s.cut)
		s.mu.Unlock()
		_ = s.queue.append(512, func(dst []byte) []byte { // a broken queue has told its owner
			if !opened { // an error still needs a header before it (RFC 6120 §4.9.1.2)
				answer.ID, answer.Content = rand.Text(), s.opts.Content
				dst = answer.appendXML(dst)
			}
			if e != nil {
				s.metrics.errors.WithLabelValues(string(e.Condition)).Inc()
				dst = appendStreamError(dst, e)
			}
			return append(dst, "</stream:stream>"...)
		})
		s.queue.end()
	})
}

// appendStreamError writes the error with the prefix that the header declared.
func appendStreamError(dst []byte, e *Error) []byte {
	dst = append(dst, "<stream:error>"...)
	for c := range e.element().Elements() {
		dst = c.AppendXML(dst, stanza.NSClient)
	}
	return append(dst, "</stream:error>"...)
}

// afterClose ends the connection once reading has ended: if we had closed the
// stream, nothing more is to be waited for.
func (s *Stream) afterClose() {
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	if closing {
		s.cut()
	}
}

// cut closes the connection at once.
func (s *Stream) cut() {
	_ = s.base.Close() // there is nobody left to tell
}

// abort ends the connection with a reset: the kernel throws away what a peer
// that does not read has not been sent, megabytes of it, which otherwise would
// stay for as long as the peer likes.
func (s *Stream) abort() {
	if tcp, ok := s.base.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // closed in any case
	}
	s.cut()
}

// Release closes the stream if that has not happened, lets what is queued go
// out for at most Options.CloseTimeout, frees everything, and returns when no
// goroutine of the stream runs any more. The reader calls it last.
func (s *Stream) Release() {
	s.Close()
	s.releaseInput()
	timer := time.NewTimer(s.opts.CloseTimeout)
	defer timer.Stop()
	select {
	case <-s.queue.drain():
	case <-timer.C:
		s.abort()
	}
	s.cut()
	s.wg.Wait()
	s.mu.Lock()
	s.linger.Stop()
	s.mu.Unlock()
}

// StanzaTo escapes an address for Deliver.
func StanzaTo(j jid.JID) string { return stanza.EscapeAttr(j.String()) }
