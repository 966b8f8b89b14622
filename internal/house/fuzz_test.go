package house

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// decoding begins the name of a function that makes something of what came from outside.
var decoding = regexp.MustCompile(`^(?:([Pp]arse|[Dd]ecode|[Rr]ead|[Uu]nmarshal|[Uu]npack|[Ss]plit|[Vv]erify|[Oo]pen|[Rr]eceipt|[Cc]heckpoint)([A-Z0-9]|$)|(YAML|JSON|Build|Load|Receptions|Body|Details|NewKeys|NewAnchors)$)`)

// outside are the types in which things come from outside. A string with one of these names is where something is, not
// what it holds.
var (
	outside = []string{"[]byte", "string", "io.Reader", "fs.FS", "[]*x509.Certificate", "[][]byte"}
	places  = []string{"path", "dir", "file", "folder", "name", "address", "certFile", "origin", "method", "party"}
)

// unfuzzed are decoders without a fuzz target in their own package, and why.
var unfuzzed = map[string]string{
	"internal/accesslog.read":    "a file that this party itself has written",
	"internal/desk.open":         "what our own vault has opened",
	"internal/desk.verifyKey":    "envelope.VerifyRecipientKey, which has one, at the key's own time",
	"internal/desk.verifyPolicy": "engine.OpenServed, which has one",
	"internal/engine.readCase":   "a file of a bundle that operators signed, through strict.YAML, which has one",
	"internal/engine.readYAML":   "a file of a bundle that operators signed, through strict.YAML, which has one",
	"internal/follow.read":       "what this party itself has saved",
	"internal/follow.Verify":     "verify.Checkpoint, which has one, with the keys of a party",
	"internal/hub.verify":        "envelope.Verify, which has one, and FuzzRequests of internal/testkit",
	"internal/inbox.openItem":    "what our own vault has opened",
	"internal/inbox.read":        "a file of our own key folder, through envelope.ParseRecipient, which has one",
	"internal/queue.decode":      "a row of our own, which the store has checked",
}

func everyDecoderIsFuzzed() rule {
	return rule{
		name: "every decoder has a fuzz target",
		why:  "bytes from outside reach a decoder before anybody has judged them; examples find only the faults that somebody thought of",
		check: func(t tree) []string {
			var findings []string
			used := map[string]bool{}
			packages := t.where(func(f *file) bool { return f.syntax != nil && !f.generated }).packages()
			for _, dir := range slices.Sorted(maps.Keys(packages)) {
				if slices.Contains(harnesses, dir) || slices.Contains(peers, dir) || dir == stranger {
					continue // nothing from outside reaches what is for tests
				}
				reached := fuzzed(packages[dir])
				for _, f := range packages[dir].written(false) {
					for _, fn := range decoders(f) {
						name := dir + "." + fn.Name.Name
						if _, excused := unfuzzed[name]; excused {
							used[name] = true
						} else if !reached[fn.Name.Name] {
							findings = append(findings, f.at(fn.Pos(), "no fuzz target of %s reaches %s", dir, fn.Name.Name))
						}
					}
				}
			}
			for _, name := range slices.Sorted(maps.Keys(unfuzzed)) {
				dir := name[:strings.LastIndexByte(name, '.')]
				if len(packages[dir]) > 0 && !used[name] {
					findings = append(findings, name+" is no decoder; strike it out of unfuzzed")
				}
			}
			return findings
		},
		broken: map[string]controlled{
			"a decoder that nobody fuzzes": {map[string]string{
				"a/a.go": "package a\n\nfunc ParseThing(b []byte) error { return nil }\n"}, "no fuzz target of a reaches ParseThing"},
			"one that an ordinary test calls": {map[string]string{
				"a/a.go":      "package a\n\nfunc ReadThing(s string) (int, bool) { return 0, false }\n",
				"a/a_test.go": "package a\n\nfunc TestIt() { ReadThing(\"\") }\n"}, "reaches ReadThing"},
			"of a message": {map[string]string{
				"a/a.go": "package a\n\nimport posternv1 \"postern/proto/postern/v1\"\n\nfunc OpenIt(s *posternv1.Signed) error { return nil }\n"}, "reaches OpenIt"},
		},
		fine: []map[string]string{{
			"a/a.go":      "package a\n\nfunc ParseThing(b []byte) error { return parsePart(b) }\n\nfunc parsePart(b []byte) error { return nil }\n\nfunc Load(path string) error { return nil }\n",
			"a/f_test.go": "package a\n\nfunc FuzzIt() { try() }\n\nfunc try() { ParseThing(nil) }\n",
		}},
	}
}

// fuzzed are the names of functions that the fuzz targets of a package reach within it.
func fuzzed(files tree) map[string]bool {
	calls := map[string]map[string]bool{} // by the function, the names in it
	var next []string
	for _, f := range files {
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			names := map[string]bool{}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					names[id.Name] = true
				}
				return true
			})
			if calls[fn.Name.Name] == nil {
				calls[fn.Name.Name] = map[string]bool{}
			}
			maps.Copy(calls[fn.Name.Name], names)
			if f.test() && strings.HasPrefix(fn.Name.Name, "Fuzz") {
				next = append(next, fn.Name.Name)
			}
		}
	}
	reached := map[string]bool{}
	for len(next) > 0 {
		name := next[0]
		if next = next[1:]; reached[name] {
			continue
		}
		reached[name] = true
		next = append(next, slices.Sorted(maps.Keys(calls[name]))...)
	}
	return reached
}

// decoders are the functions of a file that are named for decoding, take what comes from outside and may refuse it.
func decoders(f *file) (found []*ast.FuncDecl) {
	for _, d := range f.syntax.Decls {
		fn, ok := d.(*ast.FuncDecl)
		reader := ok && fn.Recv != nil && fn.Name.Name == "Read" // of an io.Reader: it fills what it is given
		if ok && !reader && decoding.MatchString(fn.Name.Name) && refuses(fn) && takesOutside(fn) {
			found = append(found, fn)
		}
	}
	return found
}

// refuses reports whether the last result is an error or says whether it went well.
func refuses(fn *ast.FuncDecl) bool {
	if fn.Type.Results == nil {
		return false
	}
	last := fn.Type.Results.List[len(fn.Type.Results.List)-1]
	kind := spelling(last.Type)
	return kind == "error" || kind == "bool"
}

func takesOutside(fn *ast.FuncDecl) bool {
	for _, p := range fn.Type.Params.List {
		kind := spelling(p.Type)
		if strings.HasPrefix(kind, "store.") {
			return false // what follows is the key of a row
		}
		message := strings.HasPrefix(kind, "*posternv1.") || strings.HasPrefix(kind, "*localv1.")
		place := kind == "string" && len(p.Names) > 0 && slices.Contains(places, p.Names[0].Name)
		if message || slices.Contains(outside, kind) && !place {
			return true
		}
	}
	return false
}

// spelling is a type as it is written, as far as this rule needs it.
func spelling(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return spelling(e.X) + "." + e.Sel.Name
	case *ast.StarExpr:
		return "*" + spelling(e.X)
	case *ast.ArrayType:
		if e.Len == nil {
			return "[]" + spelling(e.Elt)
		}
	}
	return ""
}
