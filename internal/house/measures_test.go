package house

import (
	"regexp"
	"strings"
)

// measure matches the name of a measure where code defines it and where the page explains it.
var (
	measure   = regexp.MustCompile(`"(postern_[a-z_]+)"`)
	explained = regexp.MustCompile("(?m)^\\| `(postern_[a-z_]+)` \\|")
)

const measuresPage = "docs/operations.md"

func measures() rule {
	return rule{
		name: "every measure is explained",
		why:  "at night a number without its meaning is a riddle, and a meaning without its number is worse",
		check: func(t tree) []string {
			defined, page := map[string]bool{}, map[string]bool{}
			var findings []string
			for _, f := range t {
				if f.path == measuresPage {
					for _, m := range explained.FindAllStringSubmatch(f.text, -1) {
						page[m[1]] = true
					}
				}
			}
			for _, f := range t.written(false) {
				n := 0
				for line := range strings.Lines(f.text) {
					n++
					for _, m := range measure.FindAllStringSubmatch(line, -1) {
						if !page[m[1]] && !defined[m[1]] {
							findings = append(findings, f.line(n, "%s is not in the table of %s", m[1], measuresPage))
						}
						defined[m[1]] = true
					}
				}
			}
			for _, f := range t.where(func(f *file) bool { return f.path == measuresPage }) {
				for i, line := range strings.Split(f.text, "\n") {
					if m := explained.FindStringSubmatch(line); m != nil && !defined[m[1]] {
						findings = append(findings, f.line(i+1, "nothing measures %s", m[1]))
					}
				}
			}
			return findings
		},
		broken: map[string]controlled{
			"not explained": {map[string]string{"a/a.go": `package a; const m = "postern_queue"`}, "postern_queue is not in the table"},
			"not measured":  {map[string]string{measuresPage: "| `postern_queue` | hub |\n"}, "nothing measures postern_queue"},
		},
		fine: []map[string]string{{
			"a/a.go":     `package a; const m, n = "postern_queue", "postern_queue"`,
			measuresPage: "| `postern_queue` | hub |\n\nSee `postern_other` and `go_gc`.\n",
		}},
	}
}
