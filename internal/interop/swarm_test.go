package interop_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

var (
	hostileN    = flag.Int("hostile.n", 100_000, "hostile stanzas that TestSwarm sends; the environment's MUSTER_HOSTILE_N counts first")
	hostileSeed = flag.Uint64("hostile.seed", 0, "seed of TestSwarm; 0: another one each time")
)

const (
	swarmConnections = 240
	swarmBatch       = 25 // stanzas that a client sends at once
	// afterwards is by how many KiB more the server may be resident when the
	// swarm has gone.
	afterwards = 48 << 10
)

// swarm is an attack by many at once.
type swarm struct {
	*siege
	plain string // address of the listener without TLS
	seed  uint64
	left  atomic.Int64 // stanzas to be sent
	sent  atomic.Int64
	ended atomic.Int64 // streams that the server or a mistake of its own has ended
}

// TestSwarm: hundreds of connections send whatever comes to their minds. The
// server stays up, nothing in it panics, clients that behave lose nothing and
// wait for nothing, and when all is over it is as large as it was.
func TestSwarm(t *testing.T) {
	n := *hostileN
	if text := os.Getenv("MUSTER_HOSTILE_N"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("MUSTER_HOSTILE_N: %v", err)
		}
	}
	s := &swarm{siege: newSwarmHost(t), seed: *hostileSeed}
	s.plain = s.second
	if s.seed == 0 {
		s.seed = rand.Uint64()
	}
	t.Logf("%d stanzas, -hostile.seed=%d", n, s.seed)
	s.left.Store(int64(n))
	for i := range attackers {
		s.addUser(t, attackerName(i))
	}
	talks := []*talk{newTalk(t, s.host, "talker", "listener"), newTalk(t, s.host, "listener", "talker")}
	s.warmUp(t)
	before := s.level(t)

	began := time.Now()
	loris := s.slowLoris(t)
	var wg sync.WaitGroup
	for i := range swarmConnections {
		wg.Go(func() { s.attack(i) })
	}
	wg.Wait()
	t.Logf("sent %d stanzas in %v; %d streams ended", s.sent.Load(), time.Since(began).Round(time.Second), s.ended.Load())
	if s.sent.Load() < int64(n) {
		t.Errorf("%d of %d stanzas were sent", s.sent.Load(), n)
	}
	s.logSeries(t, "muster_stream_errors_total", "muster_c2s_connections_ended_total", "muster_c2s_stanzas_total", "_refus", "_drop")
	taken := 0.0
	for _, kind := range []string{"message", "presence", "iq"} {
		taken += s.count(t, `muster_c2s_stanzas_total{kind="`+kind+`"}`)
	}
	if taken < 0.8*float64(n) { // some clients stop reading, and what a mistake follows is not counted
		t.Errorf("the server has seen %v of %d stanzas", taken, n)
	}
	for _, w := range talks {
		w.check(t)
	}
	s.witness.check(t)
	loris()
	s.checkLevel(t, before)
	for _, series := range []string{"muster_c2s_panics_total", "muster_router_panics_total", `muster_muc_panics_total{service="conference.localhost"}`} {
		if got := s.count(t, series); got != 0 {
			t.Errorf("%s is %v", series, got)
		}
	}
	if log := s.stderr.String(); strings.Contains(log, "panic") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the server complains:\n%.4000s", log)
	} else if len(log) > 1<<20 {
		t.Errorf("the log has %d bytes:\n%.2000s", len(log), log)
	}
}

// level is how much of the machine a server uses.
type level struct {
	connections, goroutines, files float64
	resident                       int
}

func (s *siege) level(t *testing.T) level {
	return level{
		connections: s.count(t, "muster_c2s_connections"), goroutines: s.count(t, "go_goroutines"),
		files: s.count(t, "process_open_fds"), resident: s.memory(t, "VmRSS"),
	}
}

// checkLevel waits until the server uses no more than before, or a little.
func (s *siege) checkLevel(t *testing.T, before level) {
	t.Helper()
	var now level
	if !within(t, time.Minute, func() bool {
		now = s.level(t)
		return now.connections <= before.connections && now.goroutines <= before.goroutines+8 &&
			now.files <= before.files+8 && now.resident <= before.resident+afterwards
	}) {
		t.Errorf("before: %+v\nafter:  %+v", before, now)
		return
	}
	t.Logf("before %+v, after %+v", before, now)
}

// attack is one client after the other until enough was sent.
func (s *swarm) attack(i int) {
	n := &nasty{Rand: rand.New(rand.NewPCG(s.seed, uint64(i))), name: attackerName(i % attackers), rooms: 60} //nolint:gosec // chance that can be repeated
	for life := 0; s.left.Load() > 0; life++ {
		s.live(n, i, life)
		s.ended.Add(1)
	}
}

// live is one connection from its beginning to its end.
func (s *swarm) live(n *nasty, i, life int) {
	conn, err := net.Dial("tcp", s.plain)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
	if i%12 == 0 { // never logs in
		_, _ = io.WriteString(conn, n.pick("", hello)+n.pick(n.malformed(), n.message()))
		s.left.Add(-1)
		s.sent.Add(1)
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	if login(conn, n.name, fmt.Sprint(i)) != nil {
		return
	}
	over, answered := make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(over)
		if i%20 != 1 { // or reads nothing
			readAnswers(conn, answered)
		}
	}()
	defer func() {
		// To close with something unread would be a reset, which takes what the
		// server has not read yet with it.
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		<-over
		_, _ = io.Copy(io.Discard, conn)
	}()
	for lives := 1 + n.IntN(400); lives > 0; lives-- {
		k := s.claim()
		if k == 0 {
			return
		}
		var batch strings.Builder
		fatal := false
		wrote := int64(0)
		for ; wrote < k && !fatal; wrote++ {
			var xml string
			xml, fatal = n.next()
			batch.WriteString(xml)
		}
		s.left.Add(k - wrote) // somebody else sends them
		if _, err := io.WriteString(conn, batch.String()); err != nil {
			s.left.Add(wrote)
			return
		}
		s.sent.Add(wrote)
		if fatal {
			return
		}
		if i%4 != 0 && i%20 != 1 { // or floods
			_, _ = io.WriteString(conn, "<iq type='get' to='localhost' id='"+syncID+"'><ping xmlns='urn:xmpp:ping'/></iq>")
			select {
			case <-answered:
			case <-over:
				return
			}
		}
	}
}

// claim takes at most a batch of what is left to be sent, and never more: what
// is given back later must be there for somebody.
func (s *swarm) claim() int64 {
	for {
		left := s.left.Load()
		k := min(left, swarmBatch)
		if k <= 0 {
			return 0
		}
		if s.left.CompareAndSwap(left, left-k) {
			return k
		}
	}
}

// syncID is the id of a request that a client waits for.
const syncID = "are-you-there"

// readAnswers reads until the connection ends and says when a request with id
// syncID was answered.
func readAnswers(conn net.Conn, answered chan<- struct{}) {
	buf := make([]byte, 32<<10)
	for kept := 0; ; {
		n, err := conn.Read(buf[kept:])
		if err != nil {
			return
		}
		data := buf[:kept+n]
		if bytes.Contains(data, []byte(syncID)) {
			answered <- struct{}{}
			kept = 0
			continue
		}
		kept = copy(buf, data[max(0, len(data)-len(syncID)):])
	}
}

// login binds a resource with PLAIN, in the clear.
func login(conn net.Conn, name, resource string) error {
	for _, step := range [][2]string{
		{hello, "</stream:features>"},
		{auth("PLAIN", b64("\x00"+name+"\x00secret-"+name)), "<success "},
		{hello, "</stream:features>"},
		{"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" + resource + "</resource></bind></iq>", "</iq>"},
	} {
		if _, err := io.WriteString(conn, step[0]); err != nil {
			return err
		}
		var got []byte
		for buf := make([]byte, 4096); !strings.Contains(string(got), step[1]); {
			n, err := conn.Read(buf)
			if err != nil {
				return err
			}
			if got = append(got, buf[:n]...); len(got) > 1<<16 {
				return errors.New("no end")
			}
		}
		if bytes.Contains(got, []byte(" type='error'")) {
			return fmt.Errorf("refused: %s", got)
		}
	}
	return nil
}

// slowLoris opens connections that get nowhere, as slowly as they can. What it
// returns waits until all of them have been ended for that.
func (s *swarm) slowLoris(t *testing.T) (check func()) {
	t.Helper()
	const each = 10
	clientHello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" // of 512 bytes more
	kinds := []struct{ name, addr, first, drip string }{
		{"nothing", s.plain, "", ""},
		{"a byte at a time", s.plain, "", hello},
		{"half a header", s.plain, hello[:60], ""},
		{"white space", s.plain, hello, " "},
		{"half a stanza", s.plain, hello + "<auth ", ""},
		{"a stanza a byte at a time", s.plain, hello, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"},
		{"half a challenge", s.plain, hello + auth("SCRAM-SHA-1", b64("n,,n=mallory,r=x")), ""},
		{"half a handshake", s.addr, hello + startTLS, clientHello},
		{"authenticated", s.plain, hello + auth("PLAIN", b64("\x00mallory0\x00secret-mallory0")), ""},
	}
	var wg sync.WaitGroup
	for _, kind := range kinds {
		for range each {
			wg.Go(func() {
				began := time.Now()
				if err := drip(kind.addr, kind.first, kind.drip); err != nil || time.Since(began) > 3*time.Minute {
					t.Errorf("%s: ended with %v after %v", kind.name, err, time.Since(began))
				}
			})
		}
	}
	return wg.Wait
}

// drip sends first and then a byte of text now and then, until the server ends
// the connection.
func drip(addr, first, text string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(4 * time.Minute))
	over := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, conn)
		over <- err
	}()
	_, _ = io.WriteString(conn, first)
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case err := <-over:
			if errors.Is(err, syscall.ECONNRESET) {
				err = nil
			}
			return err
		case <-tick.C:
		}
		if text != "" && i < 8*len(text) {
			_, _ = io.WriteString(conn, text[i%len(text):][:1])
		}
	}
}

// warmUp lets the server meet each attacker once, so that what it keeps for
// accounts that are known is there before it is measured.
func (s *swarm) warmUp(t *testing.T) {
	t.Helper()
	for i := range attackers {
		conn, err := net.Dial("tcp", s.plain)
		if err != nil {
			t.Fatal(err)
		}
		if err := login(conn, attackerName(i), "warm"); err != nil {
			t.Fatalf("%s does not get in: %v", attackerName(i), err)
		}
		_ = conn.Close()
	}
}

// talk is one person who writes to another all the time, and that one, who
// misses nothing and gets nothing twice.
type talk struct {
	from, to *client.Client
	heard    chan int
	over     chan struct{}
	stop     chan struct{}
	err      error // once over is closed
	messages int
	worst    time.Duration
}

func newTalk(t *testing.T, h *host, from, to string) *talk {
	t.Helper()
	w := &talk{heard: make(chan int, 1024), over: make(chan struct{}), stop: make(chan struct{})}
	connect := func(name string, handle func(stanza.Stanza)) *client.Client {
		var self atomic.Pointer[client.Client]
		c, err := h.connect(t, name, client.Options{Resource: "talk-" + from, Handler: func(st stanza.Stanza) {
			if st.IsRequest() {
				if c := self.Load(); c != nil {
					_ = c.Send(st.Result(nil)) // whoever asked
				}
			}
			handle(st)
		}})
		if err != nil {
			t.Fatal(err)
		}
		self.Store(c)
		return c
	}
	w.from = connect(from, func(stanza.Stanza) {})
	w.to = connect(to, func(st stanza.Stanza) {
		if st.Kind != stanza.Message || st.From.Bare() != w.from.JID().Bare() {
			return
		}
		n, err := strconv.Atoi(st.Body())
		if err != nil {
			n = -1 // not what was written
		}
		w.heard <- n
	})
	go w.run()
	t.Cleanup(func() {
		select {
		case <-w.over:
		default:
			close(w.stop)
			<-w.over
		}
		_ = w.from.Close()
		_ = w.to.Close()
	})
	return w
}

// run writes a few messages at a time and waits for them.
func (w *talk) run() {
	defer close(w.over)
	const burst = 4
	for n := 0; ; n += burst {
		select {
		case <-w.stop:
			return
		default:
		}
		began := time.Now()
		for i := range burst {
			st := stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeChat, To: w.to.JID()}.With(
				stanza.NewElement(stanza.NSClient, "body").AddText(strconv.Itoa(n + i)))
			if w.err = w.from.Send(st); w.err != nil {
				return
			}
		}
		timer := time.NewTimer(3 * patience)
		for i := range burst {
			select {
			case got := <-w.heard:
				if got != n+i {
					w.err = fmt.Errorf("got message %d, want %d", got, n+i)
					return
				}
			case <-timer.C:
				w.err = fmt.Errorf("message %d does not come", n+i)
				return
			}
		}
		w.worst = max(w.worst, time.Since(began))
		w.messages += burst
		timer.Reset(5 * time.Millisecond)
		<-timer.C
	}
}

// check ends the talk, of which nothing may have been lost.
func (w *talk) check(t *testing.T) {
	t.Helper()
	select {
	case <-w.over:
	default:
		close(w.stop)
		<-w.over
	}
	t.Logf("%s wrote %d messages to %s, the slowest took %v", w.from.JID(), w.messages, w.to.JID(), w.worst.Round(time.Millisecond))
	if w.err != nil || w.messages == 0 {
		t.Errorf("%s to %s: %v after %d messages", w.from.JID(), w.to.JID(), w.err, w.messages)
	}
}
