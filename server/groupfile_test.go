package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-im/muster/config"
	"github.com/muster-im/muster/jid"
	"github.com/muster-im/muster/server"
)

// TestGroupFileProblems: what is wrong with a file of groups is said with its
// lines, all of it, before the start; entries of others are warned of.
func TestGroupFileProblems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "groups.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "muster.toml")
	load := func(more string) *config.Config {
		t.Helper()
		text := "[general]\nhosts = [\"localhost\"]\ndata_dir = \"data\"\n[modules.mod_groups]\ngroups_file = \"groups.txt\"\n" + more
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	const bad = "[X]\nromeo@localhost Romeo\n[Y\njuliet@localhost\n"
	want := fmt.Sprintf("%s:2:16: want = between the address and a name; comments stand in lines of their own\n%s:3:1: a header ends with ] and has nothing behind it", path, path)

	_, err := server.Check(load(""))
	oneLine(t, err, file+":5:15: modules.mod_groups.groups_file: read groups: ")
	write(bad)
	if _, err := server.Check(load("")); err == nil || err.Error() != want {
		t.Errorf("check says\n%v\nwant\n%s", err, want)
	}
	if _, err := server.New(load(""), server.Options{NoListen: true}); err == nil || err.Error() != want {
		t.Errorf("the start says\n%v\nwant\n%s", err, want)
	}
	warnings, err := server.Check(load("format = \"prosody\"\n"))
	if left := path + `:3:1: "[Y" is no address; it is left out`; err != nil || !strings.Contains(warnings.Error(), left) {
		t.Errorf("the check of a file of Prosody's: %v\n%v", warnings, err)
	}
	write("[X]\nromeo@localhost\njuliet@elsewhere.test\n")
	warnings, err = server.Check(load(""))
	if left := path + ":3:1: juliet@elsewhere.test is left out: elsewhere.test is not served here"; err != nil || !strings.Contains(warnings.Error(), left) {
		t.Errorf("the check of a file with others: %v\n%v", warnings, err)
	}

	s, err := server.New(load(""), server.Options{NoListen: true})
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, s)
	has := func(group, name string) bool {
		_, ok, err := s.GroupContains(group, jid.MustParse(name))
		return ok && err == nil
	}
	write(bad)
	if err := s.Reload(load("")); err != nil || !has("X", "romeo@localhost") {
		t.Errorf("a reload waits for a file of groups to be mended: %v", err)
	}
	if err := s.Reload(load("meet_outsiders = true\n")); err == nil || err.Error() != want {
		t.Errorf("a reload with other settings says\n%v\nwant\n%s", err, want)
	}
	write("[Z]\njuliet@localhost\n")
	if err := s.Reload(load("")); err != nil || has("X", "romeo@localhost") || !has("Z", "juliet@localhost") {
		t.Errorf("a reload does not read the file: %v", err)
	}
}
