// Command status writes into docs/protocol.md which tests cite which section of
// XEP-0045, checks that every test the document names is there, and writes the
// status table of README.md and muster.doap from it. It runs in the root of the
// repository.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	protocolFile = "docs/protocol.md"
	readmeFile   = "README.md"
	begin        = "<!-- status:begin -->\n"
	end          = "<!-- status:end -->\n"
)

// The statuses.
const (
	works  = "works"
	partly = "partly"
	notYet = "not yet"
)

// nothing is the proof of a section that does not concern us.
const nothing = "—"

// row is one specification in the document's tables, whose columns are these,
// or one section of a specification in those that have the columns section,
// what and proof.
type row struct {
	line                               int
	name, version, status, what, proof string
	section                            bool
}

func main() {
	if err := write("."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// write writes the table of sections into the document below root, the table of
// specifications into the README, and the description of the project for
// machines.
func write(root string) error {
	is, should, err := sections(root)
	if err != nil {
		return err
	}
	if is != should {
		if err := os.WriteFile(filepath.Join(root, protocolFile), []byte(should), 0o644); err != nil {
			return err
		}
	}
	stale, fresh, err := readme(root)
	if err != nil {
		return err
	}
	if stale != fresh {
		if err := os.WriteFile(filepath.Join(root, readmeFile), []byte(fresh), 0o644); err != nil {
			return err
		}
	}
	description, err := freshDOAP(root)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, doapFile), []byte(description), 0o644)
}

// readme returns the README as it is and as it should be.
func readme(root string) (is, should string, err error) {
	document, err := os.ReadFile(filepath.Join(root, protocolFile))
	if err != nil {
		return "", "", err
	}
	rows, err := parse(string(document))
	if err != nil {
		return "", "", err
	}
	var problems []error
	for _, r := range rows {
		problems = append(problems, r.check(root))
	}
	if err := errors.Join(problems...); err != nil {
		return "", "", err
	}
	data, err := os.ReadFile(filepath.Join(root, readmeFile))
	if err != nil {
		return "", "", err
	}
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", "", fmt.Errorf("%s has no place for the table: %s and %s", readmeFile, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return string(data), before + begin + table(rows) + end + after, nil
}

// parse returns the rows of all tables.
func parse(document string) ([]row, error) {
	var rows []row
	number := 0
	for line := range strings.Lines(document) {
		number++
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == "Specification" || cells[0] == "Section" || strings.Trim(cells[0], "-: ") == "" {
			continue
		}
		switch len(cells) {
		case 5:
			rows = append(rows, row{line: number, name: cells[0], version: cells[1], status: cells[2], what: cells[3], proof: cells[4]})
		case 3:
			rows = append(rows, row{line: number, name: cells[0], what: cells[1], proof: cells[2], section: true})
		default:
			return nil, fmt.Errorf("%s:%d: want 5 columns, or 3 for a section, got %d", protocolFile, number, len(cells))
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: no table found", protocolFile)
	}
	return rows, nil
}

var quoted = regexp.MustCompile("`([^`]+)`")

// check returns what is wrong with a row: a status that there is not, or a
// proof that there is not.
func (r row) check(root string) error {
	where := fmt.Sprintf("%s:%d: %s", protocolFile, r.line, r.name)
	proofs := quoted.FindAllStringSubmatch(r.proof, -1)
	switch {
	case r.section && len(proofs) == 0 && r.proof != nothing:
		return fmt.Errorf("%s: nothing proves it: name a test, or put %s and say why", where, nothing)
	case r.section:
	case !slices.Contains([]string{works, partly, notYet}, r.status):
		return fmt.Errorf("%s: status %q: want %s, %s or %s", where, r.status, works, partly, notYet)
	case len(proofs) == 0 && r.status != notYet:
		return fmt.Errorf("%s: nothing proves that it %s", where, r.status)
	}
	var problems []error
	for _, p := range proofs {
		if err := findProof(root, p[1]); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", where, err))
		}
	}
	return errors.Join(problems...)
}

// findProof looks for a transcript, such as testdata/script/ping.txt, or for a
// test, such as internal/sasl.TestBindings.
func findProof(root, proof string) error {
	if strings.HasSuffix(proof, ".txt") {
		_, err := os.Stat(filepath.Join(root, proof))
		return err
	}
	dot := strings.LastIndexByte(proof, '.')
	if dot < 0 {
		return fmt.Errorf("%q is neither a transcript nor a test: want testdata/script/NAME.txt or PACKAGE.TestNAME", proof)
	}
	paths, err := filepath.Glob(filepath.Join(root, proof[:dot], "*_test.go"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(data), "\nfunc "+proof[dot+1:]+"(") {
			return nil
		}
	}
	return fmt.Errorf("there is no test %s", proof)
}

// table is what the README says: what works in one column and so on.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| | |\n|---|---|\n")
	for _, status := range []string{works, partly, notYet} {
		var names []string
		for _, r := range rows {
			if r.status == status {
				names = append(names, r.name)
			}
		}
		if len(names) > 0 {
			b.WriteString("| **" + status + "** | " + strings.Join(names, "; ") + " |\n")
		}
	}
	return b.String()
}
