package interop_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/client"
)

// wire is a connection to the server that can be cut.
type wire struct {
	port string

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &wire{}
	_, p.port, _ = net.SplitHostPort(l.Addr().String())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.carry(&wg, conn, to)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		wg.Wait()
	})
	return p
}

// carry connects a client to the server.
func (p *wire) carry(wg *sync.WaitGroup, conn net.Conn, to string) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		_ = conn.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, conn, server)
	p.mu.Unlock()
	for _, way := range [][2]net.Conn{{conn, server}, {server, conn}} {
		wg.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
		})
	}
}

// cut ends all connections.
func (p *wire) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// TestProfanityReconnects: profanity loses its connection, and what it is sent
// until it is back reaches it once.
func TestProfanityReconnects(t *testing.T) {
	needs(t, "/usr/bin/tmux", "tmux")
	needs(t, "/usr/bin/profanity", "profanity")
	h := newHost(t, rooms)
	h.start(t)
	h.addUser(t, "romeo")
	h.addUser(t, "juliet")
	w := newWire(t, h.addr)
	juliet := profanity(t, &host{port: w.port}, "juliet")
	juliet.say("/reconnect 1")
	juliet.until("Reconnect interval set to 1 seconds")
	c, err := h.connect(t, "romeo", client.Options{Resource: "a"})
	if err != nil {
		t.Fatal(err)
	}
	romeo := &actor{t: t, c: c}
	romeo.send("<presence/>")
	romeo.send("<message type='chat' id='1' to='juliet@localhost/tour'><body>But soft</body></message>")
	juliet.until("<< chat message: romeo@localhost/a")
	w.cut()
	romeo.send("<message type='chat' id='2' to='juliet@localhost/tour'><body>What light</body></message>")
	juliet.until("Lost connection")
	juliet.until("Connection re-established")
	juliet.say("/win 2")
	juliet.until("romeo@localhost/a: But soft")
	juliet.until("romeo@localhost/a: What light")
	romeo.send("<message type='chat' id='3' to='juliet@localhost/tour'><body>It is the east</body></message>")
	juliet.until("romeo@localhost/a: It is the east")
	if screen := strings.Join(juliet.lines(), "\n"); strings.Count(screen, "But soft") != 1 || strings.Count(screen, "What light") != 1 {
		t.Errorf("each message should be there once:\n%s", screen)
	}
	juliet.say("I hear you")
	romeo.until("an answer on the new connection", "from='juliet@localhost/tour'", "<body>I hear you")
}
