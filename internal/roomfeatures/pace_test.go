package roomfeatures_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/internal/roomfeatures"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// TestPaceChanges: other limits count from the next stanza on, and nobody
// overtakes what waits because of the former ones.
func TestPaceChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var limits atomic.Pointer[roomfeatures.Pace]
		limits.Store(&roomfeatures.Pace{RoomRate: 10})
		w := &world{got: make(map[jid.JID][]string)}
		s, err := muc.New(muc.Options{
			Domain: "conf.test", Router: w,
			Extensions: roomfeatures.All(roomfeatures.Options{Pace: func() roomfeatures.Pace { return *limits.Load() }}),
		})
		if err != nil {
			t.Fatal(err)
		}
		say := func(name, id string) {
			s.Handle(parse(t, fmt.Sprintf("<message type='groupchat' id='%s' from='%s@test/r' to='coven@conf.test'><body>%[1]s</body></message>", id, name)))
		}
		for _, name := range []string{"anna", "ben"} {
			s.Handle(parse(t, fmt.Sprintf("<presence from='%[1]s@test/r' to='coven@conf.test/%[1]s'><x xmlns='http://jabber.org/protocol/muc'/></presence>", name)))
			if name == "anna" {
				s.Handle(parse(t, "<iq type='set' id='cfg' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>"))
			}
		}
		silent := func(what string) {
			t.Helper()
			if got := w.take("anna@test/r"); got != "" {
				t.Errorf("%s: anna got\n%s", what, got)
			}
		}
		w.take("anna@test/r")
		say("anna", "first") // some ten seconds
		silent("a message that waits")
		limits.Store(&roomfeatures.Pace{})
		say("ben", "second")
		say("anna", "refused")
		expect(t, w.take("anna@test/r"), "id='refused'", "<resource-constraint")
		silent("somebody else's behind it")
		time.Sleep(time.Minute)
		expect(t, w.take("anna@test/r"), "first</body>", "second</body>")
		say("anna", "third")
		say("anna", "fourth")
		expect(t, w.take("anna@test/r"), "third</body>", "fourth</body>")
		limits.Store(&roomfeatures.Pace{MessageInterval: 300 * time.Millisecond})
		say("ben", "fifth")
		say("ben", "sixth")
		expect(t, w.take("anna@test/r"), "fifth</body>")
		time.Sleep(299 * time.Millisecond)
		silent("a millisecond before")
		time.Sleep(time.Millisecond)
		expect(t, w.take("anna@test/r"), "sixth</body>")
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
