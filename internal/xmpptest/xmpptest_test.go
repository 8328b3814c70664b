package xmpptest

import (
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/stream"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServer is a server that knows passwords, binds resources and carries
// messages to full addresses. A message "later" is carried after a minute, and
// one "twice" two times, the second copy first as an echo to its sender.
type fakeServer struct {
	wg sync.WaitGroup

	mu        sync.Mutex
	passwords map[string]string
	sessions  map[string]*stream.Stream
	streams   []*stream.Stream
}

func newFakeServer(testing.TB, map[string]string) System {
	return &fakeServer{passwords: make(map[string]string), sessions: make(map[string]*stream.Stream)}
}

func (f *fakeServer) AddUser(account jid.JID, password string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passwords[account.Local()] = password
	return nil
}

func (f *fakeServer) Dial() net.Conn {
	ours, theirs := net.Pipe()
	s := stream.New(ours, stream.Options{})
	f.mu.Lock()
	f.streams = append(f.streams, s)
	f.mu.Unlock()
	f.wg.Go(func() {
		defer s.Release()
		_ = f.serve(s)
	})
	return theirs
}

func (f *fakeServer) Restart() error {
	f.mu.Lock()
	for _, s := range f.streams {
		s.Fail(&stream.Error{Condition: stream.SystemShutdown})
	}
	f.sessions = make(map[string]*stream.Stream)
	f.mu.Unlock()
	f.wg.Wait()
	return nil
}

func (f *fakeServer) Close() error { return f.Restart() }

func (f *fakeServer) serve(s *stream.Stream) error {
	if err := f.header(s, stanza.NewElement(stanza.NSSASL, "mechanisms").AddTextElement("mechanism", "PLAIN")); err != nil {
		return err
	}
	auth, err := s.Next()
	if err != nil {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(auth.Text())
	if err != nil {
		return err
	}
	parts := strings.Split(string(data), "\x00")
	f.mu.Lock()
	ok := len(parts) == 3 && f.passwords[parts[1]] == parts[2]
	f.mu.Unlock()
	if !ok {
		err := s.Send(stanza.NewElement(stanza.NSSASL, "failure").Add(stanza.NewElement(stanza.NSSASL, "not-authorized")))
		return errors.Join(err, io.EOF)
	}
	if err := s.Send(stanza.NewElement(stanza.NSSASL, "success")); err != nil {
		return err
	}
	s.Restart()
	if err := f.header(s, stanza.NewElement(stanza.NSBind, "bind")); err != nil {
		return err
	}
	return f.session(s, parts[1]+"@localhost")
}

func (f *fakeServer) header(s *stream.Stream, feature *stanza.Element) error {
	if _, err := s.ReadHeader(); err != nil {
		return err
	}
	if err := s.SendHeader(stream.Header{ID: "1", Version: "1.0"}); err != nil {
		return err
	}
	return s.Send(stanza.NewElement(stanza.NSStream, "features").Add(feature))
}

func (f *fakeServer) session(s *stream.Stream, self string) error {
	for {
		e, err := s.Next()
		if err != nil {
			return err
		}
		if bind := e.Child(stanza.NSBind, "bind"); bind != nil {
			self += "/" + bind.ChildText(stanza.NSBind, "resource")
			f.mu.Lock()
			f.sessions[self] = s
			f.mu.Unlock()
			result := stanza.NewElement(stanza.NSClient, "iq", "type", "result", "id", e.Attr("id"))
			err = s.Send(result.Add(stanza.NewElement(stanza.NSBind, "bind").AddTextElement("jid", self)))
		} else {
			err = f.carry(s, self, e)
		}
		if err != nil {
			return err
		}
	}
}

func (f *fakeServer) carry(s *stream.Stream, self string, e *stanza.Element) error {
	e = e.Clone().SetAttr("from", self)
	f.mu.Lock()
	to := f.sessions[e.Attr("to")]
	f.mu.Unlock()
	if to == nil {
		s.Fail(&stream.Error{Condition: stream.HostUnknown})
		return nil
	}
	switch e.ChildText(stanza.NSClient, "body") {
	case "later":
		time.AfterFunc(time.Minute, func() { _ = to.Send(e) })
		return nil
	case "twice":
		return errors.Join(s.Send(e.Clone().SetAttr("to", self)), to.Send(e))
	}
	return to.Send(e)
}

// TestTranscripts runs the scripts that must pass.
func TestTranscripts(t *testing.T) { Run(t, "testdata/*.txt", newFakeServer) }

// TestFailures runs scripts that must fail, and looks at what they say.
func TestFailures(t *testing.T) {
	const hello = "C romeo: <message to='juliet@localhost/juliet'><body>hello</body></message>\n"
	const from = "from='romeo@localhost/romeo'"
	tests := []struct{ name, script, want string }{
		{
			"text differs", hello + "S juliet: <message " + from + "><body>bye</body></message>",
			`2: juliet received something else: <message> <body> says "hello", want "bye"`,
		},
		{
			"attribute missing", hello + "S juliet: <message " + from + " id='*'><body>*</body></message>",
			"2: juliet received something else: <message> has no attribute id",
		},
		{
			"attribute not expected", hello + "S juliet: <message><body>*</body></message>",
			"has an attribute from=",
		},
		{
			"foreign to", hello + "S juliet: <message to='romeo@localhost' …><body>*</body></message>",
			`has to="juliet@localhost/juliet", want "romeo@localhost"`,
		},
		{"child missing", hello + "S juliet: <message " + from + "><body>*</body><x/></message>", "has no <x>"},
		{"child not expected", hello + "S juliet: <message " + from + "/>", "has a <body xmlns='jabber:client'> that was not expected"},
		{
			"namespace differs", hello + "S juliet: <message " + from + "><body xmlns='urn:x'>*</body></message>",
			"<body xmlns='jabber:client'> instead of <body xmlns='urn:x'>",
		},
		{"kind differs", hello + "S juliet: <presence …>…</presence>", "instead of <presence"},
		{"… does not hold it", hello + "S juliet: <message …>…<subject/>…</message>", "holds nothing like <subject>"},
		{"nothing came", "S juliet: <message …>…</message>", "1: juliet received nothing\nwant <message"},
		{"unexpected at the end", "S juliet: nothing\n" + hello, "at the end: juliet received something and should not have"},
		{"nothing expected", "S juliet: nothing\n" + hello + "S juliet: nothing\n", "3: juliet received something"},
		{"unexpected before leaving", "S juliet: nothing\n" + hello + "drop juliet", "3: juliet received something"},
		{"too early", strings.Replace(hello, "hello", "later", 1) + "S juliet: <message …>…</message>", "received nothing"},
		{"capture does not repeat", hello + "S juliet: <message from='{a}'>…</message>\n" + hello +
			"S juliet: <message …><body>{a}</body></message>", `says "hello", want "{a}"`},
		{
			"none in any order", hello + "S any {\nS juliet: <message …><subject/></message>\nS juliet: <presence/>\n}",
			"not line 4: <message> <body xmlns='jabber:client'> instead of <subject",
		},
		{
			"missing in any order", hello + "S any {\nS juliet: <message …>…</message>\nS juliet: <presence/>\n}",
			"juliet received nothing more\nwant <presence/>",
		},
		{
			"stream has ended", "C romeo: <message to='nobody'/>\nS romeo: <stream:error>…</stream:error>\nS romeo: <message/>",
			"romeo received nothing, and the stream has ended",
		},
		{"ended at the end", "C romeo: <message to='nobody'/>\nS romeo: <stream:error>…</stream:error>", "should have received nothing, and"},
		{"not closed", "C romeo: <presence to='romeo@localhost/romeo'/>\nS romeo: <presence …/>\nS romeo: closed", "still open"},
		{"unknown client", "connect romeo\ndrop romeo\nC romeo: <presence/>", "3: romeo is not connected"},
		{"connected twice", "connect romeo\nconnect romeo", "2: romeo is connected already"},
		{"bad line", "\n\nsay romeo hello", `3: not a line of a script: "say romeo hello"`},
		{"bad pause", "wait soon", "wait wants a duration"},
		{"bad pattern", hello + "S juliet: <message", "the pattern: "},
		{"two elements in a pattern", hello + "S juliet: <message/><message/>", "more than one element"},
		{"block left open", "S any {\nS juliet: <message/>", "1: S any { is not closed"},
		{"speech in a block", "S any {\nC juliet: <message/>\n}", "2: only S lines with XML"},
		{"nothing to continue", "wait 1s\n  <body/>", "2: only C and S lines go on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				err := runArchive(t, []byte("-- script --\n"+tt.script+"\n"), newFakeServer)
				if err == nil {
					t.Fatalf("script passed\n%s", tt.script)
				}
				// The script begins in the archive's second line.
				if got := shiftLine(err.Error()); !strings.Contains(got, tt.want) {
					t.Errorf("script\n%s\n got %s\nwant %s", tt.script, got, tt.want)
				}
			})
		})
	}
}

// shiftLine counts the lines of an error from the script's beginning.
func shiftLine(text string) string {
	number, rest, _ := strings.Cut(text, ":")
	n := 0
	for _, c := range number {
		n = 10*n + int(c-'0')
	}
	return string(rune('0'+(n-1)%10)) + ":" + rest
}

func TestArchiveWithoutScript(t *testing.T) {
	t.Parallel()
	err := runArchive(t, []byte("# only words\n-- muster.toml --\n"), newFakeServer)
	if err == nil || !strings.Contains(err.Error(), "no file named script") {
		t.Errorf("got %v", err)
	}
}

func TestFilesReachTheSystem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got map[string]string
		err := runArchive(t, []byte("words\n-- muster.toml --\na = 1\n\n-- script --\nwait 1s\n"),
			func(t testing.TB, files map[string]string) System {
				got = files
				return newFakeServer(t, files)
			})
		if err != nil || len(got) != 1 || got["muster.toml"] != "a = 1\n\n" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
