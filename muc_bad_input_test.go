package muster_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/xmpptest"
)

const (
	mucAdmin = `<query xmlns='http://jabber.org/protocol/muc#admin'>%s</query>`
	mucOwner = `<query xmlns='http://jabber.org/protocol/muc#owner'>%s</query>`
	mucForm  = `<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>%s</x></query>`
)

// badInput is what the owner of a room sends, and how it is refused.
type badInput struct {
	name      string
	payload   string
	condition string
	text      string // of the error; *: some, "": whatever there is
}

// scene is a room with romeo, its owner, and juliet.
const scene = `
C romeo: <presence to='coven@conf.test/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>
S romeo: <presence from='coven@conf.test/Romeo' …>…<status code='110'/>…</presence>
S romeo: <message type='groupchat' from='coven@conf.test' …><subject/></message>
C romeo: <iq type='set' id='c1' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_roomname'><value>Coven</value></field></x></query></iq>
S romeo: <iq type='result' id='c1' from='coven@conf.test'/>
C juliet: <presence to='coven@conf.test/Juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>
S any {
S juliet: <presence from='coven@conf.test/Romeo'>…</presence>
S juliet: <presence from='coven@conf.test/Juliet'>…</presence>
S juliet: <message type='groupchat' from='coven@conf.test' …><subject/></message>
S romeo: <presence from='coven@conf.test/Juliet'>…</presence>
}
C romeo: <iq type='get' id='form' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>
S romeo: <iq type='result' id='form' from='coven@conf.test'>…<field var='muc#roomconfig_roomname' …>…<value>Coven</value>…</field>…<field var='muc#roomconfig_maxusers' …>…<value>1000</value>…</field>…</iq>
`

// unchanged is what is the case in the scene, and after every refusal.
const unchanged = `
C romeo: <iq type='get' id='members' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member'/></query></iq>
S romeo: <iq type='result' id='members' from='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'/></iq>
C romeo: <iq type='get' id='owners' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner'/></query></iq>
S romeo: <iq type='result' id='owners' from='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner' jid='romeo@localhost'/></query></iq>
C romeo: <iq type='get' id='form' to='coven@conf.test'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>
S romeo: <iq type='result' id='form' from='coven@conf.test'>…<field var='muc#roomconfig_roomname' …>…<value>Coven</value>…</field>…<field var='muc#roomconfig_maxusers' …>…<value>1000</value>…</field>…</iq>
S juliet: nothing
`

// TestBadRoomRequests: items, lists and forms that make no sense are refused
// with the condition that says why (XEP-0045 §9.2, §10.2), and change nothing.
func TestBadRoomRequests(t *testing.T) {
	t.Parallel()
	item := func(s string) string { return fmt.Sprintf(mucAdmin, s) }
	field := func(name, value string) string {
		return fmt.Sprintf(mucForm, "<field var='muc#roomconfig_roomname'><value>Palace</value></field><field var='"+name+"'><value>"+value+"</value></field>")
	}
	const good = "<item affiliation='member' jid='nurse@localhost'/>"
	tests := map[string][]badInput{
		"set items": {
			{"no item", item(""), "bad-request", "*"},
			{"an item that says nothing", item("<item jid='nurse@localhost'/>"), "bad-request", "*"},
			{"no such affiliation", item("<item jid='nurse@localhost' affiliation='friend'/>"), "bad-request", "*"},
			{"an affiliation in capitals", item("<item jid='nurse@localhost' affiliation='Member'/>"), "bad-request", "*"},
			{"no such role", item("<item nick='Juliet' role='king'/>"), "bad-request", "*"},
			{"both", item("<item nick='Juliet' role='none' affiliation='none'/>"), "bad-request", "*"},
			{"of nobody", item("<item affiliation='member'/>"), "bad-request", "*"},
			{"a role of nobody", item("<item role='visitor'/>"), "bad-request", "*"},
			{"a malformed address", item("<item jid='a@b@c' affiliation='member'/>"), "jid-malformed", "*"},
			{"a malformed address of a role", item("<item jid='@' role='none'/>"), "jid-malformed", "*"},
			{"a nickname of nobody", item("<item nick='Nurse' affiliation='member'/>"), "item-not-found", "*"},
			{"a role for nobody", item("<item nick='Nurse' role='none'/>"), "item-not-found", "*"},
			{"a domain that owns", item("<item jid='localhost' affiliation='owner'/>"), "not-acceptable", "*"},
			{"a nickname that is none", item("<item jid='nurse@localhost' affiliation='member' nick=' '/>"), "jid-malformed", "*"},
			{"somebody else's nickname", item("<item jid='nurse@localhost' affiliation='member' nick='Juliet'/>"), "conflict", "*"},
			{"the last of a list", item(good + "<item jid='a@b@c' affiliation='member'/>"), "jid-malformed", "Item 2: The item's address is malformed."},
			{"the first of a list", item("<item nick='Nurse' role='none'/>" + good), "item-not-found", "Item 1: Nobody in the room has this nickname."},
			{"one person twice", item(good + "<item affiliation='admin' jid='nurse@localhost/work'/>"), "bad-request", "Item 2: Another item is of nurse@localhost, too."},
			{"one's own ban in a list", item(good + "<item jid='romeo@localhost' affiliation='outcast'/>"), "conflict", "Item 2: You cannot ban yourself."},
		},
		"get items": {
			{"no item", item(""), "bad-request", "*"},
			{"nothing asked", item("<item/>"), "bad-request", "*"},
			{"no such affiliation", item("<item affiliation='friend'/>"), "bad-request", "*"},
			{"no such role", item("<item role='king'/>"), "bad-request", "*"},
			{"two lists", item("<item affiliation='member'/><item affiliation='owner'/>"), "bad-request", "*"},
			{"lists as of 2002", fmt.Sprintf(mucOwner, "<item affiliation='owner'/>"), "bad-request", "*"},
			{"an unknown request", "<query xmlns='urn:example:unknown'/>", "service-unavailable", ""},
		},
		"set forms": {
			{"no form", fmt.Sprintf(mucOwner, ""), "bad-request", "*"},
			{"two ends", fmt.Sprintf(mucOwner, "<destroy/><destroy/>"), "bad-request", "*"},
			{"a form and an end", fmt.Sprintf(mucOwner, "<x xmlns='jabber:x:data' type='cancel'/><destroy/>"), "bad-request", "*"},
			{"a form without type", fmt.Sprintf(mucOwner, "<x xmlns='jabber:x:data'/>"), "bad-request", ""},
			{"a form of a type that there is not", fmt.Sprintf(mucOwner, "<x xmlns='jabber:x:data' type='sent'/>"), "bad-request", ""},
			{"a form that is no answer", fmt.Sprintf(mucOwner, "<x xmlns='jabber:x:data' type='form'/>"), "bad-request", "*"},
			{"another form", field("FORM_TYPE", "urn:example:other"), "bad-request", "*"},
			{"no boolean", field("muc#roomconfig_membersonly", "perhaps"), "bad-request", `muc#roomconfig_membersonly: want 0, 1, true or false, got "perhaps"`},
			{"no number", field("muc#roomconfig_maxusers", "many"), "bad-request", `muc#roomconfig_maxusers: want a positive number or none, got "many"`},
			{"a negative number", field("muc#roomconfig_historylength", "-1"), "bad-request", `muc#roomconfig_historylength: want a whole number from 0 to 20, got "-1"`},
			{"no choice", field("muc#roomconfig_whois", "friends"), "bad-request", `muc#roomconfig_whois: want one of moderators, anyone, got "friends"`},
			{"no choice among several", field("muc#roomconfig_presencebroadcast", "king"), "bad-request", `muc#roomconfig_presencebroadcast: want some of moderator, participant, visitor, got "king"`},
			{"too many", field("muc#roomconfig_maxusers", "1000000"), "not-acceptable", `muc#roomconfig_maxusers: at most 1000, got 1000000`},
			{"too long", field("muc#roomconfig_lang", strings.Repeat("en-", 12)), "not-acceptable", `muc#roomconfig_lang: at most 35 bytes, got 36`},
			{"a field twice", fmt.Sprintf(mucOwner, "<x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_roomname'><value>a</value></field>"+
				"<field var='muc#roomconfig_roomname'><value>b</value></field></x>"), "bad-request", `muc#roomconfig_roomname: the form has two fields of this name`},
			{"no address", field("muc#roomconfig_roomowners", "a@b@c"), "jid-malformed", `muc#roomconfig_roomowners: The address a@b@c is malformed.`},
			{"a malformed address of another room", fmt.Sprintf(mucOwner, "<destroy jid='a@b@c'/>"), "jid-malformed", ""},
		},
	}
	for name, cases := range tests {
		kind, _, _ := strings.Cut(name, " ")
		for _, tt := range cases {
			answer := fmt.Sprintf("…<%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…", tt.condition)
			script := scene + fmt.Sprintf("C romeo: <iq type='%s' id='bad' to='coven@conf.test'>%s</iq>\nS romeo: <iq type='error' id='bad' from='coven@conf.test'>%s</iq>\n", kind, tt.payload, answer) + unchanged
			xmpptest.RunText(t, name+"/"+tt.name, named(script, tt.text), xmpptest.NewServer)
		}
	}
}

// named makes a script expect a text in the error.
func named(script, text string) string {
	if text == "" {
		return script
	}
	return strings.Replace(script, "xmpp-stanzas'/>…", "xmpp-stanzas'/>…<text …>"+text+"</text>…", 1)
}

// TestBadRoomStanzas: messages and presence that make no sense in a room are
// refused (XEP-0045 §17.2, §17.3), and nobody else hears of them.
func TestBadRoomStanzas(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, stanza, answer string }{
		{"chat to the room", "<message type='chat' id='bad' to='coven@conf.test'><body>hi</body></message>", "modify not-acceptable"},
		{"groupchat to an occupant", "<message type='groupchat' id='bad' to='coven@conf.test/Romeo'><body>hi</body></message>", "modify bad-request"},
		{"a private message to nobody", "<message type='chat' id='bad' to='coven@conf.test/Nurse'><body>hi</body></message>", "cancel item-not-found"},
		{"an invitation of nobody", "<message id='bad' to='coven@conf.test'><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x></message>", "modify jid-malformed"},
		{"an invitation of somebody malformed", "<message id='bad' to='coven@conf.test'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='a@b@c'/></x></message>", "modify jid-malformed"},
		{"a probe of nobody", "<presence type='probe' id='bad' to='coven@conf.test/Nurse'/>", "cancel item-not-found"},
		{"a nickname that is taken", "<presence id='bad' to='coven@conf.test/romeo'/>", "cancel conflict"},
		{"a nickname that is blank", "<presence id='bad' to='coven@conf.test/&#x3000;'/>", "modify jid-malformed"},
		{"an IQ without payload", "<iq type='get' id='bad' to='coven@conf.test'/>", "modify bad-request"},
		{"an IQ to nobody", "<iq type='get' id='bad' to='coven@conf.test/Nurse'><query xmlns='jabber:iq:version'/></iq>", "cancel item-not-found"},
	}
	for _, tt := range tests {
		kind, condition, _ := strings.Cut(tt.answer, " ")
		element := tt.stanza[1:strings.IndexByte(tt.stanza, ' ')]
		script := scene + fmt.Sprintf("C juliet: %s\nS juliet: <%s type='error' id='bad' …>…<error type='%s' …>…<%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error>…</%s>\nS romeo: nothing\n", tt.stanza, element, kind, condition, element) + unchanged
		xmpptest.RunText(t, tt.name, script, xmpptest.NewServer)
	}
	// What is no request to enter or leave moves nobody, and what is an answer gets none.
	for _, quiet := range []string{
		"<message type='error' id='bad' to='coven@conf.test'><error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
		"<iq type='result' id='bad' to='coven@conf.test'/>",
		"<iq type='error' id='bad' to='coven@conf.test/Romeo'/>",
	} {
		xmpptest.RunText(t, quiet, scene+"C juliet: "+quiet+"\nS romeo: nothing\n"+unchanged, xmpptest.NewServer)
	}
}
