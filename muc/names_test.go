package muc_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNamesOfTheTable keeps docs/extending-names.md true: what it names exists,
// and the tests that it names use it.
func TestNamesOfTheTable(t *testing.T) {
	known, used := exported(t), usedByTests(t)
	text, err := os.ReadFile("../docs/extending-names.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| Lua") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 {
			t.Errorf("%d columns, want 4: %s", len(cells), line)
			continue
		}
		rows++
		checkRow(t, known, used, quoted(cells[1]), quoted(cells[3]))
	}
	if rows < 85 {
		t.Errorf("%d rows, want all", rows)
	}
}

func quoted(cell string) (words []string) {
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		words = append(words, m[1])
	}
	return words
}

// checkRow checks one row: names of Go, and tests.
func checkRow(t *testing.T, known map[string]bool, used map[string]map[string]bool, names, tests []string) {
	t.Helper()
	if len(names) == 0 || len(tests) == 0 {
		t.Errorf("%v is tested by %v", names, tests)
	}
	for _, test := range tests {
		if used[test] == nil {
			t.Errorf("there is no test %s of %v", test, names)
		}
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("package muc has no %s", name)
		}
		last := name[strings.LastIndexByte(name, '.')+1:]
		if !slices.ContainsFunc(tests, func(test string) bool { return used[test][last] }) {
			t.Errorf("%v use no %s", tests, name)
		}
	}
}

// usedByTests returns what each test of package muc_test names, with what else is
// in its file.
func usedByTests(t *testing.T) map[string]map[string]bool {
	t.Helper()
	used := make(map[string]map[string]bool)
	files, err := fs.Glob(os.DirFS("."), "*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if file.Name.Name != "muc_test" {
			continue
		}
		names := make(map[string]bool)
		ast.Inspect(file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				names[id.Name] = true
			}
			return true
		})
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				used[f.Name.Name] = names
			}
		}
	}
	return used
}

// exported returns what package muc exports: names, methods and fields of types.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	known := make(map[string]bool)
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			addDecl(known, d)
		}
	}
	return known
}

func addDecl(known map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		known[receiver(d)+d.Name.Name] = true
	case *ast.GenDecl:
		for _, s := range d.Specs {
			addSpec(known, s)
		}
	}
}

func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	t := d.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if generic, ok := t.(*ast.IndexExpr); ok {
		t = generic.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}

func addSpec(known map[string]bool, s ast.Spec) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, id := range s.Names {
			known[id.Name] = true
		}
	case *ast.TypeSpec:
		known[s.Name.Name] = true
		var fields *ast.FieldList
		switch body := s.Type.(type) {
		case *ast.StructType:
			fields = body.Fields
		case *ast.InterfaceType:
			fields = body.Methods
		default:
			return
		}
		for _, f := range fields.List {
			for _, id := range f.Names {
				known[s.Name.Name+"."+id.Name] = true
			}
		}
	}
}
