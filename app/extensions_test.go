package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-im/muster/server"
)

// wordy is an extension with settings.
type wordy struct{}

func (wordy) Name() string { return "wordy" }
func (wordy) Doc() string  { return "Keeps words out." }

func (wordy) Register(r *server.Registrar) error {
	_, err := server.ReadSettings(r, struct {
		Words []string `toml:"words" reload:"yes" doc:"Words that nobody says."`
	}{[]string{"darn"}})
	return err
}

// bare is one without.
type bare struct{}

func (bare) Name() string                     { return "bare" }
func (bare) Register(*server.Registrar) error { return nil }

func TestOwnBinary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "muster.toml")
	own := func(args ...string) result {
		t.Helper()
		var out, errs bytes.Buffer
		e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, extensions: []server.Extension{wordy{}, bare{}}}
		return result{run(t.Context(), e, args), out.String(), errs.String()}
	}
	want := func(r result, status int, parts ...string) {
		t.Helper()
		if r.status != status {
			t.Errorf("status %d, want %d: %s", r.status, status, r.stderr)
		}
		for _, p := range parts {
			if !strings.Contains(r.stdout+r.stderr, p) {
				t.Errorf("no %q in\n%s%s", p, r.stdout, r.stderr)
			}
		}
	}
	want(own("--help"), exitOK, "\n    [modules.wordy]              wordy: Keeps words out.\n", "bare")
	if r := execute(t, "", "--help"); strings.Contains(r.stdout, "extensions, each") {
		t.Error("a binary without extensions speaks of them")
	}
	want(own("init", file), exitOK)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\n# Keeps words out. This table is of the extension wordy.\n[modules.wordy]\n# Words that nobody says. Takes effect on SIGHUP.\nwords = [\"darn\"]\n") {
		t.Errorf("the file of init ends with\n%s", text[max(0, len(text)-300):])
	}
	local := strings.ReplaceAll(string(text), `"example.org"`, `"localhost"`)
	if err := os.WriteFile(file, []byte(local), 0o600); err != nil {
		t.Fatal(err)
	}
	want(own("check", "--config", file), exitOK, "no problems (extensions: wordy, bare)")
	broken := strings.Replace(local, "words = [", "wrods = [", 1)
	if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	want(own("check", "--config", file), exitError, `modules.wordy.wrods: unknown key (did you mean "words"?)`)
	// What is wrong elsewhere does not hide it: one run says everything, in order.
	broken = strings.Replace(broken, "[general]", "[general]\nhots = 1", 1) + "[modules.bare]\nx = 1\n"
	if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	r := own("check", "--config", file)
	want(r, exitError, `general.hots: unknown key`, `modules.wordy.wrods: unknown key`, `modules.bare.x: unknown key (no key is known here)`)
	if lines := strings.Split(strings.TrimSpace(r.stderr), "\n"); len(lines) != 3 || !strings.Contains(lines[0], "hots") || !strings.Contains(lines[2], "bare") {
		t.Errorf("want three problems in the order of the file, got\n%s", r.stderr)
	}
}
