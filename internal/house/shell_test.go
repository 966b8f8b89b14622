package house

import (
	"maps"
	"slices"
	"strings"
)

// shellImports are the packages of ours that the page shell may know.
var shellImports = []string{"internal/fault", "internal/words", "internal/web/ui", "internal/web/webtest"}

func shellKnowsNoDomain() rule {
	return rule{
		name: "the page shell knows no domain",
		why: "three sites stand on it, of parties that must not know one another; and whoever reads how a form or a session " +
			"works should need nothing else",
		check: func(t tree) []string {
			var findings []string
			for _, f := range t.written(true) {
				if f.dir() != "internal/web" && !strings.HasPrefix(f.dir(), "internal/web/") {
					continue
				}
				for _, imported := range slices.Sorted(maps.Keys(f.imports())) {
					own, isOwn := strings.CutPrefix(imported, module+"/")
					if isOwn && own != f.dir() && !slices.Contains(shellImports, own) {
						findings = append(findings, f.at(f.imports()[imported], "%s imports %s", f.dir(), own))
					}
				}
			}
			return findings
		},
		broken: map[string]controlled{
			"a party":  {map[string]string{"internal/web/w.go": `package web; import _ "postern/internal/desk"`}, "imports internal/desk"},
			"a form":   {map[string]string{"internal/web/ui/u_test.go": `package ui; import _ "postern/internal/form"`}, "imports internal/form"},
			"messages": {map[string]string{"internal/web/w.go": `package web; import _ "postern/proto/postern/v1"`}, "imports proto/postern/v1"},
		},
		fine: []map[string]string{{
			"internal/web/w.go":      `package web; import (_ "postern/internal/fault"; _ "postern/internal/web/ui"; _ "net/http")`,
			"internal/web/w_test.go": `package web_test; import _ "postern/internal/web"`,
			"internal/desk/d.go":     `package desk; import _ "postern/internal/form"`,
		}},
	}
}
