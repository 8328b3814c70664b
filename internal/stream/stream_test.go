package stream

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const opening = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>"

// pair returns a server's stream and the client's end of its connection.
func pair(o Options) (*Stream, net.Conn) {
	server, client := net.Pipe()
	return New(server, o), client
}

// TestPeerErrors holds which stream error answers which mistake (RFC 6120
// §4.9.3).
func TestPeerErrors(t *testing.T) {
	t.Parallel()
	head := func(s string) string {
		return "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' " + s + ">"
	}
	tests := []struct {
		name, in string
		want     Condition
	}{
		{"another root", "<foo xmlns='jabber:client'>", BadFormat},
		{"another namespace", "<stream:stream xmlns='jabber:client' xmlns:stream='u' to='x' version='1.0'>", InvalidNamespace},
		{"undeclared prefix", "<stream:stream xmlns='jabber:client'>", BadNamespacePrefix},
		{"version 0.9", head("xmlns='jabber:client' version='0.9'"), UnsupportedVersion},
		{"version of words", head("xmlns='jabber:client' version='one'"), UnsupportedVersion},
		{"malformed to", head("xmlns='jabber:client' to='a@@b' version='1.0'"), ImproperAddressing},
		{"malformed from", head("xmlns='jabber:client' from='@' version='1.0'"), InvalidFrom},
		{"other encoding", "<?xml version='1.0' encoding='latin1'?>", UnsupportedEncoding},
		{"garbage", "GET / HTTP/1.1\r\n\r\n", NotWellFormed},
		{"comment", opening + "<!-- x -->", RestrictedXML},
		{"not well-formed", opening + "<a></b>", NotWellFormed},
		{"too large", opening + "<message><body>" + strings.Repeat("x", 20_000), PolicyViolation},
		{"second header", opening + opening, RestrictedXML},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, client := pair(Options{MaxStanza: 10_000})
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = client.Write([]byte(test.in)) })
			_, err := s.ReadHeader()
			if err == nil {
				_, err = s.Next()
			}
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Condition != test.want {
				t.Errorf("%.80q: got %v, want %s", test.in, err, test.want)
			}
			_ = client.Close()
			s.Release()
			wg.Wait()
		})
	}
}

// TestErrorBeforeHeader: an error needs our header before it (RFC 6120
// §4.9.1.2).
func TestErrorBeforeHeader(t *testing.T) {
	t.Parallel()
	s, client := pair(Options{})
	var got []byte
	var wg sync.WaitGroup
	wg.Go(func() { got, _ = io.ReadAll(client) })
	s.Fail(&Error{Condition: HostUnknown, Text: "who <is> that"})
	s.Close() // only the first call counts
	s.Release()
	wg.Wait()
	for _, want := range []string{
		"<stream:stream ", "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", "who &lt;is&gt; that", "</stream:error></stream:stream>",
	} {
		if strings.Count(string(got), want) != 1 {
			t.Errorf("%q is not there once in %s", want, got)
		}
	}
}

func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, client := pair(Options{QueueBytes: 10_000})
		enc := []*stanza.Encoded{stanza.Encode(stanza.Stanza{
			Kind: stanza.Message, Children: []stanza.Node{{Text: strings.Repeat("x", 900)}},
		})}
		var err error
		for range 20 {
			if err = s.Deliver(enc, "a@b/c"); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrSlowConsumer) {
			t.Errorf("a peer that reads nothing: got %v", err)
		}
		if _, err := client.Write([]byte("x")); err == nil {
			t.Error("the connection is still open")
		}
		s.Release()
	})
}

// TestDeadPeer: a peer that takes nothing ends by the write timeout, and
// closing does not wait for it any longer.
func TestDeadPeer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, client := pair(Options{WriteTimeout: time.Minute, CloseTimeout: time.Second})
		start := time.Now()
		_ = s.SendRaw([]byte("hello"))
		s.Release()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the end took %v", took)
		}
		_ = client.Close()
	})
}

func TestOrder(t *testing.T) {
	t.Parallel()
	s, client := pair(Options{})
	const senders, each = 8, 200
	var wg sync.WaitGroup
	for n := range senders {
		wg.Go(func() {
			for i := range each {
				_ = s.SendRaw(fmt.Appendf(nil, "%d %d\n", n, i))
			}
		})
	}
	next := [senders]int{}
	lines := bufio.NewScanner(client)
	for range senders * each {
		lines.Scan()
		var n, i int
		if _, err := fmt.Sscan(lines.Text(), &n, &i); err != nil || next[n] != i {
			t.Fatalf("got %q, want message %d of this sender (%v)", lines.Text(), next[n], err)
		}
		next[n]++
	}
	wg.Wait()
	_ = client.Close()
	s.Release()
}

// TestInjection: what comes behind <starttls/> in the clear is never taken for
// protected (RFC 6120 §5.3.4).
func TestInjection(t *testing.T) {
	t.Parallel()
	s, client := pair(Options{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = client.Write([]byte(opening + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><iq type='set' id='1'/>"))
	})
	if _, err := s.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	err := s.StartTLS(&tls.Config{MinVersion: tls.VersionTLS12}, true, time.Now().Add(time.Second))
	if e, ok := errors.AsType[*Error](err); !ok || e.Condition != PolicyViolation {
		t.Errorf("got %v, want policy-violation", err)
	}
	_ = client.Close()
	s.Release()
	wg.Wait()
}

func TestRestartReadsANewHeader(t *testing.T) {
	t.Parallel()
	s, client := pair(Options{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = client.Write([]byte(opening + "<auth/>"))
		_, _ = client.Write([]byte(opening + "<presence/></stream:stream>"))
	})
	if _, err := s.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	h, err := s.ReadHeader()
	if err != nil || h.To != jid.MustParse("example.org") {
		t.Fatalf("got %+v, %v", h, err)
	}
	if e, err := s.Next(); err != nil || !e.Is(stanza.NSClient, "presence") {
		t.Errorf("got %v, %v", e, err)
	}
	if _, err := s.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end of the stream: got %v, want io.EOF", err)
	}
	_ = client.Close()
	s.Release()
	wg.Wait()
}

// loopback returns a stream and what its peer reads of it, over TCP.
func loopback(tb testing.TB) (*Stream, net.Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	return New(server, Options{}), client
}

// TestTCP reads over a real socket, where no buffer is held while idle, and
// closes in good order.
func TestTCP(t *testing.T) {
	t.Parallel()
	s, client := loopback(t)
	var got []byte
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = client.Write([]byte(opening))
		_, _ = client.Write([]byte("<message><body>" + strings.Repeat("y", 50_000) + "</body></message>"))
		got, _ = io.ReadAll(client)
		_ = client.Close()
	})
	if _, err := s.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Next(); err != nil || len(e.ChildText(stanza.NSClient, "body")) != 50_000 {
		t.Fatalf("got %v", err)
	}
	if s.inBuf != nil && len(s.in) == 0 {
		s.releaseInput()
	}
	_ = s.SendRaw([]byte(strings.Repeat("z", 1_000_000)))
	s.Release()
	wg.Wait()
	if n := strings.Count(string(got), "z"); n != 1_000_000 {
		t.Errorf("the peer got %d of 1000000 bytes", n)
	}
}

// BenchmarkFanOut is what docs/performance.md calls the bare fan-out: batches
// of 32 messages to 100 sockets, which somebody reads.
func BenchmarkFanOut(b *testing.B) {
	const peers, batch = 100, 32
	streams := make([]*Stream, peers)
	var wg sync.WaitGroup
	for i := range streams {
		s, client := loopback(b)
		streams[i] = s
		wg.Go(func() { _, _ = io.Copy(io.Discard, client) })
	}
	enc := make([]*stanza.Encoded, batch)
	for i := range enc {
		enc[i] = stanza.Encode(stanza.Stanza{
			Kind: stanza.Message, Type: stanza.TypeGroupchat, From: jid.MustParse("room@conference.example.org/somebody"), ID: "0123456789",
		}.With(stanza.NewElement(stanza.NSClient, "body").AddText(strings.Repeat("x", 100))))
	}
	b.ReportAllocs()
	before := cpu(b)
	n := 0
	for b.Loop() {
		for _, s := range streams {
			if err := s.Deliver(enc, "somebody@example.org/resource"); err != nil {
				b.Fatal(err)
			}
		}
		for _, s := range streams {
			s.Flush()
		}
		n += peers * batch
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(n), "cpu-ns/delivery")
	for _, s := range streams {
		s.Release()
	}
	wg.Wait()
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
