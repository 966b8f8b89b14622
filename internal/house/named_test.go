package house

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// What a page calls what holds a promise: a test or a fuzz target, a script of commands, a stage of the check.
var (
	namedTest   = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z][A-Za-z0-9_]*\b`)
	namedScript = regexp.MustCompile(`\b[a-z0-9_]+\.txtar\b`)
	namedStage  = regexp.MustCompile("`check ([a-z]+)`")
)

// proofs are what a page can name.
type proofs struct{ tests, scripts, stages, files map[string]bool }

func proofsOf(t tree) proofs {
	p := proofs{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	stage := regexp.MustCompile(`(?m)^stage_([a-z]+)\(\)`)
	for _, f := range t {
		p.files[f.path] = true
		if strings.HasSuffix(f.path, ".txtar") {
			p.scripts[path.Base(f.path)] = true
		}
		if f.path == "scripts/check.sh" {
			for _, m := range stage.FindAllStringSubmatch(f.text, -1) {
				p.stages[m[1]] = true
			}
		}
		if f.syntax == nil || !f.test() {
			continue
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && namedTest.MatchString(fn.Name.Name) {
				p.tests[fn.Name.Name] = true
			}
		}
	}
	return p
}

// missing are the names in a text that name nothing; count is how many it has.
func (p proofs) missing(text string) (missing []string, count int) {
	for _, kind := range []struct {
		names []string
		known map[string]bool
	}{{namedTest.FindAllString(text, -1), p.tests}, {namedScript.FindAllString(text, -1), p.scripts}, {submatches(namedStage, text), p.stages}} {
		for _, name := range kind.names {
			if count++; !kind.known[name] {
				missing = append(missing, name)
			}
		}
	}
	return missing, count
}

func submatches(re *regexp.Regexp, text string) (all []string) {
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

func namedProofsExist() rule {
	const page = "docs/a.md"
	return rule{
		name: "what a page or a stage names as its proof exists",
		why:  "a promise that names a test which is gone looks kept, and is not; a stage that runs one passes without a word",
		check: func(t tree) []string {
			var findings []string
			known := proofsOf(t)
			for _, f := range t {
				if !slices.Contains([]string{".md", ".csv", ".sh"}, path.Ext(f.path)) || strings.Contains(f.path, "/testdata/") {
					continue
				}
				for i, line := range strings.Split(f.text, "\n") {
					missing, _ := known.missing(line)
					for _, name := range missing {
						findings = append(findings, f.line(i+1, "there is no %s", name))
					}
				}
			}
			return findings
		},
		broken: map[string]controlled{
			"a test":              {map[string]string{page: "It holds (`TestX`).\n"}, "there is no TestX"},
			"a test that is none": {map[string]string{page: "TestX", "a/a.go": "package a\n\nfunc TestX() {}"}, "there is no TestX"},
			"a script":            {map[string]string{page: "\n`x_y.txtar`", "cmd/testdata/x.txtar": ""}, "docs/a.md:2: there is no x_y.txtar"},
			"a stage":             {map[string]string{page: "`check tls`", "scripts/check.sh": "stage_test() { :; }"}, "there is no tls"},
			"in a table":          {map[string]string{"docs/a.csv": "1,FuzzX"}, "there is no FuzzX"},
			"in a stage":          {map[string]string{"scripts/check.sh": "go test -run '^(TestX)$'"}, "there is no TestX"},
			"at the top":          {map[string]string{"SECURITY.md": "TestX/a"}, "there is no TestX"},
		},
		fine: []map[string]string{{
			page: "TestX, `FuzzY/z`, `x.txtar` and `check tls`; Tested, Testing.", "a/a_test.go": "package a\n\nfunc TestX() {}\n\nfunc FuzzY() {}",
			"cmd/testdata/x.txtar": "", "scripts/check.sh": "stage_tls() { :; }",
		}},
	}
}
