package interop_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/internal/pgtest"
	"github.com/muster-im/muster/stanza"
)

// TestPostgresGoesAway kills PostgreSQL beneath a running server, and lets it
// stand still: what must be stored is refused in good time, whole; what need not
// be goes on; and when the database is back everything does.
func TestPostgresGoesAway(t *testing.T) {
	for name, outage := range map[string]struct{ begin, end func(*pgtest.Server) }{
		"killed":       {(*pgtest.Server).Kill, (*pgtest.Server).Restart},
		"stands still": {(*pgtest.Server).Freeze, (*pgtest.Server).Thaw},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pg := pgtest.Start(t)
			h := newHost(t, "[storage]\ndriver = \"postgres\"\nurl = \""+pg.URL()+"\"\n"+strings.Replace(rooms, "persistent = true\n", "", 1))
			h.start(t)
			h.addUser(t, "absent")
			c := newCrowd(t, h)
			askers := make([]*actor, 20) // more than there are connections
			for i := range askers {
				name := fmt.Sprint("asker", i)
				h.addUser(t, name)
				x, err := h.connect(t, name, client.Options{})
				if err != nil {
					t.Fatal(err)
				}
				askers[i] = &actor{t: t, c: x}
			}
			if !c.say("before") || c.addContact() != "" {
				t.Fatal("nothing can be stored")
			}
			c.chat("before")
			outage.begin(pg)
			c.withoutDatabase(t, askers)
			outage.end(pg)
			c.until(t, "a message is stored again", func(i int) bool { return c.say(fmt.Sprint("again-", i)) })
			c.until(t, "a contact is stored again", func(int) bool { return c.addContact() == "" })
			c.chat("after")
			c.reads("after")
			if got := c.history(t); strings.Join(got, "\n") != strings.Join(c.kept, "\n") {
				t.Errorf("%d messages are there, %d came back to their sender, %d were refused", len(got), len(c.kept), len(c.refused))
			}
			h.kill()
			h.start(t)
			if got := c.history(t); strings.Join(got, "\n") != strings.Join(c.kept, "\n") {
				t.Errorf("after a restart %d messages are there, %d came back to their sender", len(got), len(c.kept))
			}
		})
	}
}

// withoutDatabase asks for everything that needs one, all at once, while there
// is none.
func (c *crowd) withoutDatabase(t *testing.T, askers []*actor) {
	t.Helper()
	began := time.Now()
	var wg sync.WaitGroup
	for _, a := range askers {
		wg.Go(func() {
			if answer := a.answerTo("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='lost@localhost'/></query></iq>"); answer != failed {
				t.Errorf("a contact is refused with %q, want %s", answer, failed)
			}
		})
	}
	wg.Go(func() {
		_, err := c.connect(t, "juliet", client.Options{Resource: "late"})
		if ae, ok := errors.AsType[*client.AuthError](err); !ok || ae.Condition != "temporary-auth-failure" {
			t.Errorf("a login ends with %v, want temporary-auth-failure", err)
		}
	})
	if c.say("nobody hears this") {
		t.Error("a message came back that cannot be stored")
	}
	c.chat("meanwhile")
	c.romeo.send("<message type='chat' id='kept-for-later' to='absent@localhost'><body>x</body></message>")
	if got := c.romeo.until("an answer", "kept-for-later"); !strings.Contains(got, "<internal-server-error ") || !strings.Contains(got, "type='wait'") {
		t.Errorf("a message to somebody absent: %s", got)
	}
	c.romeo.send("<presence to='another@conference.localhost/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	if got := c.romeo.until("an answer", "another@conference.localhost"); !strings.Contains(got, "<"+string(stanza.InternalServerError)+" ") {
		t.Errorf("a room that may be stored: %s", got)
	}
	wg.Wait()
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("the last answer came after %v", took)
	}
}
