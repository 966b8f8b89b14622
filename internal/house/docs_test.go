package house

import (
	"go/ast"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// sentence matches the end of a sentence.
var sentence = regexp.MustCompile(`[.?!](\s|$)`)

func packageDocs() rule {
	const doc = "// Package a is one thing. It promises another.\n"
	return rule{
		name:  "every package says what it is for, once",
		why:   "a reader starts at the package comment: what it is for, what it guarantees, what it does not",
		check: documented,
		broken: map[string]controlled{
			"none":         {map[string]string{"a/a.go": "package a"}, "no package comment"},
			"only a test":  {map[string]string{"a/a.go": "package a", "a/a_test.go": doc + "package a"}, "no package comment"},
			"two":          {map[string]string{"a/a.go": doc + "package a", "a/b.go": doc + "package a"}, "second package comment"},
			"one sentence": {map[string]string{"a/a.go": "// Package a is one thing.\npackage a"}, "two sentences"},
			"another name": {map[string]string{"a/a.go": "// Package b is one thing. It is.\npackage a"}, `start with "Package a "`},
			"a command":    {map[string]string{"cmd/x/main.go": "// Package main is a command. It is.\npackage main"}, `start with "Command x "`},
		},
		fine: []map[string]string{{
			"a/a.go": doc + "package a", "a/b.go": "package a", "a/a_test.go": "package a",
			"cmd/x/main.go": "// Command x does it. It exits 1 when it cannot.\npackage main",
		}},
	}
}

func documented(t tree) []string {
	var findings []string
	packages := t.where(func(f *file) bool { return f.syntax != nil && !f.test() }).packages()
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		files := packages[dir]
		commented := files.where(func(f *file) bool { return f.syntax.Doc != nil })
		if len(commented) == 0 {
			findings = append(findings, files[0].line(1, "package %s has no package comment", dir))
			continue
		}
		for _, f := range commented[1:] {
			findings = append(findings, f.at(f.syntax.Doc.Pos(), "a second package comment; the first is in %s", commented[0].path))
		}
		f, opening := commented[0], "Package "+files[0].syntax.Name.Name+" "
		if files[0].syntax.Name.Name == "main" {
			opening = "Command " + path.Base(dir) + " "
		}
		text := f.syntax.Doc.Text()
		if !strings.HasPrefix(text, opening) {
			findings = append(findings, f.at(f.syntax.Doc.Pos(), "the package comment must start with %q", opening))
		}
		if len(sentence.FindAllString(text, 2)) < 2 {
			findings = append(findings, f.at(f.syntax.Doc.Pos(), "the package comment must have at least two sentences"))
		}
	}
	return findings
}

func exportedDocs() rule {
	return rule{
		name:  "every exported name is documented",
		why:   "what a package offers is its promise: meaning, units, errors",
		check: promised,
		broken: map[string]controlled{
			"a function": {map[string]string{"a/a.go": "package a\n\nfunc Do() {}"}, "Do has no comment"},
			"a method":   {map[string]string{"a/a.go": "package a\n\n// T is.\ntype T int\n\nfunc (t *T) Do() {}"}, "T.Do has no comment"},
			"a type":     {map[string]string{"a/a.go": "package a\n\ntype T[K any] struct{}"}, "T has no comment"},
			"a constant": {map[string]string{"a/a.go": "package a\n\nconst (\n\tx = 1\n\tY = 2\n)"}, "Y has no comment"},
		},
		fine: []map[string]string{{
			"a/a.go": "package a\n\n// The kinds.\nconst (\n\tX = 1\n\tY = 2\n)\n\n" +
				"var (\n\tZ = 1 // meaning\n\n\t// W is.\n\tW = 2\n)\n\n" +
				"type hidden int\n\nfunc (hidden) Do() {}\n\n// T is.\ntype T[K any] struct{}\n\n// Do does.\nfunc (t T[K]) Do() {}",
			"a/a_test.go":   "package a\n\nfunc TestX() {}",
			"cmd/x/main.go": "package main\n\nfunc Main() {}",
		}},
	}
}

func promised(t tree) []string {
	var findings []string
	for _, f := range t.written(false) {
		if f.syntax.Name.Name == "main" {
			continue
		}
		silent := func(pos token.Pos, name string) { findings = append(findings, f.at(pos, "%s has no comment", name)) }
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name, exported := funcName(d)
				if exported && d.Doc == nil {
					silent(d.Pos(), name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
							silent(s.Pos(), s.Name.Name)
						}
					case *ast.ValueSpec:
						exported := slices.IndexFunc(s.Names, (*ast.Ident).IsExported)
						if exported >= 0 && d.Doc == nil && s.Doc == nil && s.Comment == nil {
							silent(s.Pos(), s.Names[exported].Name)
						}
					}
				}
			}
		}
	}
	return findings
}

// funcName returns the name of a function, with its receiver's type, and whether a user of the package can see it.
func funcName(d *ast.FuncDecl) (string, bool) {
	if d.Recv == nil {
		return d.Name.Name, d.Name.IsExported()
	}
	receiver := d.Recv.List[0].Type
	for {
		switch t := receiver.(type) {
		case *ast.StarExpr:
			receiver = t.X
		case *ast.IndexExpr:
			receiver = t.X
		case *ast.IndexListExpr:
			receiver = t.X
		case *ast.Ident:
			return t.Name + "." + d.Name.Name, t.IsExported() && d.Name.IsExported()
		default:
			return d.Name.Name, false
		}
	}
}
