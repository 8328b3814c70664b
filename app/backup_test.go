package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A backup that was made while people worked brings everything back, on a
// directory that is empty or not.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "")
	dir := filepath.Dir(file)
	online, stopped := filepath.Join(dir, "online"), filepath.Join(dir, "stopped")
	p := start(t, "serve", "--config", file)
	p.await(t, `msg="server started"`)
	step := func(want string, args ...string) {
		t.Helper()
		got := execute(t, "", append(args, "--config", file)...)
		if got.status != exitOK || got.stderr != "" || !matches(want, got.stdout) {
			t.Errorf("muster %s: got %+v, want %s", strings.Join(args, " "), got, want)
		}
	}
	step(`added.*`, "user", "add", "romeo", "secret")
	step(`wrote `+online+` \(\d+ KiB, 1 accounts, 0 rooms, 0 messages\), checked; .*\n`, "backup", online)
	p.await(t, `msg="backup made"`)
	step(`added.*`, "user", "add", "juliet", "secret")
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	step(`wrote `+stopped+` \(\d+ KiB, 2 accounts.*`, "backup", stopped)
	for _, name := range []string{online, stopped} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info.Mode(), err)
		}
	}
	step(`restored `+online+` to `+dataDir+`: 1 accounts, .*\nwhat was there is in `+dataDir+`/replaced-\S+ now: .*\n`, "restore", "--replace", online)
	noLeftovers(t, dir, dataDir)

	serving(t, file)
	step(`romeo@localhost .*`, "user", "list")
	got := execute(t, "", "backup", filepath.Join(dir, "third"), "--json", "--data-dir", dataDir)
	var result backupResult
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil || result.Hosts[0] != "localhost" || len(result.Files) != 4 ||
		result.Files[0].Rows["accounts"] != 1 || result.Bytes == 0 || result.Created.IsZero() {
		t.Errorf("backup --json: %v, %+v", err, got)
	}
	empty := filepath.Join(dir, "empty")
	got = execute(t, "", "restore", stopped, "--data-dir", empty, "--json")
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil || result.DataDir != empty || result.Files[0].Rows["accounts"] != 2 {
		t.Errorf("restore --json: %v, %+v", err, got)
	}
}

// noLeftovers makes sure that nothing temporary is left.
func noLeftovers(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || e.Name() == "restoring" {
				t.Errorf("%s/%s is left behind", dir, e.Name())
			}
		}
	}
}

// What goes wrong is said in one line, and nothing has changed.
func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "")
	dir := filepath.Dir(file)
	serving(t, file)
	good := filepath.Join(dir, "good")
	if got := execute(t, "", "backup", good, "--config", file); got.status != exitOK {
		t.Fatalf("%+v", got)
	}
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	damaged := bytes.Clone(data)
	damaged[len(damaged)/2] ^= 1
	filled, empty := filepath.Join(dir, "filled"), filepath.Join(dir, "empty")
	if err := os.MkdirAll(filled, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filled, "muster.db"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	postgres, _ := configFile(t, "[storage]\ndriver = \"postgres\"\nurl = \"postgres://m:geheim@db.test/chat\"\n")
	for _, tt := range []struct{ name, args, want string }{
		{"a file that is there", "backup " + good + " --config " + file, `backup: .*/good is there already: --force replaces it`},
		{"no such directory", "backup /nowhere/x --config " + file, `backup: /nowhere/x cannot be written: no such file or directory`},
		{"no data directory", "backup " + dir + "/x --data-dir " + dir + "/none", `backup: data directory .*/none cannot be read: no such file or directory`},
		{"not ours", "backup " + dir + "/x --data-dir " + t.TempDir(), `backup: there are no databases in .*: is it the right data directory\?`},
		{"PostgreSQL", "backup " + dir + "/x --config " + postgres, `backup: storage\.driver is postgres, .*: pg_dump --format=custom --file=FILE 'host=db\.test port=5432 user=m dbname=chat'`},
		{"PostgreSQL back", "restore " + good + " --config " + postgres, `restore .*/good: storage\.driver is postgres, .*: pg_restore .*dbname=chat' FILE`},
		{"server runs", "restore " + good + " --replace --config " + file, `restore .*/good: data directory .* is in use by another process .*`},
		{"not empty", "restore " + good + " --data-dir " + filled, `restore .*/good: data directory .*/filled is not empty \(it has muster\.db\): name an empty one, or let --replace move what is there aside`},
		{"no such file", "restore /nowhere/x --data-dir " + empty, `restore /nowhere/x: no such file or directory`},
		{"a directory", "restore " + dir + " --data-dir " + empty, `restore .*: this is no backup of Muster: .*`},
		{"another kind of file", "restore " + file + " --data-dir " + empty, `restore .*: this is no backup of Muster: .*`},
		{"an empty file", "restore " + write("nothing", nil) + " --data-dir " + empty, `restore .*: this is no backup of Muster: .*`},
		{"half a file", "restore " + write("half", data[:len(data)/2]) + " --data-dir " + empty, `restore .*/half: the file ends early: .*`},
		{"damage", "restore " + write("damaged", damaged) + " --data-dir " + empty, `restore .*/damaged: the file is damaged; .*`},
	} {
		got := execute(t, "", strings.Fields(tt.args)...)
		if got.status != exitError || got.stdout != "" || !matches(`muster: `+tt.want+`\n`, got.stderr) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: got %+v, want one line like %s", tt.name, got, tt.want)
		}
		if strings.Contains(got.stderr, "geheim") {
			t.Errorf("%s: the password is shown", tt.name)
		}
	}
	if _, err := os.Stat(empty); err == nil {
		t.Error("a refused restore has made the data directory")
	}
	if mine, err := os.ReadFile(filepath.Join(filled, "muster.db")); err != nil || string(mine) != "mine" {
		t.Errorf("a refused restore has changed a file: %q, %v", mine, err)
	}
	noLeftovers(t, dir, filled, dataDir)
}
