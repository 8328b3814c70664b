package muster_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/muster-im/muster/internal/xmpptest"
)

// routingTable is RFC 6121 §8.5, every cell of it, with the choices made where
// it leaves one. Each cell is a conversation of its own with a whole server:
// romeo, whom juliet does not know, sends one stanza, and everybody who is there
// says what he has received, which is that stanza or nothing; then a new client
// of juliet's asks what has been kept.
//
// to: juliet's account (bare), a resource that is not there (gone), or each of
// her resources in turn, whose outcomes stand beside each other.
//
// The columns are the state of the account: there is none (§8.5.1); it has no
// resource, or only one that has sent no presence (§8.5.2.2); only one with a
// negative priority, one with a priority that is not negative, or several
// (§8.5.2.1): 0 and 1 with priorities 0 and 5, 2 with a negative one, 3 without
// presence.
//
// An outcome: the numbers of the resources that get the stanza as it was sent;
// kept, for later; silence; the condition of the error that romeo gets (denied
// stands for service-unavailable); a subscription request (ask) is kept until
// it is answered, and shown to the resources behind the colon. A dot: there is
// no such cell.
const routingTable = `
kind     type         to   no-account none    connected negative one     several
message  normal       bare denied     kept    kept      kept     0       0,1
message  absent       bare denied     kept    kept      kept     0       0,1
message  strange      bare denied     kept    kept      kept     0       0,1
message  chat         bare denied     kept    kept      kept     0       0,1
message  groupchat    bare denied     denied  denied    denied   denied  denied
message  headline     bare silence    silence silence   silence  0       0,1
message  error        bare silence    silence silence   silence  silence silence
message  normal       gone denied     denied  denied    denied   denied  denied
message  absent       gone denied     denied  denied    denied   denied  denied
message  strange      gone denied     denied  denied    denied   denied  denied
message  chat         gone denied     kept    kept      kept     0       0,1
message  groupchat    gone denied     denied  denied    denied   denied  denied
message  headline     gone denied     denied  denied    denied   denied  denied
message  error        gone silence    silence silence   silence  silence silence
message  normal       each .          .       0         0        0       0|1|2|3
message  absent       each .          .       0         0        0       0|1|2|3
message  strange      each .          .       0         0        0       0|1|2|3
message  chat         each .          .       0         0        0       0|1|2|3
message  groupchat    each .          .       0         0        0       0|1|2|3
message  headline     each .          .       0         0        0       0|1|2|3
message  error        each .          .       0         0        0       0|1|2|3
presence available    bare silence    silence silence   0        0       0,1,2
presence unavailable  bare silence    silence silence   0        0       0,1,2
presence error        bare silence    silence silence   0        0       0,1,2
presence subscribe    bare silence    ask     ask       ask:0    ask:0   ask:0,1,2
presence subscribed   bare silence    silence silence   silence  silence silence
presence unsubscribe  bare silence    silence silence   silence  silence silence
presence unsubscribed bare silence    silence silence   silence  silence silence
presence probe        bare silence    silence silence   silence  silence silence
presence available    gone silence    silence silence   silence  silence silence
presence unavailable  gone silence    silence silence   silence  silence silence
presence error        gone silence    silence silence   silence  silence silence
presence subscribe    gone silence    ask     ask       ask:0    ask:0   ask:0,1,2
presence subscribed   gone silence    silence silence   silence  silence silence
presence unsubscribe  gone silence    silence silence   silence  silence silence
presence unsubscribed gone silence    silence silence   silence  silence silence
presence probe        gone silence    silence silence   silence  silence silence
presence available    each .          .       0         0        0       0|1|2|3
presence unavailable  each .          .       0         0        0       0|1|2|3
presence error        each .          .       0         0        0       0|1|2|3
presence subscribe    each .          .       ask       ask:0    ask:0   ask:0,1,2|ask:0,1,2|ask:0,1,2|ask:0,1,2
presence subscribed   each .          .       silence   silence  silence silence|silence|silence|silence
presence unsubscribe  each .          .       silence   silence  silence silence|silence|silence|silence
presence unsubscribed each .          .       silence   silence  silence silence|silence|silence|silence
presence probe        each .          .       silence   silence  silence silence|silence|silence|silence
iq       get          bare denied     denied  denied    denied   denied  denied
iq       set          bare denied     denied  denied    denied   denied  denied
iq       result       bare silence    silence silence   silence  silence silence
iq       error        bare silence    silence silence   silence  silence silence
iq       get          gone denied     denied  denied    denied   denied  denied
iq       set          gone denied     denied  denied    denied   denied  denied
iq       result       gone silence    silence silence   silence  silence silence
iq       error        gone silence    silence silence   silence  silence silence
iq       get          each .          .       0         0        0       0|1|2|3
iq       set          each .          .       0         0        0       0|1|2|3
iq       result       each .          .       0         0        0       0|1|2|3
iq       error        each .          .       0         0        0       0|1|2|3
`

// unavailable is the priority of a resource that has sent no presence.
const unavailable = "-"

// routingCell is one cell of the table.
type routingCell struct {
	kind, typ string
	to        string   // bare, gone, or a resource
	state     string   // of the account
	sessions  []string // priorities
	outcome   string
}

// routingCells reads the table.
func routingCells(t *testing.T) []routingCell {
	t.Helper()
	priorities := map[string][]string{
		"connected": {unavailable}, "negative": {"-1"}, "one": {"0"}, "several": {"0", "5", "-1", unavailable},
	}
	lines := strings.Split(strings.TrimSpace(routingTable), "\n")
	header := strings.Fields(lines[0])
	var cells []routingCell
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) != len(header) {
			t.Fatalf("%d columns, want %d: %s", len(f), len(header), line)
		}
		for i, state := range header[3:] {
			outcomes, sessions := strings.Split(f[3+i], "|"), priorities[state]
			if f[2] == "each" && len(outcomes) != max(1, len(sessions)) {
				t.Fatalf("%d outcomes for %d resources: %s", len(outcomes), len(sessions), line)
			}
			for n, outcome := range outcomes {
				c := routingCell{kind: f[0], typ: f[1], to: f[2], state: state, sessions: sessions, outcome: outcome}
				if c.to == "each" {
					c.to = fmt.Sprint(n)
				}
				if outcome != "." {
					cells = append(cells, c)
				}
			}
		}
	}
	return cells
}

// TestRoutingTable: RFC 6121 §8.5.
func TestRoutingTable(t *testing.T) {
	t.Parallel()
	cells := routingCells(t)
	if want := (7 + 8 + 4) * (2*6 + 3 + 4); len(cells) != want {
		t.Errorf("%d cells, want %d: types by addresses and states", len(cells), want)
	}
	for _, c := range cells {
		xmpptest.RunText(t, fmt.Sprintf("%s %s to %s, %s", c.kind, c.typ, c.to, c.state), c.script(), xmpptest.NewServer)
	}
}

// address is what romeo writes to.
func (c *routingCell) address() string {
	account := "juliet@localhost"
	if c.state == "no-account" {
		account = "ghost@localhost"
	}
	switch c.to {
	case "bare":
		return account
	case "gone":
		return account + "/gone"
	}
	return account + "/r" + c.to
}

// script is the conversation, and what must be heard of it.
func (c *routingCell) script() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("connect romeo")
	if c.state == "none" {
		say("connect first juliet first\ndisconnect first") // makes the account
	}
	c.appear(say)
	say("C romeo: <%s%s id='x' to='%s'>%s</%s>", c.kind, c.typeAttr(), c.address(), c.inner(), c.kind)
	c.hear(say)
	say("S romeo: nothing")
	for i := range c.sessions {
		say("S r%d: nothing", i)
	}
	if c.kind != "iq" {
		c.ask(say)
	}
	return b.String()
}

// available are the numbers of the resources that have sent presence.
func (c *routingCell) available() []int {
	var list []int
	for i, p := range c.sessions {
		if p != unavailable {
			list = append(list, i)
		}
	}
	return list
}

// appear connects juliet's resources.
func (c *routingCell) appear(say func(string, ...any)) {
	for i, p := range c.sessions {
		say("connect r%d juliet r%d", i, i)
		if p == unavailable {
			continue
		}
		say("C r%d: <presence><priority>%s</priority></presence>", i, p)
		say("S any {")
		for _, other := range c.available() {
			if other <= i {
				say("  S r%d: <presence from='juliet@localhost/r%d'>…</presence>", other, i)
			}
			if other < i {
				say("  S r%d: <presence from='juliet@localhost/r%d' …>…</presence>", i, other)
			}
		}
		say("}")
	}
}

// hear says what is received at once.
func (c *routingCell) hear(say func(string, ...any)) {
	outcome, receivers, _ := strings.Cut(c.outcome, ":")
	from, to := "romeo@localhost/romeo", c.address()
	switch outcome {
	case "silence", "kept":
	case "denied":
		say("S romeo: <%s type='error' id='x' from='%s'>…<error type='cancel'>…<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error>…</%s>",
			c.kind, c.address(), c.kind)
	case "ask":
		from, to = "romeo@localhost", "juliet@localhost" // §3.1.2
	default:
		receivers = outcome
	}
	if receivers == "" {
		return
	}
	say("S any {")
	for n := range strings.SplitSeq(receivers, ",") {
		say("  S r%s: <%s%s id='x' from='%s' to='%s'>%s</%s>", n, c.kind, c.typeAttr(), from, to, c.inner(), c.kind)
	}
	say("}")
}

// ask lets a client come, of the account if need be that was not there, and hear
// what has been kept.
func (c *routingCell) ask(say func(string, ...any)) {
	account, _, _ := strings.Cut(c.address(), "/")
	say("connect late %s late", account)
	say("C late: <presence/>")
	say("S any {")
	say("  S late: <presence from='%s/late'/>", account)
	for _, i := range c.available() {
		say("  S late: <presence from='juliet@localhost/r%d' …>…</presence>", i)
		say("  S r%d: <presence from='juliet@localhost/late'/>", i)
	}
	switch {
	case c.outcome == "kept":
		say("  S late: <message%s id='x' from='romeo@localhost/romeo' to='%s'>…<body>hello</body><delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/>…</message>",
			c.typeAttr(), c.address())
	case strings.HasPrefix(c.outcome, "ask"):
		say("  S late: <presence type='subscribe' id='x' from='romeo@localhost' to='juliet@localhost'><status>hello</status></presence>")
	}
	say("}")
	for _, name := range append([]string{"romeo", "late"}, c.names()...) {
		say("S %s: nothing", name)
	}
}

func (c *routingCell) names() []string {
	var list []string
	for i := range c.sessions {
		list = append(list, fmt.Sprintf("r%d", i))
	}
	return list
}

func (c *routingCell) typeAttr() string {
	if c.typ == "absent" || c.typ == "available" {
		return ""
	}
	return " type='" + c.typ + "'"
}

// inner is what the stanza holds.
func (c *routingCell) inner() string {
	failure := ""
	if c.typ == "error" {
		failure = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
	}
	switch c.kind {
	case "message":
		return "<body>hello</body>" + failure
	case "presence":
		return "<status>hello</status>" + failure
	}
	return "<query xmlns='urn:test'/>" + failure
}

// TestRoutingTableCanFail: of each kind of outcome one cell that expects another
// one is refused by the server that passes the table.
func TestRoutingTableCanFail(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, c := range routingCells(t) {
		right := c.outcome
		if kind := c.kind + right; c.state != "several" || seen[kind] {
			continue
		} else {
			seen[kind] = true
		}
		for _, wrong := range []string{"silence", "denied", "kept", "ask", "0", "0,1"} {
			if wrong == right || c.kind != "message" && wrong == "kept" || c.kind != "presence" && wrong == "ask" {
				continue
			}
			c.outcome = wrong
			t.Run(fmt.Sprintf("%s %s is %s and not %s", c.kind, c.typ, right, wrong), func(t *testing.T) {
				t.Parallel()
				if xmpptest.Try(t, c.script(), xmpptest.NewServer) == nil {
					t.Errorf("passed:\n%s", c.script())
				}
			})
		}
	}
}

// TestNobodyLearnsWhoThereIs: RFC 6120 §13.10.2 (directory harvesting): whatever
// a stranger asks, the answer is the same for an account that exists and one
// that does not.
func TestNobodyLearnsWhoThereIs(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, typ, payload, condition string }{ // "": a result
		{"roster", "get", "<query xmlns='jabber:iq:roster'/>", "forbidden"},
		{"roster change", "set", "<query xmlns='jabber:iq:roster'><item jid='a@localhost'/></query>", "forbidden"},
		{"carbons", "set", "<enable xmlns='urn:xmpp:carbons:2'/>", "not-allowed"},
		{"block list", "get", "<blocklist xmlns='urn:xmpp:blocking'/>", "service-unavailable"},
		{"block", "set", "<block xmlns='urn:xmpp:blocking'><item jid='a@localhost'/></block>", "service-unavailable"},
		{"private data", "get", "<query xmlns='jabber:iq:private'><x xmlns='urn:test'/></query>", "forbidden"},
		{"vCard", "get", "<vCard xmlns='vcard-temp'/>", "service-unavailable"},
		{"vCard change", "set", "<vCard xmlns='vcard-temp'><FN>x</FN></vCard>", "forbidden"},
		{"last activity", "get", "<query xmlns='jabber:iq:last'/>", "forbidden"},
		{"resource's last activity", "get", "<query xmlns='jabber:iq:last'/>", "forbidden"},
		{"resource's ping", "get", "<ping xmlns='urn:xmpp:ping'/>", "service-unavailable"},
		{"registration", "get", "<query xmlns='jabber:iq:register'/>", "service-unavailable"},
		{"ping", "get", "<ping xmlns='urn:xmpp:ping'/>", "service-unavailable"},
		{"discovery", "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "service-unavailable"},
		{"items", "get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", ""},
		{"what nobody knows", "get", "<query xmlns='urn:test'/>", "service-unavailable"},
	}
	for _, test := range tests {
		var b strings.Builder
		b.WriteString("connect romeo\nconnect juliet\ndisconnect juliet\n")
		addresses := []string{"juliet@localhost", "ghost@localhost"}
		if strings.HasPrefix(test.name, "resource") {
			addresses = []string{"juliet@localhost/x", "ghost@localhost/x"}
		}
		for _, to := range addresses {
			fmt.Fprintf(&b, "C romeo: <iq type='%s' id='i' to='%s'>%s</iq>\n", test.typ, to, test.payload)
			if test.condition == "" {
				fmt.Fprintf(&b, "S romeo: <iq type='result' id='i' from='%s'>…</iq>\n", to)
			} else {
				fmt.Fprintf(&b, "S romeo: <iq type='error' id='i' from='%s'>…<%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</iq>\n", to, test.condition)
			}
		}
		xmpptest.RunText(t, test.name, b.String(), xmpptest.NewServer)
	}
}
