package interop_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// nasty makes the stanzas of one hostile client: valid ones that are unpleasant,
// and now and then one that ends its stream. The same seed makes the same.
type nasty struct {
	*rand.Rand
	name  string // own account
	rooms int    // how many rooms there are to spoil
	last  int    // of the numbers that ids have
}

// The accounts that attack, and whom they may write to.
const attackers = 24

func attackerName(i int) string { return "mallory" + strconv.Itoa(i) }

// pick is one of list.
func (n *nasty) pick(list ...string) string { return list[n.IntN(len(list))] }

func (n *nasty) id() string {
	n.last++
	return strconv.Itoa(n.last)
}

// text is something that may stand in character data and in attributes.
func (n *nasty) text() string {
	switch n.IntN(14) {
	case 0:
		return "👩‍👩‍👧‍👦🏳️‍🌈" + strings.Repeat("🧙🏿‍♂️", n.IntN(40))
	case 1:
		return "\u202e\u2066abc\u2069\u202d" + strings.Repeat("\u200b\u200f", n.IntN(30))
	case 2:
		return strings.Repeat("&amp;&lt;&#x10FFFF;&#65;&quot;", 1+n.IntN(20))
	case 3:
		return strings.Repeat("Z\u0310\u0311\u0334\u0348", 1+n.IntN(60)) // stacked accents
	case 4:
		return strings.Repeat("x", n.IntN(1<<uint(n.IntN(17))))
	case 5:
		return "\t\n \u00a0\u3000\ufeff\ufffd"
	case 6:
		return n.pick("&apos; OR 1=1; --", "%s%n%x", "../../etc/passwd", "${jndi:ldap://x}", "NULL", "0x0", "{{7*7}}", "&#xD;&#xA;")
	}
	return "word " + strconv.Itoa(n.IntN(1000))
}

// jid is an address, often a bad one.
func (n *nasty) jid() string {
	switch n.IntN(16) {
	case 0:
		return n.pick("", "@", "@localhost", "a@b@c", "/", "localhost/", "a@/b", "@/", "a b@localhost", "a@local host", "\u202e@localhost", "&#x1F4A9;@localhost")
	case 1:
		return strings.Repeat("x", 1020+n.IntN(8)) + "@localhost"
	case 2:
		return "witness@localhost/" + strings.Repeat("é", 500+n.IntN(20))
	case 3:
		return "nobody" + strconv.Itoa(n.IntN(1_000_000)) + "@localhost" + n.pick("", "/x", "/"+n.resource())
	case 4:
		return n.pick("localhost", "conference.localhost", "elsewhere.example", "a@elsewhere.example/x", "[::1]", "127.0.0.1")
	case 5:
		return "witness@localhost" + n.pick("", "/a")
	case 6, 7, 8:
		return n.room() + n.pick("", "/"+n.resource())
	}
	return attackerName(n.IntN(attackers)) + "@localhost" + n.pick("", "", "/"+strconv.Itoa(n.IntN(300)))
}

func (n *nasty) room() string {
	return fmt.Sprintf("room%d@conference.localhost", n.IntN(n.rooms))
}

// resource is a resource or nickname, some of them refused.
func (n *nasty) resource() string {
	switch n.IntN(8) {
	case 0:
		return strings.Repeat("r", 1015+n.IntN(12))
	case 1:
		return "🧛‍♀️🩸" + strconv.Itoa(n.IntN(20))
	case 2:
		return "\u202eadmin"
	case 3:
		return strings.Repeat("Z\u0310", 1+n.IntN(200))
	case 4:
		return n.pick(" ", "", "\u00a0", "admin ", "&#x2028;", "&amp;", "&apos;&quot;")
	}
	return "nick" + strconv.Itoa(n.IntN(50))
}

// payload is an element that nobody asked for.
func (n *nasty) payload() string {
	switch n.IntN(9) {
	case 0: // deep, but not too deep
		d := 1 + n.IntN(56)
		return strings.Repeat("<d xmlns='d'>", d) + strings.Repeat("</d>", d)
	case 1: // wide
		return "<w xmlns='w'>" + strings.Repeat("<c/>", n.IntN(400)) + "</w>"
	case 2: // attributes
		var b strings.Builder
		for i := range n.IntN(60) {
			fmt.Fprintf(&b, " a%d='%s'", i, "v")
		}
		return "<a xmlns='a'" + b.String() + "/>"
	case 3: // namespaces
		var b strings.Builder
		for i := range n.IntN(50) {
			fmt.Fprintf(&b, " xmlns:p%d='urn:%d'", i, i%3)
		}
		return "<p0:x xmlns:p0='u'><y" + b.String() + "/></p0:x>"
	case 4:
		return "<x xmlns='x'><![CDATA[<not><xml>&lol;]]><![CDATA[]]></x>"
	case 5:
		return "<x xmlns='urn:x' xml:lang='" + n.pick("de", "", "x-"+strings.Repeat("a", 200)) + "'>" + n.text() + "</x>"
	case 6:
		return "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='9999-99-99T99:99:99Z'/>"
	case 7:
		return "<stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='" + n.room() + "'/>"
	}
	return "<x xmlns='jabber:x:data' type='" + n.pick("submit", "form", "cancel", "?") + "'><field var='" + n.pick("FORM_TYPE", "muc#roomconfig_maxusers", "x") + "'>" +
		strings.Repeat("<value>"+n.pick("", "-1", "99999999999999999999", "http://jabber.org/protocol/muc#roomconfig")+"</value>", n.IntN(20)) + "</field></x>"
}

// next is a stanza; fatal says that it ends the stream.
func (n *nasty) next() (xml string, fatal bool) {
	if n.IntN(1000) < 4 {
		return n.malformed(), true
	}
	switch k := n.IntN(100); {
	case k < 25:
		return n.message(), false
	case k < 45:
		return n.presence(), false
	case k < 60:
		return n.muc(), false
	}
	return n.iq(), false
}

func (n *nasty) message() string {
	typ := n.pick("", " type='chat'", " type='groupchat'", " type='headline'", " type='normal'", " type='error'", " type='nonsense'", " type=''")
	to := " to='" + n.jid() + "'"
	if n.IntN(20) == 0 {
		to = ""
	}
	body := ""
	for range n.IntN(3) {
		body += "<body" + n.pick("", " xml:lang='ar'") + ">" + n.text() + "</body>"
	}
	if n.IntN(10) == 0 {
		body += "<subject>" + n.text() + "</subject><thread>" + n.text() + "</thread>"
	}
	if n.IntN(2) == 0 {
		body += n.payload()
	}
	return "<message" + to + typ + " id='" + n.text() + "'>" + body + "</message>"
}

func (n *nasty) presence() string {
	switch n.IntN(8) {
	case 0: // a storm of broadcasts
		return "<presence><priority>" + n.pick("0", "127", "-128", "128", "x", "", " 5 ", "99999999999999999999") + "</priority><show>" +
			n.pick("away", "dnd", "nonsense", "") + "</show><status>" + n.text() + "</status></presence>"
	case 1:
		return "<presence to='" + n.jid() + "' type='" + n.pick("subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error", "invisible", "") + "'>" + n.pick("", n.payload()) + "</presence>"
	case 2:
		return "<presence type='" + n.pick("unavailable", "subscribe", "error", "nonsense") + "'/>"
	case 3, 4: // directed to ever more addresses
		return "<presence to='" + n.pick("nobody", "user", "🧛") + strconv.Itoa(n.IntN(1_000_000)) + "@" + n.pick("localhost", "elsewhere.example", "conference.localhost/x") + "'/>"
	}
	return "<presence>" + n.pick("", n.payload()) + "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='x' ver='" + n.id() + "'/></presence>"
}

// muc is what people do in rooms, and a little more.
func (n *nasty) muc() string {
	room := n.room()
	switch n.IntN(12) {
	case 0, 1, 2, 3: // enters, perhaps a room that nobody has entered before
		if n.IntN(10) == 0 {
			room = "flood" + strconv.Itoa(n.IntN(1_000_000)) + "@conference.localhost"
		}
		return "<presence to='" + room + "/" + n.resource() + "'><x xmlns='http://jabber.org/protocol/muc'>" +
			n.pick("", "<password>x</password>", "<history maxstanzas='-1'/>", "<history maxchars='99999999999' seconds='x'/>", "<history since='yesterday'/>") + "</x></presence>"
	case 4:
		return "<presence to='" + room + "/" + n.resource() + "' type='" + n.pick("unavailable", "subscribe", "probe", "error") + "'/>"
	case 5:
		return "<message to='" + room + "' type='groupchat'><subject>" + n.text() + "</subject></message>"
	case 6:
		return "<message to='" + room + "'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='" + n.jid() + "'><reason>" + n.text() + "</reason></invite><decline to='" + n.jid() + "'/></x></message>"
	case 7:
		return n.request("set", room, "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>"+
			"<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"+
			"<field var='"+n.pick("muc#roomconfig_persistentroom", "muc#roomconfig_membersonly", "muc#roomconfig_roomname", "muc#roomconfig_maxusers", "x")+"'>"+
			"<value>"+n.pick("0", "1", "true", n.text())+"</value></field></x></query>")
	case 8:
		return n.request("set", room, "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='"+n.jid()+"'><reason>"+n.text()+"</reason></destroy></query>")
	case 9:
		items := ""
		for range n.IntN(30) {
			items += "<item " + n.pick("affiliation", "role") + "='" + n.pick("owner", "none", "outcast", "moderator", "king") + "' " + n.pick("jid", "nick") + "='" + n.jid() + "'/>"
		}
		return n.request(n.pick("get", "set"), room, "<query xmlns='http://jabber.org/protocol/muc#admin'>"+items+"</query>")
	}
	return "<message to='" + room + "' type='groupchat'><body>" + n.text() + "</body>" + n.pick("", n.payload()) + "</message>"
}

func (n *nasty) request(typ, to, payload string) string {
	return "<iq type='" + typ + "' to='" + to + "' id='" + n.id() + "'>" + payload + "</iq>"
}

func (n *nasty) iq() string {
	to := n.jid()
	switch n.IntN(14) {
	case 0:
		return n.request("get", n.pick("localhost", "conference.localhost", n.room()), "<query xmlns='http://jabber.org/protocol/disco#"+n.pick("info", "items")+"' node='"+n.pick("", n.text())+"'>"+
			"<set xmlns='http://jabber.org/protocol/rsm'><max>"+n.pick("0", "999999999", "9223372036854775807", "99999999999999999999999", "-1", "x")+"</max>"+
			n.pick("", "<before/>", "<before>"+n.text()+"</before>", "<after>"+n.text()+"</after>", "<index>4294967296</index>")+"</set></query>")
	case 1: // an answer to a question that nobody asked
		return "<iq type='" + n.pick("result", "error") + "' to='" + to + "' id='" + n.text() + "'>" + n.pick("", n.payload()) + "</iq>"
	case 2: // no id, no type, no payload, two payloads
		return n.pick("<iq type='get' to='"+to+"'/>", "<iq id='x' to='"+to+"'/>", "<iq type='get' id='x'/>", "<iq type='set' id='x'>"+n.payload()+n.payload()+"</iq>", "<iq type='x' id='x'/>", "<iq/>")
	case 3, 4: // a roster that grows
		groups := ""
		for range n.IntN(60) {
			groups += "<group>" + n.pick("", "g"+strconv.Itoa(n.IntN(99)), n.text()) + "</group>"
		}
		return "<iq type='set' id='" + n.id() + "'><query xmlns='jabber:iq:roster'><item jid='c" + strconv.Itoa(n.IntN(400)) + "@localhost' name='" + n.text() + "' subscription='" +
			n.pick("", "both", "remove", "x") + "'>" + groups + "</item></query></iq>"
	case 5:
		return "<iq type='get' id='" + n.id() + "'><query xmlns='jabber:iq:roster' ver='" + n.pick("", "0", "-1", "99999999999999999999", n.text()) + "'/></iq>"
	case 6:
		return n.request(n.pick("get", "set"), to, "<vCard xmlns='vcard-temp'><PHOTO><BINVAL>"+strings.Repeat("QUJD", n.IntN(4000))+"</BINVAL></PHOTO></vCard>")
	case 7:
		return "<iq type='" + n.pick("get", "set") + "' id='" + n.id() + "'><query xmlns='jabber:iq:private'>" + n.payload() + "</query></iq>"
	case 8:
		verb := n.pick("block", "unblock")
		return "<iq type='set' id='" + n.id() + "'><" + verb + " xmlns='urn:xmpp:blocking'><item jid='nobody" + strconv.Itoa(n.IntN(500)) + "@localhost'/></" + verb + "></iq>"
	case 9:
		return "<iq type='set' id='" + n.id() + "'><" + n.pick("enable", "disable") + " xmlns='urn:xmpp:carbons:2'/></iq>"
	case 10:
		return "<iq type='set' id='" + n.id() + "'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>again</resource></bind></iq>"
	case 11:
		return n.request("get", to, "<query xmlns='"+n.pick("jabber:iq:version", "jabber:iq:last", "urn:xmpp:time", "jabber:iq:register", "jabber:iq:search")+"'/>")
	case 12:
		return n.request("get", to, "<ping xmlns='urn:xmpp:ping'/>")
	}
	return n.request(n.pick("get", "set"), to, n.payload())
}

// malformed is what ends a stream.
func (n *nasty) malformed() string {
	switch n.IntN(18) {
	case 0:
		return "<message><body>\xff\xfe\xc0\x80</body></message>"
	case 1:
		return "<message to='x'><body></message></body>"
	case 2:
		return "<message>&lol;</message>"
	case 3:
		return "<!DOCTYPE lolz [<!ENTITY lol 'lol'>]>"
	case 4:
		return "<!-- " + n.text() + " -->"
	case 5:
		return "<?php " + n.text() + " ?>"
	case 6:
		return "<x:message/>"
	case 7:
		return "<message " + strings.Repeat("a='' ", 2+n.IntN(100)) + "/>"
	case 8:
		return strings.Repeat("<a>", 300+n.IntN(1000))
	case 9:
		return "<message id='" + strings.Repeat("x", 300_000) + "'/>"
	case 10:
		return "<message from='witness@localhost/a' to='talker@localhost'><body>forged</body></message>"
	case 11:
		return hello
	case 12:
		return "\x00\x01\x02" + n.text()
	case 13:
		return "<message><body>&#0;&#xD800;</body></message>"
	case 14:
		return "</stream:stream><message/>"
	case 15:
		return "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
	case 16:
		return "<unknown xmlns='jabber:client'/>"
	}
	return "<message><body>]]></body></message>"
}
