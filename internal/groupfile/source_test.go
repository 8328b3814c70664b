package groupfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-im/muster/internal/shared"
	"github.com/muster-im/muster/jid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a source with its file.
type desk struct {
	*Source
	t       *testing.T
	path    string
	changes []string // "" is nobody in particular: all
	log     lines
}

// lines is a log that may be read meanwhile.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newDesk(t *testing.T, text string, set Settings) *desk {
	t.Helper()
	d := &desk{t: t, path: filepath.Join(t.TempDir(), "groups.txt")}
	d.write(text)
	d.Source = New(Options{
		IsHost: served, Interval: time.Second, Logger: slog.New(slog.NewTextHandler(&d.log, nil)),
		Changed: func(_ context.Context, accounts []jid.JID) {
			list := make([]string, len(accounts))
			for i, j := range accounts {
				list[i] = j.Local()
			}
			d.changes = append(d.changes, strings.Join(list, " "))
		},
	})
	set.Path = d.path
	if err := d.Load(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	d.changes = nil
	return d
}

func (d *desk) write(text string) {
	d.t.Helper()
	if err := os.WriteFile(d.path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// contacts says what groups make of an account.
func (d *desk) contacts(account string) string {
	d.t.Helper()
	v, err := shared.NewDirectory(d.Source).View(d.t.Context(), jid.MustParse(account), false)
	if err != nil {
		d.t.Fatal(err)
	}
	var list []string
	for c := range v.Contacts() {
		s := c.JID.Local()
		if c.Name != "" {
			s += "=" + c.Name
		}
		for _, l := range c.Labels {
			s += " [" + l.Text + "]"
		}
		switch {
		case c.Meets:
			s += " meets"
		case !c.From:
			s += " to"
		}
		list = append(list, s)
	}
	return strings.Join(list, "; ")
}

func (d *desk) wants(account, want string) {
	d.t.Helper()
	if got := d.contacts(account); got != want {
		d.t.Errorf("%s has %q, want %q", account, got, want)
	}
}

// TestContacts: who sees whom, and under which name.
func TestContacts(t *testing.T) {
	t.Parallel()
	const file = "a@example.org=First\nb@example.org=Bob\n[X]\na@example.org=Second\nb@example.org\nc@example.org\n[+P]\na@example.org=Public\nd@example.org\n"
	tests := []struct {
		name    string
		meeting bool
		account string
		want    string
	}{
		{"the last group with a name decides", false, "b@example.org", "a=Public [default] [X] [P]; c [X]; d [P] to"},
		{"a member of a public group", false, "d@example.org", "a=Public [P]"},
		{"an outsider", false, "z@example.com", "a=Public [P] to; d [P] to"},
		{"an outsider whom members may see", true, "z@example.com", "a=Public [P] meets; d [P] meets"},
		{"a member who may see outsiders", true, "d@example.org", "a=Public [P]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			newDesk(t, file, Settings{MeetOutsiders: tt.meeting}).wants(tt.account, tt.want)
		})
	}
}

// TestConcerned: of a change hear those whom it concerns and nobody else.
func TestConcerned(t *testing.T) {
	t.Parallel()
	const before = "[X]\na@example.org\nb@example.org\n[Y]\nb@example.org\nc@example.org\n[+P]\nd@example.org\n"
	tests := []struct{ name, old, now, want string }{
		{"nothing", "", "", "nobody"},
		{"a comment", "[X]", "# new\n[X]", "nobody"},
		{"a member more", "[Y]\n", "[Y]\ne@example.org\n", "b c e"},
		{"a member less", "a@example.org\n", "", "a b"},
		{"a name", "a@example.org", "a@example.org=Ann", "a b"},
		{"a group renamed", "[X]", "[Z]", "a b"},
		{"a public group", "d@example.org", "e@example.org", "all"},
		{"a group that becomes public", "[X]", "[+X]", "all"},
		{"another order of groups", before, "[Y]\nb@example.org\nc@example.org\n[X]\na@example.org\nb@example.org\n[+P]\nd@example.org\n", "all"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, before, Settings{})
			d.write(strings.Replace(before, tt.old, tt.now, 1))
			if err := d.Load(t.Context(), Settings{Path: d.path}); err != nil {
				t.Fatal(err)
			}
			got := "nobody"
			if len(d.changes) == 1 {
				if got = d.changes[0]; got == "" {
					got = "all"
				}
			}
			if got != tt.want || len(d.changes) > 1 {
				t.Errorf("told were %q, want %s", d.changes, tt.want)
			}
		})
	}
}

// TestWatch: the file is followed, however it changes, and one that is wrong
// changes nothing.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "[X]\na@example.org\nb@example.org\n", Settings{})
		d.Start()
		defer d.Close()
		// later lets the watcher look often enough, whatever it has to see.
		later := func() { time.Sleep(4 * time.Second); synctest.Wait() }
		d.wants("a@example.org", "b [X]")

		d.write("[X]\na@example.org\nc@example.org\n")
		time.Sleep(1250 * time.Millisecond) // an interval and a little, to be sure that nobody writes any more
		synctest.Wait()
		d.wants("a@example.org", "c [X]")
		later()
		d.wants("a@example.org", "c [X]")

		d.write("[X]\na@example.org\nc@example.org x\nd@example.org=\n")
		later()
		d.wants("a@example.org", "c [X]")
		if log := d.log.String(); strings.Count(log, "groups stay as they were") != 2 || !strings.Contains(log, "line=3") || !strings.Contains(log, "line=4") {
			t.Errorf("the log says not once which lines are wrong:\n%s", log)
		}
		if p := d.Problems(); p == nil || len(p.List) != 2 {
			t.Errorf("nothing shows that the file is not in use: %v", p)
		}

		if err := os.Remove(d.path); err != nil {
			t.Fatal(err)
		}
		later()
		d.wants("a@example.org", "c [X]")
		if log := d.log.String(); strings.Count(log, "no such file") != 1 {
			t.Errorf("the log does not say once that there is no file:\n%s", log)
		}

		next := d.path + ".new"
		if err := os.WriteFile(next, []byte("[X]\na@example.org\ne@example.org\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, d.path); err != nil {
			t.Fatal(err)
		}
		later()
		d.wants("a@example.org", "e [X]")
		if d.Problems() != nil {
			t.Error("the file is in use and that is not shown")
		}

		d.write("")
		later()
		d.wants("a@example.org", "")
	})
}

// TestReloadSaysItAgain: who asks for the file to be read is told what is wrong
// with it, also if the log has said so before.
func TestReloadSaysItAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "[X]\na@example.org\nb@example.org\n", Settings{})
	said := func(what string, times int) {
		t.Helper()
		if log := d.log.String(); strings.Count(log, what) != times {
			t.Errorf("want %q %d times in the log:\n%s", what, times, log)
		}
	}
	d.Reload(t.Context())
	said("groups stay as they were", 0)
	said("groups read", 1) // what is in use is not read anew

	d.write("[X]\na@example.org x\n")
	for range 3 {
		d.check(t.Context())
	}
	said("line=2", 1)
	d.Reload(t.Context())
	said("line=2", 2)
	d.check(t.Context())
	said("line=2", 2)

	if err := os.Remove(d.path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d.check(t.Context())
	}
	said("no such file", 1)
	d.Reload(t.Context())
	said("no such file", 2)
	if p := d.Problems(); p == nil || !strings.Contains(p.Error(), "no such file") {
		t.Errorf("the problems are %v", p)
	}
	d.wants("a@example.org", "b [X]")

	d.write("[X]\na@example.org\nb@example.org\n")
	d.Reload(t.Context())
	if p := d.Problems(); p != nil {
		t.Errorf("the problems of a file that has been mended are %v", p)
	}
}

// TestUnfinished: a file that somebody is writing is not read.
func TestUnfinished(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "[X]\na@example.org\nb@example.org\n", Settings{})
	d.check(t.Context())
	d.write("[X]\n")
	d.check(t.Context())
	d.wants("a@example.org", "b [X]")
	d.write("[X]\na@example.org\nb@example.org\nc@example.org\n")
	d.check(t.Context())
	d.wants("a@example.org", "b [X]")
	d.check(t.Context())
	d.wants("a@example.org", "b [X]; c [X]")
	if want := []string{"a b c"}; !slices.Equal(d.changes, want) {
		t.Errorf("changes told: %q, want %q", d.changes, want)
	}
}

// TestSameStamp: what is written while the clock of the file system stands still
// is found, too.
func TestSameStamp(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "[X]\na@example.org\nb@example.org\n", Settings{})
	info, err := os.Stat(d.path)
	if err != nil {
		t.Fatal(err)
	}
	d.write("[X]\na@example.org\nc@example.org\n")
	if err := os.Chtimes(d.path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	d.check(t.Context())
	d.wants("a@example.org", "c [X]")
}

// TestLoadRefuses: whatever is wrong is said with its line, and nothing changes.
func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.txt")
	if err := os.WriteFile(bad, []byte("[X]\na b\n[Y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, path, want string }{
		{"problems", bad, bad + ": line 2: want = between the address and a name; comments stand in lines of their own\n" + bad + ": line 3: a header ends with ] and has nothing behind it"},
		{"no file", filepath.Join(dir, "none"), "no such file"},
		{"a directory", dir, "no regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, "[X]\na@example.org\nb@example.org\n", Settings{})
			err := d.Load(t.Context(), Settings{Path: tt.path})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v", err)
			}
			d.wants("a@example.org", "b [X]")
			d.write("[X]\na@example.org\nc@example.org\n")
			d.check(t.Context())
			d.check(t.Context())
			d.wants("a@example.org", "c [X]") // the former file is followed still
		})
	}
}

// TestContains: what other parts may ask.
func TestContains(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "[X]\na@example.org=Ann\n", Settings{})
	if name, ok, err := d.Contains("X", jid.MustParse("a@example.org/phone")); name != "Ann" || !ok || err != nil {
		t.Error(name, ok, err)
	}
	if _, ok, err := d.Contains("X", jid.MustParse("b@example.org")); ok || err != nil {
		t.Error(ok, err)
	}
	if _, _, err := d.Contains("Y", jid.MustParse("b@example.org")); !errors.Is(err, ErrNoGroup) {
		t.Error(err)
	}
}

// company is a file of n entries in groups of size, and the file with one more
// member in one of them.
func company(n, size int) (before, after []byte) {
	var b bytes.Buffer
	for i := range n {
		if i%size == 0 {
			fmt.Fprintf(&b, "[Team %d]\n", i/size)
		}
		fmt.Fprintf(&b, "employee%d@example.org=Employee Number %d\n", i, i)
	}
	return b.Bytes(), append(slices.Clone(b.Bytes()), "new@example.org\n"...)
}

// reportCPU makes a benchmark tell the CPU time that it takes, whoever else is on
// the machine.
func reportCPU(b *testing.B) {
	b.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	begin := used()
	b.Cleanup(func() { b.ReportMetric(float64((used()-begin).Milliseconds())/float64(b.N), "ms-CPU/op") })
}

// BenchmarkLoad reads 100,000 entries in 5,000 groups.
func BenchmarkLoad(b *testing.B) {
	data, _ := company(100_000, 20)
	path := filepath.Join(b.TempDir(), "groups.txt")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	reportCPU(b)
	for b.Loop() {
		if err := New(Options{IsHost: served}).Load(b.Context(), Settings{Path: path}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReread reads them again with one member more, and tells 20 people.
func BenchmarkReread(b *testing.B) {
	before, after := company(100_000, 20)
	path := filepath.Join(b.TempDir(), "groups.txt")
	told := 0
	s := New(Options{IsHost: served, Changed: func(_ context.Context, accounts []jid.JID) { told = len(accounts) }})
	b.ReportAllocs()
	reportCPU(b)
	for i := 0; b.Loop(); i++ {
		data := before
		if i%2 == 1 {
			data = after
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			b.Fatal(err)
		}
		if err := s.Load(b.Context(), Settings{Path: path}); err != nil {
			b.Fatal(err)
		}
		if i > 0 && told != 21 {
			b.Fatalf("%d people told", told)
		}
	}
}
