package muster_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/muster-im/muster/config"
)

const optionsFile = "docs/options.md"

// TestOptionsAreProved: every option of rooms stands in docs/options.md with a
// test that speaks of it.
func TestOptionsAreProved(t *testing.T) {
	t.Parallel()
	rows := optionRows(t)
	for table, options := range map[string]reflect.Type{
		"[modules.mod_muc]":              reflect.TypeFor[config.MUC](),
		"[modules.mod_muc.default_room]": reflect.TypeFor[config.DefaultRoom](),
		"[modules.mod_muc_log]":          reflect.TypeFor[config.MUCLog](),
	} {
		for f := range options.Fields() {
			key := f.Tag.Get("toml")
			if key == "" || key == "default_room" {
				continue
			}
			proofs, ok := rows[table][key]
			if !ok || len(proofs) == 0 {
				t.Errorf("%s: no row for %s in the table of %s: add one, with a test that shows on a running server what the option does", optionsFile, key, table)
			}
			for _, proof := range proofs {
				if problem := speaksOf(proof, key); problem != "" {
					t.Errorf("%s: %s of %s: %s", optionsFile, key, table, problem)
				}
			}
			delete(rows[table], key)
		}
		for key := range rows[table] {
			t.Errorf("%s: %s has no key %s", optionsFile, table, key)
		}
	}
}

// optionRows returns the proofs of each key, by table.
func optionRows(t *testing.T) map[string]map[string][]string {
	t.Helper()
	data, err := os.ReadFile(optionsFile)
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	rows, table := make(map[string]map[string][]string), ""
	for line := range strings.Lines(string(data)) {
		names := quoted.FindAllStringSubmatch(line, -1)
		if len(names) == 0 {
			continue
		}
		if strings.HasPrefix(line, "## ") {
			table = names[0][1]
			rows[table] = make(map[string][]string)
			continue
		}
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		key := strings.Trim(cells[1], " `")
		for _, proof := range quoted.FindAllStringSubmatch(cells[3], -1) {
			rows[table][key] = append(rows[table][key], proof[1])
		}
	}
	return rows
}

// speaksOf says what is wrong with a proof: there is none, or it is of
// something else.
func speaksOf(proof, key string) (problem string) {
	files := []string{proof}
	pkg, name, isTest := strings.Cut(proof, ".Test")
	if isTest {
		if pkg == "muster" {
			pkg = "."
		}
		files, _ = filepath.Glob(filepath.Join(pkg, "*_test.go"))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err.Error()
		}
		text := string(data)
		if isTest && !strings.Contains(text, "\nfunc Test"+name+"(") {
			continue
		}
		if !regexp.MustCompile(`\b` + key + `\b`).MatchString(text) {
			return proof + " does not set it"
		}
		return ""
	}
	return proof + " is not there"
}
