package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

const (
	hello = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>"

	startTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

	// patience bounds each wait for something that must happen: it is for who
	// waits in vain, and long enough for a machine with much else to do.
	patience = time.Minute
	// standstill is how long the witness must never wait.
	standstill = 15 * time.Second
	// headroom is by how many KiB the server's resident memory may rise above
	// what it was when an attack began, at any moment of it.
	headroom = 16 << 10
)

// siege is a server under attack and somebody who behaves, connected
// throughout.
type siege struct {
	*host
	metrics string // URL
	second  string // address of another listener, without TLS; "" if there is none
	witness *witness
}

func newSiege(t *testing.T) *siege {
	t.Helper()
	return startSiege(t, `[modules.mod_muc]
max_user_conferences = 100000
history_size = 20
[modules.mod_muc.default_room]
moderated = false
`)
}

// newSwarmHost is a siege with a listener that needs no TLS, for attackers whose
// own cost must be low.
func newSwarmHost(t *testing.T) *siege {
	t.Helper()
	second := freePort(t)
	s := startSiege(t, "[[listen.c2s]]\nport = "+second+`
ip_address = "127.0.0.1"
tls.mode = "none"
[auth]
allow_plain_without_tls = true
[storage]
durability = "process"
[modules.mod_muc]
max_user_conferences = 100000
history_size = 20
[modules.mod_muc.default_room]
moderated = false
allow_multiple_sessions = true
`)
	s.second = "127.0.0.1:" + second
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func startSiege(t *testing.T, more string) *siege {
	t.Helper()
	port := freePort(t)
	s := &siege{metrics: "http://127.0.0.1:" + port + "/metrics"}
	s.host = newHost(t, "[[listen.http]]\nport = "+port+"\n"+more)
	s.start(t)
	for _, name := range []string{"witness", "mallory", "talker", "listener"} {
		s.addUser(t, name)
	}
	s.witness = newWitness(t, s.host)
	return s
}

// series calls each with every series of /metrics and its value.
func (s *siege) series(t *testing.T, each func(name string, value float64)) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.metrics, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		n, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		each(line[:i], n)
	}
}

// count returns the value of a series, zero if there is none yet.
func (s *siege) count(t *testing.T, series string) (value float64) {
	t.Helper()
	s.series(t, func(name string, v float64) {
		if name == series {
			value = v
		}
	})
	return value
}

// logSeries logs the series with one of parts in their names that are not 0.
func (s *siege) logSeries(t *testing.T, parts ...string) {
	t.Helper()
	var list []string
	s.series(t, func(name string, v float64) {
		if v != 0 && slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(name, p) }) {
			list = append(list, fmt.Sprint(name, " ", v))
		}
	})
	t.Log(strings.Join(list, "\n"))
}

// memory returns a line of the server's /proc/PID/status in KiB.
func (s *siege) memory(t *testing.T, name string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), name+":")
	kib, err := strconv.Atoi(strings.Fields(rest + " none")[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

// suffer runs one attack and checks what it may do to the server: the counters
// move by so much, its connections go, memory was bounded all the time, and the
// witness has noticed nothing.
func (s *siege) suffer(t *testing.T, counters map[string]float64, attack func()) {
	t.Helper()
	const connections = "muster_c2s_connections"
	before := map[string]float64{connections: s.count(t, connections)}
	for series := range counters {
		before[series] = s.count(t, series)
	}
	resident := s.memory(t, "VmRSS")
	// 5 makes VmHWM, the greatest VmRSS ever, begin anew: proc_pid_clear_refs(5).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	attack()
	for series, was := range before {
		want, got := was+counters[series], 0.0
		if !eventually(t, func() bool { got = s.count(t, series); return got == want }) {
			t.Errorf("%s went from %v to %v, want %v", series, was, got, want)
		}
	}
	if peak := s.memory(t, "VmHWM"); peak > resident+headroom {
		t.Errorf("resident memory rose from %d to %d KiB", resident, peak)
	}
	s.witness.check(t)
}

// eventually reports whether ok became true in time.
func eventually(t *testing.T, ok func() bool) bool {
	t.Helper()
	return within(t, patience, ok)
}

func within(t *testing.T, limit time.Duration, ok func() bool) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// witness is a client that behaves: it pings itself and talks to itself in a
// room, all the time.
type witness struct {
	c     *client.Client
	said  chan string // own room messages
	gone  chan string // nicknames that have left the room
	beats atomic.Int64
	worst atomic.Int64 // duration of the slowest beat
	over  chan struct{}
	err   error // of the beat that failed, once over is closed
}

func newWitness(t *testing.T, h *host) *witness {
	t.Helper()
	w := &witness{said: make(chan string, 16), gone: make(chan string, 16), over: make(chan struct{})}
	entered := make(chan struct{}, 1)
	var self atomic.Pointer[client.Client]
	c, err := h.connect(t, "witness", client.Options{Resource: "a", Handler: func(st stanza.Stanza) {
		switch {
		case st.IsRequest():
			answer := st.Result(nil)
			if c := self.Load(); c != nil {
				_ = c.Send(answer) // the beat that waits for it fails
			}
		case st.From.Bare().String() != "square@conference.localhost": // somebody wants attention
		case st.Kind == stanza.Message && st.Body() != "":
			w.said <- st.Body()
		case st.Type == stanza.TypeUnavailable:
			w.gone <- st.From.Resource()
		case st.Kind == stanza.Presence && st.From.Resource() == "Witness":
			entered <- struct{}{}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.c = c
	self.Store(c)
	a := &actor{t: t, c: c}
	a.send("<presence to='square@conference.localhost/Witness'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	select {
	case <-entered:
	case <-time.After(patience):
		t.Fatal("the witness does not get into its room")
	}
	a.request("<iq type='set' to='square@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
	ctx, cancel := context.WithCancel(context.Background())
	go w.live(ctx)
	t.Cleanup(func() {
		cancel()
		<-w.over
	})
	return w
}

// live beats until ctx ends or a beat fails.
func (w *witness) live(ctx context.Context) {
	defer close(w.over)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		if err := w.beat(ctx); err != nil {
			w.err = err
			return
		}
		w.worst.Store(max(w.worst.Load(), int64(time.Since(began))))
		w.beats.Add(1)
	}
}

// beat is a ping to itself and a message that comes back from the room.
func (w *witness) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ping := stanza.Stanza{Kind: stanza.IQ, Type: stanza.TypeGet, To: w.c.JID()}.With(stanza.NewElement("urn:xmpp:ping", "ping"))
	if _, err := w.c.IQ(ctx, ping); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	body := strconv.FormatInt(w.beats.Load(), 10)
	st, err := stanza.Parse([]byte("<message type='groupchat' to='square@conference.localhost'><body>" + body + "</body></message>"))
	if err == nil {
		err = w.c.Send(st)
	}
	if err != nil {
		return err
	}
	select {
	case got := <-w.said:
		if got != body {
			return fmt.Errorf("the room says %q instead of %q", got, body)
		}
		return nil
	case <-w.c.Done():
		return w.c.Err()
	case <-ctx.Done():
		return fmt.Errorf("the room is silent: %w", ctx.Err())
	}
}

// check waits for a beat that began after now, and fails if one was missed or
// slow.
func (w *witness) check(t *testing.T) {
	t.Helper()
	seen := w.beats.Load()
	over := func() bool {
		select {
		case <-w.over:
			return true
		default:
			return false
		}
	}
	if !eventually(t, func() bool { return over() || w.beats.Load() >= seen+2 }) || over() {
		t.Fatalf("the witness has noticed: %v", w.err)
	}
	if worst := time.Duration(w.worst.Swap(0)); worst > standstill {
		t.Errorf("the witness had to wait for %v", worst)
	}
}

// stage is how far a peer gets in good order before it shows its face.
type stage int

const (
	fresh         stage = iota // connected
	opened                     // stream features received in the clear
	secured                    // the same under TLS
	authenticated              // the same after SASL
	bound                      // with a resource
)

// peer is a hostile client.
type peer struct {
	t    *testing.T
	tcp  *net.TCPConn
	conn net.Conn // tcp, or TLS on it
}

// peer connects and goes as far as stage.
func (s *siege) peer(t *testing.T, to stage) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, tcp: conn.(*net.TCPConn), conn: conn}
	if to >= opened {
		p.ask(hello, "</stream:features>")
	}
	if to >= secured {
		p.ask(startTLS, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		p.conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) // not what is tested here
		p.ask(hello, "</stream:features>")
	}
	if to >= authenticated {
		p.ask(plain("secret-mallory"), "<success ")
		p.ask(hello, "</stream:features>")
	}
	if to >= bound {
		p.ask("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>")
	}
	return p
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// auth is <auth/> with an initial response.
func auth(mechanism, response string) string {
	return "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='" + mechanism + "'>" + response + "</auth>"
}

// plain authenticates mallory.
func plain(password string) string { return auth("PLAIN", b64("\x00mallory\x00"+password)) }

// send sends data that the server must take.
func (p *peer) send(data string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, data); err != nil {
		p.t.Fatalf("send %.100q: %v", data, err)
	}
}

// ask sends data and reads up to the end of want, which must come.
func (p *peer) ask(data, want string) string {
	p.t.Helper()
	p.send(data)
	var got []byte
	for one := make([]byte, 1); !bytes.Contains(got, []byte(want)); got = append(got, one...) {
		if _, err := io.ReadFull(p.conn, one); err != nil {
			p.t.Fatalf("%.100q: got %s, then %v; want %s", data, got, err, want)
		}
	}
	return string(got)
}

// flood writes block as many times as it can but no more than times, while it
// reads what the server has to say, until the connection ends.
func (p *peer) flood(block []byte, times int) (answer string, sent int) {
	p.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sent < times {
			if _, err := p.conn.Write(block); err != nil {
				return // the server has had enough
			}
			sent++
		}
	}()
	got, err := io.ReadAll(p.conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.t.Errorf("the connection did not end: %v after %.300q", err, got)
	}
	_ = p.tcp.Close() // ends the writing, too
	<-done
	return string(got), sent
}
