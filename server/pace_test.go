package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

// TestReloadPace: the pace of rooms changes with SIGHUP for people who are in.
func TestReloadPace(t *testing.T) {
	t.Parallel()
	const file = "[general]\nhosts = [\"localhost\"]\n[[listen.c2s]]\ntls.mode = \"none\"\n[modules.mod_muc]\nhost = \"conf.test\"\n"
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := start(t, parse(t, file+"min_message_interval = 100\n", dir), server.Options{NoListen: true})
		defer shutdown(t, s)
		if err := s.AddUser(t.Context(), jid.MustParse("romeo@localhost"), "secret"); err != nil {
			t.Fatal(err)
		}
		romeo, _, err := dialAs(t, s, "romeo")
		if err != nil {
			t.Fatal(err)
		}
		send := func(xml string) {
			t.Helper()
			st, err := stanza.Parse([]byte(xml))
			if err != nil {
				t.Fatal(err)
			}
			if err := romeo.Send(st); err != nil {
				t.Fatal(err)
			}
		}
		send("<presence to='coven@conf.test/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
		send("<iq type='set' id='c1' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
		say := func(id string, want time.Duration) {
			t.Helper()
			begin := time.Now()
			send("<message type='groupchat' to='coven@conf.test' id='" + id + "'><body>hello</body></message>")
			for {
				st, err := romeo.Receive(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if st.Kind == stanza.Message && st.ID == id {
					break
				}
			}
			if took := time.Since(begin).Round(time.Second / 10); took != want {
				t.Errorf("message %s took %v, want %v", id, took, want)
			}
		}
		say("m1", 0)
		say("m2", 100*time.Second)
		if err := s.Reload(parse(t, file+"min_message_interval = 0.5\n", dir)); err != nil {
			t.Fatal(err)
		}
		say("m3", 500*time.Millisecond)
		if err := s.Reload(parse(t, file, dir)); err != nil {
			t.Fatal(err)
		}
		say("m4", 0)
		if err := romeo.Close(); err != nil {
			t.Error(err)
		}
	})
}
