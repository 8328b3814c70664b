package app

import (
	"path/filepath"
	"strings"
	"testing"
)

// A bench deletes the accounts that it has created, and no others, also when it
// fails.
func TestBenchCleansUp(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "")
	s := serving(t, file)
	if got := execute(t, "", "user", "add", "bench1", "bench", "--config", file); got.status != exitOK {
		t.Fatalf("%+v", got)
	}
	left := func() string {
		t.Helper()
		got := execute(t, "", "user", "list", "--config", file, "--json")
		names := make([]string, 0, 4)
		for line := range strings.SplitSeq(got.stdout, "\n") {
			if _, after, ok := strings.Cut(line, `"jid": "`); ok {
				names = append(names, strings.TrimSuffix(after, `@localhost",`))
			}
		}
		return strings.Join(names, " ")
	}
	bench := func(args ...string) result {
		t.Helper()
		return execute(t, "", append([]string{
			"bench", args[0], "--create-in", dataDir, "--addr", s.Info().Listeners[0].Address,
			"--insecure", "--duration", "100ms", "--warmup", "0s",
		}, args[1:]...)...)
	}
	if got := bench("login", "--users", "3"); got.status != exitOK {
		t.Errorf("%+v", got)
	}
	if got := left(); got != "bench1" {
		t.Errorf("accounts %q are left, want bench1, which was there before", got)
	}
	if got := bench("fanout", "--occupants", "3", "--senders", "1", "--password", "other"); got.status != exitError || !strings.Contains(got.stderr, "log in as bench1@localhost") {
		t.Errorf("with a wrong password for bench1: %+v", got)
	}
	if got := left(); got != "bench1" {
		t.Errorf("after a failure accounts %q are left, want bench1", got)
	}
	if got := bench("login", "--users", "3", "--keep"); got.status != exitOK {
		t.Errorf("--keep: %+v", got)
	}
	if got := left(); got != "bench1 bench2 bench3" {
		t.Errorf("with --keep accounts %q are left", got)
	}
	if got := execute(t, "", "bench", "login", "--create-in", filepath.Join(dataDir, "none")); got.status != exitError || !strings.Contains(got.stderr, "no server is running") {
		t.Errorf("without a server: %+v", got)
	}
}

// The meter of groups sees everybody told of everything, and leaves no group.
func TestBenchGroups(t *testing.T) {
	t.Parallel()
	file, dataDir := configFile(t, "[modules.mod_groups_internal]\n")
	s := serving(t, file)
	bench := func(args ...string) result {
		t.Helper()
		return execute(t, "", append([]string{
			"bench", "groups", "--addr", s.Info().Listeners[0].Address, "--insecure",
			"--members", "4", "--online", "2", "--newcomers", "1", "--teams", "2", "--team-size", "2", "--requests", "1",
		}, args...)...)
	}
	if got := bench(); got.status != exitError || !strings.Contains(got.stderr, "create-in") {
		t.Errorf("without a data directory: %+v", got)
	}
	if got := bench("--create-in", dataDir, "--online", "5"); got.status != exitError || !strings.Contains(got.stderr, "online") {
		t.Errorf("more online than there are: %+v", got)
	}
	if got := bench("--create-in", dataDir); got.status != exitOK || !strings.Contains(got.stdout, "add somebody online") {
		t.Errorf("%+v", got)
	}
	if got := execute(t, "", "group", "list", "--config", file); !strings.Contains(got.stdout, "no groups") {
		t.Errorf("left behind: %+v", got)
	}
}
