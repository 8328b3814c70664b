package muster_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/internal/xmpptest"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// TestEachMessageOnce is what TestExactlyOnce is for devices of their own, for
// accounts: people with several devices, with carbons and without, with negative
// priorities, write to each other's accounts and devices. Every message reaches
// every device at most once, as itself or as a copy, and its account at least
// once, or comes back as an error.
func TestEachMessageOnce(t *testing.T) {
	t.Parallel()
	const seeds, steps = 12, 100
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newMobileWorld(t, seed)
				for range steps {
					w.step()
				}
				w.settle()
				w.check()
			})
		})
	}
}

// TestStoredMessagesWaitOn: a client without stream management whose connection
// breaks while it is given what has waited leaves that to the next, who gets
// nothing twice. What was on the wire may be lost, as without it that happens.
func TestStoredMessagesWaitOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newMobileWorld(t, 3)
		writer, reader := w.devices[0], w.devices[len(w.devices)-1]
		writer.managed, reader.managed = false, false
		reader.carbons, reader.priority = false, 0
		w.connect(writer)
		for range 5 {
			w.writeTo(writer, reader)
			synctest.Wait()
		}
		for range 10 {
			w.login(reader)
			reader.begin()
			reader.bind()
			synctest.Wait()
			reader.lose()
			reader.appear()
			reader.stream.Flush()
			reader.cut()
			synctest.Wait()
		}
		w.connect(reader)
		for id, n := range reader.seen {
			if n != 1 {
				t.Errorf("%s came %d times", id, n)
			}
		}
		writer.cut()
		reader.cut()
		if err := w.system.Close(); err != nil {
			t.Error(err)
		}
	})
}

// mobileWorld is a server and people with devices. Only the test's goroutine
// uses it.
type mobileWorld struct {
	t       *testing.T
	rand    *rand.Rand
	system  xmpptest.System
	devices []*device
	sent    []*letter
	story   []string // what has happened
}

// letter is a message that was sent.
type letter struct {
	id, typ string
	to      jid.JID
	from    *device
	session int  // of the sender's device
	unsure  bool // whether the server ever got it
}

const plainText = `[general]
hosts = ["localhost"]

[[listen.c2s]]
tls.mode = "none"

[auth]
allow_plain_without_tls = true

[modules.mod_stream_management]
resume_timeout = 300
`

func newMobileWorld(t *testing.T, seed uint64) *mobileWorld {
	w := &mobileWorld{t: t, rand: rand.New(rand.NewPCG(seed, 1)), system: xmpptest.NewServer(t, map[string]string{"muster.toml": plainText})}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(strings.Join(w.story, "\n"))
		}
	})
	for _, name := range []string{"romeo", "juliet", "nurse"} {
		account := jid.MustParse(name + "@localhost")
		if err := w.system.AddUser(account, "secret"); err != nil {
			t.Fatal(err)
		}
		for i := range 2 + w.rand.IntN(2) {
			d := &device{account: account, resource: "d" + strconv.Itoa(i), managed: w.rand.IntN(4) > 0, seen: make(map[string]int), errors: make(map[string]int)}
			switch w.rand.IntN(5) {
			case 0:
				d.priority = -1
			case 1, 2:
				d.carbons = true
			}
			w.devices = append(w.devices, d)
		}
	}
	return w
}

func (w *mobileWorld) tell(d *device, format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf("%s %s/%s ", time.Now().Format("15:04:05"), d.account.Local(), d.resource)+fmt.Sprintf(format, args...))
}

// step lets one thing happen.
func (w *mobileWorld) step() {
	d := w.devices[w.rand.IntN(len(w.devices))]
	if w.rand.IntN(12) == 0 {
		time.Sleep(time.Duration(w.rand.IntN(200)) * time.Second)
	}
	synctest.Wait()
	switch {
	case !d.alive():
		if d.id != "" && w.rand.IntN(3) > 0 {
			w.resume(d)
		} else {
			w.connect(d)
		}
	case d.lost():
		w.tell(d, "loses its connection, and what was on it")
		d.cut()
	default:
		w.act(d)
	}
	synctest.Wait()
}

// act lets a device that is connected do something.
func (w *mobileWorld) act(d *device) {
	switch n := w.rand.IntN(20); {
	case n < 12:
		w.write(d)
	case n < 13:
		w.tell(d, "is cut off")
		if d.managed {
			d.lose() // what comes now it could not acknowledge
			w.meanwhile(d)
		}
		d.cut()
	case n < 15 && d.managed:
		w.write(d).unsure = true
		w.tell(d, "is cut off before it knows whether that was heard")
		d.cut()
	case n < 18 && d.managed:
		w.tell(d, "gets nothing any more")
		d.lose()
	default:
		w.tell(d, "says goodbye")
		d.id, d.pending = "", nil
		w.meanwhile(d)
		if d.managed {
			synctest.Wait()
			d.lose()
			w.meanwhile(d)
		}
		d.stream.Close()
		w.meanwhile(d)
		<-d.done
	}
}

// meanwhile lets somebody write to d, without waiting for anything.
func (w *mobileWorld) meanwhile(d *device) {
	for _, i := range w.rand.Perm(len(w.devices)) {
		if other := w.devices[i]; other.account != d.account && other.alive() && !other.lost() {
			w.writeTo(other, d)
			return
		}
	}
}

// write sends a message to somebody else.
func (w *mobileWorld) write(d *device) *letter {
	other := w.devices[w.rand.IntN(len(w.devices))]
	for other.account == d.account {
		other = w.devices[w.rand.IntN(len(w.devices))]
	}
	return w.writeTo(d, other)
}

// writeTo sends a message to an account, its device, or one that is not there.
func (w *mobileWorld) writeTo(d, other *device) *letter {
	l := &letter{id: "m" + strconv.Itoa(len(w.sent)), from: d, session: d.session, typ: "chat", to: other.account}
	switch w.rand.IntN(6) {
	case 0, 1:
		l.to = jid.MustParse(other.account.String() + "/" + other.resource)
	case 2:
		l.to = jid.MustParse(other.account.String() + "/gone")
	}
	if w.rand.IntN(4) == 0 {
		l.typ = "normal"
	}
	w.sent = append(w.sent, l)
	w.tell(d, "writes %s of type %s to %s", l.id, l.typ, l.to)
	d.say(fmt.Sprintf("<message type='%s' id='%s' to='%s'><body>b</body></message>", l.typ, l.id, l.to))
	return l
}

// connect begins a new session; a former one of the same name ends by that.
func (w *mobileWorld) connect(d *device) {
	w.tell(d, "connects (managed %v, carbons %v, priority %d)", d.managed, d.carbons, d.priority)
	w.login(d)
	d.session++
	d.id, d.pending = "", nil
	d.begin()
	d.bind()
	synctest.Wait()
	if d.managed {
		d.raw("<enable xmlns='" + nsSM + "' resume='true'/>")
	}
	d.appear()
	synctest.Wait()
	if d.managed && d.id == "" {
		w.t.Fatal("stream management was not enabled")
	}
}

// resume goes on with a session, or begins a new one if that is over.
func (w *mobileWorld) resume(d *device) {
	w.tell(d, "resumes")
	w.login(d)
	d.begin()
	d.raw(fmt.Sprintf("<resume xmlns='%s' previd='%s' h='%d'/>", nsSM, d.id, d.handled))
	synctest.Wait()
	if d.resumed() {
		return
	}
	w.tell(d, "cannot: its session is over")
	d.cut()
	synctest.Wait()
	w.connect(d)
}

// login connects and authenticates.
func (w *mobileWorld) login(d *device) {
	d.conn = w.system.Dial()
	d.stream = stream.New(d.conn, stream.Options{})
	credentials := base64.StdEncoding.EncodeToString([]byte("\x00" + d.account.Local() + "\x00secret"))
	err := errors.Join(d.header(), d.stream.SendRaw([]byte("<auth xmlns='"+stanza.NSSASL+"' mechanism='PLAIN'>"+credentials+"</auth>")))
	if err != nil {
		w.t.Fatal(err)
	}
	if e, err := d.stream.Next(); err != nil || e.Name.Local != "success" {
		w.t.Fatalf("log in: %v %v", e, err)
	}
	d.stream.Restart()
	if err := d.header(); err != nil {
		w.t.Fatal(err)
	}
}

// settle lets all that waits expire, and each account's devices come once more.
func (w *mobileWorld) settle() {
	for _, d := range w.devices {
		if d.alive() {
			d.cut()
		}
	}
	time.Sleep(time.Hour)
	for range 2 {
		for _, d := range w.devices {
			d.priority, d.managed = 0, false
			if d.alive() {
				continue
			}
			w.connect(d)
		}
	}
	synctest.Wait()
	for _, d := range w.devices {
		d.cut()
	}
	if err := w.system.Close(); err != nil {
		w.t.Error(err)
	}
}

func (w *mobileWorld) check() {
	for _, l := range w.sent {
		var came, back int
		for _, d := range w.devices {
			n := d.seen[l.id]
			if d.account == l.to.Bare() {
				came += n
			} else if n > 0 {
				w.t.Errorf("%s reached %s", l.id, d.account)
			}
			if n > 1 {
				w.t.Errorf("%s reached %s/%s %d times", l.id, d.account, d.resource, n)
			}
			if d == l.from {
				back = d.errors[l.id]
			}
		}
		refusable := l.typ != "chat"
		gone := l.from.session != l.session // with what was on its way to it
		switch {
		case back > 1, back > 0 && came > 0, back > 0 && !refusable:
			w.t.Errorf("%s to %s came to %d devices and back %d times", l.id, l.to, came, back)
		case came == 0 && back == 0 && !l.unsure && !(refusable && gone):
			w.t.Errorf("%s to %s is lost", l.id, l.to)
		}
	}
}

// device is a client. Its reader's goroutine takes what comes; the rest is for
// the test's goroutine, while the reader waits.
type device struct {
	account  jid.JID
	resource string
	managed  bool // uses stream management
	carbons  bool
	priority int

	session int // counts
	conn    net.Conn
	stream  *stream.Stream
	done    chan struct{} // closed when the connection has ended; nil before the first
	id      string        // to resume the session with
	pending []string      // sent since management was enabled

	mu sync.Mutex
	// Guarded by mu.
	black   bool // what comes is swallowed
	goesOn  bool // the session has been resumed
	counts  bool
	handled uint32
	seen    map[string]int // messages, as themselves or as copies
	errors  map[string]int
}

func (d *device) alive() bool {
	if d.done == nil {
		return false
	}
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

func (d *device) lost() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.black
}

func (d *device) lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.black = true
}

func (d *device) resumed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.goesOn
}

func (d *device) cut() {
	_ = d.conn.Close() // that is the point
	<-d.done
}

func (d *device) raw(text string) { _ = d.stream.SendRaw([]byte(text)) } // the reader learns of the end

func (d *device) bind() {
	d.raw(fmt.Sprintf("<iq type='set' id='bind'><bind xmlns='%s'><resource>%s</resource></bind></iq>", stanza.NSBind, d.resource))
}

// say sends a stanza, and keeps it until it is known to have been handled.
func (d *device) say(text string) {
	if d.managed {
		d.pending = append(d.pending, text)
	}
	d.raw(text)
}

func (d *device) header() error {
	if err := d.stream.SendHeader(stream.Header{To: d.account.DomainOnly(), Version: "1.0"}); err != nil {
		return err
	}
	if _, err := d.stream.ReadHeader(); err != nil {
		return err
	}
	_, err := d.stream.Next() // features
	return err
}

// appear makes the device available, and then asks for copies: a device that has
// them of what waits for others would get it again with the rest.
func (d *device) appear() {
	d.say(fmt.Sprintf("<presence><priority>%d</priority></presence>", d.priority))
	if d.carbons {
		d.say("<iq type='set' id='carbons'><enable xmlns='" + stanza.NSCarbons + "'/></iq>")
	}
}

// begin starts the reader of a new connection.
func (d *device) begin() {
	d.mu.Lock()
	d.black, d.goesOn, d.counts = false, false, false
	d.mu.Unlock()
	d.done = make(chan struct{})
	go d.read(d.stream, d.done)
}

func (d *device) read(s *stream.Stream, done chan struct{}) {
	defer close(done)
	defer s.Release()
	for {
		e, err := s.Next()
		if err != nil || !d.take(s, e) {
			return
		}
	}
}

// take handles what comes, and acknowledges it. It returns false at the end.
func (d *device) take(s *stream.Stream, e *stanza.Element) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.black {
		return d.swallow(s)
	}
	switch e.Name.Local {
	case "enabled":
		d.id, d.counts, d.handled = e.Attr("id"), true, 0
	case "resumed":
		d.goesOn, d.counts = true, true
		h, _ := strconv.Atoi(e.Attr("h"))
		for _, text := range d.pending[min(h, len(d.pending)):] {
			_ = s.SendRaw([]byte(text))
		}
	case "r":
		d.acknowledge(s)
	case "message", "iq", "presence":
		d.handled++
		if st, ok, _ := stanza.FromElement(e); ok {
			d.receive(s, &st)
		}
		if d.counts {
			d.acknowledge(s)
		}
	}
	return true
}

// swallow waits for the end of a connection without taking anything.
func (d *device) swallow(s *stream.Stream) bool {
	d.mu.Unlock()
	defer d.mu.Lock()
	for {
		if _, err := s.Next(); err != nil {
			return false
		}
	}
}

func (d *device) acknowledge(s *stream.Stream) {
	_ = s.SendRaw(fmt.Appendf(nil, "<a xmlns='%s' h='%d'/>", nsSM, d.handled))
}

// receive notes a message, and answers signs of life.
func (d *device) receive(s *stream.Stream, st *stanza.Stanza) {
	carbon := st.Child(stanza.NSCarbons, "received")
	switch {
	case st.IsRequest():
		result := st.Result(nil)
		text := string(result.AppendXML(nil))
		if d.managed {
			d.pending = append(d.pending, text)
		}
		_ = s.SendRaw([]byte(text))
	case st.Kind != stanza.Message, st.Child(stanza.NSCarbons, "sent") != nil:
	case carbon != nil:
		inner := carbon.Child(stanza.NSForward, "forwarded").Child(stanza.NSClient, "message")
		if inner.Attr("type") != "error" {
			d.seen[inner.Attr("id")]++
		}
	case st.Type == stanza.TypeError:
		d.errors[st.ID]++
	default:
		d.seen[st.ID]++
	}
}
