package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the top of the repository, seen from this package.
const root = "../.."

// module is the path of this module and the prefix of every package in it.
const module = "postern"

// tree is a repository, or a small broken one: its text files, sorted by path.
type tree []*file

// file is one text file of a tree.
type file struct {
	path      string // from the top, with slashes
	text      string
	syntax    *ast.File // nil unless it is Go
	fset      *token.FileSet
	generated bool
}

// load makes a tree of path → text. Go files must parse, whatever their build constraints say.
func load(texts map[string]string) (tree, error) {
	var t tree
	fset := token.NewFileSet()
	for _, p := range slices.Sorted(maps.Keys(texts)) {
		f := &file{path: p, text: texts[p], fset: fset}
		if path.Ext(p) == ".go" {
			syntax, err := parser.ParseFile(fset, p, f.text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			f.syntax, f.generated = syntax, ast.IsGenerated(syntax)
		}
		t = append(t, f)
	}
	return t, nil
}

// repository loads what a commit of everything would hold. Binary files are left out.
func repository(t *testing.T) tree {
	t.Helper()
	// A checkout often belongs to another user than the one who runs CI in a container.
	out, err := exec.Command("git", "-C", root, "-c", "safe.directory=*", "ls-files", "-z",
		"--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v (the house rules need git and a checkout)", err)
	}
	texts := map[string]string{}
	for p := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		// Reading the folder tells go test's cache that a file coming or going matters.
		if _, err := os.ReadDir(filepath.Join(root, path.Dir(p))); err != nil {
			continue // removed, and not yet staged
		}
		data, err := os.ReadFile(filepath.Join(root, p))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(data, 0) < 0 {
			texts[p] = string(data)
		}
	}
	repo, err := load(texts)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// written returns the Go files that a person wrote; tests says whether test files are among them.
func (t tree) written(tests bool) tree {
	return t.where(func(f *file) bool { return f.syntax != nil && !f.generated && (tests || !f.test()) })
}

// where returns the files that keep accepts.
func (t tree) where(keep func(*file) bool) tree {
	var kept tree
	for _, f := range t {
		if keep(f) {
			kept = append(kept, f)
		}
	}
	return kept
}

// packages returns the Go files by the folder they are in.
func (t tree) packages() map[string]tree {
	m := map[string]tree{}
	for _, f := range t {
		if f.syntax != nil {
			m[f.dir()] = append(m[f.dir()], f)
		}
	}
	return m
}

func (f *file) dir() string { return path.Dir(f.path) }

func (f *file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

// at returns a finding at a place in a Go file.
func (f *file) at(pos token.Pos, format string, args ...any) string {
	return f.line(f.fset.Position(pos).Line, format, args...)
}

// line returns a finding at a line.
func (f *file) line(n int, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", f.path, n, fmt.Sprintf(format, args...))
}

// imports returns the import paths of a Go file with their place.
func (f *file) imports() map[string]token.Pos {
	m := map[string]token.Pos{}
	for _, s := range f.syntax.Imports {
		m[importPath(s)] = s.Pos()
	}
	return m
}

// name returns the name by which a Go file calls an imported package, "" if it does not import it.
func (f *file) name(imported string) string {
	for _, s := range f.syntax.Imports {
		if importPath(s) != imported {
			continue
		}
		if s.Name != nil {
			return s.Name.Name
		}
		return path.Base(imported)
	}
	return ""
}

func importPath(s *ast.ImportSpec) string {
	p, err := strconv.Unquote(s.Path.Value)
	if err != nil {
		return s.Path.Value
	}
	return p
}

// selects reports whether e is pkg.name, and pkg is an identifier.
func selects(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name || pkg == "" {
		return false
	}
	id, ok := s.X.(*ast.Ident)
	return ok && id.Name == pkg
}
