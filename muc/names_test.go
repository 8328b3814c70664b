package muc_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestNamesOfTheTable keeps docs/extending-names.md true: what it names exists.
func TestNamesOfTheTable(t *testing.T) {
	known := exported(t)
	text, err := os.ReadFile("../docs/extending-names.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`([^`]+)`")
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, " | ")
		if len(cells) != 3 || strings.HasPrefix(line, "| Lua") {
			continue
		}
		rows++
		names := name.FindAllStringSubmatch(cells[1], -1)
		if len(names) == 0 {
			t.Errorf("no Go name: %s", line)
		}
		for _, m := range names {
			if !known[m[1]] {
				t.Errorf("package muc has no %s: %s", m[1], line)
			}
		}
	}
	if rows < 60 {
		t.Errorf("%d rows, want all", rows)
	}
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
