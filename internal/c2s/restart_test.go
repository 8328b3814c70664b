package c2s

import (
	"strings"
	"testing"
)

// TestLanguage: stanzas inherit the language of the stream as it was opened
// last, and keep one of their own (RFC 6120 §4.7.4, §8.1.5).
func TestLanguage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, first, second, want string }{
		{"of the stream", "", "de", " xml:lang='de'"},
		{"with a region", "", "de-CH-1996", " xml:lang='de-CH-1996'"},
		{"of the stream before", "de", "", ""},
		{"none", "", "", ""},
		{"no tag", "", "de ch", ""},
		{"endless", "", strings.Repeat("a-", 1000) + "a", ""},
		{"markup", "", "&apos;&gt;", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			speaking := func(lang string) string {
				if lang == "" {
					return header
				}
				return strings.Replace(header, " to=", " xml:lang='"+lang+"' to=", 1)
			}
			inWorld(t, nil, func(w *world) {
				p := w.dial()
				p.ask(speaking(tt.first), "xml:lang='en'") // the server's, in which its errors are
				p.ask(auth("PLAIN", plain("romeo", password)), "<success ")
				p.ask(speaking(tt.second), "xml:lang='en'")
				p.ask(bindRequest("x"))
				w.told()
				p.ask("<presence/><presence xml:lang='fr'/><message to='juliet@a.test'/><message xml:lang='' to='juliet@a.test'/>")
				w.wantTold("outbound <presence from='romeo@a.test/x'"+tt.want+"/>", "outbound <presence from='romeo@a.test/x' xml:lang='fr'/>",
					"route <message from='romeo@a.test/x'"+tt.want+" to='juliet@a.test'/>",
					"route <message from='romeo@a.test/x' xml:lang='' to='juliet@a.test'/>") // says that it is in none
			})
		})
	}
}

// TestNewStream: authentication begins a new stream, to which nothing of the
// old one belongs (RFC 6120 §4.3.3, §6.4.6).
func TestNewStream(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, send, want string }{
		{"a stanza without a header", "<presence/>", "<not-well-formed "},
		{"the old stream's end", "</stream:stream>", "<not-well-formed "},
		{"authentication again", auth("PLAIN", plain("juliet", password)), "<bad-format "},
		{"a prefix of the old header", header + "<iq id='b1' type='set'><p:bind/></iq>", "<bad-namespace-prefix "},
		{"a line end and a header", "\r\n" + header + bindRequest("x"), "<jid>romeo@a.test/x</jid>"},
		{"a header in which everything follows", header + bindRequest("x") + "<presence/>", "<jid>romeo@a.test/x</jid>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, pipelined := range []bool{false, true} {
				inWorld(t, nil, func(w *world) {
					p := w.dial()
					p.ask(strings.Replace(header, " to=", " xmlns:p='urn:ietf:params:xml:ns:xmpp-bind' to=", 1), "<stream:features>")
					first := auth("PLAIN", plain("romeo", password))
					if pipelined {
						p.send("%s", first+tt.send)
					} else {
						p.ask(first, "<success ")
						p.send("%s", tt.send)
					}
					p.want(tt.want)
				})
			}
		})
	}
}

// TestFeaturesAfterwards: what has been negotiated is not offered again, nor
// taken if it comes all the same (RFC 6120 §4.3.2, §6.4.6, §7.1).
func TestFeaturesAfterwards(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		p := w.dial()
		p.login("romeo")
		p.send("%s", auth("PLAIN", plain("romeo", password)))
		p.wantError("unsupported-stanza-type")

		p = w.join("romeo", "x")
		p.send("%s", auth("PLAIN", plain("juliet", password)))
		if got := p.want("<stream:error><unsupported-stanza-type "); strings.Contains(got, "success") {
			t.Errorf("authenticated twice: %q", got)
		}
		p.wantClosed()

		p = w.join("romeo", "x")
		p.ask(bindRequest("y"), "<iq type='error' id='b1'", "<error type='cancel'><not-allowed ")
		w.told()
		p.ask("<message to='juliet@a.test'/>") // still who it was
		w.wantTold("route <message from='romeo@a.test/x' to='juliet@a.test'/>")
	})
}
