package interop_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

// TestDiskFull fills the disk beneath a running server. What must be stored is
// refused, whole; what need not be goes on, and so does reading; when there is
// space again everything does, without anybody's help.
func TestDiskFull(t *testing.T) {
	t.Run("no space", func(t *testing.T) { testDiskFull(t, tmpfs) })
	t.Run("files cannot grow", func(t *testing.T) { testDiskFull(t, fileLimit) })
}

// disk prepares a host's data directory and returns what fills and frees it;
// nil if that is not possible here.
type disk func(t *testing.T, h *host) (fill, free func())

// tmpfs gives the data directory a small disk of its own, which takes root.
func tmpfs(t *testing.T, h *host) (fill, free func()) {
	t.Helper()
	dir := filepath.Join(h.dir, "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Logf("no disk of its own: %v", err)
		return nil, nil
	}
	t.Cleanup(func() { // before the directory is removed
		h.kill()
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	fill = func() {
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		for block := make([]byte, 4096); err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	free = func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	return fill, free
}

// fileLimit forbids the running server to write behind the first few pages of
// any file.
func fileLimit(t *testing.T, h *host) (fill, free func()) {
	limit := func(size uint64) {
		limits := syscall.Rlimit{Cur: size, Max: ^uint64(0)}
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(h.cmd.Process.Pid), syscall.RLIMIT_FSIZE,
			uintptr(unsafe.Pointer(&limits)), 0, 0, 0); errno != 0 {
			t.Fatal(errno)
		}
	}
	return func() { limit(8192) }, func() { limit(^uint64(0)) }
}

// answerTo returns the condition with which a request is refused, "" if it is
// not.
func (a *actor) answerTo(xml string) string {
	a.t.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), patience) // that an answer comes in time is for callers to check
	defer cancel()
	_, err = a.c.IQ(ctx, st)
	if se, ok := errors.AsType[*stanza.Error](err); ok {
		return string(se.Type) + " " + string(se.Condition)
	}
	if err != nil {
		a.t.Fatalf("%s: %v", xml, err)
	}
	return ""
}

const failed = "wait " + string(stanza.InternalServerError)

// crowd is two people in two rooms, one of which is archived.
type crowd struct {
	*host
	romeo, juliet *actor
	contacts      int
	kept          []string // what came back from the archived room
	refused       []string // what was refused
}

func newCrowd(t *testing.T, h *host) *crowd {
	t.Helper()
	c := &crowd{host: h}
	connect := func(name string) *actor {
		h.addUser(t, name)
		x, err := h.connect(t, name, client.Options{Resource: "a"})
		if err != nil {
			t.Fatal(err)
		}
		return &actor{t: t, c: x}
	}
	c.romeo, c.juliet = connect("romeo"), connect("juliet")
	c.romeo.send("<presence/>")
	c.juliet.send("<presence/>")
	for _, room := range []string{"kept", "fleeting"} {
		c.romeo.enter(room, "Romeo", false)
		persistent := map[string]string{"kept": "1", "fleeting": "0"}[room]
		c.romeo.request("<iq type='set' to='" + room + "@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
			"<field var='muc#roomconfig_persistentroom'><value>" + persistent + "</value></field></x></query></iq>")
		c.juliet.enter(room, "Juliet", false)
	}
	return c
}

// addContact adds a contact and returns the answer.
func (c *crowd) addContact() string {
	answer := c.romeo.answerTo(fmt.Sprintf("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='contact%d@localhost' name='%s'/></query></iq>",
		c.contacts, strings.Repeat("n", 1000)))
	if answer == "" {
		c.contacts++
	}
	return answer
}

// say says something in the archived room and reports whether it came back.
func (c *crowd) say(text string) bool {
	body := text + strings.Repeat("x", 1000)
	c.romeo.send("<message type='groupchat' id='" + text + "' to='kept@conference.localhost'><body>" + body + "</body></message>")
	got := c.romeo.until("an answer to "+text, "id='"+text+"'")
	if !strings.Contains(got, "type='error'") {
		c.kept = append(c.kept, body)
		c.juliet.until(text+" in the room", body)
		return true
	}
	if !strings.Contains(got, "type='wait'") || !strings.Contains(got, "<internal-server-error ") {
		c.romeo.t.Errorf("%s is refused with %s", text, got)
	}
	c.refused = append(c.refused, body)
	return false
}

// chat is what needs no disk.
func (c *crowd) chat(word string) {
	c.romeo.send("<message type='chat' to='juliet@localhost'><body>" + word + " privately</body></message>")
	c.juliet.until(word+" privately", word+" privately")
	c.romeo.send("<message type='groupchat' to='fleeting@conference.localhost'><body>" + word + " aloud</body></message>")
	c.juliet.until(word+" aloud", word+" aloud")
	c.romeo.until(word+" aloud", word+" aloud")
}

// reads is what needs a disk that can be read.
func (c *crowd) reads(word string) {
	items := c.romeo.request("<iq type='get'><query xmlns='jabber:iq:roster'/></iq>")
	if n := strings.Count(string(items.AppendXML(nil)), "<item "); n != c.contacts {
		c.romeo.t.Errorf("%s: %d contacts, want %d", word, n, c.contacts)
	}
}

// history returns what the archived room shows somebody who enters.
func (c *crowd) history(t *testing.T) []string {
	t.Helper()
	x, err := c.connect(t, "juliet", client.Options{Resource: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = x.Close() }()
	a := &actor{t: t, c: x}
	a.send("<presence to='kept@conference.localhost/Juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	var list []string
	for {
		st, _ := stanza.Parse([]byte(a.until("history and subject", "type='groupchat'")))
		if st.Child(stanza.NSClient, "subject") != nil {
			return list
		}
		list = append(list, st.Body())
	}
}

func testDiskFull(t *testing.T, prepare disk) {
	h := newHost(t, strings.Replace(rooms, "persistent = true\n", "", 1))
	var fill, free func()
	if fill, free = prepare(t, h); fill == nil && free == nil {
		return
	}
	h.start(t)
	c := newCrowd(t, h)
	if !c.say("before") || c.addContact() != "" {
		t.Fatal("nothing can be stored before the disk is full")
	}
	c.chat("before")
	c.reads("before")

	fill()
	for i := 0; c.say(fmt.Sprint("filling-", i)); i++ {
		if i > 20_000 {
			t.Fatal("a full disk takes everything")
		}
	}
	answer := ""
	for i := 0; answer == ""; i++ {
		if answer = c.addContact(); i > 20_000 {
			t.Fatal("a full disk takes every contact")
		}
	}
	if answer != failed {
		t.Errorf("a contact is refused with %s, want %s", answer, failed)
	}
	c.chat("meanwhile")
	c.reads("meanwhile")
	c.say("nobody hears this")
	config := "<iq type='set' to='kept@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='muc#roomconfig_roomname'><value>" + strings.Repeat("name ", 1000) + "</value></field>" +
		"<field var='muc#roomconfig_roomdesc'><value>half</value></field></x></query></iq>"
	if answer := c.romeo.answerTo(config); answer != failed {
		t.Errorf("settings are refused with %q, want %s", answer, failed)
	}
	if form := c.romeo.request("<iq type='get' to='kept@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>"); strings.Contains(string(form.AppendXML(nil)), "half") {
		t.Error("half of the settings were taken")
	}
	if x, err := h.connect(t, "romeo", client.Options{Resource: "late"}); err != nil {
		t.Errorf("no login while the disk is full: %v", err)
	} else {
		_ = x.Close()
	}
	h.checkWAL(t)

	free()
	c.until(t, "a message is stored again", func(i int) bool { return c.say(fmt.Sprint("again-", i)) })
	c.until(t, "a contact is stored again", func(int) bool { return c.addContact() == "" })
	c.chat("after")
	c.reads("after")
	if answer := c.romeo.answerTo(config); answer != "" {
		t.Errorf("settings are refused with %s when there is space", answer)
	}
	h.kill() // no good-bye
	h.start(t)
	if got := c.history(t); strings.Join(got, "\n") != strings.Join(c.kept, "\n") {
		t.Errorf("%d messages are there, %d came back to their sender, %d were refused", len(got), len(c.kept), len(c.refused))
	}
}

// until tries something until it works.
func (c *crowd) until(t *testing.T, what string, try func(i int) bool) {
	t.Helper()
	i := 0
	if !within(t, 10*time.Second, func() bool { i++; return try(i) }) {
		t.Errorf("%s: never", what)
	}
}

// checkWAL fails if a log has grown beyond what it may keep.
func (h *host) checkWAL(t *testing.T) {
	t.Helper()
	logs, _ := filepath.Glob(filepath.Join(h.dir, "data", "*-wal"))
	for _, name := range logs {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 24<<20 {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
	}
	if len(logs) != 2 {
		t.Errorf("logs are %v", logs)
	}
}
