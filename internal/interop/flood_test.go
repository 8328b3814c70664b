package interop_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/client"
)

// TestFloods asks for too much of one thing at a time. Each has its limit, and
// the witness does not notice.
func TestFloods(t *testing.T) {
	s := newSwarmHost(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *siege)
	}{
		{"connections", floodConnections},
		{"logins", floodLogins},
		{"directed presence", floodDirected},
		{"rooms", floodRooms},
		{"history", floodHistory},
		{"answers", floodAnswers},
		{"contacts", floodContacts},
		{"sessions", floodSessions},
		{"resumption", floodResumption},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := s.level(t)
			test.run(t, s)
			s.witness.check(t)
			s.checkLevel(t, before)
		})
	}
}

// bind is a client in the clear on the second listener.
func (s *siege) bind(t *testing.T, name, resource string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", s.second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if err := login(conn, name, resource); err != nil {
		t.Fatalf("%s/%s does not get in: %v", name, resource, err)
	}
	return &peer{t: t, tcp: conn.(*net.TCPConn), conn: conn}
}

// pour sends n stanzas in good order and returns everything that comes back up
// to the answer to a request behind them.
func (p *peer) pour(n int, stanza func(i int) string) string {
	p.t.Helper()
	return p.pourTo("localhost", n, stanza)
}

// pourTo is pour with the request to somebody.
func (p *peer) pourTo(to string, n int, stanza func(i int) string) string {
	p.t.Helper()
	p.refresh()
	go func() {
		var batch strings.Builder
		for i := range n {
			batch.WriteString(stanza(i))
			if batch.Len() > 32<<10 {
				_, _ = io.WriteString(p.conn, batch.String()) // the answer says whether it arrived
				batch.Reset()
			}
		}
		_, _ = io.WriteString(p.conn, batch.String()+"<iq type='get' to='"+to+"' id='"+syncID+"'><ping xmlns='urn:xmpp:ping'/></iq>")
	}()
	var got strings.Builder
	buf := make([]byte, 64<<10)
	for tail := ""; !strings.Contains(tail, syncID); {
		k, err := p.conn.Read(buf)
		if err != nil {
			p.t.Fatalf("%v after %.500s", err, tail)
		}
		got.Write(buf[:k])
		text := got.String()
		tail = text[max(0, len(text)-k-len(syncID)):]
	}
	return got.String()
}

func (p *peer) refresh() { _ = p.conn.SetDeadline(time.Now().Add(time.Minute)) }

// floodConnections opens thousands of connections that say nothing.
func floodConnections(t *testing.T, s *siege) {
	const many = 2000
	resident := s.memory(t, "VmRSS")
	open := s.count(t, "muster_c2s_connections")
	conns := make([]net.Conn, 0, many)
	for i := range many {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "<stream:stream xmlns='jab")
		}
	}
	if !eventually(t, func() bool { return s.count(t, "muster_c2s_connections") == open+many }) {
		t.Errorf("%v connections, want %v", s.count(t, "muster_c2s_connections"), open+many)
	}
	if each := (s.memory(t, "VmRSS") - resident) / (many / 1000); each > 32<<10 {
		t.Errorf("a thousand silent connections take %d KiB", each)
	}
	s.witness.check(t)
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// floodLogins guesses passwords, of which each costs the server thousands of
// hashes, from many connections at once. Somebody else gets in meanwhile.
func floodLogins(t *testing.T, s *siege) {
	const guessers = 50
	var guesses atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range guessers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					guess(s.second, i)
					guesses.Add(1)
				}
			}
		})
	}
	began := time.Now()
	c, err := s.connect(t, "talker", client.Options{Resource: "late"})
	if err != nil {
		t.Errorf("no login among guesses: %v", err)
	} else {
		_ = c.Close()
	}
	t.Logf("a login took %v", time.Since(began).Round(time.Millisecond))
	s.witness.check(t)
	close(stop)
	wg.Wait()
	t.Logf("%d guesses", guesses.Load())
}

// guess tries three passwords.
func guess(addr string, i int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	name := "witness"
	if i%2 == 0 {
		name = "nobody" + strconv.Itoa(i)
	}
	_, _ = io.WriteString(conn, hello+strings.Repeat(auth("PLAIN", b64("\x00"+name+"\x00wrong")), 3))
	_, _ = io.Copy(io.Discard, conn)
}

// floodDirected sends presence to more addresses than a session may have shown
// itself to.
func floodDirected(t *testing.T, s *siege) {
	const limit, more = 10_000, 3000
	p := s.bind(t, "mallory", "directed")
	got := p.pour(limit+more, func(i int) string {
		return fmt.Sprintf("<presence to='user%d@elsewhere.example'/>", i)
	})
	if n := strings.Count(got, "<resource-constraint "); n != more {
		t.Errorf("%d of %d presences were refused, want %d", n, limit+more, more)
	}
	_ = p.conn.Close()
}

// floodRooms enters thousands of new rooms, which are gone with the one who did.
func floodRooms(t *testing.T, s *siege) {
	const many = 3000
	const live = `muster_muc_live_rooms{service="conference.localhost"}`
	rooms := s.count(t, live)
	p := s.bind(t, "mallory", "rooms")
	got := p.pour(many, func(i int) string {
		return fmt.Sprintf("<presence to='flood%d@conference.localhost/m'><x xmlns='http://jabber.org/protocol/muc'/></presence>", i)
	})
	t.Logf("%d bytes of answers", len(got))
	if !eventually(t, func() bool { return s.count(t, live) >= rooms+many }) {
		t.Errorf("%v rooms, want %v", s.count(t, live), rooms+many)
	}
	s.witness.check(t)
	_ = p.conn.Close()
	if !eventually(t, func() bool { return s.count(t, live) == rooms }) {
		t.Errorf("%v rooms are left, want %v", s.count(t, live), rooms)
	}
}

// floodHistory fills a room's history with the longest messages: whoever enters
// gets all of it, though it is more than may wait for him otherwise.
func floodHistory(t *testing.T, s *siege) {
	const messages = 20
	const room = "long@conference.localhost"
	const enter = "<presence to='" + room + "/%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
	p := s.bind(t, "mallory", "history")
	body := strings.Repeat("y", 250<<10)
	p.pourTo(room, 1, func(int) string {
		return fmt.Sprintf(enter, "mallory") + "<iq type='set' id='c' to='long@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>"
	})
	for range messages { // more at once would be more than may wait for himself
		p.pourTo(room, 1, func(int) string {
			return "<message type='groupchat' to='" + room + "'><body>" + body + "</body></message>"
		})
	}
	late := s.bind(t, "talker", "history")
	got := late.pourTo(room, 1, func(int) string { return fmt.Sprintf(enter, "late") })
	if n := strings.Count(got, "<body>y"); n != messages {
		t.Errorf("%d of %d messages of history in %.300s … %.300s", n, messages, got, got[max(0, len(got)-300):])
	}
	_ = p.conn.Close()
	_ = late.conn.Close()
}

// floodContacts makes a roster as large as it may be, reads it, and makes it no
// larger.
func floodContacts(t *testing.T, s *siege) {
	const limit, more = 5000, 100
	p := s.bind(t, "mallory", "contacts")
	name := strings.Repeat("n", 400)
	got := p.pour(limit+more, func(i int) string {
		return fmt.Sprintf("<iq type='set' id='c%d'><query xmlns='jabber:iq:roster'><item jid='contact%d@localhost' name='%s'/></query></iq>", i, i, name)
	})
	if n := strings.Count(got, "type='error'"); n != more {
		t.Errorf("%d of %d contacts were refused, want %d", n, limit+more, more)
	}
	// 2.5 MB: more than may wait for a client that reads too slowly, but this one
	// reads.
	if got = p.pour(1, func(int) string { return "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>" }); strings.Count(got, "<item ") != limit {
		t.Errorf("the roster has %d contacts, want %d", strings.Count(got, "<item "), limit)
	}
	_ = p.conn.Close()
}

// floodResumption leaves behind session after session that could be resumed, and
// resumes what never was.
func floodResumption(t *testing.T, s *siege) {
	const detached = "muster_c2s_sessions_detached"
	const enable = "<enable xmlns='urn:xmpp:sm:3' resume='true' max='4294967295'/>"
	before := s.count(t, detached)
	for i := range 100 {
		p := s.bind(t, "mallory", fmt.Sprint("sm", i))
		p.send("<presence/>")
		p.ask(enable, "<enabled ")
		_ = p.tcp.Close()
	}
	if !eventually(t, func() bool { n := s.count(t, detached) - before; return n > 0 && n <= 10 }) {
		t.Errorf("%v sessions of one account wait to be resumed, want 10 at most", s.count(t, detached)-before)
	}
	conn, err := net.Dial("tcp", s.second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	p := &peer{t: t, tcp: conn.(*net.TCPConn), conn: conn}
	p.ask(hello, "</stream:features>")
	p.ask(plain("secret-mallory"), "<success ")
	p.ask(hello, "</stream:features>")
	for i := range 100 {
		p.ask(fmt.Sprintf("<resume xmlns='urn:xmpp:sm:3' previd='%s%d' h='4294967295'/>", strings.Repeat("x", 5000), i), "</failed>")
	}
	p.ask("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "<jid>")
}

// floodSessions binds more resources than an account may have.
func floodSessions(t *testing.T, s *siege) {
	const limit = 1000
	var wg sync.WaitGroup
	var refused atomic.Int64
	conns := make([]net.Conn, limit+10)
	turn := make(chan struct{}, 32)
	for i := range conns {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			conn, err := net.Dial("tcp", s.second)
			if err != nil {
				t.Error(err)
				return
			}
			conns[i] = conn
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			switch err := login(conn, "listener", strconv.Itoa(i)); {
			case err == nil:
			case strings.Contains(err.Error(), "<resource-constraint "): // RFC 6120 §7.6.2.1
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := refused.Load(); n != int64(len(conns)-limit) {
		t.Errorf("%d of %d sessions were refused, want %d", n, len(conns), len(conns)-limit)
	}
	s.witness.check(t)
	for _, conn := range conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// floodAnswers asks on and on and reads no answer: he is read no further, and
// when he reads at last he gets what he has asked for.
func floodAnswers(t *testing.T, s *siege) {
	p := s.bind(t, "mallory", "answers")
	_ = p.tcp.SetWriteDeadline(time.Now().Add(2 * time.Second))
	asked, answered := 0, 0
	for ; asked < 50_000; asked++ { // 200 MB
		id := strconv.Itoa(asked) + repeat("x", 4<<10)
		if _, err := io.WriteString(p.tcp, "<iq type='get' id='"+id+"' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"); err != nil {
			break
		}
	}
	if asked == 50_000 {
		t.Error("all questions were taken")
	}
	for in := bufio.NewReaderSize(p.tcp, 1<<20); answered < asked; answered++ {
		answer, err := in.ReadString('>')
		if want := "id='" + strconv.Itoa(answered) + "x"; err != nil || !strings.Contains(answer, want) {
			t.Errorf("answer %d of %d: %.200s, %v", answered, asked, answer, err)
			break
		}
	}
	_ = p.tcp.Close()
}
