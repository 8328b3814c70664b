package prosody

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dataDir makes a data directory of files by their paths.
func dataDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func describe(list []Group) string {
	var lines []string
	for _, g := range list {
		s := fmt.Sprintf("%s/%s %q", g.Host, g.ID, g.Name)
		for _, m := range g.Members {
			s += " " + m.String()
		}
		for _, c := range g.Chats {
			s += fmt.Sprintf(" {%s %q %t}", c.JID, c.Name, c.Default)
		}
		lines = append(lines, s)
	}
	return strings.Join(lines, "\n")
}

func TestGroups(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files map[string]string
		want  string
		wrong string
	}{
		{
			"both formats of chats", map[string]string{
				"example%2eorg/group_info/old.dat":      "return { [\"name\"] = \"Old\"; [\"muc_jid\"] = \"r1@groups.example.org\"; };",
				"example%2eorg/groups/old.dat":          "return { [\"romeo\"] = {}; [\"juliet\"] = {}; };",
				"example%2eorg/group%5finfo/unused.txt": "",
				"groups%2eexample%2eorg/config/r1.dat":  "return { [\"_jid\"] = \"r1@groups.example.org\"; [\"_data\"] = { [\"name\"] = \"Talk\"; }; };",
			}, `example.org/old "Old" juliet@example.org romeo@example.org {r1@groups.example.org "Talk" true}`, "",
		},
		{
			"the list takes the place of the one", map[string]string{
				"example%2eorg/group%5finfo/n%2d%5f1.dat": "return { name = \"New\", muc_jid = \"gone@groups.example.org\", mucs = { \"a@groups.example.org\", \"b@groups.example.org\" } }",
			}, `example.org/n-_1 "New" {a@groups.example.org "" false} {b@groups.example.org "" false}`, "",
		},
		{
			"several hosts, encoded names", map[string]string{
				"b%2eorg/group_info/x.dat": "return { name = \"B 🦉\" }", "b%2eorg/groups/x.dat": "return { [\"jürgen\"] = {} }",
				"a%2eorg/group_info/x.dat": "return { name = \"A\" }", "a%2eorg/accounts/romeo.dat": "return {",
			}, "a.org/x \"A\"\nb.org/x \"B 🦉\" jürgen@b.org", "",
		},
		{
			"what is wrong",
			map[string]string{
				"a%2eorg/group_info/code.dat":   "os.exit()",
				"a%2eorg/group_info/noname.dat": "return { muc_jid = \"a@b\" }",
				"a%2eorg/group_info/chat.dat":   "return { name = \"C\", mucs = { \"no/chat\", \"a@b.org\" } }",
				"a%2eorg/groups/chat.dat":       "return { [\"a b\"] = {}; ok = {}; [1] = {} }",
				"a%2eorg/groups/alone.dat":      "return { romeo = {} }",
				"a%2eorg/groups/adhoc.list":     "item({})",
				"a%2eorg/groups/50%.dat":        "return {}",
			},
			`a.org/chat "C" ok@a.org {a@b.org "" false}`,
			"a%2eorg/group_info/chat: no/chat is no address of a chat\n" +
				"a%2eorg/group_info/code.dat: line 1: want return, got \"os\"\n" +
				"a%2eorg/group_info/noname: the group has no name\n" +
				"a%2eorg/groups/50%.dat: the name is not encoded as Prosody does\n" +
				"a%2eorg/groups/adhoc.list: this is not what the store of groups has\n" +
				"a%2eorg/groups/alone: the group has members and no record in group_info\n" +
				"a%2eorg/groups/chat: \"a b\" is no user name\n" +
				"a%2eorg/groups/chat: 1 is no member of mod_groups_internal's",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			list, problems, err := Groups(dataDir(t, tt.files))
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(list); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			lines := make([]string, len(problems))
			for i, p := range problems {
				lines[i] = p.String()
			}
			if got := strings.Join(lines, "\n"); got != tt.wrong {
				t.Errorf("problems\n%s\nwant\n%s", got, tt.wrong)
			}
		})
	}
}

func TestNoGroups(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"no directory": filepath.Join(t.TempDir(), "none"), "another directory": dataDir(t, map[string]string{"x/y": ""})} {
		if _, _, err := Groups(dir); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
