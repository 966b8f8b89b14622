package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/strict"
	posternv1 "postern/proto/postern/v1"
)

// story is one case: an input, told as what differs from a starting point, and all that must be decided.
type story struct {
	Start  string         `yaml:"start"`  // the name of a file in cases/start, which holds a whole input
	Change map[string]any `yaml:"change"` // what differs; see merge
	Expect expectation    `yaml:"expect"`
}

// expectation is a whole decision in the words of a case. What is not written is expected not to be there.
type expectation struct {
	Outcome     string                      `yaml:"outcome"`
	Children    map[string]childExpectation `yaml:"children"` // by number
	Rules       []string                    `yaml:"rules"`    // the reasons for the whole notification, as rule ids
	Paths       []string                    `yaml:"paths"`    // the sections that go
	Dropped     []string                    `yaml:"dropped"`  // the sections named by reasons
	Obligations []string                    `yaml:"obligations"`
	First       string                      `yaml:"first"`    // the notification that sent the same before
	Priority    bool                        `yaml:"priority"` // whether the team should look at it before others
	Due         string                      `yaml:"due"`
	ValidUntil  string                      `yaml:"valid_until"`
}

// childExpectation is what is decided for one child.
type childExpectation struct {
	Outcome string   `yaml:"outcome"`
	Rules   []string `yaml:"rules"`
	Needs   []string `yaml:"needs"`
}

func (r *Report) runCases(ctx context.Context, source fs.FS) error {
	names, err := fs.Glob(source, "cases/*.yaml")
	if err != nil {
		return err
	}
	e, err := New(ctx, Config{Bundle: source, Timeout: sampleTimeout, Log: slog.New(slog.DiscardHandler)}) // a case that errs says so in its own words
	if err != nil {
		return err
	}
	for _, name := range names {
		o := Outcome{Name: strings.TrimSuffix(path.Base(name), ".yaml")}
		in, want, err := readCase(source, name)
		if err != nil {
			o.Faults = []string{err.Error()}
		} else {
			d, _ := e.Decide(ctx, in)
			o.Faults = differences(want, observed(d))
		}
		r.Cases = append(r.Cases, o)
	}
	return nil
}

func readCase(source fs.FS, name string) (*Input, expectation, error) {
	var s story
	var start map[string]any
	if err := readYAML(source, name, &s); err != nil {
		return nil, s.Expect, err
	}
	if err := readYAML(source, path.Join("cases/start", s.Start+".yaml"), &start); err != nil {
		return nil, s.Expect, err
	}
	changed, err := json.Marshal(merge(start, s.Change))
	if err != nil {
		return nil, s.Expect, err
	}
	in, err := ParseInput(changed)
	return in, s.Expect, err
}

// CaseInput is the input of a case, as JSON. The case is named as its file, or by its words as the catalogue has them.
func CaseInput(source fs.FS, name string) ([]byte, error) {
	file := path.Join("cases", strings.TrimSuffix(strings.ReplaceAll(name, " ", "_"), ".yaml")+".yaml")
	if _, err := fs.Stat(source, file); err != nil {
		return nil, fault.New(fault.NotFound, "NO_CASE", "There is no such case. `postern policy catalogue` names the cases of each rule.")
	}
	in, _, err := readCase(source, file)
	if err != nil {
		return nil, err
	}
	return marshal(in.value()), nil
}

func readYAML(source fs.FS, name string, v any) error {
	data, err := fs.ReadFile(source, name)
	if err != nil {
		return err
	}
	return strict.YAML(data, v)
}

// merge applies a change to a starting point: an object is merged key by key, null removes, anything else replaces.
// Against a list an object changes the elements it numbers from 1.
func merge(start, change any) any {
	patch, ok := change.(map[string]any)
	if !ok {
		return change
	}
	switch old := start.(type) {
	case map[string]any:
		for key, value := range patch {
			if value == nil {
				delete(old, key)
			} else {
				old[key] = merge(old[key], value)
			}
		}
		return old
	case []any:
		for key, value := range patch {
			if n, err := strconv.Atoi(key); err == nil && n >= 1 && n <= len(old) {
				old[n-1] = merge(old[n-1], value)
			}
		}
		return old
	default:
		return merge(map[string]any{}, patch)
	}
}

// observed tells a decision in the words of a case.
func observed(d *posternv1.Decision) expectation {
	e := expectation{
		Outcome: plain.Enum(d.GetOutcome()), Children: map[string]childExpectation{}, Rules: ruleIDs(d.GetReasons()),
		Paths: d.GetPaths(), First: d.GetFirstNotificationId(), Priority: d.GetPriority(), Due: clock(d.GetDueTime()), ValidUntil: clock(d.GetValidUntilTime()),
	}
	reasons := slices.Clone(d.GetReasons())
	for _, c := range d.GetChildren() {
		e.Children[strconv.Itoa(int(c.GetNumber()))] = childExpectation{plain.Enum(c.GetOutcome()), ruleIDs(c.GetReasons()), c.GetNeeds()}
		reasons = append(reasons, c.GetReasons()...)
	}
	for _, reason := range reasons {
		e.Dropped = append(e.Dropped, reason.GetPaths()...)
	}
	slices.Sort(e.Dropped)
	e.Dropped = slices.Compact(e.Dropped)
	for _, o := range d.GetObligations() {
		words := []string{plain.Enum(o.GetKind()), o.GetPhoneNumber(), "by " + clock(o.GetDueTime())}
		if o.GetChildNumber() > 0 {
			words = append(words, fmt.Sprintf("child %d", o.GetChildNumber()))
		}
		e.Obligations = append(e.Obligations, strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " "))
	}
	return e
}

func ruleIDs(reasons []*posternv1.Reason) []string {
	var ids []string
	for _, r := range reasons {
		ids = append(ids, r.GetRuleId())
	}
	return ids
}

// clock is a moment as people in England and Wales read it, such as "Tue 29 Dec 2026 17:00"; "" for none.
func clock(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().In(london()).Format("Mon 2 Jan 2006 15:04")
}

// differences says in which lines two decisions differ.
func differences(want, got expectation) []string {
	var out []string
	compare := func(what string, want, got any) {
		if w, g := fmt.Sprint(want), fmt.Sprint(got); w != g {
			out = append(out, fmt.Sprintf("%s: expected %s, decided %s", what, w, g))
		}
	}
	compare("outcome", want.Outcome, got.Outcome)
	for n := 1; n <= max(len(want.Children), len(got.Children)); n++ {
		key := strconv.Itoa(n)
		compare("child "+key, want.Children[key], got.Children[key])
	}
	compare("rules", want.Rules, got.Rules)
	compare("paths", want.Paths, got.Paths)
	compare("dropped", want.Dropped, got.Dropped)
	compare("obligations", want.Obligations, got.Obligations)
	compare("first", want.First, got.First)
	compare("priority", want.Priority, got.Priority)
	compare("due", want.Due, got.Due)
	compare("valid_until", want.ValidUntil, got.ValidUntil)
	return out
}
