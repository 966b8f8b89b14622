package house

import (
	"go/ast"
	"slices"
	"strings"
)

func loggersAreGuarded() rule {
	source := func(body string) map[string]string {
		return map[string]string{"cmd/postern/a.go": "package a\n\n" + body + "\n"}
	}
	return rule{
		name: "a log line holds references, and nobody follows a redirect",
		why:  "a message of ours prints every name in it: a process logs through ops.Guarded only, and nobody prints a value before",
		check: func(t tree) []string {
			var findings []string
			for _, f := range t {
				if f.syntax == nil || f.test() || f.generated || strings.HasPrefix(f.path, "internal/testkit/") || strings.HasPrefix(f.path, "internal/bench/") || strings.HasPrefix(f.path, "internal/crash/") {
					continue
				}
				ast.Inspect(f.syntax, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.BasicLit:
						if strings.Contains(n.Value, "%+v") || strings.Contains(n.Value, "%#v") {
							findings = append(findings, f.at(n.Pos(), "prints all that a value holds"))
						}
					case *ast.CallExpr:
						findings = append(findings, unguarded(f, n)...)
					}
					return true
				})
			}
			return findings
		},
		broken: map[string]controlled{
			"a bare handler":    {source(`var log = slog.New(slog.NewJSONHandler(w, nil))`), "ops.Guarded"},
			"all of a value":    {source(`var s = fmt.Sprintf("%+v", form)`), "prints all"},
			"a printed value":   {source(`func f() { log.InfoContext(ctx, "x", "form", fmt.Sprint(form)) }`), "printed"},
			"a printed message": {source(`func f() { log.Info("x", "form", prototext.Format(form)) }`), "printed"},
			"a client of pages": {source(`func f() { http.Get("x") }`), "follows redirects"},
		},
		fine: []map[string]string{source("var log = slog.New(ops.Guarded(slog.NewJSONHandler(w, nil)))\nvar none = slog.New(slog.DiscardHandler)\n\nfunc f() { log.Error(\"x\", \"panic\", fmt.Sprintf(\"%T\", v)) }")},
	}
}

// levels are the methods that write a log line.
var levels = []string{"Debug", "Info", "Warn", "Error", "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "Log", "LogAttrs"}

func unguarded(f *file, c *ast.CallExpr) (findings []string) {
	of, name := called(c)
	switch {
	case of == "slog" && name == "New" && len(c.Args) == 1:
		arg, isCall := c.Args[0].(*ast.CallExpr)
		if in, guard := "", ""; isCall {
			if in, guard = called(arg); in != "ops" || guard != "Guarded" {
				return []string{f.at(c.Pos(), "a logger without ops.Guarded around its handler")}
			}
		}
	case of == "http" && slices.Contains([]string{"Get", "Head", "Post", "PostForm"}, name):
		return []string{f.at(c.Pos(), "http.%s follows redirects to wherever another side says", name)}
	case of != "slog" && slices.Contains(levels, name):
		for _, arg := range c.Args {
			ast.Inspect(arg, func(n ast.Node) bool {
				inner, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				of, name := called(inner)
				prints := of == "fmt" && strings.HasPrefix(name, "Sprint") && !onlyType(inner)
				if prints || of == "prototext" || of == "protojson" {
					findings = append(findings, f.at(inner.Pos(), "a value is printed into a log line"))
				}
				return true
			})
		}
	}
	return findings
}

// onlyType reports whether a call prints the kind of a value, and nothing of it.
func onlyType(c *ast.CallExpr) bool {
	format, ok := c.Args[0].(*ast.BasicLit)
	return ok && format.Value == `"%T"`
}

// called is the package or variable, and the name, of what is called.
func called(c *ast.CallExpr) (of, name string) {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if id, ok := s.X.(*ast.Ident); ok {
		of = id.Name
	}
	return of, s.Sel.Name
}
