package failpoint_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"postern/internal/failpoint"
)

// TestEveryPointIsInTheCodeOnce reads the source: each name is listed once, and hit at exactly one place.
func TestEveryPointIsInTheCodeOnce(t *testing.T) {
	listed := map[string]int{}
	for _, p := range failpoint.All() {
		listed[string(p)]++
	}
	named := names(t)
	for name, value := range named {
		if listed[value] != 1 {
			t.Errorf("%s (%q) stands %d times in All", name, value, listed[value])
		}
	}
	if len(named) != len(listed) {
		t.Errorf("%d constants, %d points in All", len(named), len(listed))
	}
	hits := hits(t)
	for name := range named {
		if hits[name] != 1 {
			t.Errorf("%s is hit at %d places in the code, want 1", name, hits[name])
		}
	}
}

// names are the constants of this package.
func names(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	parsed, err := parser.ParseFile(token.NewFileSet(), "failpoint.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if value, ok := spec.Values[0].(*ast.BasicLit); ok {
				text, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				all[spec.Names[0].Name] = text
			}
		}
		return true
	})
	return all
}

// hits counts failpoint.Hit(failpoint.NAME) in the code.
func hits(t *testing.T) map[string]int {
	t.Helper()
	found := map[string]int{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok && isHit(c.Fun) && len(c.Args) == 1 {
				if point, ok := c.Args[0].(*ast.SelectorExpr); ok {
					found[point.Sel.Name]++
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func isHit(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Hit" {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "failpoint"
}
