package xmpptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// peer is one client connection of a script. It keeps what is received until
// the script asks for it.
type peer struct {
	// Set at construction.
	conn   net.Conn
	self   jid.JID            // zero: not logged in
	stream *stream.Stream     // nil: a Remote
	write  func([]byte) error // what say calls
	done   chan struct{}      // closed when nothing more can be received
	stop   func()             // ends the stream in good order

	news   chan struct{} // has one when something was received; for those in real time
	fences chan struct{} // has one when a fence was answered

	mu sync.Mutex
	// Guarded by mu.
	received []string
	cause    error // why the stream ended
}

// login connects and logs in over conn.
func login(ctx context.Context, conn net.Conn, user jid.JID, resource string) (*peer, error) {
	p := &peer{conn: conn, done: make(chan struct{}), news: make(chan struct{}, 1), fences: make(chan struct{}, 1)}
	c, err := client.Dial(ctx, client.Options{
		Conn: conn, Domain: user.Domain(), PlainText: true,
		Username: user.Local(), Password: password, Resource: resource,
		RawHandler: func(data []byte) bool {
			if !p.pong(data) && !p.fenced(data) && !leftover(data) {
				p.add(string(data))
			}
			return true
		},
		OnClose: func(err error) { p.ended(err) },
	})
	if err != nil {
		return nil, err
	}
	p.self, p.stream = c.JID(), c.Stream()
	p.write, p.stop = p.stream.SendRaw, p.stream.Close
	return p, nil
}

// pong answers a ping of the server (XEP-0199 §4.1), which wants a sign of life
// now and then, and reports whether data is one.
func (p *peer) pong(data []byte) bool {
	st, err := stanza.Parse(data)
	if err != nil || st.Type != stanza.TypeGet || st.From.String() != domain || st.Child(stanza.NSPing, "ping") == nil {
		return false
	}
	result := st.Result(nil)
	return p.stream.SendStanza(&result) == nil
}

// open begins a stream over conn and does not log in.
func open(conn net.Conn) (*peer, error) {
	p := &peer{conn: conn, done: make(chan struct{}), stream: stream.New(conn, stream.Options{})}
	p.write, p.stop = p.stream.SendRaw, p.stream.Close
	if err := p.begin(); err != nil {
		p.stream.Release()
		return nil, err
	}
	go p.read()
	return p, nil
}

// begin exchanges headers.
func (p *peer) begin() error {
	to, err := jid.Parse(domain)
	if err != nil {
		return err
	}
	if err := p.stream.SendHeader(stream.Header{To: to, Version: "1.0"}); err != nil {
		return err
	}
	_, err = p.stream.ReadHeader()
	return err
}

func (p *peer) read() {
	err := p.readAll()
	p.stream.Release()
	p.ended(err)
}

func (p *peer) readAll() error {
	for {
		frame, err := p.stream.NextFrame()
		if err != nil {
			return err
		}
		data := string(frame.Data)
		p.add(data)
		// RFC 6120 §6.4.6: a new stream begins after <success/>.
		if e, err := parseFragment(data); err == nil && e.Name.Local == "success" {
			p.stream.Restart()
			if err := p.begin(); err != nil {
				return err
			}
		}
	}
}

func (p *peer) add(data string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received = append(p.received, data)
	select {
	case p.news <- struct{}{}:
	default: // one is enough, and nobody waits in virtual time
	}
}

// await waits in real time until there is something to take.
func (p *peer) await() {
	timeout := time.After(realTimeout)
	for {
		if _, ok := p.peek(); ok {
			return
		}
		select {
		case <-p.news:
		case <-p.done:
			return
		case <-timeout:
			return
		}
	}
}

// fenceID is the id of a fence.
const fenceID = "xmpptest-fence"

// fence asks somebody for an answer and waits for it in real time.
func (p *peer) fence(whom string) {
	if p.fences == nil || p.closed() {
		return
	}
	if p.say("<iq type='get' id='"+fenceID+"' to='"+whom+"'><ping xmlns='urn:xmpp:ping'/></iq>") != nil {
		return
	}
	select {
	case <-p.fences:
	case <-p.done:
	case <-time.After(realTimeout):
	}
}

// leftover reports whether data is the answer to the end of a former session of
// the same name, from a server whose rooms had gone by then.
func leftover(data []byte) bool {
	return bytes.HasPrefix(data, []byte("<presence")) && bytes.Contains(data, []byte("@"+Rooms+"/")) &&
		bytes.Contains(data, []byte("<remote-server-not-found "))
}

// fenced reports whether data answers a fence.
func (p *peer) fenced(data []byte) bool {
	if !bytes.HasPrefix(data, []byte("<iq")) || !bytes.Contains(data, []byte(fenceID)) {
		return false
	}
	select {
	case p.fences <- struct{}{}:
	default: // nobody waited so long
	}
	return true
}

func (p *peer) ended(err error) {
	if err == nil || errors.Is(err, client.ErrClosed) {
		err = io.EOF
	}
	p.mu.Lock()
	p.cause = err
	p.mu.Unlock()
	close(p.done)
}

// say sends what the script says as it stands.
func (p *peer) say(text string) error {
	return p.write([]byte(strings.TrimSpace(text)))
}

// peek returns the first thing received and not taken yet.
func (p *peer) peek() (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.received) == 0 {
		return "", false
	}
	return p.received[0], true
}

func (p *peer) take() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received = p.received[1:]
}

func (p *peer) closed() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// state says in a failure why there is nothing to receive.
func (p *peer) state() string {
	if !p.closed() {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf(", and the stream has ended: %v", p.cause)
}

// end ends the connection, in good order or by cutting it, and waits.
func (p *peer) end(orderly bool) {
	if orderly || p.conn == nil {
		p.stop()
	} else {
		_ = p.conn.Close() // there is nothing left to say
	}
	<-p.done
}
