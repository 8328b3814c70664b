// Package servertest runs extensions in a real server to which people connect over
// TCP and TLS with real clients. It is for tests alone, those of an operator's own
// extensions among them:
//
//	func TestGreeting(t *testing.T) {
//		s := servertest.Start(t, "[modules.greeting]\nwords = \"Welcome\"\n", greeting{})
//		anna, ben := s.Person("anna"), s.Person("ben")
//		anna.Enter("coven@conference.localhost")
//		ben.Enter("coven@conference.localhost")
//		ben.Hears("", "Welcome, ben.")
//	}
//
// The server's goroutines and those of the clients end with the test; what waits
// for something does so for at most ten seconds, and fails the test then.
package servertest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/internal/client"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
	"github.com/muster-im/muster/stanza"
)

// patience is how long something may take to arrive.
const patience = 10 * time.Second

// Server is a server that runs until its test ends. It serves localhost, whose
// rooms are at conference.localhost, need no configuration and stay.
type Server struct {
	*server.Server
	t          testing.TB
	dir        string
	extensions []server.Extension
}

// settings are those of a server on ports that the system chooses, whose rooms
// need no configuration and stay.
const settings = `[general]
hosts = ["localhost"]
data_dir = "."
[storage]
durability = "process"
[[listen.c2s]]
port = 0
[[listen.http]]
port = 0
[modules.mod_muc]
default_room.persistent = true
`

// parse reads a configuration with further tables.
func parse(t testing.TB, dir, tables string, extensions []server.Extension) *config.Config {
	t.Helper()
	names := make([]string, len(extensions))
	for i, e := range extensions {
		names[i] = e.Name()
	}
	cfg, err := config.Parse("muster.toml", []byte(settings+tables), names...)
	if err != nil {
		t.Fatal(err)
	}
	cfg.General.DataDir = dir
	return cfg
}

// Start starts a server with extensions and further tables of its configuration,
// such as [modules.NAME] of an extension.
func Start(t testing.TB, tables string, extensions ...server.Extension) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "muster") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := parse(t, dir, tables, extensions)
	if _, err := server.Check(cfg, extensions...); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(cfg, server.Options{Extensions: extensions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), server.ShutdownTimeout)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &Server{s, t, dir, extensions}
}

// Reload gives the server other tables, as SIGHUP does after the file has changed.
func (s *Server) Reload(tables string) error {
	s.t.Helper()
	return s.Server.Reload(parse(s.t, s.dir, tables, s.extensions))
}

// Person makes an account of localhost and logs in to it.
func (s *Server) Person(name string) *Person {
	s.t.Helper()
	if err := s.AddUser(s.t.Context(), jid.MustParse(name+"@localhost"), "secret"); err != nil {
		s.t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(s.dir, server.SelfSignedCertificate))
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, client.Options{
		Addr: s.Info().Listeners[0].Address, Domain: "localhost", Username: name, Password: "secret",
		TLSConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() }) // the server may have ended it
	return &Person{c, s.t, name}
}

// Person is somebody with a client. What goes wrong with him fails the test.
type Person struct {
	client *client.Client
	t      testing.TB
	name   string
}

// JID is the full address of the person's client.
func (p *Person) JID() jid.JID { return p.client.JID() }

// Enter enters a room under the person's name and waits to be inside. A room that
// is made by that is configured with its defaults.
func (p *Person) Enter(room string) {
	p.t.Helper()
	to := jid.MustParse(room + "/" + p.name)
	p.Send(stanza.Stanza{Kind: stanza.Presence, To: to}.With(stanza.NewElement(stanza.NSMUC, "x")))
	st := p.Hear(func(st *stanza.Stanza) bool {
		return st.Kind == stanza.Presence && st.From == to && (st.Type == stanza.TypeError || status(st, "110"))
	})
	if err := st.ParseError(); err != nil {
		p.t.Fatalf("%s does not get in: %v", p.name, err)
	}
	if status(&st, "201") {
		p.Configure(room)
	}
}

// status reports whether presence in a room has a status code.
func status(st *stanza.Stanza, code string) bool {
	x := st.Child(stanza.NSMUCUser, "x")
	if x == nil {
		return false
	}
	for e := range x.Elements() {
		if e.Is(stanza.NSMUCUser, "status") && e.Attr("code") == code {
			return true
		}
	}
	return false
}

// Configure submits a room's configuration: variables with values, in turn.
func (p *Person) Configure(room string, values ...string) {
	p.t.Helper()
	form := stanza.NewElement(stanza.NSData, "x", "type", "submit")
	form.Add(field("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig"))
	for i := 0; i < len(values); i += 2 {
		form.Add(field(values[i], values[i+1]))
	}
	p.Ask(stanza.Stanza{Type: stanza.TypeSet, To: jid.MustParse(room)}.With(stanza.NewElement(stanza.NSMUCOwner, "query").Add(form)))
}

func field(variable, value string) *stanza.Element {
	return stanza.NewElement(stanza.NSData, "field", "var", variable).AddTextElement("value", value)
}

// Ask sends a request and returns the answer, which must be a result.
func (p *Person) Ask(st stanza.Stanza) stanza.Stanza {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	st.Kind = stanza.IQ
	answer, err := p.client.IQ(ctx, st)
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	return answer
}

// Say says something in a room.
func (p *Person) Say(room, text string) {
	p.t.Helper()
	p.Send(stanza.Stanza{Kind: stanza.Message, Type: stanza.TypeGroupchat, To: jid.MustParse(room)}.
		With(stanza.NewElement(stanza.NSClient, "body").AddText(text)))
}

// Send sends a stanza.
func (p *Person) Send(st stanza.Stanza) {
	p.t.Helper()
	if err := p.client.Send(st); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// Hears waits for a message with that text from somebody, given by nickname; ""
// is the room. Other messages with texts must not come before.
func (p *Person) Hears(nick, text string) {
	p.t.Helper()
	st := p.Hear(func(st *stanza.Stanza) bool { return st.Kind == stanza.Message && st.Body() != "" })
	if st.Body() != text || st.From.Resource() != nick || st.Type == stanza.TypeError {
		p.t.Errorf("%s hears %q from %q (type %q), want %q from %q", p.name, st.Body(), st.From.Resource(), st.Type, text, nick)
	}
}

// Refused waits for an error from somebody or something, and returns it.
func (p *Person) Refused(by string) *stanza.Error {
	p.t.Helper()
	from := jid.MustParse(by)
	st := p.Hear(func(st *stanza.Stanza) bool { return st.Type == stanza.TypeError && st.From == from })
	return st.ParseError()
}

// Hear waits for a stanza that match accepts, and passes over others. Answers to
// Ask are not among them.
func (p *Person) Hear(match func(*stanza.Stanza) bool) stanza.Stanza {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	var heard []string
	for {
		st, err := p.client.Receive(ctx)
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				err = errors.New("it has not come")
			}
			p.t.Fatalf("%s: %v; what came:\n%s", p.name, err, strings.Join(heard, "\n"))
		}
		if match(&st) {
			return st
		}
		heard = append(heard, string(st.AppendXML(nil)))
	}
}
