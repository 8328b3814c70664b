package interop_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

const streamHeader = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>"

// resident returns the server's resident memory in MiB.
func (h *host) resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}

// offend sends data on a new connection and returns all that comes back.
func (h *host) offend(t *testing.T, data string) string {
	t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, data) // the server may have had enough before the end
	answer, err := io.ReadAll(conn)
	if e, ok := err.(net.Error); ok && e.Timeout() { //nolint:errorlint // as it comes from the connection
		t.Errorf("%.60q: the connection does not end", data)
	}
	return string(answer)
}

// TestBadInput: each ends its own connection with the RFC's condition, memory
// stays bounded, and somebody who behaves notices nothing.
func TestBadInput(t *testing.T) {
	h := newHost(t, rooms)
	h.start(t)
	h.addUser(t, "romeo")
	c, err := h.connect(t, "romeo", client.Options{Resource: "a"})
	if err != nil {
		t.Fatal(err)
	}
	good := &actor{t: t, c: c}
	before := h.resident(t)
	for _, test := range []struct{ name, in, want string }{
		{"garbage", "\x00\xff\xfe\x01garbage", "<not-well-formed"},
		{"another protocol", "GET / HTTP/1.1\r\n\r\n", "<not-well-formed"},
		{"a first tag that never ends", "<stream:stream " + strings.Repeat("x", 1<<20), "<policy-violation"},
		{"deep nesting", streamHeader + strings.Repeat("<a>", 1000), "<policy-violation"},
		{"entity declaration", "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY l 'lol'>]><a/>", "<restricted-xml"},
		{"unknown entity", streamHeader + "<message><body>&lol;</body></message>", "<restricted-xml"},
		{"comment", streamHeader + "<!-- x -->", "<restricted-xml"},
		{"processing instruction", streamHeader + "<?php ?>", "<restricted-xml"},
		{"undeclared prefix", streamHeader + "<p:a/>", "<bad-namespace-prefix"},
		{"another host", strings.Replace(streamHeader, "localhost", "elsewhere.example", 1), "<host-unknown"},
		{"wrong namespace", strings.Replace(streamHeader, "etherx.jabber.org/streams", "x", 1), "<invalid-namespace"},
		{"stanza before authentication", streamHeader + "<message to='romeo@localhost'><body>x</body></message>", "<not-authorized"},
		{"oversized before authentication", streamHeader + "<auth>" + strings.Repeat("A", 1<<20), "<policy-violation"},
		{"injection behind starttls", streamHeader + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><iq type='get' id='1'/>", "<policy-violation"},
		{"half a stream", streamHeader + "</stream:stream>", "</stream:stream>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := h.offend(t, test.in); !strings.Contains(got, test.want) {
				t.Errorf("%.60q: got %s, want %s", test.in, got, test.want)
			}
			good.request("<iq type='get' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
		})
	}
	t.Run("white space", func(t *testing.T) { floodWhiteSpace(t, h) })
	if after := h.resident(t); after > before+64 {
		t.Errorf("the server has grown from %d to %d MiB", before, after)
	}
	t.Run("a reader that stops", func(t *testing.T) { stopReading(t, h) })
	good.request("<iq type='get' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
}

// floodWhiteSpace sends a gibibyte of white space, which costs no memory.
func floodWhiteSpace(t *testing.T, h *host) {
	before := h.resident(t)
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, streamHeader); err != nil {
		t.Fatal(err)
	}
	space := bytes.Repeat([]byte(" \n"), 1<<19)
	sent := 0
	for ; sent < 1<<10; sent++ {
		if _, err := conn.Write(space); err != nil {
			break
		}
	}
	if sent == 1<<10 {
		t.Error("a gibibyte of white space was taken")
	}
	if after := h.resident(t); after > before+16 {
		t.Errorf("a gibibyte of white space: from %d to %d MiB", before, after)
	}
}

// stopReading lets one of three people in a room read nothing, while another
// talks: he is cut off, and the talk goes on.
func stopReading(t *testing.T, h *host) {
	for _, name := range []string{"talker", "listener", "sleeper"} {
		h.addUser(t, name)
	}
	people := make(map[string]*actor)
	for _, name := range []string{"talker", "listener", "sleeper"} {
		o := client.Options{Resource: "a"}
		if name == "sleeper" { // its reading goroutine never returns from the first room message
			asleep := make(chan struct{})
			t.Cleanup(func() { close(asleep) })
			o.RawHandler = func(data []byte) bool {
				if bytes.Contains(data, []byte("wake me not")) {
					<-asleep
				}
				return false
			}
		}
		c, err := h.connect(t, name, o)
		if err != nil {
			t.Fatal(err)
		}
		people[name] = &actor{t: t, c: c}
		people[name].enter("long-talk", name, name == "talker")
	}
	talk := func(text string) {
		st, _ := stanza.Parse([]byte("<message type='groupchat' to='long-talk@conference.localhost'><body>" + text + "</body></message>"))
		if err := people["talker"].c.Send(st); err != nil {
			t.Fatal(err)
		}
		people["talker"].until("own message", text[:10])
		people["listener"].until("message", text[:10])
	}
	talk("wake me not")
	long := strings.Repeat("y", 50_000)
	for i := range 400 { // 20 MB, more than the sleeper's socket and queue hold
		talk(fmt.Sprintf("%010d%s", i, long))
	}
	list := people["talker"].request("<iq type='get' to='long-talk@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item role='participant'/></query></iq>")
	if text := string(list.AppendXML(nil)); strings.Contains(text, "sleeper") || !strings.Contains(text, "listener") {
		t.Errorf("who is in the room: %s", text)
	}
}
