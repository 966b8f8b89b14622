package engine_test

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"postern/internal/words"
	"postern/policy"
)

// The reasons of the policy are what people read, so each has its Welsh, and no Welsh is left of a rule that is gone.
func TestEveryRuleHasItsWelsh(t *testing.T) {
	id := regexp.MustCompile(`(?m)^#\s+rule_id: (\S+)$`)
	rules := map[string]bool{}
	err := fs.WalkDir(policy.Bundle, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".rego") || strings.HasSuffix(path, "_test.rego") {
			return err
		}
		text, err := fs.ReadFile(policy.Bundle, path)
		for _, m := range id.FindAllStringSubmatch(string(text), -1) {
			rules[m[1]] = true
		}
		return err
	})
	if err != nil || len(rules) < 20 {
		t.Fatalf("found %d rules, %v", len(rules), err)
	}
	for rule := range rules {
		if !words.Welsh.Has("rule." + rule) {
			t.Errorf("the rule %s has no Welsh: add rule.%s to the Welsh catalogue", rule, rule)
		}
	}
	for _, id := range words.Welsh.IDs() {
		if rule, ok := strings.CutPrefix(id, "rule."); ok && !rules[rule] {
			t.Errorf("%s has Welsh and no rule", id)
		}
	}
}
