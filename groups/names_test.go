package groups_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/muster-im/muster/groups"
)

// TestNamesOfTheTables keeps docs/groups.md true: the names and the proofs are
// there, and none of the checks is without one.
func TestNamesOfTheTables(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/groups.md")
	if err != nil {
		t.Fatal(err)
	}
	types := make(map[string]reflect.Type)
	for _, v := range []any{&groups.Service{}, groups.Hooks{}, groups.MemberEvent{}, groups.ChatEvent{}, groups.Chat{}, groups.Info{}} {
		name := reflect.Indirect(reflect.ValueOf(v)).Type().Name()
		types[name] = reflect.TypeOf(v)
	}
	code := regexp.MustCompile("`([^`]+)`")
	checks := make(map[string]bool)
	names := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		switch check := regexp.MustCompile(`^[A-D]\d+$`).FindString(cells[0]); {
		case !strings.HasPrefix(line, "|"):
		case check != "" && len(cells) == 3:
			checks[check] = true
			for _, m := range code.FindAllStringSubmatch(cells[2], -1) {
				if err := proof(m[1]); err != nil {
					t.Errorf("%s: %v", check, err)
				}
			}
		default:
			for _, m := range code.FindAllStringSubmatch(line, -1) {
				owner, name, ok := strings.Cut(m[1], ".")
				if typ := types[owner]; ok && typ != nil {
					names++
					if !has(typ, name) {
						t.Errorf("package groups has no %s", m[1])
					}
				}
			}
		}
	}
	if names < 38 {
		t.Errorf("%d names, want all", names)
	}
	for letter, n := range map[string]int{"A": 8, "B": 8, "C": 12, "D": 2} {
		for i := range n {
			if check := fmt.Sprint(letter, i+1); !checks[check] {
				t.Errorf("nothing proves %s", check)
			}
		}
	}
}

// has reports whether a type has a method or a field.
func has(typ reflect.Type, name string) bool {
	if _, ok := typ.MethodByName(name); ok {
		return true
	}
	if typ.Kind() != reflect.Struct {
		return false
	}
	_, ok := typ.FieldByName(name)
	return ok
}

// proof looks for a transcript, or for a test of a package.
func proof(name string) error {
	if strings.HasSuffix(name, ".txt") {
		_, err := os.Stat(filepath.Join("..", name))
		return err
	}
	i := strings.LastIndex(name, ".")
	files, err := filepath.Glob(filepath.Join("..", name[:i], "*_test.go"))
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := os.ReadFile(f) //nolint:gosec // of the tree
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "\nfunc "+name[i+1:]+"(t *testing.T) {") {
			return nil
		}
	}
	return fmt.Errorf("there is no test %s", name)
}
