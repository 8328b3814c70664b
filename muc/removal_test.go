package muc_test

import (
	"strings"
	"testing"

	"github.com/muster-im/muster/muc"
)

// TestManyPutOut: of those who are put out together each is told of himself, and
// who stays of each of them; a room that this leaves empty ends.
func TestManyPutOut(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben", "chloe", "dora")
		put := func(id, field string) {
			w.send("<iq type='set' id='" + id + "' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'>" +
				"<x xmlns='jabber:x:data' type='submit'><field var='" + field + "'><value>1</value></field></x></query></iq>")
		}
		put("1", "muc#roomconfig_membersonly")
		got := strings.Join(w.take("anna@test/r"), "\n")
		for _, name := range []string{"ben", "chloe", "dora"} {
			if strings.Count(got, "from='coven@conf.test/"+name+"'") != 1 {
				t.Errorf("who stays got of %s\n%s", name, got)
			}
			own := strings.Join(w.take(name+"@test/r"), "\n")
			if strings.Count(own, "<presence ") != 1 || !strings.Contains(own, "<status code='110'/><status code='322'/>") {
				t.Errorf("%s got\n%s", name, own)
			}
		}
		w.send(say("anna", "alone"))
		w.expect("anna@test/r", "alone")
		w.send("<presence type='unavailable' from='anna@test/r' to='coven@conf.test/anna'/>")
		w.take("anna@test/r")
		w.send(enter("ben"))
		w.expect("ben@test/r", "<status code='201'/>")
	})
}
