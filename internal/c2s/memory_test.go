package c2s

import (
	"net"
	"runtime"
	"strconv"
	"testing"

	"github.com/muster-im/muster/stanza"
)

// TestDeliverAllocates: a broadcast allocates nothing per recipient.
func TestDeliverAllocates(t *testing.T) {
	w := newWorld(t, nil)
	defer w.close()
	a, b := net.Pipe()
	w.wg.Go(func() { w.listener.ServeConn(t.Context(), a) })
	defer b.Close()
	readUntil(t, b, header, "</stream:features>")
	readUntil(t, b, auth("PLAIN", plain("romeo", password)), "/>")
	readUntil(t, b, header, "</stream:features>")
	readUntil(t, b, bindRequest("x"), "</iq>")
	readUntil(t, b, "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", "/>")
	batch := []*stanza.Encoded{stanza.Encode(stanza.Stanza{Kind: stanza.Message})}
	s := w.session("romeo@a.test/x")
	s.Deliver(batch) // its flush waits for a reader from now on
	// What is left is the queue's buffer when it grows.
	if n := testing.AllocsPerRun(1000, func() { s.Deliver(batch) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestIdleMemory: an idle session over plain TCP costs at most 16 KiB, its
// goroutine included.
func TestIdleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("opens many sockets")
	}
	w := newWorld(t, func(c *config) { c.options.Logger = nil; c.options.LimitLoopback = false })
	defer w.close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.listener.ServeConn(t.Context(), conn) })
		}
	})
	conns := make([]net.Conn, 0, 500)
	open := func(n int) {
		for range n {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			readUntil(t, c, header, "</stream:features>")
			readUntil(t, c, auth("PLAIN", plain("romeo", password)), "/>")
			readUntil(t, c, header, "</stream:features>")
			readUntil(t, c, bindRequest("r"+strconv.Itoa(len(conns))), "</iq>")
		}
	}
	open(50) // fill the pools
	before := inUse()
	open(400)
	per := (inUse() - before) / 400
	t.Logf("%d bytes per session, the client's socket included", per)
	if per > 16<<10 { // 9 KiB without the race detector
		t.Errorf("an idle session takes %d bytes", per)
	}
	for _, c := range conns {
		_ = c.Close()
	}
}

// inUse is the memory that heap and stacks take up.
func inUse() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
