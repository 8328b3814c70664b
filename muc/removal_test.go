package muc_test

import (
	"strings"
	"testing"
	"testing/synctest"

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

// admin is a query of muc#admin with items.
func admin(name, id, items string) string {
	return "<iq type='set' id='" + id + "' from='" + name + "@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'>" +
		items + "</query></iq>"
}

// TestPutOutInOneStep: of those whom one query puts out, none hears of the others
// and all are gone when the first of them is told (XEP-0045 §9.1, §9.2); the room
// goes on without any of them.
func TestPutOutInOneStep(t *testing.T) {
	for _, c := range []struct {
		name, items string
		codes       [3]string // of ben, chloe, dora; "": stays
	}{
		{"a domain", "<item jid='test' affiliation='outcast'/>", [3]string{"301", "301", "301"}},
		{"two people", "<item jid='ben@test' affiliation='outcast'/><item jid='chloe@test' affiliation='outcast'/>", [3]string{"301", "301", ""}},
		{"one banned, one kicked", "<item jid='ben@test' affiliation='outcast'/><item nick='dora' role='none'/>", [3]string{"301", "", "307"}},
		{"three kicked", "<item nick='ben' role='none'/><item nick='chloe' role='none'/><item nick='dora' role='none'/>", [3]string{"307", "307", "307"}},
		{"a domain but for one", "<item jid='test' affiliation='outcast'/><item jid='chloe@test' affiliation='member'/>", [3]string{"301", "", "301"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inside := map[string]int{}
			o := muc.Options{Extensions: []muc.Extension{extension(func(h *muc.Hooks) {
				h.Left.Add("count", 0, func(ev *muc.LeftEvent) { inside[ev.Occupant.Nick()] = ev.Room.NumOccupants() })
			})}}
			run(t, o, func(w *world) {
				w.open("ben", "chloe", "dora")
				w.send(admin("anna", "1", c.items))
				synctest.Wait()
				stay := 1
				for _, code := range c.codes {
					if code == "" {
						stay++
					}
				}
				for i, name := range []string{"ben", "chloe", "dora"} {
					got := strings.Join(w.take(name+"@test/r"), "\n")
					if c.codes[i] == "" {
						continue
					}
					if strings.Count(got, "<presence ") != 1 || !strings.Contains(got, "<status code='110'/><status code='"+c.codes[i]+"'/>") {
						t.Errorf("%s got\n%s", name, got)
					}
					if inside[name] != stay {
						t.Errorf("%s left while %d were inside, want %d", name, inside[name], stay)
					}
				}
				if got := strings.Join(w.take("anna@test/r"), "\n"); strings.Count(got, "type='unavailable'") != 4-stay || !strings.Contains(got, "id='1'") {
					t.Errorf("anna got\n%s", got)
				}
			})
		})
	}
}

// TestOneBadItem: of a query with a bad item nothing is done, and the item is
// named; nor of one that says two things of one person.
func TestOneBadItem(t *testing.T) {
	const ban = "<item jid='ben@test' affiliation='outcast'/>"
	for _, c := range []struct{ name, items, want string }{
		{"malformed address", ban + "<item jid='@@' affiliation='outcast'/>", "Item 2: "},
		{"unknown affiliation", ban + "<item jid='chloe@test' affiliation='king'/>", "Item 2: "},
		{"nobody of that name", ban + "<item nick='dora' role='none'/><item nick='zoe' role='none'/>", "Item 3: "},
		{"no change", ban + "<item jid='chloe@test'/>", "Item 2: "},
		{"himself", ban + "<item jid='anna@test' affiliation='outcast'/>", "Item 2: "},
		{"both", "<item jid='ben@test' affiliation='admin'/><item nick='ben' role='visitor'/>", "Two items are of ben."},
		{"both, the other way round", "<item nick='ben' role='visitor'/><item jid='ben@test' affiliation='admin'/>", "Two items are of ben."},
		{"kicked and heard", "<item nick='ben' role='none'/><item nick='ben' role='participant'/>", "Two items are of ben."},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, muc.Options{}, func(w *world) {
				w.open("ben", "chloe", "dora")
				w.send(admin("anna", "1", c.items))
				got := strings.Join(w.take("anna@test/r"), "\n")
				if !strings.Contains(got, "type='error'") || !strings.Contains(got, c.want) || strings.Contains(got, "<presence ") {
					t.Errorf("anna got\n%s", got)
				}
				if got := w.take("ben@test/r"); len(got) != 0 {
					t.Errorf("ben got %q", got)
				}
				w.send(say("ben", "still here"))
				w.expect("chloe@test/r", "still here")
			})
		})
	}
}

// TestDestroyedWithQuestions: who waits for an answer when the room ends gets one
// (RFC 6120 §8.2.3), and who was inside is not in the next room of that name.
func TestDestroyedWithQuestions(t *testing.T) {
	run(t, muc.Options{}, func(w *world) {
		w.open("ben", "chloe")
		w.send("<iq type='get' id='q' from='ben@test/r' to='coven@conf.test/chloe'><query xmlns='jabber:iq:version'/></iq>")
		w.take("ben@test/r")
		w.send("<iq type='set' id='d' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>")
		got := strings.Join(w.take("ben@test/r"), "\n")
		if !strings.Contains(got, "<destroy/>") || strings.Count(got, "id='q'") != 1 || !strings.Contains(got, "type='error'") {
			t.Errorf("ben got\n%s", got)
		}
		w.take("chloe@test/r")
		w.send(enter("anna"))
		w.send("<iq type='set' id='u' from='anna@test/r' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
		w.send(say("anna", "alone again"))
		if got := w.take("chloe@test/r"); len(got) != 0 {
			t.Errorf("chloe got %q", got)
		}
		w.send(say("chloe", "hello?"))
		w.expect("chloe@test/r", "not-acceptable")
	})
}
