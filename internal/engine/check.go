package engine

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"

	"postern/internal/fault"
)

// Check reports everything about the bundle in source that can be told without running its tests: whether it compiles
// strictly against the input, decides the samples, is formatted, and whether every rule that finds something carries
// the words and the law by which people will read it. The faults name file and line.
func Check(ctx context.Context, source fs.FS) error {
	b, err := readBundle(source)
	if err != nil {
		return err
	}
	parsed, err := modules(slices.Concat(b.files, b.tests))
	if err != nil {
		return err
	}
	var faults []fault.Field
	for _, f := range slices.Concat(b.files, b.tests) {
		if !f.rego() {
			continue
		}
		neat, err := format.SourceWithOpts(f.path, f.data, format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			return faulty(err.Error()).Because(err)
		}
		if !bytes.Equal(neat, f.data) {
			faults = append(faults, fault.Field{Path: f.path, Reason: "is not formatted.", Fix: "Run `opa fmt --write`."})
		}
	}
	for _, f := range b.files {
		if f.rego() {
			faults = append(faults, annotated(parsed[f.path])...)
		}
	}
	if err := fault.InvalidFields("POLICY_FAULTY", "The sharing policy is not fit for use:", faults); err != nil {
		return err
	}
	_, err = New(ctx, Config{Bundle: source})
	return err
}

// annotated reports the rules of a module that find something and do not say what, why and by which law.
func annotated(m *ast.Module) []fault.Field {
	var faults []fault.Field
	for _, rule := range m.Rules {
		if !speaks(rule) {
			continue
		}
		var a *ast.Annotations
		if i := slices.IndexFunc(rule.Annotations, func(a *ast.Annotations) bool { return a.Scope == "rule" }); i >= 0 {
			a = rule.Annotations[i]
		} else {
			a = &ast.Annotations{}
		}
		at := fmt.Sprintf("%s:%d", rule.Location.File, rule.Location.Row)
		missing := func(ok bool, what, fix string) {
			if !ok {
				faults = append(faults, fault.Field{Path: at, Reason: what, Fix: fix})
			}
		}
		text := func(key string) bool { s, ok := a.Custom[key].(string); return ok && s != "" }
		missing(a.Title != "", "has no title.", "Give it one in METADATA.")
		missing(a.Description != "", "has no description.", "Write the reason in plain words: people read it.")
		missing(text("rule_id"), "has no custom.rule_id.", "Give it the id that decisions show.")
		missing(text("law"), "has no custom.law.", "Name the law or guidance it stands for.")
		missing(routes(a.Custom["routes"]), "has no custom.routes.", "List STANDARD, URGENT or DUTY.")
		unknown := slices.DeleteFunc(slices.Sorted(maps.Keys(a.Custom)), func(key string) bool {
			return slices.Contains([]string{"rule_id", "law", "routes", "basis", "priority"}, key)
		})
		missing(len(unknown) == 0, "has custom keys that nobody reads.", "Remove them.")
	}
	return faults
}

// speaks reports whether a rule uses its own annotation, which is how its words come to be read.
func speaks(rule *ast.Rule) bool {
	found := false
	ast.WalkTerms(rule, func(t *ast.Term) bool {
		if ref, ok := t.Value.(ast.Ref); ok && ref.Equal(ast.RegoMetadataRule.Ref()) {
			found = true
		}
		return found
	})
	return found
}

func routes(v any) bool {
	list, ok := v.([]any)
	return ok && len(list) > 0 && !slices.ContainsFunc(list, func(r any) bool {
		return r != "STANDARD" && r != "URGENT" && r != "DUTY"
	})
}
