// Package xmpptest runs transcripts of XMPP conversations against a whole
// server, in virtual time. It is for tests only.
//
// A transcript is a txtar archive: a comment that cites the rule it proves, a
// file named script, and files that the server is set up with, such as
// muster.toml, and one named http that says what an HTTP service answers; see
// httpService. A line of the script is one of these. One that begins with white
// space or < continues the one before, and # begins a comment:
//
//	C romeo: XML            romeo sends XML, byte for byte but for captures
//	S romeo: XML            the next thing romeo receives is like XML
//	S romeo: nothing        romeo has received nothing more
//	S romeo: closed         the server has closed romeo's stream
//	S any {                 what the S lines up to } say, in any order
//	wait 30s                time passes
//	connect phone romeo mobile   logs romeo@localhost/mobile in, called phone here
//	open romeo              connects without logging in: romeo speaks for himself
//	remote verona           verona speaks for the server of far.test
//	delete romeo            removes the account romeo@localhost
//	disconnect romeo        closes the stream in good order
//	drop romeo              cuts the connection
//	restart                 restarts the server on the same data
//	group create verona The Team   makes a group of people with an id and a name;
//	                        "overlay" makes one whose contacts do not stay
//	group add verona romeo juliet  puts people into it, who may be named by whole
//	                        addresses; "remove" ends that
//	group role verona romeo owner  gives a member another role
//	group chat verona room         makes room@conf.test its default chat
//	group rename verona Name       gives it another name
//	group delete verona     deletes it
//	group refused add verona ghost   what stands behind it is tried, and refused
//	replace groups.txt new.txt     puts a file of the archive in the place of another
//	reload                  lets the server read its configuration again
//
// A file groups.txt has groups of people (modules.mod_groups), strictly read and
// looked at every second unless muster.toml has a table for it.
//
// Clients. A name whose first line is a C or S line has the account
// NAME@localhost and is connected before the script begins, as
// NAME@localhost/NAME. connect takes the client's name, the account (default:
// the name; a bare JID may be given) and the resource (default: the name).
// Accounts are made when they are first used. A client that is logged in has
// asked for no roster and sent no presence; it answers pings of the server
// unseen. After open the client receives
// stream features first, and begins a new stream by itself after <success/>.
//
// Another server. Everybody at far.test, the domain Far, is played by the one
// that a remote line names: its C lines are stanzas with from and to, its S
// lines what is routed there, where "to" must be written.
//
// Comparing. XML is compared as XML: the order of attributes, prefixes and
// white space around text do not matter. * is any attribute value or text, … as
// a namespace is any. {sid} captures what is there; where it stands again, in S
// or C lines, it is what was captured. … among the attributes allows more of
// them. … among the children allows more of everything: the elements written
// beside it may be anywhere below, in their order, and in any namespace if they
// declare none. A stanza's "to" may be left out: then it is none or the
// client's own; and so may a stanza's xml:lang, and the code of an error.
//
// Everything that has been received must have been expected, at the latest when
// the script ends. What a client receives is known as soon as nobody in the
// server can go on without time passing: an answer that takes a timer needs a
// wait.
package xmpptest

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/muster-im/muster/jid"
)

// System is a server under test. It lives in one synctest bubble.
type System interface {
	// Dial returns the client's end of a new connection to the client port.
	Dial() net.Conn
	// AddUser makes an account.
	AddUser(account jid.JID, password string) error
	// Restart ends the server and starts it on the same data.
	Restart() error
	// Close ends the server and frees everything.
	Close() error
}

// Start starts a system for one transcript; files are the archive's files but
// for the script. It fails the test if it cannot.
type Start func(t testing.TB, files map[string]string) System

// Run runs every transcript that matches the file pattern as a subtest, but for
// those that are named.
func Run(t *testing.T, pattern string, start Start, except ...string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no transcript matches %s", pattern)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if slices.Contains(except, strings.TrimSuffix(filepath.Base(path), ".txt")) {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				if err := runArchive(t, data, start); err != nil {
					t.Errorf("%s:%v", path, err)
				}
			})
		})
	}
}

// RunText runs a script that a test has made, as a parallel subtest of that
// name. If it fails the whole script is printed.
func RunText(t *testing.T, name, script string, start Start) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		if err := Try(t, script, start); err != nil {
			t.Error(err)
		}
	})
}

// Try runs a script that a test has made, in a bubble of its own, and returns
// where the server does something else, with the whole script.
func Try(t *testing.T, script string, start Start) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if err = runArchive(t, []byte("-- script --\n"+script), start); err != nil {
			err = fmt.Errorf("line %w\n-- script --\n%s", err, script)
		}
	})
	return err
}

// runArchive runs one transcript in the current bubble. Its error begins with
// the line's number.
func runArchive(t testing.TB, data []byte, start Start) (err error) {
	archive := parseArchive(string(data))
	script, ok := archive.file("script")
	if !ok {
		return fmt.Errorf("1: there is no file named script")
	}
	steps, err := parseScript(script)
	if err != nil {
		return err
	}
	files := make(map[string]string)
	for _, f := range archive.files {
		files[f.name] = f.data
	}
	delete(files, "script")

	r := newRunner(start(t, files))
	defer func() {
		r.dropAll()
		if cerr := r.system.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("%d: the server does not end: %w", script.line, cerr)
		}
	}()
	for _, name := range unconnected(steps) {
		if err := r.connect(name, name, name); err != nil {
			return fmt.Errorf("%d: connect %s: %w", script.line, name, err)
		}
	}
	for _, s := range steps {
		if err := r.do(s); err != nil {
			return fmt.Errorf("%d: %w", s.line, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.peers)) {
		if err := r.nothing(name); err != nil {
			return fmt.Errorf("%d: at the end: %w", script.line+strings.Count(script.data, "\n"), err)
		}
	}
	return nil
}
