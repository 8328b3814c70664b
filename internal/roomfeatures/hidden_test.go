package roomfeatures_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/jid"
)

// TestBannedFromHidden: who is banned from a hidden room, or whose domain is, gets
// from it what he would get if there were none (XEP-0045 §14.4), whatever he
// sends. Only to an attempt to enter it says that he is banned (§7.2.7).
func TestBannedFromHidden(t *testing.T) {
	request := func(kind, payload string) string {
		return "<iq id='x' type='" + kind + "' from='%from' to='%to'>" + payload + "</iq>"
	}
	message := func(kind, content string) string {
		return "<message id='x' type='" + kind + "' from='%from' to='%to'>" + content + "</message>"
	}
	presence := func(kind string) string { return "<presence id='x' type='" + kind + "' from='%from' to='%to'/>" }
	user := func(content string) string {
		return "<x xmlns='http://jabber.org/protocol/muc#user'>" + content + "</x>"
	}
	form := "<x xmlns='jabber:x:data' type='submit'/>"
	list := map[string]string{
		"ping":          request("get", "<ping xmlns='urn:xmpp:ping'/>"),
		"info":          request("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
		"reserved nick": request("get", "<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/>"),
		"traffic":       request("get", "<query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/muc#traffic'/>"),
		"items":         request("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
		"commands":      request("get", "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>"),
		"command":       request("set", "<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:hats:commands:list' action='execute'/>"),
		"form":          request("get", "<query xmlns='http://jabber.org/protocol/muc#owner'/>"),
		"configure":     request("set", "<query xmlns='http://jabber.org/protocol/muc#owner'>"+form+"</query>"),
		"destroy":       request("set", "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>"),
		"owners":        request("get", "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner'/></query>"),
		"outcasts":      request("get", "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast'/></query>"),
		"change":        request("set", "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='none' jid='ben@test'/></query>"),
		"register":      request("get", "<query xmlns='jabber:iq:register'/>"),
		"registration":  request("set", "<query xmlns='jabber:iq:register'>"+form+"</query>"),
		"archive":       request("set", "<query xmlns='urn:xmpp:mam:2'/>"),
		"metadata":      request("get", "<metadata xmlns='urn:xmpp:mam:2'/>"),
		"avatar":        request("get", "<vCard xmlns='vcard-temp'/>"),
		"avatar set":    request("set", "<vCard xmlns='vcard-temp'/>"),
		"moderation":    request("set", "<moderate xmlns='urn:xmpp:message-moderate:1' id='y'><retract xmlns='urn:xmpp:message-retract:1'/></moderate>"),
		"anything":      request("get", "<a xmlns='urn:example:b'/>"),
		"no payload":    request("get", ""),
		"result":        request("result", ""),
		"error":         request("error", "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),

		"groupchat":    message("groupchat", "<body>hi</body>"),
		"subject":      message("groupchat", "<subject>hi</subject>"),
		"chat":         message("chat", "<body>hi</body>"),
		"normal":       message("normal", "<body>hi</body>"),
		"headline":     message("headline", "<body>hi</body>"),
		"invitation":   message("normal", user("<invite to='zoe@test'/>")),
		"decline":      message("normal", user("<decline to='anna@test'/>")),
		"voice":        message("normal", "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field><field var='muc#role'><value>participant</value></field></x>"),
		"bounce":       message("error", "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
		"bounced":      message("error", user("<invite to='zoe@test'/>")+"<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
		"without join": "<presence id='x' from='%from' to='%to'/>",
		"unavailable":  presence("unavailable"),
		"probe":        presence("probe"),
		"subscription": presence("subscribe"),
		"no presence":  presence("error"),
		"odd presence": presence("asleep"),
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{got: make(map[jid.JID][]string)}
		send, _ := newRooms(t, w, &nickStore{})
		send("<presence from='anna@test/r' to='hidden@conf.test/anna'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
		send("<iq type='set' id='c' from='anna@test/r' to='hidden@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
			"<field var='muc#roomconfig_publicroom'><value>0</value></field><field var='muc#roomconfig_persistentroom'><value>1</value></field></x></query></iq>")
		send("<iq type='set' id='d' from='anna@test/r' to='hidden@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'>" +
			"<item affiliation='outcast' jid='ben@test'/><item affiliation='outcast' jid='far.test'/></query></iq>")
		expect(t, w.take("anna@test/r"), "type='result' id='c'", "type='result' id='d'")
		for name, xml := range list {
			for _, from := range []string{"ben@test/r", "cat@far.test/r"} {
				for _, nick := range []string{"", "/anna", "/nobody", "/ben"} {
					var got [2]string
					for i, room := range []string{"hidden@conf.test", "nowhere@conf.test"} {
						send("%s", strings.NewReplacer("%from", from, "%to", room+nick).Replace(xml))
						got[i] = strings.ReplaceAll(w.take(from), room, "ROOM")
					}
					if got[0] != got[1] {
						t.Errorf("%s from %s to %q: hidden\n%s\nno room\n%s", name, from, nick, got[0], got[1])
					}
				}
			}
		}
		if got := w.take("anna@test/r") + w.take("zoe@test"); got != "" {
			t.Errorf("others have\n%s", got)
		}
		send("<presence from='ben@test/r' to='hidden@conf.test/ben'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
		expect(t, w.take("ben@test/r"), "type='error'", "<forbidden ")
	})
}
