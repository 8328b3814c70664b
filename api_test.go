package muster_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// public are the packages that extensions import.
var public = []string{"app", "config", "groups", "hook", "jid", "muc", "server", "stanza"}

// exportData returns where the compiler has put what it knows of the public
// packages and of all that they import.
func exportData(t *testing.T) map[string]string {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Export"}
	for _, name := range public {
		args = append(args, "./"+name)
	}
	cmd := exec.Command("go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	files := make(map[string]string)
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		files[p.ImportPath] = p.Export
	}
}

// surface is what an outsider sees of the public packages.
type surface struct {
	nameable map[*types.TypeName]bool // types that he can write down
	problems map[string]bool
	seen     map[types.Type]bool
}

// checkSurface returns which exported signatures have types in them that nobody
// outside can name.
func checkSurface(packages []*types.Package) []string {
	s := &surface{make(map[*types.TypeName]bool), make(map[string]bool), make(map[types.Type]bool)}
	var objects []types.Object
	for _, p := range packages {
		for _, name := range p.Scope().Names() {
			o := p.Scope().Lookup(name)
			if !o.Exported() {
				continue
			}
			objects = append(objects, o)
			if named, ok := types.Unalias(o.Type()).(*types.Named); ok && isType(o) {
				s.nameable[named.Obj()] = true
			}
		}
	}
	for _, o := range objects {
		where := o.Pkg().Name() + "." + o.Name()
		if named, ok := types.Unalias(o.Type()).(*types.Named); ok && isType(o) {
			s.declared(where, named)
		} else {
			s.visit(where, o.Type())
		}
	}
	list := make([]string, 0, len(s.problems))
	for p := range s.problems {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

func isType(o types.Object) bool {
	_, ok := o.(*types.TypeName)
	return ok
}

// declared looks at what a type consists of, and at its methods.
func (s *surface) declared(where string, named *types.Named) {
	s.visit(where, named.Underlying())
	methods := types.NewMethodSet(types.NewPointer(named))
	for m := range methods.Methods() {
		if m.Obj().Exported() {
			s.visit(where+"."+m.Obj().Name(), m.Type())
		}
	}
}

// visit looks at a type that stands in a signature, or in a field.
func (s *surface) visit(where string, t types.Type) {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		o := t.Obj()
		if o.Pkg() != nil && strings.HasPrefix(o.Pkg().Path(), module) && !s.nameable[t.Origin().Obj()] {
			s.problems[where+": "+o.Pkg().Name()+"."+o.Name()] = true
		}
		for a := range t.TypeArgs().Types() {
			s.visit(where, a)
		}
	case *types.Struct:
		for f := range t.Fields() {
			if f.Exported() {
				s.visit(where+"."+f.Name(), f.Type())
			}
		}
	case *types.Interface:
		for m := range t.Methods() {
			if m.Exported() {
				s.visit(where+"."+m.Name(), m.Type())
			}
		}
	case *types.Signature:
		s.visitTuple(where, t.Params())
		s.visitTuple(where, t.Results())
	case *types.Map:
		s.visit(where, t.Key())
		s.visit(where, t.Elem())
	case interface{ Elem() types.Type }: // pointers, slices, arrays, channels
		s.visit(where, t.Elem())
	}
}

func (s *surface) visitTuple(where string, list *types.Tuple) {
	for v := range list.Variables() {
		s.visit(where, v.Type())
	}
}

// TestPublicSignatures: an extension can name every type that the public packages
// show it.
func TestPublicSignatures(t *testing.T) {
	t.Parallel()
	files := exportData(t)
	gc := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(files[path])
	})
	packages := make([]*types.Package, len(public))
	for i, name := range public {
		p, err := gc.Import(module + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		packages[i] = p
	}
	for _, problem := range checkSurface(packages) {
		t.Errorf("%s, which nobody outside can name: give it a name in a public package, or do without", problem)
	}
}

// TestPublicSignaturesCanFail makes sure that the rules above find something.
func TestPublicSignaturesCanFail(t *testing.T) {
	t.Parallel()
	const source = `package p
type hidden struct{ Name string }
type Shown struct { H *hidden; own hidden }
type Other = aliased
type aliased struct{ Fine Shown }
func (Shown) Method(map[string][]hidden) {}
func (Shown) quiet(hidden) {}
func Returns() (func(hidden), error) { return nil, nil }
func Takes(Other, chan Shown) {}
type List[T any] struct{ Each []T }
var Of List[hidden]
var _ = Shown.quiet
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := new(types.Config).Check(module+"/p", fset, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"p.Of: p.hidden", "p.Returns: p.hidden", "p.Shown.H: p.hidden", "p.Shown.Method: p.hidden"}
	if got := checkSurface([]*types.Package{p}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPublicDocumentation: everything exported by a public package says what it
// is.
func TestPublicDocumentation(t *testing.T) {
	t.Parallel()
	for _, name := range public {
		paths, err := filepath.Glob(name + "/*.go")
		if err != nil || len(paths) == 0 {
			t.Fatalf("package %s: %q, %v", name, paths, err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, missing := range undocumented(file) {
				t.Errorf("%s: %s has no comment", path, missing)
			}
		}
	}
}

// undocumented returns the exported declarations of a file without a comment. One
// comment may be of a group.
func undocumented(file *ast.File) (missing []string) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && receiverExported(d) {
				missing = append(missing, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				missing = append(missing, undocumentedSpec(d, spec)...)
			}
		}
	}
	return missing
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec) (missing []string) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
			missing = append(missing, spec.Name.Name)
		}
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			if n.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				missing = append(missing, n.Name)
			}
		}
	}
	return missing
}

// receiverExported reports whether a function is none of a type that nobody sees.
func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	name := fmt.Sprint(types.ExprString(d.Recv.List[0].Type))
	return ast.IsExported(strings.TrimLeft(name, "*"))
}
