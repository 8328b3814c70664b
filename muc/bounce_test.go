package muc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/muc"
)

// TestGhosts: an error puts out who has sent it if it answers what the room has
// sent to him and means that he is not there (XEP-0045 §11.1, §18.1.2), and
// nobody else.
func TestGhosts(t *testing.T) {
	tests := []struct {
		name, id, condition string
		wait                time.Duration
		out, told           bool // of the error, who has written the message
	}{
		{"to everybody", "all", "recipient-unavailable", 0, true, false},
		{"no account", "all", "item-not-found", 0, true, false},
		{"moved", "all", "gone", 0, true, false},
		{"server not found", "all", "remote-server-not-found", 0, true, false},
		{"server silent", "all", "remote-server-timeout", 5 * time.Minute, true, false},
		{"no such session", "all", "service-unavailable", 0, true, false},
		{"refused", "all", "not-acceptable", 0, false, false},
		{"by a filter", "all", "policy-violation", 0, false, false},
		{"private", "private", "recipient-unavailable", 0, true, true},
		{"private, refused by the client", "private", "service-unavailable", 0, false, true},
		{"the subject, which has no id", "", "remote-server-not-found", 0, true, true},
		{"nothing", "other", "recipient-unavailable", 0, false, true},
		{"an id of himself", "own", "recipient-unavailable", 0, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, muc.Options{}, func(w *world) {
				w.open("ben", "carol")
				w.send("<message type='groupchat' id='all' from='anna@test/r' to='coven@conf.test'><body>hi</body></message>")
				w.send("<message type='chat' id='private' from='anna@test/r' to='coven@conf.test/ben'><body>hi</body></message>")
				w.send("<message type='groupchat' id='own' from='ben@test/r' to='coven@conf.test'><body>hi</body></message>")
				time.Sleep(tt.wait)
				for _, who := range []string{"anna", "ben", "carol"} {
					w.take(who + "@test/r")
				}
				w.send(fmt.Sprintf("<message type='error' id='%s' from='ben@test/r' to='coven@conf.test/anna'>"+
					"<error type='cancel'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>", tt.id, tt.condition))
				anna, ben, carol := w.take("anna@test/r"), w.take("ben@test/r"), strings.Join(w.take("carol@test/r"), "\n")
				if out := strings.Contains(carol, "<status code='333'/>"); out != tt.out || out == (len(ben) == 0) {
					t.Errorf("carol has %s\nand ben %s", carol, ben)
				}
				if told := strings.Contains(strings.Join(anna, "\n"), "<message type='error'"); told != tt.told {
					t.Errorf("anna has %s", anna)
				}
			})
		})
	}
}

// TestGhostOfLongAgo: a busy room forgets what was said long ago, and what comes
// back then of that puts nobody out.
func TestGhostOfLongAgo(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben")
		for i := range 3000 {
			w.send(fmt.Sprintf("<message type='groupchat' id='m%d' from='anna@test/r' to='coven@conf.test'><body>hi</body></message>", i))
			if i%100 == 0 {
				w.take("ben@test/r")
			}
		}
		w.take("ben@test/r")
		back := func(id string) {
			w.send("<message type='error' id='" + id + "' from='ben@test/r' to='coven@conf.test/anna'>" +
				"<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
		}
		back("m1")
		w.expectNothing("ben@test/r")
		back("m2100")
		w.expect("ben@test/r", "<status code='333'/>")
	})
}
