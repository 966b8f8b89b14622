package house

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/internal/words"
)

// pagePackages are where pages are made. What a party behind them refuses comes to a page, and what the hub refuses too,
// over the wire.
var pagePackages = []string{"internal/desk/site", "internal/inbox/site", "internal/auditor/site", "internal/signin", "internal/web"}

// said are the kinds of fault of which a page says why, by the reason. Of every other kind (what is not there, who may
// not, what does not answer, what does not verify, what is ours to mend) the page about the kind is enough, and has words in
// both languages; where the catalogue has words for a reason of theirs, they are said too.
var said = []string{"Invalid", "Exists", "Precondition"}

// between are the packages whose faults are of messages between the parties: whoever reads a page did not write those, and
// can do no more than tell the code, which the page shows.
var between = []string{"/internal/envelope/", "/internal/directory/", "/internal/fault/"}

// A page never shows the message of a fault, which is English and may have anything filled in: it shows the words of the
// reason. So every reason that a page can come to has words in both languages.
func TestEveryFaultOfAPageHasWords(t *testing.T) {
	c := program(t, append(pagePackages, "internal/hub")...)
	found := c.reach(func(o types.Object) bool { return slices.Contains(pagePackages, c.dirs[o]) }, nil)
	missing := func(has func(string) bool) (all []string) {
		for _, id := range slices.Sorted(maps.Keys(found)) {
			if slices.ContainsFunc(found[id].kinds, func(k string) bool { return slices.Contains(said, k) }) && !has(id) {
				all = append(all, fmt.Sprintf("%s (%s) has no words", id, found[id].at))
			}
		}
		return all
	}
	for _, l := range []words.Language{words.English, words.Welsh} {
		for _, m := range missing(l.Has) {
			t.Errorf("%s in %s", m, l)
		}
		for _, id := range l.IDs() {
			reason := strings.Join(strings.SplitN(id, ".", 3)[:2], ".") // of a field, too
			if strings.HasPrefix(id, "fault.") && found[reason].at == "" {
				t.Errorf("%s: no page comes to it", id)
			}
		}
	}
	// The control: it finds what a page, a party behind it, and the hub behind that refuse, and not what no page asks for.
	if none := missing(func(string) bool { return false }); len(none) < 40 {
		t.Errorf("found only %d faults: it has gone blind", len(none))
	}
	for _, id := range []string{"fault.no_row", "fault.draft_sent", "fault.no_alerts", "fault.auditor_unknown", "fault.id_taken"} {
		if found[id].at == "" {
			t.Errorf("did not find %s", id)
		}
	}
	for _, id := range []string{"fault.postcode_vintage", "fault.ledger_origin"} {
		if found[id].at != "" {
			t.Errorf("found %s, which only a command comes to", id)
		}
	}
}

// made is where a fault is made, and of which kinds.
type made struct {
	at    string
	kinds []string
}

// code is packages, with what each function and variable mentions.
type code struct {
	fset   *token.FileSet
	info   *types.Info
	bodies map[types.Object]ast.Node // of functions, and of package-level variables
	dirs   map[types.Object]string
	named  []*types.Named
	makers map[types.Object]string // functions that make a fault of a reason they are given: its kind
}

// program reads and resolves packages and what they import, with what the compiler knows of everything else.
func program(t *testing.T, packages ...string) *code {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,GoFiles,Export"}
	for _, p := range packages {
		args = append(args, "./"+p)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	c := &code{fset: token.NewFileSet(), bodies: map[types.Object]ast.Node{}, dirs: map[types.Object]string{}, makers: map[types.Object]string{},
		info: &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}}
	exports, checked := map[string]string{}, map[string]*types.Package{}
	compiled := importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	imports := importing(func(path string) (*types.Package, error) {
		if p := checked[path]; p != nil {
			return p, nil
		}
		return compiled.Import(path)
	})
	for in := json.NewDecoder(strings.NewReader(string(out))); in.More(); {
		var p struct {
			ImportPath, Dir, Export string
			GoFiles                 []string
		}
		if err := in.Decode(&p); err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		dir, ours := strings.CutPrefix(p.ImportPath, module+"/internal/")
		if !ours {
			continue
		}
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		pkg, err := (&types.Config{Importer: imports}).Check(p.ImportPath, c.fset, files, c.info)
		if err != nil {
			t.Fatal(err)
		}
		checked[p.ImportPath] = pkg
		c.take("internal/"+dir, files)
	}
	return c
}

type importing func(string) (*types.Package, error)

func (i importing) Import(path string) (*types.Package, error) { return i(path) }

// take notes the functions, variables and types of a package.
func (c *code) take(dir string, files []*ast.File) {
	note := func(name *ast.Ident, body ast.Node) {
		if o := c.info.Defs[name]; o != nil && body != nil {
			c.bodies[o], c.dirs[o] = body, dir
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Body != nil {
					note(d.Name, d.Body)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.ValueSpec:
						for _, name := range s.Names {
							note(name, s)
						}
					case *ast.TypeSpec:
						if n, ok := c.info.Defs[s.Name].Type().(*types.Named); ok && !types.IsInterface(n) {
							c.named = append(c.named, n)
						}
					}
				}
			}
		}
	}
}

// reach is every fault that can be come to from some functions and variables, and not by way of others, by the id of its
// words.
func (c *code) reach(from, not func(types.Object) bool) map[string]made {
	var todo []types.Object
	seen, found := map[types.Object]bool{}, map[string]made{}
	for o := range c.dirs {
		if from(o) {
			todo = append(todo, o)
		}
	}
	c.findMakers()
	for len(todo) > 0 {
		o := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[o] || not != nil && not(o) {
			continue
		}
		seen[o] = true
		if body := c.bodies[o]; body != nil {
			c.faults(body, found)
			todo = append(todo, c.mentions(body)...)
		}
	}
	return found
}

// mentions are what a function or variable may lead to: all that it names, and of a method of an interface every method
// of ours that may be meant. A call over the wire may mean any method that answers it.
func (c *code) mentions(body ast.Node) (all []types.Object) {
	ast.Inspect(body, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		switch o := c.info.Uses[id].(type) {
		case *types.Var:
			all = append(all, o.Origin())
		case *types.Func:
			all = append(all, o.Origin())
			if recv := o.Signature().Recv(); recv != nil && types.IsInterface(recv.Type()) {
				all = append(all, c.meant(recv.Type(), o)...)
			}
		}
		return true
	})
	return all
}

// meant are the methods of ours that a method of an interface may be.
func (c *code) meant(of types.Type, method *types.Func) (all []types.Object) {
	asked, ok := of.Underlying().(*types.Interface)
	if !ok {
		return nil
	}
	if n, ok := of.(*types.Named); ok && strings.HasSuffix(n.Obj().Name(), "Client") {
		if server, ok := method.Pkg().Scope().Lookup(strings.TrimSuffix(n.Obj().Name(), "Client") + "Server").(*types.TypeName); ok {
			asked = server.Type().Underlying().(*types.Interface)
		}
	}
	for _, n := range c.named {
		p := types.NewPointer(n)
		if n.TypeParams().Len() > 0 || !types.Implements(p, asked) {
			continue
		}
		if m, _, _ := types.LookupFieldOrMethod(p, true, method.Pkg(), method.Name()); m != nil {
			all = append(all, m)
		}
	}
	return all
}

var reasonCode = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)

// findMakers finds the functions, with and without a name of their own, that make a fault of a reason that they are given.
func (c *code) findMakers() {
	find := func(o types.Object, body ast.Node) {
		c.makes(body, func(kind, reason ast.Expr, _ token.Pos) {
			if c.text(reason) == "" {
				c.makers[o] = c.kind(kind)
			}
		})
	}
	for o, body := range c.bodies {
		if _, ok := o.(*types.Func); !ok || c.dirs[o] == "internal/fault" {
			continue
		}
		find(o, body)
		ast.Inspect(body, func(n ast.Node) bool {
			if set, ok := n.(*ast.AssignStmt); ok && len(set.Lhs) == 1 && len(set.Rhs) == 1 {
				name, isName := set.Lhs[0].(*ast.Ident)
				if f, ok := set.Rhs[0].(*ast.FuncLit); ok && isName && c.info.Defs[name] != nil {
					find(c.info.Defs[name], f.Body)
				}
			}
			return true
		})
	}
}

// makes calls got with the kind and the reason of each fault that is made in a body.
func (c *code) makes(body ast.Node, got func(kind, reason ast.Expr, at token.Pos)) {
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if o := c.called(call); o != nil && o.Pkg() != nil && o.Pkg().Path() == module+"/internal/fault" && (o.Name() == "New" || o.Name() == "Newf") {
			got(call.Args[0], call.Args[1], call.Pos())
		} else if o != nil && o.Pkg() != nil && o.Pkg().Path() == module+"/internal/fault" && o.Name() == "InvalidFields" {
			got(nil, call.Args[0], call.Pos())
		}
		return true
	})
}

// faults notes the faults that are made in a body, and those that it has made by a function it gives the reason to.
func (c *code) faults(body ast.Node, found map[string]made) {
	note := func(kind, reason string, at token.Pos) {
		if kind == "Internal" || !reasonCode.MatchString(reason) {
			return
		}
		id, p := "fault."+strings.ToLower(reason), c.fset.Position(at)
		m := found[id]
		if !slices.ContainsFunc(between, func(dir string) bool { return strings.Contains(p.Filename, dir) }) {
			m.kinds = append(m.kinds, kind)
		}
		if where := fmt.Sprintf("%s:%d", p.Filename[strings.LastIndex(p.Filename, "/internal/")+1:], p.Line); m.at == "" || where < m.at {
			m.at = where
		}
		found[id] = m
	}
	c.makes(body, func(kind, reason ast.Expr, at token.Pos) { note(c.kind(kind), c.text(reason), at) })
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if kind := c.makers[c.called(call)]; kind != "" {
			for _, arg := range call.Args {
				note(kind, c.text(arg), call.Pos())
			}
		}
		return true
	})
}

// called is what a call calls, nil for what has no name.
func (c *code) called(call *ast.CallExpr) types.Object {
	switch f := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		return c.info.Uses[f]
	case *ast.SelectorExpr:
		return c.info.Uses[f.Sel]
	}
	return nil
}

// kind is the name of a kind of fault, nil being that of faults of fields; one that is chosen as it runs may be any that
// is said.
func (c *code) kind(e ast.Expr) string {
	if e == nil {
		return "InvalidFields" // its fields say it
	}
	if s, ok := e.(*ast.SelectorExpr); ok {
		if k, ok := c.info.Uses[s.Sel].(*types.Const); ok {
			return k.Name()
		}
	}
	return said[0]
}

// text is a constant text.
func (c *code) text(e ast.Expr) string {
	if v := c.info.Types[e].Value; v != nil && v.Kind() == constant.String {
		return constant.StringVal(v)
	}
	return ""
}
