package muster_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/xmpptest"
)

// TestOfflineFlood: XEP-0160 §2 (3): who writes more than may wait gets errors,
// others still find room, and what waits survives a restart and comes once, in
// order.
func TestOfflineFlood(t *testing.T) {
	t.Parallel()
	const one = 500 // what may wait from one sender
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("connect juliet\ndisconnect juliet\nconnect romeo\nconnect nurse")
	for i := range one {
		say("C romeo: <message type='chat' id='m%d' to='juliet@localhost'><body>%d</body></message>", i, i)
	}
	say("S romeo: nothing")
	for range 2 {
		say("C romeo: <message type='chat' id='more' to='juliet@localhost'><body>more</body></message>")
		say("S romeo: <message type='error' id='more' from='juliet@localhost'>…<error type='cancel'>…<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error>…</message>")
	}
	say("C nurse: <message type='chat' id='n' to='juliet@localhost'><body>come</body></message>")
	say("S nurse: nothing\nrestart\nconnect juliet\nC juliet: <presence/>\nS juliet: <presence from='juliet@localhost/juliet'/>")
	for i := range one {
		say("S juliet: <message type='chat' id='m%d' from='romeo@localhost/romeo'><body>%d</body><delay xmlns='urn:xmpp:delay' …/></message>", i, i)
	}
	say("S juliet: <message type='chat' id='n' from='nurse@localhost/nurse'>…</message>")
	say("disconnect juliet\nconnect juliet\nC juliet: <presence/>\nS juliet: <presence from='juliet@localhost/juliet'/>\nS juliet: nothing")
	if err := xmpptest.Try(t, b.String(), xmpptest.NewServer); err != nil {
		t.Error(err)
	}
}
