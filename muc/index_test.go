package muc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/muc"
)

// crowded is a store with one room of so many members, each with a nickname.
type crowded struct {
	troubled
	members int
	record  *muc.RoomRecord // made before, so that the making is not measured
}

func (s *crowded) Room(_ context.Context, room jid.JID) (*muc.RoomRecord, error) {
	if room.Local() != "coven" {
		return nil, muc.ErrNoRoom
	}
	if s.record != nil {
		return s.record, nil
	}
	rec := &muc.RoomRecord{
		JID: room, Settings: map[string][]string{"muc#roomconfig_persistentroom": {"1"}},
		Affiliations: []muc.AffiliationRecord{{JID: jid.MustParse("anna@test"), Affiliation: muc.Owner}},
	}
	for i := range s.members {
		j, err := jid.New(fmt.Sprintf("m%06d", i), "test", "")
		if err != nil {
			return nil, err
		}
		rec.Affiliations = append(rec.Affiliations, muc.AffiliationRecord{JID: j, Affiliation: muc.Member, Nick: fmt.Sprintf("Nick %d", i)})
	}
	return rec, nil
}

func adminGet(id, page string) string {
	return "<iq type='get' id='" + id + "' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member'/>" + page + "</query></iq>"
}

func adminSet(id, item string) string {
	return "<iq type='set' id='" + id + "' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'>" + item + "</query></iq>"
}

// TestManyAffiliations: in a room with many members a change is one record for
// the store, reserved nicknames are found, freed and given to others, and who
// asks for no page gets what can be sent.
func TestManyAffiliations(t *testing.T) {
	s := &crowded{members: 20_000}
	run(t, muc.Options{Store: s}, func(w *world) {
		w.send(enter("anna"))
		w.expect("anna@test/r", "<status code='110'/>")
		enterAs := func(who, nick string) {
			w.send("<presence from='" + who + "@test/r' to='coven@conf.test/" + nick + "'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
		}
		enterAs("ben", "nick 17")
		w.expect("ben@test/r", "<conflict")
		enterAs("m000017", "Nick 17")
		w.expect("m000017@test/r", "<status code='110'/>", "affiliation='member'")
		w.take("anna@test/r")

		w.send(adminGet("all", ""))
		got := strings.Join(w.take("anna@test/r"), "")
		if n := strings.Count(got, "<item "); n != 5000 || !strings.Contains(got, "<count>20000</count>") {
			t.Errorf("a list without end has %d items, ends with %s", n, got[max(0, len(got)-200):])
		}
		w.send(adminGet("page", "<set xmlns='http://jabber.org/protocol/rsm'><max>1000000</max><after>m019998@test</after></set>"))
		w.expect("anna@test/r", "<first index='19999'>m019999@test</first>", "<count>20000</count>")

		w.send(adminSet("free", "<item affiliation='none' jid='m000018@test'/>"))
		w.expect("anna@test/r", "id='free'")
		if c := s.changes[len(s.changes)-1]; len(s.changes) != 1 || len(c.Affiliations) != 1 || c.Settings != nil {
			t.Errorf("stored %d changes, the last with %d entries and settings %v", len(s.changes), len(c.Affiliations), c.Settings)
		}
		enterAs("ben", "Nick 18")
		w.expect("ben@test/r", "<status code='110'/>")
		w.send("<presence type='unavailable' from='ben@test/r' to='coven@conf.test/Nick 18'/>")
		w.take("anna@test/r")
		w.send(adminSet("swap", "<item affiliation='none' jid='m000019@test'/><item affiliation='member' jid='ben@test' nick='Nick 19'/>"))
		w.expect("anna@test/r", "type='result' id='swap'")
		enterAs("chloe", "Nick 19")
		w.expect("chloe@test/r", "<conflict")
		w.send(adminGet("count", "<set xmlns='http://jabber.org/protocol/rsm'><max>0</max></set>"))
		w.expect("anna@test/r", "<count>19999</count>")
	})
}
