package c2s

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/internal/sasl"
	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

// constants returns all constants of type Condition in a file, name by value.
func constants(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for n := range ast.Preorder(file) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || fmt.Sprint(spec.Type) != "Condition" {
			continue
		}
		for i, v := range spec.Values {
			value, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			names[value] = spec.Names[i].Name
		}
	}
	return names
}

// source returns this package's code without its tests.
func source(t *testing.T) string {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(data)
	}
	return b.String()
}

// opening connects and sends something at once.
func opening(text string) func(*world) *peer {
	return func(w *world) *peer {
		p := w.dial()
		p.send("%s", text)
		return p
	}
}

// opened sends something behind the features of a fresh stream.
func opened(text string) func(*world) *peer {
	return func(w *world) *peer {
		p := w.dial()
		p.ask(header, "<stream:features>")
		p.send("%s", text)
		return p
	}
}

// bound sends something on a bound stream.
func bound(text string) func(*world) *peer {
	return func(w *world) *peer {
		p := w.join("romeo", "x")
		p.send("%s", text)
		return p
	}
}

// replacing changes something in the header that clients send here.
func replacing(from, to string) func(*world) *peer {
	return opening(strings.Replace(header, from, to, 1))
}

// TestStreamErrorConditions holds for every condition of RFC 6120 §4.9.3 what
// provokes it from a client's stream, or why nothing does. An error that comes
// first stands behind a header that says who speaks (§4.9.1.2).
func TestStreamErrorConditions(t *testing.T) {
	t.Parallel()
	provoked := map[stream.Condition]map[string]func(*world) *peer{
		stream.BadFormat: { // §4.9.3.1
			"another root":  opening("<flow xmlns='jabber:client'>"),
			"no count":      bound("<enable xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3'/>"),
			"text":          bound("hello"),
			"text at first": opened("hello"),
		},
		stream.BadNamespacePrefix: { // §4.9.3.2
			"undeclared in the header": opening("<stream:stream xmlns='jabber:client' to='a.test' version='1.0'>"),
			"undeclared":               opened("<x:message/>"),
			"undeclared attribute":     bound("<message x:y='z'/>"),
		},
		stream.Conflict: { // §4.9.3.3
			"resource bound by another": func(w *world) *peer {
				p := w.join("romeo", "x")
				w.join("romeo", "x")
				return p
			},
		},
		stream.ConnectionTimeout: { // §4.9.3.4
			"silence": func(w *world) *peer {
				p := w.dial()
				time.Sleep(30 * time.Second)
				return p
			},
		},
		stream.HostUnknown:        {"header": replacing("a.test", "c.test")},      // §4.9.3.6
		stream.ImproperAddressing: {"header": replacing("to='a.test'", "to='@'")}, // §4.9.3.7
		stream.InternalServerError: { // §4.9.3.8
			"panic while negotiating": func(w *world) *peer {
				p := w.dial()
				p.ask(header, "<stream:features>")
				p.send("%s", auth("PLAIN", plain("panic", password)))
				return p
			},
		},
		stream.InvalidFrom: { // §4.9.3.9
			"header": replacing("to=", "from='@' to="),
			"stanza": bound("<message from='juliet@a.test'/>"),
		},
		stream.InvalidNamespace: { // §4.9.3.10
			"of the stream":  replacing("http://etherx.jabber.org/streams", "x"),
			"of the content": replacing("jabber:client", "jabber:server"),
		},
		stream.NotAuthorized: { // §4.9.3.12
			"stanza before authentication": opened("<message to='juliet@a.test'/>"),
			"stanza before binding": func(w *world) *peer {
				p := w.dial()
				p.login("romeo")
				p.send("<message to='juliet@a.test'/>")
				return p
			},
			"account removed": func(w *world) *peer {
				p := w.join("romeo", "x")
				w.srv.EndAccount(w.t.Context(), jid.MustParse("romeo@a.test"))
				return p
			},
		},
		stream.NotWellFormed: { // §4.9.3.13
			"no XML":          opening("GET / HTTP/1.1\r\n\r\n"),
			"end tag":         opened("<a></b>"),
			"text before all": opening("\ufeff" + header), // §11.6: no byte order mark
			"in a session":    bound("<message foo='1' foo='2'/>"),
		},
		stream.PolicyViolation: { // §4.9.3.14
			"oversized header": opening("<stream:stream x='" + strings.Repeat("x", 11_000)),
			"oversized stanza": bound("<message><body>" + strings.Repeat("x", 300<<10)),
			"guessing": func(w *world) *peer {
				p := w.dial()
				p.ask(header, "<stream:features>")
				for range 3 {
					p.send("%s", auth("PLAIN", plain("romeo", "x")))
				}
				return p
			},
		},
		stream.ResourceConstraint: { // §4.9.3.17
			"nothing acknowledged": func(w *world) *peer {
				p := w.join("romeo", "x")
				p.ask("<enable xmlns='urn:xmpp:sm:3'/>", "<enabled ")
				for range w.srv.opts.MaxUnacked + 1 {
					w.session("romeo@a.test/x").Deliver([]*stanza.Encoded{stanza.Encode(stanza.Stanza{Kind: stanza.Message})})
				}
				return p
			},
		},
		stream.RestrictedXML: { // §4.9.3.18
			"document type":          opening("<!DOCTYPE x [<!ENTITY a 'aaaa'>]>"),
			"comment":                opened("<!-- hello -->"),
			"processing instruction": bound("<?php ?>"),
			"entity":                 bound("<message>&nbsp;</message>"),
		},
		stream.Reset: { // §4.9.3.16
			"an administrator's wish": func(w *world) *peer {
				p := w.join("romeo", "x")
				if n := w.srv.EndSessions(w.t.Context(), jid.MustParse("romeo@a.test/x")); n != 1 {
					w.t.Errorf("ended %d sessions, want 1", n)
				}
				return p
			},
		},
		stream.SystemShutdown: { // §4.9.3.20
			"shutdown": func(w *world) *peer {
				p := w.join("romeo", "x")
				_ = w.srv.Shutdown(w.t.Context())
				return p
			},
			"shutdown at first": func(w *world) *peer {
				p := w.dial()
				p.wantNothing()
				_ = w.srv.Shutdown(w.t.Context())
				return p
			},
		},
		stream.UndefinedCondition: { // §4.9.3.21, with one of XEP-0198 §6
			"too much acknowledged": bound("<enable xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='9'/>"),
		},
		stream.UnsupportedEncoding: { // §4.9.3.22
			"declaration":  opening("<?xml version='1.0' encoding='ISO-8859-1'?>"),
			"UTF-16":       opening("\xff\xfe<\x00?\x00"),
			"broken UTF-8": bound("<message><body>\xe4</body></message>"),
		},
		stream.UnsupportedStanzaType: {"element": bound("<pubsub xmlns='jabber:client'/>")},                           // §4.9.3.24
		stream.UnsupportedVersion:    {"header": replacing("to='a.test' version='1.0'", "to='a.test' version='0.9'")}, // §4.9.3.25
	}
	never := map[stream.Condition]string{
		stream.HostGone:               "§4.9.3.5: hosts change with a restart only, which is system-shutdown",
		stream.InvalidXML:             "§4.9.3.11: for servers that validate against schemas",
		stream.RemoteConnectionFailed: "§4.9.3.15: no connection serves a stream but its own",
		stream.SeeOtherHost:           "§4.9.3.19: there is no other host",
		stream.UnsupportedFeature:     "§4.9.3.23: for clients that cannot negotiate what we require",
	}
	code := source(t)
	for value, name := range constants(t, "../stream/error.go") {
		c := stream.Condition(value)
		if (len(provoked[c]) > 0) == (never[c] != "") {
			t.Errorf("%s: neither provoked nor explained, or both", c)
		}
		if never[c] != "" && strings.Contains(code, "stream."+name) {
			t.Errorf("%s is sent, and should not occur: %s", c, never[c])
		}
	}
	for c, ways := range provoked {
		for _, way := range slices.Sorted(maps.Keys(ways)) {
			t.Run(string(c)+" "+way, func(t *testing.T) {
				t.Parallel()
				inWorld(t, nil, func(w *world) {
					p := ways[way](w)
					got := p.want("<stream:error><"+string(c)+" xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", "</stream:error></stream:stream>")
					_, first, ok := strings.Cut(got, "<stream:stream ")
					if ok {
						first, _, _ = strings.Cut(first, ">")
						for _, want := range []string{" id='", " from='a.test'", " version='1.0'", " xml:lang='en'", " xmlns:stream='http://etherx.jabber.org/streams'"} {
							if !strings.Contains(first, want) {
								t.Errorf("no %q in the header %q", want, first)
							}
						}
					}
					p.wantClosed()
				})
			})
		}
	}
}

// TestWhoRefuses: an error in answer to a header comes from the host that the
// client wants, if it is ours, and goes to whom the client says it is.
func TestWhoRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, from, to, want string }{
		{"version", "to='a.test' version='1.0'", "from='romeo@b.test' to='b.test'", " from='b.test' to='romeo@b.test'"},
		{"malformed from", "to='a.test'", "from='@' to='b.test'", " from='b.test' version"},
		{"stream namespace", "http://etherx.jabber.org/streams' to='a.test'", "x' to='b.test'", " from='b.test' version"},
		{"another host", "to='a.test'", "to='c.test'", " from='a.test' version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				replacing(tt.from, tt.to)(w).want("<stream:stream ", tt.want, "<stream:error>")
			})
		})
	}
	t.Run("before the header of the second stream", func(t *testing.T) {
		t.Parallel()
		inWorld(t, nil, func(w *world) {
			p := w.dial()
			p.ask(strings.Replace(header, "a.test", "b.test", 1), "<stream:features>")
			p.ask(auth("PLAIN", plain("romeo", password)), "<success ")
			p.ask("<presence/>", "<stream:stream ", " from='b.test'", "<stream:error>")
		})
	})
}

// TestSASLConditions holds for every condition of RFC 6120 §6.5 what provokes
// it, or why nothing does.
func TestSASLConditions(t *testing.T) {
	t.Parallel()
	first := auth("SCRAM-SHA-256", base64String("n,,n=romeo,r=x"))
	provoked := map[sasl.Condition][]string{
		sasl.Aborted:              {first, abort},                                                              // §6.5.1
		sasl.AccountDisabled:      {auth("PLAIN", plain("locked", password))},                                  // §6.5.2
		sasl.EncryptionRequired:   {auth("PLAIN", plain("romeo", password))},                                   // §6.5.4
		sasl.IncorrectEncoding:    {auth("SCRAM-SHA-256", "#")},                                                // §6.5.5
		sasl.InvalidAuthzid:       {auth("SCRAM-SHA-256", base64String("n,a=juliet@a.test,n=romeo,r=x"))},      // §6.5.6
		sasl.InvalidMechanism:     {"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</auth>"},                 // §6.5.7
		sasl.MalformedRequest:     {auth("SCRAM-SHA-256", "=")},                                                // §6.5.8
		sasl.MechanismTooWeak:     {auth("SCRAM-SHA-1", base64String("n,,n=romeo,r=x"))},                       // §6.5.9
		sasl.NotAuthorized:        {first, respond(base64String("c=biws,r=x,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA="))}, // §6.5.10
		sasl.TemporaryAuthFailure: {auth("SCRAM-SHA-256", base64String("n,,n=broken,r=x"))},                    // §6.5.11
	}
	never := map[sasl.Condition]string{
		sasl.CredentialsExpired: "§6.5.3: passwords do not expire",
	}
	for value := range constants(t, "../sasl/sasl.go") {
		c := sasl.Condition(value)
		if (len(provoked[c]) > 0) == (never[c] != "") {
			t.Errorf("%s: neither provoked nor explained, or both", c)
		}
	}
	for c, send := range provoked {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			change := func(o *config) {
				o.sasl.AllowPlainWithoutTLS = c == sasl.AccountDisabled
				o.sasl.Mechanisms = []sasl.Mechanism{sasl.ScramSHA256, sasl.Plain}
			}
			inWorld(t, change, func(w *world) {
				p := w.dial()
				p.ask(header, "<stream:features>")
				for _, s := range send[:len(send)-1] {
					p.ask(s, "<challenge ")
				}
				p.ask(send[len(send)-1], "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><"+string(c)+"/>", "</failure>")
			})
		})
	}
}
