package muster_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/internal/xmpptest"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

const nsSM = "urn:xmpp:sm:3"

// roamer is a client with stream management as XEP-0198 wants it: it counts what
// comes and what it sends, and sends again what the server has not handled.
type roamer struct {
	w        *roaming
	account  jid.JID
	resource string

	// Of the session.
	id       string          // for resuming; "" without a session
	received uint32          // stanzas since it was enabled
	unacked  map[string]bool // messages received that the server has not been told of
	sent     []outgoing      // not handled by the server
	handled  uint32          // stanzas that the server has handled
	count    uint32          // stanzas sent

	// Of the connection.
	conn   net.Conn
	stream *stream.Stream
	got    chan *stanza.Element
	muted  bool // it receives nothing more: the network is gone

	inbox map[string]int // messages by id: how often they came
}

// outgoing is a stanza that may have to be sent again.
type outgoing struct {
	xml string
	id  string // of a message, "" of others
}

// roaming is a server, its clients, and what has become of messages.
type roaming struct {
	t       *testing.T
	sys     xmpptest.System
	rand    *rand.Rand
	clients []*roamer
	next    int
	to      map[string]jid.JID // whom a message was for, by id
	refused map[string]int     // errors for messages
	doubt   map[string]bool    // messages that somebody may have got and not acknowledged
}

// TestExactlyOnce: whatever clients do, each message reaches whom it is for
// exactly once, or its sender gets an error (XEP-0198 §4, §5). Only who got a
// message and could not say so before his session was given up gets it again:
// "there is no way to prevent such a result in this protocol" (§4).
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	for seed := range 16 {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { roam(t, uint64(seed)) })
		})
	}
}

func roam(t *testing.T, seed uint64) {
	w := &roaming{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // to be repeatable
		to: make(map[string]jid.JID), refused: make(map[string]int), doubt: make(map[string]bool),
	}
	w.sys = xmpptest.NewServer(t, map[string]string{"muster.toml": `
[general]
hosts = ["localhost"]
[[listen.c2s]]
tls.mode = "none"
[auth]
allow_plain_without_tls = true
`})
	defer func() {
		if err := w.sys.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range []string{"anna", "ben"} {
		account := jid.MustParse(name + "@localhost")
		if err := w.sys.AddUser(account, "secret"); err != nil {
			t.Fatal(err)
		}
		for _, resource := range []string{"desk", "phone"} {
			w.clients = append(w.clients, &roamer{w: w, account: account, resource: resource, inbox: make(map[string]int)})
		}
	}
	for range 120 {
		w.step(w.clients[w.rand.IntN(len(w.clients))])
	}
	w.settle()
	w.check()
	for _, c := range w.clients {
		c.leave()
	}
}

// step lets a client do something.
func (w *roaming) step(c *roamer) {
	switch n := w.rand.IntN(20); {
	case c.conn == nil && n < 8:
		c.connect()
	case c.conn == nil:
		time.Sleep(time.Duration(w.rand.IntN(240)) * time.Second)
	case n < 12:
		c.write(w.clients[w.rand.IntN(len(w.clients))])
	case n < 14:
		c.settle(w.rand.IntN(2) == 0)
	case n < 15:
		c.muted = true
	case n < 18:
		c.drop()
	case n < 19:
		c.leave()
	default:
		time.Sleep(time.Duration(w.rand.IntN(60)) * time.Second)
	}
}

// settle brings everybody back, until nothing is under way.
func (w *roaming) settle() {
	for range 3 {
		for _, c := range w.clients {
			if c.muted && c.conn != nil {
				c.drop()
			}
			if c.conn == nil {
				c.connect()
			}
		}
		for _, c := range w.clients {
			c.settle(true)
		}
		time.Sleep(time.Second)
	}
}

// check compares what was sent with what has come.
func (w *roaming) check() {
	for _, id := range slices.Sorted(maps.Keys(w.to)) {
		total := 0
		for _, c := range w.clients {
			n := c.inbox[id]
			if c.account != w.to[id].Bare() {
				if n > 0 {
					w.t.Errorf("%s for %s came to %s", id, w.to[id], c.account)
				}
				continue
			}
			if n > 1 && !w.doubt[id] {
				w.t.Errorf("%s came to %s/%s %d times", id, c.account, c.resource, n)
			}
			total += n
		}
		errors := w.refused[id]
		switch {
		case total == 0 && errors == 0:
			w.t.Errorf("%s for %s is lost", id, w.to[id])
		case total > 0 && errors > 0 && !w.doubt[id]:
			w.t.Errorf("%s for %s came %d times and was refused, too", id, w.to[id], total)
		case errors > 1:
			w.t.Errorf("%s was refused %d times", id, errors)
		}
	}
}

// connect resumes the session, or begins one.
func (c *roamer) connect() {
	c.conn = c.w.sys.Dial()
	c.stream = stream.New(c.conn, stream.Options{})
	c.muted = false
	c.header()
	c.send(stanza.NewElement(stanza.NSSASL, "auth", "mechanism", "PLAIN").
		AddText(base64.StdEncoding.EncodeToString([]byte("\x00" + c.account.Local() + "\x00secret"))))
	c.expect("success")
	c.stream.Restart()
	c.header()
	if !c.resume() {
		c.bind()
	}
	c.got = make(chan *stanza.Element, 1000)
	go c.read(c.stream, c.got)
}

func (c *roamer) header() {
	if err := c.stream.SendHeader(stream.Header{To: c.account.DomainOnly(), Version: "1.0"}); err != nil {
		c.w.t.Fatal(err)
	}
	if _, err := c.stream.ReadHeader(); err != nil {
		c.w.t.Fatal(err)
	}
	c.expect("features")
}

func (c *roamer) send(e *stanza.Element) {
	if err := c.stream.Send(e); err != nil {
		c.w.t.Fatal(err)
	}
}

// expect reads the next element.
func (c *roamer) expect(locals ...string) *stanza.Element {
	e, err := c.stream.Next()
	if err != nil || !slices.Contains(locals, e.Name.Local) {
		c.w.t.Fatalf("%s/%s: got %v, %v, want %v", c.account, c.resource, e, err, locals)
	}
	return e
}

// resume continues the session, if there is one and the server knows it.
func (c *roamer) resume() bool {
	if c.id == "" {
		return false
	}
	c.send(stanza.NewElement(nsSM, "resume", "previd", c.id, "h", strconv.FormatUint(uint64(c.received), 10)))
	e := c.expect("resumed", "failed")
	if e.Attr("h") != "" {
		c.acknowledged(e)
	}
	again := c.sent
	if e.Name.Local == "failed" {
		for id := range c.unacked {
			c.w.doubt[id] = true
		}
		c.bind()
		for _, o := range again {
			if o.id != "" { // presence and the like are said anew
				c.say(o)
			}
		}
		return true
	}
	clear(c.unacked)
	for _, o := range again {
		_ = c.stream.SendRaw([]byte(o.xml))
	}
	return true
}

// bind begins a new session.
func (c *roamer) bind() {
	c.send(stanza.NewElement(stanza.NSClient, "iq", "type", "set", "id", "bind").Add(
		stanza.NewElement(stanza.NSBind, "bind").AddTextElement("resource", c.resource)))
	c.expect("iq")
	c.send(stanza.NewElement(nsSM, "enable", "resume", "true"))
	c.id = c.expect("enabled").Attr("id")
	c.received, c.handled, c.count = 0, 0, 0
	c.sent, c.unacked = nil, make(map[string]bool)
	c.say(outgoing{xml: "<presence/>"})
}

// say sends a stanza and remembers it.
func (c *roamer) say(o outgoing) {
	c.count++
	c.sent = append(c.sent, o)
	if c.conn != nil && !c.muted { // else it is lost on the way
		_ = c.stream.SendRaw([]byte(o.xml))
	}
}

// write sends a message to another client, or to his account.
func (c *roamer) write(to *roamer) {
	if to.account == c.account {
		return
	}
	c.w.next++
	id, addr, typ := fmt.Sprintf("m%d", c.w.next), to.account, "normal"
	if c.w.rand.IntN(3) > 0 { // to an address that is gone others are refused (RFC 6121 §8.5.3.2.1)
		typ = "chat"
		if c.w.rand.IntN(2) == 0 {
			addr, _ = to.account.WithResource(to.resource)
		}
	}
	c.w.to[id] = addr
	c.say(outgoing{fmt.Sprintf("<message to='%s' type='%s' id='%s'><body>%s</body></message>", addr, typ, id, id), id})
}

func (c *roamer) read(s *stream.Stream, got chan<- *stanza.Element) {
	defer close(got)
	defer s.Release()
	for {
		e, err := s.Next()
		if err != nil {
			return
		}
		got <- e
	}
}

// settle takes what has come; a client that does not answer leaves the server
// in doubt about it.
func (c *roamer) settle(answer bool) {
	for c.conn != nil && !c.muted {
		before := c.received
		if !c.takeAll() || !answer {
			return
		}
		c.send(stanza.NewElement(nsSM, "a", "h", strconv.FormatUint(uint64(c.received), 10)))
		c.send(stanza.NewElement(nsSM, "r"))
		clear(c.unacked)
		if !c.takeAll() || c.received == before {
			return
		}
	}
}

// takeAll takes what has come, and reports whether the connection lives.
func (c *roamer) takeAll() bool {
	synctest.Wait()
	for {
		select {
		case e, ok := <-c.got:
			if !ok {
				c.lost()
				return false
			}
			c.take(e)
		default:
			return true
		}
	}
}

func (c *roamer) take(e *stanza.Element) {
	st, ok, _ := stanza.FromElement(e)
	switch {
	case e.Is(nsSM, "a"):
		c.acknowledged(e)
		return
	case !ok:
		return
	}
	c.received++
	if st.Kind != stanza.Message {
		return
	}
	if st.Type == stanza.TypeError {
		c.w.refused[st.ID]++
		return
	}
	c.inbox[st.ID]++
	c.unacked[st.ID] = true
}

// acknowledged forgets what the server has handled.
func (c *roamer) acknowledged(e *stanza.Element) {
	h, err := strconv.ParseUint(e.Attr("h"), 10, 32)
	if err != nil || uint32(h) < c.handled || uint32(h) > c.count {
		c.w.t.Fatalf("the server has handled %s of %d, and %d before", e.Attr("h"), c.count, c.handled)
	}
	c.sent = c.sent[uint32(h)-c.handled:]
	c.handled = uint32(h)
}

// drop loses the connection. What has come and was not looked at is lost, too.
func (c *roamer) drop() {
	synctest.Wait()
	_ = c.conn.Close()
	c.lost()
}

func (c *roamer) lost() {
	_ = c.conn.Close()
	for range c.got { //nolint:revive // until the reader has ended
	}
	c.conn = nil
}

// leave ends the session in good order.
func (c *roamer) leave() {
	if c.conn == nil {
		return
	}
	if c.muted {
		c.drop()
		return
	}
	c.settle(true)
	if c.conn == nil {
		return
	}
	if len(c.sent) > 0 {
		c.w.t.Errorf("%s/%s: the server has not handled %v", c.account, c.resource, c.sent)
	}
	c.stream.Close()
	synctest.Wait()
	for e := range c.got { // what came in the last moment was not acknowledged
		if st, ok, _ := stanza.FromElement(e); ok && st.Kind == stanza.Message && !strings.HasPrefix(string(st.Type), "error") {
			c.inbox[st.ID]++
			c.w.doubt[st.ID] = true
		}
	}
	_ = c.conn.Close()
	c.conn, c.id = nil, ""
}
