package stanza

// Namespaces that more than one package speaks. NSClient names the content
// namespace of every stanza in memory; streams with another content namespace
// (jabber:server, jabber:component:accept) map to and from it at their edge.
const (
	NSClient      = "jabber:client"
	NSStream      = "http://etherx.jabber.org/streams"
	NSXML         = "http://www.w3.org/XML/1998/namespace"
	NSStanzaError = "urn:ietf:params:xml:ns:xmpp-stanzas"
	NSStreamError = "urn:ietf:params:xml:ns:xmpp-streams"
	NSTLS         = "urn:ietf:params:xml:ns:xmpp-tls"
	NSSASL        = "urn:ietf:params:xml:ns:xmpp-sasl"
	NSBind        = "urn:ietf:params:xml:ns:xmpp-bind"
	NSSession     = "urn:ietf:params:xml:ns:xmpp-session"
	NSRoster      = "jabber:iq:roster"
	NSRosterVer   = "urn:xmpp:features:rosterver"
	NSDiscoInfo   = "http://jabber.org/protocol/disco#info"
	NSDiscoItems  = "http://jabber.org/protocol/disco#items"
	NSData        = "jabber:x:data"
	NSRSM         = "http://jabber.org/protocol/rsm"
	NSDelay       = "urn:xmpp:delay"
	NSPing        = "urn:xmpp:ping"
	NSVersion     = "jabber:iq:version"
	NSMUC         = "http://jabber.org/protocol/muc"
	NSMUCUser     = "http://jabber.org/protocol/muc#user"
	NSMUCAdmin    = "http://jabber.org/protocol/muc#admin"
	NSMUCOwner    = "http://jabber.org/protocol/muc#owner"
	NSStanzaID    = "urn:xmpp:sid:0"
	NSOccupantID  = "urn:xmpp:occupant-id:0"
	NSConference  = "jabber:x:conference"
	NSHints       = "urn:xmpp:hints"
	NSCarbons     = "urn:xmpp:carbons:2"
	NSForward     = "urn:xmpp:forward:0"
)
