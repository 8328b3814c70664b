package muc_test

import (
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// TestAnnouncement: administrators of the service speak to all rooms at once, or
// to one that they are not in; nobody else does.
func TestAnnouncement(t *testing.T) {
	boss := jid.MustParse("boss@test")
	run(t, muc.Options{IsAdmin: func(j jid.JID) bool { return j.Bare() == boss }}, func(w *world) {
		w.open("ben")
		w.send("<message from='eve@test/r' to='conf.test' id='1'><body>buy this</body></message>")
		w.expect("eve@test/r", "id='1'", "type='auth'", "<forbidden")
		w.send("<message from='boss@test/r' to='conf.test' id='2'><x xmlns='u'/></message>")
		w.expect("boss@test/r", "id='2'", "<bad-request")
		w.expectNothing("ben@test/r")
		w.send("<message from='boss@test/r' to='conf.test' id='3'><body>we close at ten</body><x xmlns='u'/></message>")
		for _, who := range []string{"anna@test/r", "ben@test/r"} {
			w.expect(who, "<message type='groupchat' from='coven@conf.test' to='"+who+"'><body>we close at ten</body><stanza-id xmlns='urn:xmpp:sid:0'")
		}
		w.send("<message type='groupchat' from='boss@test/r' to='coven@conf.test' id='4'><body>you too</body></message>")
		w.expect("ben@test/r", "from='coven@conf.test' to='ben@test/r'", "you too")
		w.send("<message type='groupchat' from='eve@test/r' to='coven@conf.test' id='5'><body>me too</body></message>")
		w.expect("eve@test/r", "id='5'", "type='modify'", "<not-acceptable")
		w.expectNothing("boss@test/r")
	})
}
