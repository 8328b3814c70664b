package muc_test

import (
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// TestLoadedRoomsAreListedOnce: rooms that a stranger's stanza has brought into
// memory are listed as they are stored: the public one once, with its name, and
// the hidden one not at all (XEP-0045 §6.3).
func TestLoadedRoomsAreListedOnce(t *testing.T) {
	drawer := &cabinet{rooms: make(map[jid.JID]muc.RoomRecord)}
	for name, public := range map[string]string{"coven": "1", "secret": "0"} {
		room := jid.MustParse(name + "@conf.test")
		drawer.rooms[room] = muc.RoomRecord{JID: room, Settings: map[string][]string{
			muc.FieldPersistent: {"1"}, muc.FieldPublic: {public}, muc.FieldName: {"A dark cave"},
		}}
	}
	run(t, muc.Options{Store: drawer}, func(w *world) {
		for _, room := range []string{"coven", "secret"} {
			w.send("<presence type='unavailable' from='eve@test/r' to='" + room + "@conf.test/Eve'/>")
		}
		w.take("eve@test/r")
		for d := range drawer.rooms {
			if d.Local() == "secret" { // the cabinet lists whatever it has
				delete(drawer.rooms, d)
			}
		}
		w.send("<iq type='get' id='2' from='eve@test/r' to='conf.test'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
		got := strings.Join(w.take("eve@test/r"), "")
		if n := strings.Count(got, "jid='coven@conf.test'"); n != 1 || strings.Contains(got, "secret") {
			t.Errorf("listed: %s", got)
		}
	})
}
