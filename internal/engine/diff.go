package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	posternv1 "postern/proto/postern/v1"
)

// Difference is what changes from one bundle to another, in sentences.
type Difference struct {
	Rules    []string `json:"rules"`    // rules that are new, gone or say something else
	Files    []string `json:"files"`    // files of rules whose conditions are others
	Settings []string `json:"settings"` // settings, law dates, holidays
	Cases    []string `json:"cases"`    // cases that are new, gone or tell another story
	Outcomes []Change `json:"outcomes"` // cases of either bundle that the two decide differently
}

// Change is a case that two bundles decide differently.
type Change struct {
	Case  string   `json:"id"`
	Lines []string `json:"lines"` // what differs, as in a failing case
}

// Empty reports whether nothing changes.
func (d *Difference) Empty() bool {
	return len(d.Rules)+len(d.Files)+len(d.Settings)+len(d.Cases)+len(d.Outcomes) == 0
}

// String tells the difference to somebody who does not read rules.
func (d *Difference) String() string {
	if d.Empty() {
		return "Nothing changes.\n"
	}
	var b strings.Builder
	part := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "%s\n  %s\n", title, strings.Join(lines, "\n  "))
		}
	}
	part("Rules", d.Rules)
	part("Conditions", d.Files)
	part("Settings", d.Settings)
	part("Cases", d.Cases)
	if len(d.Outcomes) == 0 {
		b.WriteString("No case is decided differently.\n")
	}
	for _, c := range d.Outcomes {
		part("Decided differently: "+strings.ReplaceAll(c.Case, "_", " "), c.Lines)
	}
	return b.String()
}

// Diff compares two bundles. Every case of either is decided by both.
func Diff(ctx context.Context, old, new fs.FS) (*Difference, error) {
	d := &Difference{}
	for _, step := range []func(context.Context, fs.FS, fs.FS) error{d.rules, d.files, d.settings, d.cases, d.outcomes} {
		if err := step(ctx, old, new); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// both reads the two bundles in the same way.
func both[T any](old, new fs.FS, read func(fs.FS) (T, error)) (was, is T, err error) {
	if was, err = read(old); err == nil {
		is, err = read(new)
	}
	return was, is, err
}

// modulesOf is the rule files of a bundle, parsed, by path.
func modulesOf(source fs.FS) (map[string]*ast.Module, error) {
	b, err := readBundle(source)
	if err != nil {
		return nil, err
	}
	return modules(b.files)
}

// keys are those of both maps, sorted.
func keys[A, B any](a map[string]A, b map[string]B) []string {
	out := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(out)
	return slices.Compact(out)
}

func (d *Difference) rules(_ context.Context, old, new fs.FS) error {
	was, is, err := both(old, new, rulesByID)
	if err != nil {
		return err
	}
	for _, id := range keys(was, is) {
		a, before := was[id]
		b, after := is[id]
		say := func(format string, args ...any) { d.Rules = append(d.Rules, id+": "+fmt.Sprintf(format, args...)) }
		switch {
		case !before:
			say("new rule, on the routes %s. %s", strings.Join(b.Routes, ", "), b.Text)
			continue
		case !after:
			say("this rule is gone. It said: %s", a.Text)
			continue
		}
		for _, field := range []struct{ name, was, is string }{
			{"title", a.Title, b.Title}, {"reason", a.Text, b.Text}, {"law", a.Law, b.Law}, {"lawful basis", a.Basis, b.Basis},
			{"routes", strings.Join(a.Routes, ", "), strings.Join(b.Routes, ", ")},
		} {
			if field.was != field.is {
				say("the %s was %q and becomes %q.", field.name, field.was, field.is)
			}
		}
	}
	return nil
}

func rulesByID(source fs.FS) (map[string]Rule, error) {
	parsed, err := modulesOf(source)
	if err != nil {
		return nil, err
	}
	out := map[string]Rule{}
	for _, m := range parsed {
		for _, r := range spoken(m) {
			out[r.ID] = r
		}
	}
	return out, nil
}

// files compares what rules ask for, without the words that people read.
func (d *Difference) files(_ context.Context, old, new fs.FS) error {
	was, is, err := both(old, new, conditions)
	if err != nil {
		return err
	}
	for _, name := range keys(was, is) {
		switch a, b := was[name], is[name]; {
		case a == "":
			d.Files = append(d.Files, name+" is new.")
		case b == "":
			d.Files = append(d.Files, name+" is gone.")
		case a != b:
			d.Files = append(d.Files, name+": what its rules ask for changes.")
		}
	}
	return nil
}

func conditions(source fs.FS) (map[string]string, error) {
	parsed, err := modulesOf(source)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, m := range parsed {
		bare := m.Copy()
		bare.Annotations, bare.Comments = nil, nil
		for _, r := range bare.Rules {
			r.Annotations = nil
		}
		out[path.Base(name)] = bare.String()
	}
	return out, nil
}

func (d *Difference) settings(_ context.Context, old, new fs.FS) error {
	was, is, err := both(old, new, flat)
	if err != nil {
		return err
	}
	for _, name := range keys(was, is) {
		switch a, b := was[name], is[name]; {
		case a == "":
			d.Settings = append(d.Settings, fmt.Sprintf("%s is new: %s.", name, b))
		case b == "":
			d.Settings = append(d.Settings, fmt.Sprintf("%s is gone; it was %s.", name, a))
		case a != b:
			d.Settings = append(d.Settings, fmt.Sprintf("%s was %s and becomes %s.", name, a, b))
		}
	}
	return nil
}

// flat is data.json as one line a setting.
func flat(source fs.FS) (map[string]string, error) {
	b, err := readBundle(source)
	if err != nil {
		return nil, err
	}
	data, err := b.data()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		if object, ok := v.(map[string]any); ok && len(object) > 0 {
			for key, value := range object {
				walk(strings.TrimPrefix(at+"."+key, "."), value)
			}
			return
		}
		text, err := json.Marshal(v)
		if err != nil {
			text = []byte(fmt.Sprint(v))
		}
		out[at] = string(text)
	}
	walk("", data)
	return out, nil
}

func (d *Difference) cases(_ context.Context, old, new fs.FS) error {
	was, is, err := both(old, new, stories)
	if err != nil {
		return err
	}
	for _, name := range keys(was, is) {
		switch a, b := was[name], is[name]; {
		case a == nil:
			d.Cases = append(d.Cases, name+" is new.")
		case b == nil:
			d.Cases = append(d.Cases, name+" is gone.")
		case !bytes.Equal(a, b):
			d.Cases = append(d.Cases, name+" tells another story, or expects something else.")
		}
	}
	return nil
}

// stories is the cases of a bundle as they are written, by name.
func stories(source fs.FS) (map[string][]byte, error) {
	files, err := readWhole(source)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, f := range files {
		if name, ok := strings.CutPrefix(f.path, "cases/"); ok {
			out[strings.TrimSuffix(name, ".yaml")] = f.data
		}
	}
	return out, nil
}

// outcomes decides the cases of both bundles by both; a case that both have is told as the new one tells it.
func (d *Difference) outcomes(ctx context.Context, old, new fs.FS) error {
	engines := [2]*Engine{}
	all := map[string]*Input{}
	for i, source := range []fs.FS{old, new} {
		var err error
		if engines[i], err = New(ctx, Config{Bundle: source, Timeout: sampleTimeout, Log: slog.New(slog.DiscardHandler)}); err != nil {
			return err
		}
		inputs, err := caseInputs(source)
		if err != nil {
			return err
		}
		for _, c := range inputs {
			all[c.name] = c.input
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		before, _ := engines[0].Decide(ctx, all[name])
		after, _ := engines[1].Decide(ctx, all[name])
		if lines := changes(before, after); len(lines) > 0 {
			d.Outcomes = append(d.Outcomes, Change{name, lines})
		}
	}
	return nil
}

// changes says in which lines one decision becomes another.
func changes(before, after *posternv1.Decision) []string {
	var lines []string
	for _, line := range differences(observed(before), observed(after)) {
		lines = append(lines, strings.NewReplacer(": expected ", ": was ", ", decided ", ", becomes ").Replace(line))
	}
	return lines
}
