package house

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

func noMutableGlobal() rule {
	source := func(body string) map[string]string { return map[string]string{"a/a.go": "package a\n\n" + body + "\n"} }
	return rule{
		name:  "no package-level variable changes",
		why:   "state without an owner couples tests to one another and parties to one process",
		check: globals,
		broken: map[string]controlled{
			"an empty variable":     {source("var n int"), "n starts empty"},
			"a lock":                {source("var mu, nu sync.Mutex"), "mu starts empty"},
			"a pointer":             {source("var std = &Logger{}"), "std is"},
			"what a call returns":   {source("var std = slog.Default()"), "std is"},
			"an assigned variable":  {source("var level = 1\n\nfunc f() { level = 2 }"), "level is changed"},
			"a filled table":        {source("var table = map[int]int{}\n\nfunc f() { table[1] = 2 }"), "table is changed"},
			"an emptied table":      {source("var table = map[int]int{1: 2}\n\nfunc f() { delete(table, 1) }"), "table is changed"},
			"a counted variable":    {source("var n = 1\n\nfunc f() { n++ }"), "n is changed"},
			"an address taken":      {source("var n = 1\n\nfunc f() { set(&n) }"), "n is changed"},
			"changed next door":     {map[string]string{"a/a.go": "package a\n\nvar n = 1", "a/b.go": "package a\n\nfunc f() { n = 2 }"}, "a/b.go:3"},
			"another's variable":    {source("import \"os\"\n\nfunc f() { os.Args = nil }"), "os.Args is changed"},
			"a field of a variable": {source("var c = C{}\n\nfunc f() { c.x[1].y = 2 }"), "c is changed"},
		},
		fine: []map[string]string{source(`import (
	"encoding/base32"
	"errors"
	"regexp"
	"sync"

	"postern/internal/fault"
)

var ErrX = errors.New("x")
var pattern = regexp.MustCompile("x")
var once = sync.OnceValue(func() int { return 1 })
var table = map[string][]int{"a": {1}}
var fallback = fault.New(fault.Internal, "X", "x").Because(nil)
var _ Reader = (*reader)(nil)
var size = int64(4) << 10
var step = func() int { return 1 }
var crockford = base32.NewEncoding("x").WithPadding(base32.NoPadding)

//go:embed x.txt
var text string

func f(n int) { local := 1; local = n; n++; table := map[int]int{}; table[1] = 2 }
`)},
	}
}

// makers are the calls that make what nobody can change afterwards, or what changes nothing that can be seen.
var makers = []struct{ pkg, name string }{
	{"errors", "New"}, {"fmt", "Errorf"}, {module + "/internal/fault", "New"}, {module + "/internal/fault", "Newf"},
	{"regexp", "MustCompile"}, {"strings", "NewReplacer"}, {"time", "Date"},
	{"encoding/base32", "NewEncoding"}, {"encoding/base64", "NewEncoding"}, {"hash/crc32", "MakeTable"},
	{"crypto/sha256", "Sum256"}, {"sync", "OnceValue"}, {"sync", "OnceValues"}, {"sync", "OnceFunc"}, {"html/template", "Must"},
}

// globals reports package-level variables that start as something that can change, and those that do change.
func globals(t tree) []string {
	var findings []string
	packages := t.written(false).packages()
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		info := resolve(dir, packages[dir])
		for _, f := range packages[dir] {
			findings = append(findings, beginnings(f, info)...)
			findings = append(findings, changes(f, info)...)
		}
	}
	return findings
}

// nowhere is an importer that finds nothing: names within a package resolve without the packages it imports.
type nowhere struct{}

func (nowhere) Import(string) (*types.Package, error) { return nil, errors.New("not looked for") }

// resolve tells which variable each name in a package means.
func resolve(dir string, files tree) *types.Info {
	info := &types.Info{
		Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{},
	}
	var syntax []*ast.File
	for _, f := range files {
		syntax = append(syntax, f.syntax)
	}
	c := types.Config{Importer: nowhere{}, Error: func(error) {}}
	_, _ = c.Check(dir, files[0].fset, syntax, info) // whatever it imports is unknown, so there are always errors
	return info
}

// beginnings reports variables whose first value can change.
func beginnings(f *file, info *types.Info) []string {
	var findings []string
	for _, d := range f.syntax.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			embedded := strings.Contains(comments(g.Doc)+comments(v.Doc), "//go:embed ")
			switch {
			case v.Names[0].Name == "_" || embedded:
			case len(v.Values) == 0:
				findings = append(findings, f.at(v.Pos(), "%s starts empty, so something must change it", v.Names[0].Name))
			case slices.ContainsFunc(v.Values, func(e ast.Expr) bool { return !lasting(e, f, info) }):
				findings = append(findings, f.at(v.Pos(), "%s is neither a table nor made by a maker", v.Names[0].Name))
			}
		}
	}
	return findings
}

// comments is the raw text of a comment group; its Text method leaves directives out.
func comments(g *ast.CommentGroup) string {
	var b strings.Builder
	if g != nil {
		for _, c := range g.List {
			b.WriteString(c.Text + "\n")
		}
	}
	return b.String()
}

// lasting reports whether the value of e stays as it is when nothing assigns to its variable.
func lasting(e ast.Expr, f *file, info *types.Info) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.Ident, *ast.SelectorExpr, *ast.FuncLit, *ast.CompositeLit:
		return true
	case *ast.ParenExpr:
		return lasting(e.X, f, info)
	case *ast.UnaryExpr:
		return e.Op != token.AND && lasting(e.X, f, info)
	case *ast.BinaryExpr:
		return lasting(e.X, f, info) && lasting(e.Y, f, info)
	case *ast.CallExpr:
		if kind := info.Types[e.Fun]; kind.IsType() || kind.IsBuiltin() {
			return true
		}
		if method, ok := e.Fun.(*ast.SelectorExpr); ok {
			if made, ok := method.X.(*ast.CallExpr); ok {
				return lasting(made, f, info)
			}
		}
		for _, m := range makers {
			if selects(e.Fun, f.name(m.pkg), m.name) {
				return true
			}
		}
	}
	return false
}

// changes reports statements that change a package-level variable, here or in another package.
func changes(f *file, info *types.Info) []string {
	var findings []string
	changed := func(e ast.Expr) {
		id, through := base(e)
		if id == nil {
			return
		}
		switch o := info.Uses[id].(type) {
		case *types.Var:
			if o.Parent() != nil && o.Pkg() != nil && o.Parent() == o.Pkg().Scope() {
				findings = append(findings, f.at(e.Pos(), "%s is changed", id.Name))
			}
		case *types.PkgName:
			findings = append(findings, f.at(e.Pos(), "%s.%s is changed", id.Name, through))
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					changed(e)
				}
			}
		case *ast.IncDecStmt:
			changed(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				changed(n.X)
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
				changed(n.Args[0])
			}
		}
		return true
	})
	return findings
}

// base returns the variable or package that an assignable expression is part of, and the name selected from it.
func base(e ast.Expr) (*ast.Ident, string) {
	through := ""
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x, through
		case *ast.SelectorExpr:
			e, through = x.X, x.Sel.Name
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil, ""
		}
	}
}
