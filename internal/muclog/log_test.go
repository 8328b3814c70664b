package muclog

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/muster-im/muster/jid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var coven = jid.MustParse("coven@conf.test")

// noon is a time of the first day of the bubble's clock.
var noon = time.Date(2000, 1, 1, 12, 0, 0, 0, time.UTC)

func closed(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, elements ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDirName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ж", 500)
	for _, c := range []struct{ name, in, want string }{
		{"plain", "coven@conf.test", "coven@conf.test"},
		{"parent", "..", "%2E."},
		{"here", ".", "%2E"},
		{"separators", `a/../../b\c`, `a%2F..%2F..%2Fb%5Cc`},
		{"null and newline", "a\x00\nb", "a%00%0Ab"},
		{"markup", `<a href="x">`, "%3Ca%20href%3D%22x%22%3E"},
		{"an escape", "a%2Fb", "a%252Fb"},
		{"letters", "кофе", "кофе"},
		{"not UTF-8", "a\xffb", "a%FFb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := dirName(c.in); got != c.want {
				t.Errorf("dirName(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
	a, b := dirName(long), dirName(long+"a")
	if len(a) > maxName || a == b {
		t.Errorf("long names become %q and %q, want different ones of at most %d bytes", a, b, maxName)
	}
}

type lineCase struct {
	name       string
	e          entry
	text, html string
}

// class is what a line has to be of.
func (c *lineCase) class() string {
	if c.name == "the room speaks" {
		return "msm"
	}
	return forms[c.e.kind].class
}

func TestLines(t *testing.T) {
	t.Parallel()
	const ts = `<a class="ts" href="#12:00:00.000000">[12:00:00]</a> `
	for _, c := range []lineCase{
		{
			"markup",
			entry{kind: message, nick: `<b onclick="x">`, text: `</p><script>alert('&')</script>`},
			`[<b onclick="x">] </p><script>alert('&')</script>`,
			`[<b>&lt;b onclick=&#34;x&#34;&gt;</b>] <span>&lt;/p&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;</span>`,
		},
		{
			"a line that looks like another",
			entry{kind: message, nick: "eve", text: "hi\r\n[12:00:00] [admin] bye\u2028* x"},
			"[eve] hi\n\t[12:00:00] [admin] bye\n\t* x", `[<b>eve</b>] <span>hi<br>[12:00:00] [admin] bye<br>* x</span>`,
		},
		{"a nickname that looks like a message", entry{kind: joined, nick: "[admin] hi"}, `\[admin\] hi joins the room`, `<b>[admin] hi</b> joins the room`},
		{"format", entry{kind: message, nick: "%T", text: "~s %N %s"}, "[%T] ~s %N %s", `[<b>%T</b>] <span>~s %N %s</span>`},
		{"direction", entry{kind: message, nick: "a", text: "\u202eevil\x00"}, "[a] ⟨U+202E⟩evil⟨U+0000⟩", `[<b>a</b>] <span>⟨U+202E⟩evil⟨U+0000⟩</span>`},
		{
			"link",
			entry{kind: message, nick: "a", text: `(see http://x.test/?a=1&b='"><script>)`},
			`[a] (see http://x.test/?a=1&b='"><script>)`,
			`[<b>a</b>] <span>(see <a href="http://x.test/?a=1&amp;b=" rel="nofollow noopener noreferrer">http://x.test/?a=1&amp;b=</a>&#39;&#34;&gt;&lt;script&gt;)</span>`,
		},
		{"no script in a link", entry{kind: message, nick: "a", text: "javascript:alert(1)"}, "[a] javascript:alert(1)", `[<b>a</b>] <span>javascript:alert(1)</span>`},
		{"ban", entry{kind: banned, nick: "a", text: "why"}, "a has been banned: why", `<b>a</b> has been banned: <span>why</span>`},
		{"leave without reason", entry{kind: left, nick: "a"}, "a leaves the room", `<b>a</b> leaves the room`},
		{"the room speaks", entry{kind: message, text: "hear"}, "hear", `<span>hear</span>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.e.at = noon
			l := &Log{opts: Options{NoFollow: true}}
			if got, want := string(l.appendLine(nil, &c.e)), "[12:00:00] "+c.text+"\n"; got != want {
				t.Errorf("text:\n got %q\nwant %q", got, want)
			}
			l.opts.HTML = true
			want := `<p class="` + c.class() + `" id="12:00:00.000000">` + ts + c.html + "</p>\n"
			if got := string(l.appendLine(nil, &c.e)); got != want {
				t.Errorf("HTML:\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestDayChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		o      Options
		first  string
		second string
	}{
		{"subdirectories", Options{HTML: true}, "coven@conf.test/2000/01/01.html", "coven@conf.test/2000/01/02.html"},
		{"plain", Options{Plain: true, LocalPart: true}, "coven/2000-01-01.txt", "coven/2000-01-02.txt"},
		{"east", Options{Plain: true, Location: time.FixedZone("east", 13*3600)}, "coven@conf.test/2000-01-02.txt", "coven@conf.test/2000-01-02.txt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c.o.Dir = filepath.Join(t.TempDir(), "logs")
				l := New(c.o)
				l.add(entry{kind: message, room: coven, name: "<Coven>", nick: "a", text: "first", at: noon})
				l.add(entry{kind: message, room: coven, nick: "a", text: "second", at: noon.Add(20 * time.Hour)})
				closed(t, l)
				if got := content(t, c.o.Dir, c.first); !strings.Contains(got, "first") {
					t.Errorf("%s is %q", c.first, got)
				}
				got := content(t, c.o.Dir, c.second)
				if !strings.Contains(got, "second") {
					t.Errorf("%s is %q", c.second, got)
				}
				if page := content(t, c.o.Dir, c.first); c.o.HTML && (strings.Count(page, "<title>") != 1 || !strings.Contains(page, `href="../../2000/01/02.html"`) || !strings.Contains(page, "<h2>&lt;Coven&gt;</h2>")) {
					t.Errorf("the page is %s", page)
				}
				for name, mode := range map[string]fs.FileMode{c.first: fileMode, filepath.Dir(c.first): dirMode | fs.ModeDir} {
					if info, err := os.Stat(filepath.Join(c.o.Dir, name)); err != nil || info.Mode() != mode {
						t.Errorf("mode of %s: %v, %v, want %v", name, info.Mode(), err, mode)
					}
				}
			})
		})
	}
}

// TestPagesLead: a page leads to the last one before it, and that to it then,
// whatever else is there.
func TestPagesLead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		o           Options
		first, last string
		others      []string // files that are no pages
	}{
		{"subdirectories", Options{HTML: true}, "2000/01/01.html", "2001/03/01.html", []string{"2000/01/02.txt", "2000/12/31/x", "notes/x", "2001/03/01.html.old"}},
		{"plain", Options{HTML: true, Plain: true}, "2000-01-01.html", "2001-03-01.html", []string{"2000-01-02.txt", "2001-02-30.html", "2000-12-31.html/x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c.o.Dir = t.TempDir()
				for _, name := range c.others {
					file := filepath.Join(c.o.Dir, "coven@conf.test", name)
					if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
						t.Fatal(err)
					}
				}
				l := New(c.o)
				l.add(entry{kind: joined, room: coven, nick: "a", at: noon})
				l.add(entry{kind: joined, room: coven, nick: "a", at: noon.AddDate(1, 2, 0)})
				closed(t, l)
				first, last := content(t, c.o.Dir, "coven@conf.test", c.first), content(t, c.o.Dir, "coven@conf.test", c.last)
				if !strings.Contains(first, c.last+`">&gt;</a>`) || strings.Contains(first, "&lt;</a>") {
					t.Errorf("the first page is %s", first)
				}
				if !strings.Contains(last, c.first+`">&lt;</a>`) || strings.Contains(last, "&gt;</a>") {
					t.Errorf("the last page is %s", last)
				}
			})
		})
	}
}

// A file that is moved away or removed while the server runs is made anew.
func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := New(Options{Dir: dir, Plain: true})
		file := filepath.Join(dir, "coven@conf.test", "2000-01-01.txt")
		say := func(text string) {
			l.add(entry{kind: message, room: coven, nick: "a", text: text, at: noon})
			time.Sleep(2 * flushEvery)
		}
		say("one")
		if err := os.Rename(file, file+".old"); err != nil {
			t.Fatal(err)
		}
		say("two")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		say("three")
		say("four")
		if got, want := content(t, file), "[12:00:00] [a] three\n[12:00:00] [a] four\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		closed(t, l)
	})
}

// What cannot be written, or would leave the directory, is counted, and nothing
// else suffers.
func TestLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, outside := t.TempDir(), t.TempDir()
		if err := os.Symlink(outside, filepath.Join(dir, "coven@conf.test")); err != nil {
			t.Fatal(err)
		}
		l := New(Options{Dir: dir, Plain: true})
		l.add(entry{kind: message, room: coven, nick: "a", text: "out", at: noon})
		l.add(entry{kind: message, room: jid.MustParse("b@conf.test"), nick: "a", text: "in", at: noon})
		time.Sleep(2 * flushEvery)
		if list, err := os.ReadDir(outside); err != nil || len(list) > 0 {
			t.Errorf("outside there are %v, %v", list, err)
		}
		if got := content(t, dir, "b@conf.test", "2000-01-01.txt"); got != "[12:00:00] [a] in\n" {
			t.Errorf("the other room's log is %q", got)
		}
		if lost, written := testutil.ToFloat64(l.lost.WithLabelValues(lostWrite)), testutil.ToFloat64(l.written); lost != 1 || written != 1 {
			t.Errorf("lost %v, written %v, want 1 and 1", lost, written)
		}
		big := strings.Repeat("x", maxBytes/2)
		for range 3 {
			l.add(entry{kind: message, room: coven, nick: "a", text: big, at: noon})
		}
		if lost := testutil.ToFloat64(l.lost.WithLabelValues(lostQueueFull)); lost < 1 {
			t.Error("the queue is not bounded")
		}
		closed(t, l)
		l.add(entry{kind: message, room: coven, at: noon})
		if lost := testutil.ToFloat64(l.lost.WithLabelValues(lostClosed)); lost != 1 {
			t.Errorf("lost after the end: %v, want 1", lost)
		}
	})
}

// A file that cannot be written costs its lines and no others, and is written
// again as soon as that can be done, without half a line in it.
func TestRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "coven@conf.test", "2000-01-01.html")
		if err := os.MkdirAll(file, 0o700); err != nil { // a directory is in the way
			t.Fatal(err)
		}
		l := New(Options{Dir: dir, Plain: true, HTML: true})
		l.add(entry{kind: message, room: coven, nick: "a", text: "one", at: noon})
		time.Sleep(2 * flushEvery)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		l.add(entry{kind: message, room: coven, nick: "a", text: "two", at: noon})
		closed(t, l)
		page := content(t, file)
		if strings.Contains(page, "<span>one") || strings.Count(page, "<!DOCTYPE html>") != 1 || !strings.HasSuffix(page, "<span>two</span></p>\n") {
			t.Errorf("the page is %s", page)
		}
		if lost := testutil.ToFloat64(l.lost.WithLabelValues(lostWrite)); lost != 1 {
			t.Errorf("lost %v, want 1", lost)
		}
	})
}

// Midnight comes where the log's clock is, in one batch of events too, and on
// days that have another length.
func TestMidnight(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones here: ", err)
	}
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := New(Options{Dir: dir, HTML: true, Location: berlin})
		for _, at := range []string{"2000-03-25T22:59:59Z", "2000-03-25T23:00:00Z", "2000-03-26T01:00:00Z", "2000-03-26T21:59:59Z", "2000-03-26T22:00:00Z"} {
			when, err := time.Parse(time.RFC3339, at)
			if err != nil {
				t.Fatal(err)
			}
			l.add(entry{kind: message, room: coven, nick: "a", text: at, at: when})
		}
		closed(t, l)
		for day, want := range map[string][]string{
			"25": {"[23:59:59]", "UTC+01:00", `href="../../2000/03/26.html"`},
			"26": {"[00:00:00]", "[03:00:00]", "[23:59:59]", "UTC+01:00", `href="../../2000/03/25.html"`, `href="../../2000/03/27.html"`},
			"27": {"[00:00:00]", "UTC+02:00"},
		} {
			page := content(t, dir, "coven@conf.test/2000/03", day+".html")
			for _, part := range want {
				if !strings.Contains(page, part) {
					t.Errorf("the page of %s lacks %s:\n%s", day, part, page)
				}
			}
		}
	})
}
