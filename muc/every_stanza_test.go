package muc_test

import (
	"strings"
	"testing"

	"github.com/muster-im/muster/muc"
)

// TestEveryStanza is a table of what people send by where they send it: the
// message types of RFC 6121 §5.2.2, the presence types of §4.7.1, and requests of
// all sorts (XEP-0045 §7.4, §7.5, §17). ben is inside, with anna who owns the
// room; zoe is not. What is passed on is so once, and everything else that wants
// an answer gets exactly one.
func TestEveryStanza(t *testing.T) {
	const (
		passed  = "passed on"
		silence = "silence"
	)
	message := func(kind, content string) string {
		if kind != "" {
			kind = " type='" + kind + "'"
		}
		return "<message id='x'" + kind + " from='%from' to='%to'>" + content + "</message>"
	}
	presence := func(kind string) string { return "<presence id='x' type='" + kind + "' from='%from' to='%to'/>" }
	iq := func(kind, payload string) string {
		return "<iq id='x' type='" + kind + "' from='%from' to='%to'>" + payload + "</iq>"
	}
	bounce := func(condition string) string {
		return message("error", "<error type='cancel'><"+condition+" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
	}
	const body, state = "<body>hi</body>", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
	tests := []struct {
		name, xml string
		// To the room, to anna's nickname, to one that nobody has, to a room that is
		// not there: from inside, but for the last.
		room, nick, nobody, nowhere string
		outRoom, outNick            string // from outside
	}{
		{"groupchat", message("groupchat", body), passed, "bad-request", "bad-request", "item-not-found", "not-acceptable", "not-acceptable"},
		{"groupchat without body", message("groupchat", state), passed, "bad-request", "bad-request", "item-not-found", "not-acceptable", "not-acceptable"},
		{"groupchat with nothing", message("groupchat", ""), passed, "bad-request", "bad-request", "item-not-found", "not-acceptable", "not-acceptable"},
		{"chat", message("chat", body), "not-acceptable", passed, "item-not-found", "not-acceptable", "not-acceptable", "not-acceptable"},
		{"chat without body", message("chat", state), "not-acceptable", passed, "item-not-found", "not-acceptable", "not-acceptable", "not-acceptable"},
		{"headline", message("headline", body), "not-acceptable", passed, "item-not-found", "not-acceptable", "not-acceptable", "not-acceptable"},
		{"headline without body", message("headline", ""), "not-acceptable", passed, "item-not-found", "not-acceptable", "not-acceptable", "not-acceptable"},
		{"normal", message("normal", body), "bad-request", passed, "item-not-found", "item-not-found", "not-acceptable", "not-acceptable"},
		{"normal without body", message("normal", ""), "bad-request", passed, "item-not-found", "item-not-found", "not-acceptable", "not-acceptable"},
		{"without type", message("", body), "bad-request", passed, "item-not-found", "item-not-found", "not-acceptable", "not-acceptable"},
		{"without type and body", message("", state), "bad-request", passed, "item-not-found", "item-not-found", "not-acceptable", "not-acceptable"},
		{"unknown type", message("whisper", body), "bad-request", passed, "item-not-found", "item-not-found", "not-acceptable", "not-acceptable"},
		{"unknown type without body", message("whisper", ""), "bad-request", passed, "item-not-found", "item-not-found", "not-acceptable", "not-acceptable"},
		{"error that says nothing", message("error", ""), silence, passed, silence, silence, silence, silence},
		{"error of a healthy client", bounce("service-unavailable"), silence, passed, silence, silence, silence, silence},
		{"error that answers nothing", bounce("recipient-unavailable"), silence, passed, silence, silence, silence, silence},

		{"subscribe", presence("subscribe"), "bad-request", "bad-request", "bad-request", "bad-request", "bad-request", "bad-request"},
		{"subscribed", presence("subscribed"), "bad-request", "bad-request", "bad-request", "bad-request", "bad-request", "bad-request"},
		{"unsubscribe", presence("unsubscribe"), "bad-request", "bad-request", "bad-request", "bad-request", "bad-request", "bad-request"},
		{"unsubscribed", presence("unsubscribed"), "bad-request", "bad-request", "bad-request", "bad-request", "bad-request", "bad-request"},
		{"unknown presence", presence("asleep"), "bad-request", "bad-request", "bad-request", "bad-request", "bad-request", "bad-request"},
		{"probe", presence("probe"), "status code='110'", "<item ", "item-not-found", "not-acceptable", "not-acceptable", "not-acceptable"},
		{"error", presence("error"), "333", "333", "333", silence, silence, silence},
		{"error that means something else", strings.Replace(presence("error"), "/>", "><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>", 1), silence, silence, silence, silence, silence, silence},
		{"unavailable", presence("unavailable"), "status code='110'", "status code='110'", "status code='110'", silence, silence, silence},

		{"ping", iq("get", "<ping xmlns='urn:xmpp:ping'/>"), "type='result'", passed, "item-not-found", "item-not-found", "type='result'", "not-acceptable"},
		{"ping that sets", iq("set", "<ping xmlns='urn:xmpp:ping'/>"), "service-unavailable", passed, "item-not-found", "service-unavailable", "service-unavailable", "not-acceptable"},
		{"discovery", iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"), "type='result'", passed, "item-not-found", "item-not-found", "type='result'", "bad-request"},
		{"discovery of items", iq("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"), "type='result'", passed, "item-not-found", "item-not-found", "type='result'", "bad-request"},
		{"discovery that sets", iq("set", "<query xmlns='http://jabber.org/protocol/disco#info'/>"), "service-unavailable", passed, "item-not-found", "service-unavailable", "service-unavailable", "bad-request"},
		{"list", iq("get", "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member'/></query>"), "forbidden", passed, "item-not-found", "item-not-found", "forbidden", "not-acceptable"},
		{"change", iq("set", "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='a@b'/></query>"), "forbidden", passed, "item-not-found", "item-not-found", "forbidden", "not-acceptable"},
		{"form", iq("get", "<query xmlns='http://jabber.org/protocol/muc#owner'/>"), "forbidden", passed, "item-not-found", "item-not-found", "forbidden", "not-acceptable"},
		{"destruction", iq("set", "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>"), "forbidden", passed, "item-not-found", "item-not-found", "forbidden", "not-acceptable"},
		{"registration", iq("get", "<query xmlns='jabber:iq:register'/>"), "type='result'", passed, "item-not-found", "item-not-found", "type='result'", "not-acceptable"},
		{"version", iq("get", "<query xmlns='jabber:iq:version'/>"), "service-unavailable", passed, "item-not-found", "service-unavailable", "service-unavailable", "not-acceptable"},
		{"archive", iq("set", "<query xmlns='urn:xmpp:mam:2'/>"), "service-unavailable", passed, "item-not-found", "item-not-found", "service-unavailable", "not-acceptable"},
		{"anything", iq("get", "<a xmlns='urn:example:b'/>"), "service-unavailable", passed, "item-not-found", "service-unavailable", "service-unavailable", "not-acceptable"},
		{"a result", iq("result", ""), silence, silence, silence, silence, silence, silence},
		{"an error", iq("error", "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"), silence, silence, silence, silence, silence, silence},
	}
	for _, c := range tests {
		for _, cell := range []struct{ from, to, want string }{
			{"ben@test/r", "coven@conf.test", c.room},
			{"ben@test/r", "coven@conf.test/anna", c.nick},
			{"ben@test/r", "coven@conf.test/nobody", c.nobody},
			{"ben@test/r", "nowhere@conf.test/anna", c.nowhere},
			{"zoe@test/r", "coven@conf.test", c.outRoom},
			{"zoe@test/r", "coven@conf.test/anna", c.outNick},
		} {
			to := cell.to
			if strings.HasPrefix(to, "nowhere@") && !strings.HasPrefix(c.xml, "<presence") {
				to = "nowhere@conf.test"
			}
			t.Run(c.name+" from "+cell.from[:3]+" to "+to, func(t *testing.T) {
				run(t, muc.Options{}, func(w *world) {
					w.open("ben")
					w.send(strings.NewReplacer("%from", cell.from, "%to", to).Replace(c.xml))
					got, anna := w.take(cell.from), strings.Join(w.take("anna@test/r"), "\n")
					all := strings.Join(got, "\n")
					switch cell.want {
					case passed:
						if len(got) > 1 || strings.Count(anna, "from='coven@conf.test/ben'") != 1 || strings.Contains(all, "type='error' id='x'") {
							t.Errorf("anna has\n%s\nand the sender\n%s", anna, all)
						}
					case silence:
						if all+anna != "" {
							t.Errorf("anna has\n%s\nand the sender\n%s", anna, all)
						}
					default:
						if len(got) != 1 || !strings.Contains(all, cell.want) {
							t.Errorf("want %s, got\n%s", cell.want, all)
						}
						if isRefusal := strings.Contains(all, "type='error'"); isRefusal && anna != "" {
							t.Errorf("refused, and anna has\n%s", anna)
						}
					}
				})
			})
		}
	}
}

// TestStanzasToService: what people send to the service itself that is no
// request.
func TestStanzasToService(t *testing.T) {
	const join, body = "<x xmlns='http://jabber.org/protocol/muc'/>", "<body>hi</body>"
	tests := []struct{ name, kind, to, content, want string }{ // want "": silence
		{"presence", "", "conf.test", "", "jid-malformed"},
		{"an entry", "", "conf.test", join, "jid-malformed"},
		{"an entry with a nickname", "", "conf.test/ben", join, "item-not-found"},
		{"unavailable", "unavailable", "conf.test", "", ""},
		{"unavailable with a nickname", "unavailable", "conf.test/ben", "", ""},
		{"error", "error", "conf.test", "", ""},
		{"subscribe", "subscribe", "conf.test", "", "type='unsubscribed'"},
		{"probe", "probe", "conf.test", "", "type='unsubscribed'"},
		{"subscribed", "subscribed", "conf.test", "", ""},
		{"message", "normal", "conf.test", body, "forbidden"},
		{"groupchat", "groupchat", "conf.test", body, "forbidden"},
		{"message of an unknown type", "subscribe", "conf.test", body, "forbidden"},
		{"message to a resource", "normal", "conf.test/ben", body, "item-not-found"},
		{"error of a message", "error", "conf.test", body, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, muc.Options{}, func(w *world) {
				element := "presence"
				if tt.content == body {
					element = "message"
				}
				w.send("<" + element + " id='x' type='" + tt.kind + "' from='ben@test/r' to='" + tt.to + "'>" + tt.content + "</" + element + ">")
				got := w.take("ben@test/r")
				if all := strings.Join(got, "\n"); tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(all, tt.want)) {
					t.Errorf("want %q, got\n%s", tt.want, all)
				}
			})
		})
	}
}

// TestPrivateErrorHidesAddress: what comes back of a private message tells its
// sender nothing of who has it, and of a policy against private messages there is
// no way around (XEP-0045 §7.5, §11.1).
func TestPrivateErrorHidesAddress(t *testing.T) {
	const bounce = "<message type='error' id='x' from='anna@test/r' to='coven@conf.test/ben'>" +
		"<error type='cancel' by='anna@test'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
	run(t, muc.Options{}, func(w *world) {
		w.open("ben")
		w.send(bounce)
		got := strings.Join(w.take("ben@test/r"), "\n")
		if strings.Contains(got, "anna@test") || !strings.Contains(got, "by='coven@conf.test/anna'") {
			t.Errorf("ben has\n%s", got)
		}
	})
	run(t, muc.Options{Defaults: map[string][]string{"muc#roomconfig_allowpm": {"none"}}}, func(w *world) {
		w.open("ben")
		w.send(bounce)
		w.expectNothing("ben@test/r")
		w.expectNothing("anna@test/r")
	})
}
