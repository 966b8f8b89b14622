package section_test

import (
	"regexp"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/section"
)

// The paths of children are those of one expression.
func TestAChildsPathHasOneSpelling(t *testing.T) {
	pattern := regexp.MustCompile(`^child/([1-9][0-9]?)/([a-z_]+)$`)
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.OneOf(
			rapid.StringMatching(`child/[0-9]{0,3}/[a-z_A-Z{}]{0,6}[/\n]?`),
			rapid.StringMatching(`(child/)?[0-9]{1,2}/home`),
			rapid.String(),
		).Draw(t, "path")
		m := pattern.FindStringSubmatch(path)
		n, ok := section.ChildOf(path)
		if ok != (m != nil) || ok && strconv.Itoa(n) != m[1] {
			t.Fatalf("%q is child %d's: %v", path, n, ok)
		}
		if s, known := section.Lookup(path); known && ok && s.Path(n) != path {
			t.Fatalf("%q is of section %s", path, s.Pattern)
		}
	})
}
