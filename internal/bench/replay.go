package main

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/util"

	"postern/internal/engine"
	"postern/policy"
	posternv1 "postern/proto/postern/v1"
)

// replay measures row 8: what `audit replay` does to a stored input and its decision, on one core, beside OPA's prepared query with inputs parsed
// before.
func (b *bench) replay() error {
	folder, err := b.makeFolder("replay")
	if err != nil {
		return err
	}
	d, err := openDesk(folder)
	if err != nil {
		return err
	}
	all, err := d.sealAll(b.ctx, 200, 8)
	if err != nil {
		return err
	}
	e, err := engine.New(b.ctx, engine.Config{})
	if err != nil {
		return err
	}
	query, err := prepare(b.ctx)
	if err != nil {
		return err
	}
	var stored [][]byte
	var decided []*posternv1.Decision
	var parsed []ast.Value
	for _, m := range all {
		decision, input := e.Decide(b.ctx, m.input(time.Now()))
		v, err := parse(input)
		if err != nil {
			return err
		}
		stored, decided, parsed = append(stored, input), append(decided, decision), append(parsed, v)
	}
	var ours, theirs, ratio []float64
	for round := range b.opts.rounds + 1 {
		const times = 5
		start := time.Now()
		for i := range times * len(stored) {
			if lines, err := e.Replay(b.ctx, stored[i%len(stored)], decided[i%len(stored)]); err != nil || len(lines) > 0 {
				return fmt.Errorf("decided again it came out otherwise, %q: %w", lines, err)
			}
		}
		own := float64(times*len(stored)) / time.Since(start).Seconds()
		start = time.Now()
		for i := range times * len(parsed) {
			if r, err := query.Eval(b.ctx, rego.EvalParsedInput(parsed[i%len(parsed)])); err != nil || len(r) != 1 {
				return fmt.Errorf("the bare query gave %d results: %w", len(r), err)
			}
		}
		other := float64(times*len(parsed)) / time.Since(start).Seconds()
		b.say("replay: %.0f/s; prepared query %.0f/s", own, other)
		if round > 0 {
			ours, theirs, ratio = append(ours, own), append(theirs, other), append(ratio, own/other)
		}
	}
	b.table.add(8, "replay of stored inputs, decisions/s/core", fmt.Sprintf("%.0f/s", median(ours)),
		fmt.Sprintf("the prepared query alone, inputs parsed before: %.0f/s", median(theirs)), median(ratio), "≥ 0.8", "")
	return nil
}

// prepare prepares the built-in policy as any program with OPA would.
func prepare(ctx context.Context) (rego.PreparedEvalQuery, error) {
	opts := []func(*rego.Rego){rego.Query("data.postern.sharing.decision")}
	err := fs.WalkDir(policy.Bundle, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(policy.Bundle, name)
		switch {
		case err != nil || strings.HasSuffix(name, "_test.rego"):
			return err
		case name == "data.json":
			var settings map[string]any
			if err := util.UnmarshalJSON(data, &settings); err != nil {
				return err
			}
			opts = append(opts, rego.Store(inmem.NewFromObject(settings)))
		case strings.HasSuffix(name, ".rego"):
			m, err := ast.ParseModuleWithOpts(name, string(data), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
			if err != nil {
				return err
			}
			opts = append(opts, rego.ParsedModule(m))
		}
		return nil
	})
	if err != nil {
		return rego.PreparedEvalQuery{}, err
	}
	return rego.New(opts...).PrepareForEval(ctx)
}

// parse reads an input with the sets that the policy takes, where JSON has lists.
func parse(input []byte) (ast.Value, error) {
	v, err := ast.ValueFromReader(strings.NewReader(string(input)))
	if err != nil {
		return nil, err
	}
	sets := map[string]bool{"offered": true, "permitted": true}
	var walk func(v ast.Value, agreement bool) ast.Value
	walk = func(v ast.Value, agreement bool) ast.Value {
		switch v := v.(type) {
		case ast.Object:
			out := ast.NewObject()
			v.Foreach(func(key, value *ast.Term) {
				name := strings.Trim(key.Value.String(), `"`)
				if list, ok := value.Value.(*ast.Array); ok && (sets[name] || agreement) {
					set := ast.NewSet()
					list.Foreach(set.Add)
					out.Insert(key, ast.NewTerm(set))
					return
				}
				out.Insert(key, ast.NewTerm(walk(value.Value, name == "agreement")))
			})
			return out
		case *ast.Array:
			out := make([]*ast.Term, v.Len())
			for i := range out {
				out[i] = ast.NewTerm(walk(v.Elem(i).Value, false))
			}
			return ast.NewArray(out...)
		}
		return v
	}
	return walk(v, false), nil
}
