package interop_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/stanza"
)

// actor is a client that a test drives with XML.
type actor struct {
	t *testing.T
	c *client.Client
}

func (a *actor) send(xml string) {
	a.t.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		a.t.Fatalf("%s: %v", xml, err)
	}
	if err := a.c.Send(st); err != nil {
		a.t.Fatal(err)
	}
}

// until returns the first stanza with all of parts in it.
func (a *actor) until(what string, parts ...string) string {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	for {
		st, err := a.c.Receive(ctx)
		if err != nil {
			a.t.Fatalf("never seen: %s: %v", what, err)
		}
		text, all := string(st.AppendXML(nil)), true
		for _, p := range parts {
			all = all && strings.Contains(text, p)
		}
		if all {
			return text
		}
	}
}

// request sends an IQ and fails the test if it is refused.
func (a *actor) request(xml string) stanza.Stanza {
	a.t.Helper()
	st, err := stanza.Parse([]byte(xml))
	if err != nil {
		a.t.Fatalf("%s: %v", xml, err)
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	r, err := a.c.IQ(ctx, st)
	if err != nil {
		a.t.Fatalf("%s: %v", xml, err)
	}
	return r
}

// enter enters a room, and accepts its settings if it is new.
func (a *actor) enter(room, nick string, fresh bool) {
	a.t.Helper()
	a.send(fmt.Sprintf("<presence to='%s@conference.localhost/%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>", room, nick))
	a.until("own presence in "+room, "<status code='110'/>")
	if fresh {
		a.request(fmt.Sprintf("<iq type='set' to='%s@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'>"+
			"<x xmlns='jabber:x:data' type='submit'/></query></iq>", room))
	}
}

// TestKill kills a server with -9 while four people write into a room, and
// finds everything again that was acknowledged: every message that came back
// to its sender, accounts, contacts, room settings.
func TestKill(t *testing.T) {
	h := newHost(t, rooms)
	h.start(t)
	h.addUser(t, "owner")
	c, err := h.connect(t, "owner", client.Options{Resource: "a"})
	if err != nil {
		t.Fatal(err)
	}
	owner := &actor{t: t, c: c}
	owner.enter("team", "Owner", true)
	owner.request("<iq type='set' to='team@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='muc#roomconfig_roomname'><value>Night shift</value></field></x></query></iq>")
	owner.request("<iq type='set' to='team@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'>" +
		"<item affiliation='admin' jid='somebody@localhost'/></query></iq>")

	// Contacts, accounts and settings change while messages flow, which the owner
	// does not see: he would have to read them between his requests.
	owner.send("<presence type='unavailable' to='team@conference.localhost/Owner'/>")
	owner.until("that he has left", "type='unavailable'", "<status code='110'/>")
	talk := load(t, h, 4)
	for i := range 20 {
		h.addUser(t, fmt.Sprintf("late%d", i))
		owner.request(fmt.Sprintf("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='contact%d@localhost' name='C%d'/></query></iq>", i, i))
	}
	talk.pause()
	owner.enter("team", "Owner", false)
	owner.send("<message type='groupchat' to='team@conference.localhost'><subject>The last words</subject></message>")
	owner.until("the subject", "from='team@conference.localhost/Owner'", "<subject>The last words</subject>")
	talk.resume(100)
	h.kill()
	kept := talk.end()
	if len(kept) < 100 {
		t.Fatalf("%d messages came back before the server was killed", len(kept))
	}

	h.start(t)
	if c, err = h.connect(t, "owner", client.Options{Resource: "a"}); err != nil {
		t.Fatal(err)
	}
	owner = &actor{t: t, c: c}
	for i := range 20 {
		late, err := h.connect(t, fmt.Sprintf("late%d", i), client.Options{})
		if err != nil {
			t.Errorf("account late%d was acknowledged: %v", i, err)
			continue
		}
		_ = late.Close()
	}
	roster := owner.request("<iq type='get'><query xmlns='jabber:iq:roster'/></iq>")
	items := string(roster.AppendXML(nil))
	for i := range 20 {
		if !strings.Contains(items, fmt.Sprintf("contact%d@localhost", i)) {
			t.Errorf("contact%d was acknowledged and is gone", i)
		}
	}
	list := owner.request("<iq type='get' to='conference.localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
	if text := string(list.AppendXML(nil)); !strings.Contains(text, "Night shift") {
		t.Errorf("the room's name is gone: %s", text)
	}
	owner.send("<presence to='team@conference.localhost/Owner'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='100000'/></x></presence>")
	found := make(map[string]bool)
	for {
		text := owner.until("history and subject", "type='groupchat'")
		if strings.Contains(text, "<subject>") {
			if !strings.Contains(text, "The last words") {
				t.Errorf("the subject was reflected and is gone: %s", text)
			}
			break
		}
		st, _ := stanza.Parse([]byte(text))
		found[st.Body()] = true
	}
	for _, body := range kept {
		if !found[body] {
			t.Errorf("%s was reflected and is gone (%d of %d found)", body, len(found), len(kept))
			break
		}
	}
	admins := owner.request("<iq type='get' to='team@conference.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='admin'/></query></iq>")
	if text := string(admins.AppendXML(nil)); !strings.Contains(text, "somebody@localhost") {
		t.Errorf("the admin is gone: %s", text)
	}
}

// chatter is what people write into a room, four messages of each under way, until the
// server goes away.
type chatter struct {
	wg sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	came *sync.Cond    // when something has come back, or somebody has ended
	kept []string      // what has come back to its sender
	left int           // people who have not ended
	gate chan struct{} // closed while there is no pause
}

// load lets people write into the room.
func load(t *testing.T, h *host, people int) *chatter {
	t.Helper()
	l := &chatter{left: people, gate: make(chan struct{})}
	l.came = sync.NewCond(&l.mu)
	close(l.gate)
	for n := range people {
		name := fmt.Sprintf("writer%d", n)
		h.addUser(t, name)
		c, err := h.connect(t, name, client.Options{Resource: "a"})
		if err != nil {
			t.Fatal(err)
		}
		a := &actor{t: t, c: c}
		a.enter("team", name, false)
		l.wg.Go(func() { l.write(c, name) })
	}
	return l
}

// write writes, and the next message when one has come back.
func (l *chatter) write(c *client.Client, name string) {
	write := func(i int) {
		st, _ := stanza.Parse(fmt.Appendf(nil, "<message type='groupchat' to='team@conference.localhost'><body>%s %d</body></message>", name, i))
		_ = c.Send(st) // an error ends the loop below
	}
	for i := range 4 {
		write(i)
	}
	for next := 4; ; {
		st, err := c.Receive(context.Background())
		if err != nil {
			l.mu.Lock()
			l.left--
			l.came.Broadcast()
			l.mu.Unlock()
			return
		}
		if st.From.Resource() != name || st.Body() == "" {
			continue
		}
		l.mu.Lock()
		l.kept = append(l.kept, st.Body())
		l.came.Broadcast()
		gate := l.gate
		l.mu.Unlock()
		<-gate
		write(next)
		next++
	}
}

// pause lets nobody write until resume.
func (l *chatter) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate = make(chan struct{})
}

// resume ends a pause and waits until so many messages more have come back.
func (l *chatter) resume(more int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.gate)
	for want := len(l.kept) + more; len(l.kept) < want && l.left > 0; {
		l.came.Wait()
	}
}

// end waits until the server has gone away, and returns what came back.
func (l *chatter) end() []string {
	l.wg.Wait()
	return l.kept
}
