package app

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writeFiles writes files below a directory by their paths.
func writeFiles(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
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

// TestGroupImport: what another server has becomes groups, all of it or nothing,
// and once.
func TestGroupImport(t *testing.T) {
	t.Parallel()
	onStorages(t, func(t *testing.T, storage string) {
		file, _ := configFile(t, "[modules.mod_groups_internal]\n"+storage)
		serving(t, file)
		muster := func(status int, args ...string) string {
			t.Helper()
			got := execute(t, "", append(args, "--config", file)...)
			if got.status != status {
				t.Fatalf("%v: %+v", args, got)
			}
			return got.stdout + got.stderr
		}
		for _, name := range []string{"romeo", "juliet", "nurse"} {
			muster(exitOK, "user", "add", name, "secret")
		}
		good := writeFiles(t, map[string]string{
			"localhost/group_info/verona.dat": `return { ["name"] = "Verona"; };`,
			"localhost/groups/verona.dat":     `return { ["romeo"] = {}; ["juliet"] = {}; };`,
		})
		bad := writeFiles(t, map[string]string{
			"localhost/group_info/verona.dat": `return { ["name"] = "Verona"; ["mucs"] = { "talk@groups.localhost"; }; };`,
			"localhost/group_info/house.dat":  `return { ["name"] = "House"; ["muc_jid"] = "h@groups.localhost"; };`,
			"localhost/group_info/broken.dat": "return {\n os.exit() }",
			"localhost/groups/house.dat":      `return { ["nurse"] = {}; ["ghost"] = {}; };`,
			"localhost/groups/verona.dat":     `return { ["nurse"] = {}; };`,
		})
		list := func() string { return muster(exitOK, "group", "list") }
		none := list()

		if got := muster(exitOK, "group", "import", "--from", "prosody", good, "--dry-run"); !strings.Contains(got, "would be created") || list() != none {
			t.Errorf("a dry run says\n%sand there is\n%s", got, list())
		}
		if got := muster(exitOK, "group", "import", "--from", "prosody", good); !strings.Contains(got, "verona   Verona   created   2         2     0") {
			t.Errorf("an import says\n%s", got)
		}
		members := muster(exitOK, "group", "members", "verona")
		if !strings.Contains(members, "romeo@localhost") || !strings.Contains(members, "juliet@localhost") {
			t.Errorf("the members are\n%s", members)
		}
		var report groupImport
		again := muster(exitOK, "group", "import", "--from", "prosody", good, "--json")
		if err := json.Unmarshal([]byte(again), &report); err != nil {
			t.Fatal(err)
		}
		if report.Changed || len(report.Groups) != 1 || report.Groups[0].Action != actionNone || muster(exitOK, "group", "members", "verona") != members {
			t.Errorf("the second time it says\n%s", again)
		}

		before := list()
		got := muster(exitError, "group", "import", "--from", "prosody", bad)
		for _, want := range []string{
			`problem: localhost/group_info/broken.dat: line 2: want a value, got "os"`,
			"problem: group house: ghost@localhost has no account here",
			"problem: group house: the chat h@groups.localhost has no place",
			"problem: group verona: the chat talk@groups.localhost has no place",
			"nothing has been changed",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("it does not say %q but\n%s", want, got)
			}
		}
		if list() != before || muster(exitOK, "group", "members", "verona") != members {
			t.Error("something has changed")
		}
		muster(exitOK, "group", "import", "--from", "prosody", bad, "--partial")
		if got := muster(exitOK, "group", "members", "house"); !strings.Contains(got, "nurse@localhost") || strings.Contains(got, "ghost") {
			t.Errorf("the members of house are\n%s", got)
		}
		if got := muster(exitOK, "group", "members", "verona"); !strings.Contains(got, "nurse@localhost") || !strings.Contains(got, "romeo@localhost") {
			t.Errorf("the members of verona are\n%s", got)
		}
	})
}

// TestGroupImportOfWhatCannotBe: names, ids and chats that a server would refuse
// are problems before anything is done.
func TestGroupImportOfWhatCannotBe(t *testing.T) {
	t.Parallel()
	onStorages(t, func(t *testing.T, storage string) {
		file, _ := configFile(t, "host = \"rooms.localhost\"\nmax_room_id = 12\n\n[modules.mod_groups_internal]\ngroups_muc_host = \"rooms.localhost\"\n"+storage)
		serving(t, file)
		muster := func(status int, args ...string) string {
			t.Helper()
			got := execute(t, "", append(args, "--config", file)...)
			if got.status != status {
				t.Fatalf("%v: %+v", args, got)
			}
			return got.stdout + got.stderr
		}
		muster(exitOK, "user", "add", "romeo", "secret")
		muster(exitOK, "room", "create", "lounge@rooms.localhost", "--owner", "romeo@localhost")
		muster(exitOK, "room", "create", "nobodys@rooms.localhost")
		muster(exitOK, "group", "create", "Verona", "--id", "verona")
		muster(exitOK, "group", "chat", "add", "verona", "Piazza", "--id", "piazza")
		dir := writeFiles(t, map[string]string{
			"localhost/group_info/fine.dat":   `return { ["name"] = " Fine\n"; ["mucs"] = { "nobodys@rooms.localhost" }; };`,
			"localhost/group_info/lines.dat":  `return { ["name"] = "two\nlines"; };`,
			"localhost/group_info/unseen.dat": "return { [\"name\"] = \"\u200b\"; };",
			"localhost/group_info/a%20b.dat":  `return { ["name"] = "Id"; };`,
			"localhost/group_info/mantua.dat": `return { ["name"] = "Mantua"; ["mucs"] = { "piazza@rooms.localhost", "lounge@rooms.localhost", "much.too.long@rooms.localhost" }; };`,
			"localhost/groups/mantua.dat":     `return { ["romeo"] = {}; };`,
		})
		before := muster(exitOK, "group", "list")
		for _, args := range [][]string{{"--dry-run"}, {}} {
			got := muster(exitError, append([]string{"group", "import", "--from", "prosody", dir}, args...)...)
			for _, want := range []string{
				"problem: group lines: invalid: the name has characters that cannot be shown",
				"problem: group unseen: a name is required",
				"problem: group a b: invalid: an id has at most 128 bytes",
				"problem: group mantua: the chat piazza@rooms.localhost cannot be piazza@rooms.localhost, which another group has",
				"problem: group mantua: the chat lounge@rooms.localhost cannot be lounge@rooms.localhost, a room of romeo@localhost",
				"problem: group mantua: the chat much.too.long@rooms.localhost cannot be much.too.long@rooms.localhost: at most 12 bytes",
			} {
				if !strings.Contains(got, want) {
					t.Errorf("%v does not say %q but\n%s", args, want, got)
				}
			}
			if after := muster(exitOK, "group", "list"); after != before {
				t.Errorf("%v: there is\n%s", args, after)
			}
		}
		muster(exitOK, "group", "import", "--from", "prosody", dir, "--partial")
		if got := muster(exitOK, "group", "show", "mantua"); !strings.Contains(got, "romeo@localhost") || strings.Contains(got, "chat ") {
			t.Errorf("there is\n%s", got)
		}
		if got := muster(exitOK, "group", "show", "fine"); !strings.HasPrefix(got, "fine: Fine (permanent)\nchat nobodys@rooms.localhost: Fine\n") {
			t.Errorf("there is\n%s", got)
		}
	})
}

// TestGroupImportFile: groups of a text file become managed ones, but for what
// only a file can have.
func TestGroupImportFile(t *testing.T) {
	t.Parallel()
	onStorages(t, func(t *testing.T, storage string) {
		file, _ := configFile(t, "[modules.mod_groups_internal]\n"+storage)
		serving(t, file)
		for _, name := range []string{"romeo", "juliet"} {
			if got := execute(t, "", "user", "add", name, "secret", "--config", file); got.status != exitOK {
				t.Fatal(got)
			}
		}
		dir := writeFiles(t, map[string]string{"groups.txt": "romeo@localhost\njuliet@localhost\n[Support Team]\njuliet@localhost=Jule\n[Support-Team]\nromeo@localhost\n[+All]\nromeo@localhost\nx@elsewhere.test\n"})
		path := filepath.Join(dir, "groups.txt")
		got := execute(t, "", "group", "import", "--from", "prosody-file", path, "--config", file)
		for _, want := range []string{
			"would be created", "note: group Support Team: 1 names of contacts are left behind",
			": line 7: group All is public", ": line 9: x@elsewhere.test is left out",
		} {
			if got.status != exitError || !strings.Contains(got.stdout, want) {
				t.Errorf("it does not say %q but %+v", want, got)
			}
		}
		for range 2 {
			if got = execute(t, "", "group", "import", "--from", "prosody-file", path, "--partial", "--config", file); got.status != exitOK {
				t.Fatal(got)
			}
		}
		if got = execute(t, "", "group", "list", "--config", file); strings.Count(got.stdout, "\n") != 3 || strings.Count(got.stdout, "overlay") != 3 ||
			!strings.Contains(got.stdout, "default ") || !strings.Contains(got.stdout, "Support-Team ") || !strings.Contains(got.stdout, "group-") {
			t.Errorf("there are\n%s", got.stdout)
		}
	})
}

// TestGroupImportIntoWhatIsThere: the report says what a group is and stays, where
// the import has it otherwise.
func TestGroupImportIntoWhatIsThere(t *testing.T) {
	t.Parallel()
	file, _ := configFile(t, "[modules.mod_groups_internal]\n")
	serving(t, file)
	muster := func(args ...string) string {
		t.Helper()
		got := execute(t, "", append(args, "--config", file)...)
		if got.status != exitOK {
			t.Fatalf("%v: %+v", args, got)
		}
		return got.stdout
	}
	for _, name := range []string{"romeo", "juliet"} {
		muster("user", "add", name, "secret")
	}
	muster("group", "create", "Perm", "--id", "Main")
	muster("group", "create", "Stage", "--id", "verona", "--overlay")
	text := filepath.Join(writeFiles(t, map[string]string{"groups.txt": "[Main]\nromeo@localhost\njuliet@localhost\n"}), "groups.txt")
	dir := writeFiles(t, map[string]string{
		"localhost/group_info/verona.dat": `return { ["name"] = "Verona"; };`,
		"localhost/groups/verona.dat":     `return { ["romeo"] = {}; };`,
	})
	tests := []struct {
		from, path, id, name, contract string
		notes                          []string
	}{
		{"prosody-file", text, "Main", "Perm", "permanent", []string{
			"group Main is there already and stays what it is called, Perm: it does not become Main",
			"group Main is there already and stays permanent: contacts stay when a membership ends",
		}},
		{"prosody", dir, "verona", "Stage", "overlay", []string{
			"group verona is there already and stays what it is called, Stage: it does not become Verona",
			"group verona is there already and stays overlay: contacts end with the membership",
		}},
	}
	for _, tt := range tests {
		for _, more := range [][]string{{"--dry-run"}, {}, {}} { // the last time there is nothing to do
			out := muster(append([]string{"group", "import", "--from", tt.from, tt.path, "--json"}, more...)...)
			var report groupImport
			if err := json.Unmarshal([]byte(out), &report); err != nil {
				t.Fatal(err)
			}
			if g := report.Groups[0]; g.ID != tt.id || g.Name != tt.name || g.Contract != tt.contract || !slices.Equal(report.Notes, tt.notes) {
				t.Errorf("--from %s %v says\n%s", tt.from, more, out)
			}
		}
		if got := muster("group", "show", tt.id); !strings.HasPrefix(got, tt.id+": "+tt.name+" ("+tt.contract+")\n") || !strings.Contains(got, "romeo@localhost") {
			t.Errorf("there is\n%s", got)
		}
	}
}

// TestImportedGroups: people who are connected see what is imported at once: who is
// with them in a group, and its chats, which Prosody has stored in two ways. So it
// is with the groups of a file.
func TestImportedGroups(t *testing.T) {
	t.Parallel()
	onStorages(t, func(t *testing.T, storage string) {
		o := newOffice(t, storage)
		serving(t, o.file)
		romeo, juliet := o.person("romeo"), o.person("juliet")
		o.do(http.MethodPost, "/users", map[string]string{"name": "nurse", "password": "secret"})
		o.muster("group", "import", "--from", "prosody", writeFiles(t, map[string]string{
			"localhost/group%5finfo/old.dat":   `return { ["name"] = "Verona"; ["muc_jid"] = "first@groups.localhost"; };`,
			"localhost/groups/old.dat":         `return { ["romeo"] = {}; ["juliet"] = {}; };`,
			"localhost/group%5finfo/new.dat":   `return { ["name"] = "House 🏠"; ["mucs"] = { "second@groups.localhost", "third@groups.localhost" }; };`,
			"localhost/groups/new.dat":         `return { ["juliet"] = {}; ["nurse"] = {}; };`,
			"localhost/group%5finfo/empty.dat": `return { ["name"] = "Nobody"; };`,
		}))
		romeo.catchUp()
		romeo.expect("after the import", map[string]string{"juliet": "both Verona"})
		if !romeo.sees("juliet") || romeo.pushes != 1 {
			t.Errorf("Romeo sees Juliet: %v, after %d pushes", romeo.sees("juliet"), romeo.pushes)
		}
		juliet.catchUp()
		juliet.expect("after the import", map[string]string{"romeo": "both Verona", "nurse": "both House 🏠"})
		const first, second, third = "first@groups.localhost", "second@groups.localhost", "third@groups.localhost"
		for w, want := range map[*worker][]string{romeo: {first}, juliet: {first, second, third}} {
			var invited []string
			for _, room := range want {
				invited = append(invited, "invited to "+room)
			}
			slices.Sort(w.heard)
			if got := slices.Sorted(slices.Values(w.bookmarks())); !slices.Equal(got, want) || !slices.Equal(w.heard, invited) {
				t.Errorf("%s has the bookmarks %q and has heard %q, want %q", w.name, got, w.heard, want)
			}
			for _, room := range []string{first, second, third} {
				if got := w.enter(room); got != slices.Contains(want, room) {
					t.Errorf("%s gets into %s: %v", w.name, room, got)
				}
			}
		}
		if got := o.muster("group", "show", "old"); !strings.Contains(got, "chat "+first+": Verona") {
			t.Errorf("there is\n%s", got)
		}

		file := filepath.Join(writeFiles(t, map[string]string{"groups.txt": "[Stage]\nromeo@localhost\njuliet@localhost=Jule\nnurse@localhost\n"}), "groups.txt")
		o.muster("group", "import", "--from", "prosody-file", file)
		romeo.catchUp()
		want := map[string]string{"juliet": "both Verona Stage", "nurse": "both Stage"}
		romeo.expect("after the file", want)
		again := o.login("romeo")
		again.expect("another time", want)
	})
}
