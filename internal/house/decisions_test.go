package house

import (
	"path"
	"regexp"
	"strings"
)

var (
	decisionFile  = regexp.MustCompile(`^([0-9]{4})-[a-z0-9-]+\.md$`)
	decisionTitle = regexp.MustCompile(`^# ([1-9][0-9]*)\. \S`)
)

func decisionNumbers() rule {
	return rule{
		name:  "every decision has a number of its own",
		why:   "people and pages name a decision by its number",
		check: numbered,
		broken: map[string]controlled{
			"no number":      {map[string]string{"docs/decisions/why.md": "# 1. Why\n"}, "is not NNNN-words.md"},
			"another number": {map[string]string{"docs/decisions/0002-why.md": "# 1. Why\n"}, `begin with "# 2. "`},
			"no title":       {map[string]string{"docs/decisions/0002-why.md": "Why\n"}, `begin with "# 2. "`},
			"one number for two": {map[string]string{"docs/decisions/0001-how.md": "# 1. How\n", "docs/decisions/0001-why.md": "# 1. Why\n"},
				"has the number of docs/decisions/0001-how.md"},
		},
		fine: []map[string]string{{"docs/decisions/0001-how.md": "# 1. How\n", "docs/decisions/0012-why.md": "# 12. Why\n", "docs/other.md": "Other\n"}},
	}
}

func numbered(t tree) []string {
	var findings []string
	first := map[string]string{}
	for _, f := range t.where(func(f *file) bool { return path.Dir(f.path) == "docs/decisions" }) {
		named := decisionFile.FindStringSubmatch(path.Base(f.path))
		if named == nil {
			findings = append(findings, f.line(1, "the name of a decision is not NNNN-words.md"))
			continue
		}
		if other, taken := first[named[1]]; taken {
			findings = append(findings, f.line(1, "has the number of %s", other))
			continue
		}
		first[named[1]] = f.path
		number := strings.TrimLeft(named[1], "0")
		if title := decisionTitle.FindStringSubmatch(f.text); title == nil || title[1] != number {
			findings = append(findings, f.line(1, "must begin with %q", "# "+number+". "))
		}
	}
	return findings
}
