package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-im/muster/config"
)

func TestConfigImport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	small, full := "../config/testdata/mongooseim/small.toml", "../config/testdata/mongooseim/full.toml"
	out := filepath.Join(dir, "muster.toml")
	args := func(more ...string) []string {
		return append([]string{"config", "import", "--from", "mongooseim"}, more...)
	}
	got := execute(t, "", args(small, "--out", out)...)
	if got.status != exitOK || !strings.Contains(got.stdout, "not needed  general.default_server_domain") || !strings.Contains(got.stdout, " 0 LOST (0 of them concern security)\n") {
		t.Errorf("import: %+v", got)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has %v, %v: it may hold secrets", info, err)
	}
	if got := execute(t, "", "check", "--config", out); got.status != exitOK || got.stdout != out+": no problems\n" {
		t.Errorf("check: %+v", got)
	}
	before, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if got := execute(t, "", args(full, "--out", out)...); got.status != exitError || !strings.Contains(got.stderr, "is there already") {
		t.Errorf("second import: %+v", got)
	}
	if after, err := os.ReadFile(out); err != nil || string(after) != string(before) {
		t.Errorf("what was there is %q, %v", after, err)
	}
	got = execute(t, "", args(full, "--out", out, "--force", "--json")...)
	var report struct {
		File string         `json:"file"`
		Keys []config.Moved `json:"keys"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || report.File != out || len(report.Keys) < 90 {
		t.Errorf("report: %v, %+v", err, got)
	}
	if got.status != exitError { // what was lost concerns security
		t.Errorf("status %d, want %d", got.status, exitError)
	}
	if strings.Contains(got.stdout+got.stderr, "ro:se@") || strings.Contains(got.stdout, "ro%3Ase") {
		t.Errorf("a password is shown: %+v", got)
	}
	if got := execute(t, "", args(filepath.Join(dir, "none.toml"), "--out", filepath.Join(dir, "no.toml"))...); got.status != exitError {
		t.Errorf("no file: %+v", got)
	}
	if got := execute(t, "", "config", "import", "--from", "prosody", small); got.status != exitUsage {
		t.Errorf("another system: %+v", got)
	}
}
