package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReadmeIsFresh fails if go generate would change the README, or if
// docs/protocol.md names a test that is not there.
func TestReadmeIsFresh(t *testing.T) {
	is, should, err := readme("../..")
	if err != nil {
		t.Fatal(err)
	}
	if is != should {
		t.Error("the status table of README.md is stale: run make generate")
	}
}

// TestSectionsAreFresh fails if go generate would change the table of the
// sections of XEP-0045, or if there is none.
func TestSectionsAreFresh(t *testing.T) {
	is, should, err := sections("../..")
	if err != nil {
		t.Fatal(err)
	}
	if is != should || !strings.Contains(is, sectionsBegin) {
		t.Errorf("the sections of XEP-0045 in %s are stale: run make generate", protocolFile)
	}
}

func TestCitations(t *testing.T) {
	t.Parallel()
	got := citedByScript("# XEP-0045 §7.2, §10.1.2: in; XEP-0059 §2, RFC 6120 §8.3\n-- script --\nC a: <x y='§1'/>\n# §7.7: more.\n  # XEP-0313 §4\n")
	if want := []string{"7.2", "10.1.2", "7.7"}; !slices.Equal(got, want) {
		t.Errorf("a transcript cites %v, want %v", got, want)
	}
	tests := citedByTests("// XEP-0045 §1.1\nvar x int\n\n// TestA: XEP-0045 §8.2\n// and §8.3.\nfunc TestA(t *testing.T) {\n\t// XEP-0045 §9\n}\n")
	if want := []string{"8.2", "8.3"}; len(tests) != 1 || !slices.Equal(tests["TestA"], want) {
		t.Errorf("tests cite %v, want of TestA %v", tests, want)
	}
}

// TestEveryTranscriptIsNamed finds transcripts that no row of the document
// knows.
func TestEveryTranscriptIsNamed(t *testing.T) {
	document, err := os.ReadFile("../../" + protocolFile)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("../../testdata/script/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if name := strings.TrimPrefix(filepath.ToSlash(path), "../../"); !strings.Contains(string(document), "`"+name+"`") {
			t.Errorf("%s does not name %s", protocolFile, name)
		}
	}
}

const header = "| Specification | Version | Status | What | Proof |\n|---|---|---|---|---|\n"

func TestWrite(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, rows, readme string
		want               string // the README after that
		problem            string
	}{
		{
			name: "sorted by status",
			rows: "| A | 1 | not yet | | |\n| B | 2 | works | all | `pkg.TestB` |\n| C | 3 | partly | | `testdata/script/c.txt`, `pkg.FuzzC` |\n| D | 4 | works | | `pkg.TestB` |\n",
			want: "| | |\n|---|---|\n| **works** | B; D |\n| **partly** | C |\n| **not yet** | A |\n",
		},
		{name: "unknown status", rows: "| A | 1 | mostly | | |\n", problem: `docs/protocol.md:3: A: status "mostly"`},
		{name: "no proof", rows: "| A | 1 | works | | |\n", problem: "nothing proves that it works"},
		{name: "no such test", rows: "| A | 1 | works | | `pkg.TestA` |\n", problem: "there is no test pkg.TestA"},
		{name: "part of a test's name", rows: "| A | 1 | works | | `pkg.Test` |\n", problem: "there is no test pkg.Test"},
		{name: "no such transcript", rows: "| A | 1 | works | | `testdata/script/a.txt` |\n", problem: "no such file"},
		{name: "no kind of test", rows: "| A | 1 | works | | `believe` |\n", problem: "neither a transcript nor a test"},
		{name: "columns", rows: "| A | 1 | works | |\n", problem: "want 5 columns, or 3 for a section, got 4"},
		{
			name: "sections are checked, and no status",
			rows: "| A | 1 | works | | `pkg.TestB` |\n\n| Section | What | Proof |\n|---|---|---|\n| 1.1 | all | `pkg.FuzzC` |\n| 1.2 | not ours | — |\n",
			want: "| | |\n|---|---|\n| **works** | A |\n",
		},
		{name: "section without proof", rows: "| 1.1 | all | |\n", problem: "docs/protocol.md:3: 1.1: nothing proves it"},
		{name: "section with a test that is not there", rows: "| 1.1 | all | `pkg.TestA` |\n", problem: "there is no test pkg.TestA"},
		{name: "no rows", problem: "no table found"},
		{name: "no place", rows: "| A | 1 | not yet | | |\n", readme: "nothing\n", problem: "no place for the table"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if tt.readme == "" {
				tt.readme = "before\n" + begin + "stale\n" + end + "after\n"
			}
			for name, data := range map[string]string{
				protocolFile:            header + tt.rows,
				readmeFile:              tt.readme,
				"pkg/b_test.go":         "package pkg\n\nfunc TestB(t *testing.T) {}\n\nfunc FuzzC(f *testing.F) {}\n",
				"testdata/script/c.txt": "",
			} {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := write(root)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("got %v, want %q", err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(root, readmeFile))
			if want := "before\n" + begin + tt.want + end + "after\n"; err != nil || string(got) != want {
				t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}
