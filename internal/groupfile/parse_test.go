package groupfile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster-im/muster/jid"
)

func served(domain string) bool { return domain == "example.org" || domain == "example.com" }

// describe says what a file has, one group a line.
func describe(f *File) string {
	var lines []string
	for _, g := range f.Groups {
		s := fmt.Sprintf("[%s]", g.Name)
		if g.Public {
			s = "+" + s
		}
		for _, m := range g.Members {
			s += " " + m.JID.String()
			if m.Name != "" {
				s += fmt.Sprintf("=%q", m.Name)
			}
		}
		lines = append(lines, s)
	}
	return strings.Join(lines, "\n")
}

func texts(list []Problem) string {
	lines := make([]string, len(list))
	for i, p := range list {
		lines[i] = fmt.Sprintf("%d:%d %s", p.Line, p.Col, p.Text)
	}
	return strings.Join(lines, "\n")
}

// TestParse: spec of the file, in both formats. What is wrong in a strict file
// and can be read in Prosody's is in both columns.
func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file      string
		strict, prosody string // groups
		wrong           string // with a strict file; then strict is not looked at
		left            string // warnings of Prosody's
	}{
		{"empty", "", "", "", "", ""},
		{
			"the seed's example", "[Support Team]\nsupport@example.com\njohn.doe@example.com\n\n[Development Team]\nhardworking@example.org=Joe Coder\nother.dev@example.com=Mel\n",
			"[Support Team] support@example.com john.doe@example.com\n[Development Team] hardworking@example.org=\"Joe Coder\" other.dev@example.com=\"Mel\"",
			"[Support Team] support@example.com john.doe@example.com\n[Development Team] hardworking@example.org=\"Joe Coder\" other.dev@example.com=\"Mel\"", "", "",
		},
		{"entries before a header", "a@example.org\n[X]\nb@example.org", "[default] a@example.org\n[X] b@example.org", "[default] a@example.org\n[X] b@example.org", "", ""},
		{"public", "[+X]\na@example.org", "+[X] a@example.org", "+[X] a@example.org", "", ""},
		{"CRLF and byte order mark", "\ufeff[X]\r\na@example.org=Ann\r\n", "[X] a@example.org=\"Ann\"", "[X] a@example.org=\"Ann\"", "", ""},
		{"comments", "# one\n  ; two\n#[Y]\n[X]\n# a@example.org\n", "[X]", "[X]", "", ""},
		{"no end of the last line", "[X]\na@example.org", "[X] a@example.org", "[X] a@example.org", "", ""},
		{"names with = and emoji", "[🦉 X]\na@example.org=A=B 🦉", "[🦉 X] a@example.org=\"A=B 🦉\"", "[🦉 X] a@example.org=\"A=B 🦉\"", "", ""},
		{"addresses are prepared", "[X]\nÄnn@EXAMPLE.org", "[X] änn@example.org", "[X] änn@example.org", "", ""},
		{"space around names", "[ X ]\n a@example.org = Ann \n", "[X] a@example.org=\"Ann\"", "[ X ] a@example.org=\" Ann \"", "", ""},
		{"a header again", "[X]\na@example.org\n[Y]\n[+X]\nb@example.org", "", "+[X] a@example.org b@example.org\n[Y]", "4:1 the group X stands at line 1 already", ""},
		{"an entry again", "[X]\na@example.org=A\na@example.org", "", "[X] a@example.org", "3:1 a@example.org is in the group X already", ""},
		{"a word too many", "[X]\na@example.org Ann # boss", "", "[X] a@example.org", "2:14 want = between the address and a name; comments stand in lines of their own", ""},
		{"a name that is empty", "[X]\na@example.org=", "", "[X] a@example.org", "2:14 want a name behind =, or no =", ""},
		{"no name of a group", "[]\na@example.org", "", "[] a@example.org", "1:1 want the group's name in the brackets", ""},
		{"brackets in a name", "[a]b]\na@example.org", "", "[a]b] a@example.org", "1:1 want no brackets in the name of a group", ""},
		{"two +", "[++X]\na@example.org", "", "+[+X] a@example.org", "1:1 want one + alone before the name of a public group", ""},
		{
			"half a header", "[X]\na@example.org\n[Y\nb@example.org\n[Z]\nc@example.org", "", "[X] a@example.org b@example.org\n[Z] c@example.org",
			"3:1 a header ends with ] and has nothing behind it", "3:1 \"[Y\" is no address; it is left out",
		},
		{
			"no addresses", "[X]\n=Ann\na@b@example.org\na@example.org/phone\nexample.org=Server", "", "[X]",
			"2:1 there is no address before =\n3:1 \"a@b@example.org\" is no address\n4:1 a@example.org/phone has a resource: groups are of people, whatever client they use\n5:1 example.org is a server, not a person",
			"2:1 there is no address before =; it is left out\n3:1 \"a@b@example.org\" is no address; it is left out\n4:1 a@example.org/phone has a resource: groups are of people, whatever client they use; it is left out\n5:1 example.org is a server, not a person; it is left out",
		},
		{
			"a header without brackets", "[X]\na@example.org\nSales\nb@example.org\n", "", "[X] a@example.org b@example.org",
			"3:1 Sales is neither a [group] nor an address like name@host", "3:1 Sales is left out: sales is not served here",
		},
		{
			"a user name alone", "[X]\na=Ann\n  elsewhere.test\n", "", "[X]",
			"2:1 a is neither a [group] nor an address like name@host\n3:3 elsewhere.test is neither a [group] nor an address like name@host",
			"2:1 a is left out: a is not served here\n3:3 elsewhere.test is left out: elsewhere.test is not served here",
		},
		{"what contact lists cannot carry", "[X]\na@example.org=\x01\n\xff@example.org", "", "", "2:1 this is no text in UTF-8, or it has control characters\n3:1 this is no text in UTF-8, or it has control characters", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, problems := Parse([]byte(tt.file), Strict, served)
			if got := texts(problems); got != tt.wrong {
				t.Errorf("strict problems:\n%s\nwant:\n%s", got, tt.wrong)
			}
			if got := describe(f); tt.wrong == "" && got != tt.strict {
				t.Errorf("strict:\n%s\nwant:\n%s", got, tt.strict)
			}
			f, problems = Parse([]byte(tt.file), Prosody, served)
			if len(problems) > 0 {
				if tt.prosody != "" || texts(problems) != tt.wrong {
					t.Errorf("prosody problems:\n%s", texts(problems))
				}
				return
			}
			if got := describe(f); got != tt.prosody {
				t.Errorf("prosody:\n%s\nwant:\n%s", got, tt.prosody)
			}
			if got := texts(f.Warnings); got != tt.left {
				t.Errorf("prosody warnings:\n%s\nwant:\n%s", got, tt.left)
			}
		})
	}
}

// TestForeignHosts: entries of hosts that are not served are reported and left
// out.
func TestForeignHosts(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{Strict, Prosody} {
		f, problems := Parse([]byte("[X]\na@example.org\nb@elsewhere.test=Bob\n"), format, served)
		if len(problems) > 0 || describe(f) != "[X] a@example.org" || f.LeftOut != 1 || f.Entries != 1 {
			t.Errorf("%s: %s, %d left out, %v", format, describe(f), f.LeftOut, problems)
		}
		if want := "3:1 b@elsewhere.test is left out: elsewhere.test is not served here"; texts(f.Warnings) != want {
			t.Errorf("%s: %s", format, texts(f.Warnings))
		}
	}
}

// TestManyProblems: a file that is none does not fill the log.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	_, problems := Parse([]byte(strings.Repeat("no address\n", 5000)), Strict, served)
	if n := len(problems); n != maxProblems+1 || problems[n-1].Text != "4900 further lines are like these" {
		t.Errorf("%d problems, the last is %v", n, problems[n-1])
	}
}

// FuzzParse: whatever a file is, contact lists can carry what is read, and every
// member is somebody here.
func FuzzParse(f *testing.F) {
	f.Add([]byte("[X]\na@example.org=Ann\n[+Y]\r\nb@example.org\n"))
	f.Add([]byte("\ufeffa@example.org/x=\n[[\n=\n#\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []Format{Strict, Prosody} {
			file, problems := Parse(data, format, served)
			if len(problems) > 0 {
				continue
			}
			n := 0
			for _, g := range file.Groups {
				var seen []jid.JID
				for _, m := range g.Members {
					if !isText(m.Name) || !isText(g.Name) || len(m.Name) > maxName || m.JID.Local() == "" || !m.JID.IsBare() || slices.Contains(seen, m.JID) {
						t.Fatalf("%s: group %q has %v", format, g.Name, m)
					}
					seen = append(seen, m.JID)
					n++
				}
			}
			if n != file.Entries {
				t.Fatalf("%s: %d entries, counted %d", format, n, file.Entries)
			}
		}
	})
}
