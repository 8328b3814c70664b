package muster_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/muster-im/muster"

// Tiers that are no layers.
const (
	tools = 9  // programs of the build: nobody imports them
	tests = -1 // imported by test files alone
)

// tiers says which layer a package is in: it imports only lower ones.
var tiers = map[string]int{
	"cmd/muster": 8,

	"app": 7,

	"server": 6,

	"internal/admin": 5,

	"internal/bench":        4,
	"internal/groupadmin":   4,
	"internal/muclog":       4,
	"internal/roomadmin":    4,
	"internal/roomfeatures": 4,
	"internal/sqlstore":     4,

	"muc":                3,
	"groups":             3,
	"internal/blocking":  3,
	"internal/account":   3,
	"internal/archive":   3,
	"internal/c2s":       3,
	"internal/client":    3,
	"internal/entity":    3,
	"internal/prosody":   1,
	"internal/groupfile": 3,
	"internal/offline":   3,
	"internal/register":  3,
	"internal/invite":    3,
	"internal/roster":    3,
	"internal/userdata":  3,
	"internal/s2s":       3,

	"config":            2,
	"internal/adhoc":    2,
	"internal/api":      2,
	"internal/settings": 2,
	"internal/lately":   2,
	"internal/router":   2,
	"internal/stream":   2,

	"stanza":            1,
	"internal/backup":   1,
	"internal/mailbox":  1,
	"internal/entries":  1,
	"internal/access":   1,
	"internal/shaper":   1,
	"internal/tasks":    1,
	"internal/shared":   1,
	"internal/sasl":     1,
	"internal/store":    1,
	"internal/httppool": 1,
	"internal/nearest":  0,

	"jid":                0,
	"hook":               0,
	"internal/xmlstream": 0,
	"internal/sdnotify":  0,
	"internal/lanes":     0,
	"internal/callers":   0,
	"internal/peers":     0,
	"internal/stanzaid":  0,

	"":                  0, // the package comment of the module
	"internal/xmpptest": tests,

	"server/servertest": tests,
	"internal/pgtest":   tests,
	"internal/interop":  tests,
}

// Budgets of a file and of a package, in lines without tests.
const (
	maxFileLines    = 600
	maxPackageLines = 6000
)

// roomy are packages that may be larger, because what they own cannot be parted:
// a room's state has one owner.
var roomy = map[string]int{"muc": 9100}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath, Dir, Doc string
	GoFiles, Imports     []string
}

// name is the import path inside the module, "" for its root.
func (p pkg) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var list []pkg
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// tierOf returns a package's tier; ok is false if it has none.
func tierOf(name string) (tier int, ok bool) {
	if strings.HasPrefix(name, "scripts/") || strings.HasSuffix(name, "/gen") {
		return tools, true
	}
	if strings.HasPrefix(name, "examples/") {
		return tiers["cmd/muster"], true
	}
	tier, ok = tiers[name]
	return tier, ok
}

// checkImports returns what is wrong with a package's place among the others.
func checkImports(p pkg) (problems []string) {
	tier, ok := tierOf(p.name())
	if !ok {
		return []string{fmt.Sprintf("package %s has no tier: give it one in layer_test.go and in ARCHITECTURE.md", p.ImportPath)}
	}
	if tier == tests {
		return nil
	}
	for _, path := range p.Imports {
		if path != module && !strings.HasPrefix(path, module+"/") {
			continue
		}
		imported := pkg{ImportPath: path}
		below, ok := tierOf(imported.name())
		switch {
		case strings.HasPrefix(p.name(), "examples/") && strings.HasPrefix(imported.name(), "internal/"):
			problems = append(problems, fmt.Sprintf("%s imports %s, which nobody else can: examples are for others", p.ImportPath, path))
		case !ok:
			problems = append(problems, fmt.Sprintf("%s imports %s, which has no tier", p.ImportPath, path))
		case below == tests:
			problems = append(problems, fmt.Sprintf("%s imports %s, which is for tests only", p.ImportPath, path))
		case below >= tier:
			problems = append(problems, fmt.Sprintf("%s (tier %d) imports %s (tier %d)", p.ImportPath, tier, path, below))
		}
	}
	return problems
}

func TestLayers(t *testing.T) {
	list := listPackages(t)
	for _, p := range list {
		for _, problem := range checkImports(p) {
			t.Error(problem)
		}
	}
	for name := range tiers {
		if !slices.ContainsFunc(list, func(p pkg) bool { return p.name() == name }) {
			t.Errorf("layer_test.go gives a tier to package %q, which does not exist", name)
		}
	}
}

// TestCheckImports makes sure that the rules above can fail.
func TestCheckImports(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, pkg, imported string
		problem             string // "": none
	}{
		{"down", "muc", "stanza", ""},
		{"outside", "muc", "fmt", ""},
		{"test helper imports anything", "internal/xmpptest", "server", ""},
		{"up", "stanza", "muc", "tier 1"},
		{"sideways", "muc", "internal/archive", "tier 3"},
		{"no tier", "internal/misc", "fmt", "has no tier"},
		{"imports one without a tier", "muc", "internal/misc", "has no tier"},
		{"test helper in production", "server", "internal/xmpptest", "tests only"},
		{"generator imports what it documents", "config/gen", "config", ""},
		{"tool in production", "server", "scripts/gotest", "tier 9"},
		{"example", "examples/words", "app", ""},
		{"example of what nobody else can do", "examples/words", "internal/router", "examples are for others"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			imported := tt.imported
			if imported != "fmt" {
				imported = module + "/" + imported
			}
			problems := strings.Join(checkImports(pkg{ImportPath: module + "/" + tt.pkg, Imports: []string{imported}}), "\n")
			if (problems == "") != (tt.problem == "") || !strings.Contains(problems, tt.problem) {
				t.Errorf("%s imports %s: got %q, want %q", tt.pkg, tt.imported, problems, tt.problem)
			}
		})
	}
}

// maxExampleLines keeps examples what one reads at a glance.
const maxExampleLines = 99

func TestExamples(t *testing.T) {
	dirs, err := filepath.Glob("examples/*")
	if err != nil || len(dirs) < 4 {
		t.Fatalf("examples are %q, %v", dirs, err)
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(dir + "/*.go")
		if want := []string{dir + "/main.go", dir + "/main_test.go"}; err != nil || !slices.Equal(files, want) {
			t.Errorf("%s has %q, %v; want %q", dir, files, err, want)
			continue
		}
		data, err := os.ReadFile(files[0])
		if n := bytes.Count(data, []byte("\n")); err != nil || n > maxExampleLines {
			t.Errorf("%s has %d lines, %v; want at most %d", files[0], n, err, maxExampleLines)
		}
	}
}

func TestPackageComments(t *testing.T) {
	for _, p := range listPackages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("package %s has no comment that says what it owns, its goroutines and what it may block on", p.ImportPath)
		}
	}
}

func TestBudgets(t *testing.T) {
	for _, p := range listPackages(t) {
		sum := 0
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if isGenerated(data) {
				continue
			}
			lines := bytes.Count(data, []byte("\n"))
			if lines > maxFileLines {
				t.Errorf("%s has %d lines, more than %d: divide it", path, lines, maxFileLines)
			}
			sum += lines
		}
		if most := max(maxPackageLines, roomy[strings.TrimPrefix(p.ImportPath, module+"/")]); sum > most {
			t.Errorf("package %s has %d lines, more than %d", p.ImportPath, sum, most)
		}
	}
}

func isGenerated(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "// Code generated ") && strings.HasSuffix(strings.TrimSpace(line), " DO NOT EDIT.") {
			return true
		}
		if strings.HasPrefix(line, "package ") {
			return false
		}
	}
	return false
}

// TestArchitectureNamesThePackages keeps the table for people in step with the
// one above.
func TestArchitectureNamesThePackages(t *testing.T) {
	data, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, tier := range tiers {
		if tier == tests || name == "" {
			continue
		}
		row := ""
		for line := range strings.Lines(string(data)) {
			if strings.HasPrefix(line, fmt.Sprintf("| %d |", tier)) {
				row = line
			}
		}
		if !strings.Contains(row, "`"+name+"`") {
			t.Errorf("ARCHITECTURE.md does not name %s in tier %d", name, tier)
		}
	}
}

// TestGoroutinesAreWatched asks for goleak in every package that starts
// goroutines.
func TestGoroutinesAreWatched(t *testing.T) {
	for _, p := range listPackages(t) {
		tier, _ := tierOf(p.name())
		if tier == tools || tier == 8 || !startsGoroutines(t, p) {
			continue
		}
		paths, err := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		watched := slices.ContainsFunc(paths, func(path string) bool {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
			}
			return bytes.Contains(data, []byte("goleak.VerifyTestMain"))
		})
		if !watched {
			t.Errorf("package %s starts goroutines, and its tests do not call goleak.VerifyTestMain", p.ImportPath)
		}
	}
}

func startsGoroutines(t *testing.T, p pkg) bool {
	t.Helper()
	for _, name := range p.GoFiles {
		data, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "go ") || strings.Contains(line, "wg.Go(") {
				return true
			}
		}
	}
	return false
}
