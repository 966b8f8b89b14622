package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/plain"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// decode reads what the policy answered. It has one shape only: every key present, no other key, every word known, one
// verdict a child in the order asked, a reason for each, and an overall outcome that follows from them.
func decode(in *Input, v ast.Value) (d *posternv1.Decision, err error) {
	r := &reader{}
	f := r.object(v, "children", "findings", "obligations", "outcome", "sections", "valid_until")
	d = &posternv1.Decision{
		Outcome:        r.outcome(f["outcome"]),
		Paths:          r.paths(0, f["sections"]),
		ValidUntilTime: r.moment(f["valid_until"]),
	}
	general := r.findings(f["findings"])
	d.Reasons, d.DueTime = reasons(general), due(general)
	for _, item := range r.list(f["children"]) {
		c := r.object(item, "findings", "number", "outcome", "sections")
		bearing := r.findings(c["findings"])
		child := &posternv1.ChildDecision{
			Number: uint32(r.integer(c["number"])), Outcome: r.outcome(c["outcome"]), Reasons: reasons(bearing), DueTime: due(bearing)}
		for _, b := range bearing {
			child.Needs = append(child.Needs, b.needs...)
		}
		slices.Sort(child.Needs)
		child.Needs = slices.Compact(child.Needs)
		d.Children = append(d.Children, child)
		d.Paths = append(d.Paths, r.paths(int(child.GetNumber()), c["sections"])...)
		d.DueTime = earlier(d.GetDueTime(), child.GetDueTime())
		d.Priority = d.GetPriority() || child.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE && slices.ContainsFunc(bearing, urgent)
	}
	for _, item := range r.list(f["obligations"]) {
		o := r.object(item, "child", "due", "kind", "phone")
		d.Obligations = append(d.Obligations, &posternv1.Obligation{
			Kind: r.kind(o["kind"]), PhoneNumber: r.string(o["phone"]), DueTime: r.moment(o["due"]), ChildNumber: uint32(r.integer(o["child"]))})
	}
	slices.Sort(d.Paths)
	slices.SortFunc(d.Obligations, func(a, b *posternv1.Obligation) int {
		return cmp.Or(cmp.Compare(a.GetChildNumber(), b.GetChildNumber()), cmp.Compare(a.GetKind(), b.GetKind()),
			strings.Compare(a.GetPhoneNumber(), b.GetPhoneNumber()))
	})
	if r.err != nil {
		return nil, r.err
	}
	return d, sound(in, d)
}

// sound checks that the parts of a decision belong together.
func sound(in *Input, d *posternv1.Decision) error {
	if len(d.GetChildren()) != len(in.Children) {
		return errors.New("engine: not one verdict a child")
	}
	seen := map[int]bool{}
	for i, c := range d.GetChildren() {
		n := in.Children[i].Number
		switch {
		case n < 1 || int(c.GetNumber()) != n || seen[n]:
			return errors.New("engine: the verdicts are not the children's, one each")
		case len(c.GetReasons()) == 0:
			return errors.New("engine: a child's outcome has no reason")
		case c.GetOutcome() == posternv1.Outcome_OUTCOME_WAIT && len(c.GetNeeds()) == 0:
			return errors.New("engine: a child waits for nothing")
		}
		seen[n] = true
	}
	shares := d.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
	now, err := time.Parse(time.RFC3339, in.Now)
	switch {
	case err != nil:
		return errors.New("engine: now is not a moment")
	case d.GetOutcome() != overall(d):
		return errors.New("engine: the overall outcome does not follow from the children's")
	case len(in.Children) == 0 && (len(d.GetReasons()) == 0 || shares):
		return errors.New("engine: a statement without children is shared, or has no reason")
	case shares != (len(d.GetPaths()) > 0):
		return errors.New("engine: sections go without SHARE, or SHARE without sections")
	case shares && !d.GetValidUntilTime().AsTime().After(now):
		return errors.New("engine: a decision to share is not valid after now")
	case !shares && d.GetValidUntilTime() != nil:
		return errors.New("engine: nothing goes, yet it is valid until some time")
	case d.GetDueTime() == nil && acts(d):
		return errors.New("engine: something waits or is referred without a time")
	}
	return nil
}

// acts reports whether somebody or something must act before a child's matter is done.
func acts(d *posternv1.Decision) bool {
	waits := func(o posternv1.Outcome) bool {
		return o == posternv1.Outcome_OUTCOME_WAIT || o == posternv1.Outcome_OUTCOME_REFER_TO_PERSON
	}
	return waits(d.GetOutcome()) ||
		slices.ContainsFunc(d.GetChildren(), func(c *posternv1.ChildDecision) bool { return waits(c.GetOutcome()) })
}

// reader reads values of one kind each and keeps the first fault; what it returns after a fault means nothing.
type reader struct{ err error }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("engine: the decision is malformed: "+format, args...)
	}
}

// object returns the fields of an object that has exactly these keys.
func (r *reader) object(v ast.Value, keys ...string) map[string]ast.Value {
	return r.objectWith(nil, v, keys...)
}

// objectWith returns the fields of an object that has these keys, perhaps some of those, and no other.
func (r *reader) objectWith(perhaps []string, v ast.Value, keys ...string) map[string]ast.Value {
	o, ok := v.(ast.Object)
	if !ok {
		r.fail("not an object with the keys %q", keys)
		return nil
	}
	fields := make(map[string]ast.Value, len(keys))
	for _, k := range perhaps {
		if term := o.Get(ast.InternedTerm(k)); term != nil {
			fields[k] = term.Value
		}
	}
	if o.Len() != len(keys)+len(fields) {
		r.fail("not an object with the keys %q", keys)
		return nil
	}
	for _, k := range keys {
		term := o.Get(ast.InternedTerm(k))
		if term == nil {
			r.fail("the key %q is missing", k)
			return nil
		}
		fields[k] = term.Value
	}
	return fields
}

// list returns the elements of an array or a set; sets come sorted.
func (r *reader) list(v ast.Value) []ast.Value {
	var out []ast.Value
	add := func(t *ast.Term) { out = append(out, t.Value) }
	switch v := v.(type) {
	case *ast.Array:
		v.Foreach(add)
	case ast.Set:
		v.Foreach(add)
	default:
		r.fail("not a list")
	}
	return out
}

func (r *reader) string(v ast.Value) string {
	s, ok := v.(ast.String)
	if !ok {
		r.fail("not a string")
	}
	return string(s)
}

// words is a string that says something.
func (r *reader) words(v ast.Value) string {
	s := r.string(v)
	if strings.TrimSpace(s) == "" {
		r.fail("a string is empty")
	}
	return s
}

func (r *reader) strings(v ast.Value) []string {
	var out []string
	for _, item := range r.list(v) {
		out = append(out, r.words(item))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// paths reads the names of sections of a child, or of the parent for 0, as paths.
func (r *reader) paths(child int, v ast.Value) []string {
	names := r.strings(v)
	paths := pathsOf(child, names)
	if len(paths) != len(names) {
		r.fail("not a section of a child, or of the parent")
	}
	return paths
}

// pathsOf returns the paths of the named sections of a child, or of the parent for 0, in the order of the form. A name
// that is none has no path.
func pathsOf(child int, names []string) []string {
	out := make([]string, 0, len(names))
	for _, s := range section.Of(child > 0) {
		if slices.Contains(names, s.Name) {
			out = append(out, s.Path(child))
		}
	}
	return out
}

func (r *reader) integer(v ast.Value) int64 {
	n, ok := v.(ast.Number)
	i, whole := n.Int64()
	if !ok || !whole || i < 0 {
		r.fail("not a whole number from 0")
	}
	return i
}

// moment reads nanoseconds since 1970; 0 is no moment.
func (r *reader) moment(v ast.Value) *timestamppb.Timestamp {
	ns := r.integer(v)
	if ns == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, ns))
}

func (r *reader) outcome(v ast.Value) posternv1.Outcome {
	n, ok := plain.Value(posternv1.Outcome(0), r.string(v))
	if !ok || n == 0 {
		r.fail("not an outcome")
	}
	return posternv1.Outcome(n)
}

func (r *reader) yes(v ast.Value) bool {
	b, ok := v.(ast.Boolean)
	if !ok {
		r.fail("not true or false")
	}
	return bool(b)
}

// basis reads the lawful basis that a rule stands for, if it says one.
func (r *reader) basis(v ast.Value) posternv1.Article6Basis {
	if v == nil {
		return posternv1.Article6Basis_ARTICLE6_BASIS_UNSPECIFIED
	}
	n, ok := plain.Value(posternv1.Article6Basis(0), r.string(v))
	if !ok || n == 0 {
		r.fail("not a lawful basis")
	}
	return posternv1.Article6Basis(n)
}

func (r *reader) kind(v ast.Value) posternv1.ObligationKind {
	n, ok := plain.Value(posternv1.ObligationKind(0), r.string(v))
	if !ok || n == 0 {
		r.fail("not a kind of obligation")
	}
	return posternv1.ObligationKind(n)
}

// finding is what one rule found; its reason is the rule's own annotation.
type finding struct {
	reason   *posternv1.Reason
	priority bool
	needs    []string
	due      *timestamppb.Timestamp
}

func urgent(f finding) bool { return f.priority }

func (r *reader) findings(v ast.Value) []finding {
	var out []finding
	for _, item := range r.list(v) {
		f := r.object(item, "due", "needs", "outcome", "paths", "rule")
		if s := r.string(f["outcome"]); s != "" {
			r.outcome(f["outcome"])
		}
		rule := r.object(f["rule"], "custom", "description", "scope", "title")
		custom := r.objectWith([]string{"basis", "priority"}, rule["custom"], "law", "routes", "rule_id")
		out = append(out, finding{
			reason: &posternv1.Reason{RuleId: r.words(custom["rule_id"]), Text: r.words(rule["description"]),
				Law: r.words(custom["law"]), Paths: r.strings(f["paths"]), Basis: r.basis(custom["basis"])},
			priority: custom["priority"] != nil && r.yes(custom["priority"]),
			needs:    r.strings(f["needs"]),
			due:      r.moment(f["due"]),
		})
	}
	slices.SortStableFunc(out, func(a, b finding) int { return strings.Compare(a.reason.GetRuleId(), b.reason.GetRuleId()) })
	return out
}

func reasons(findings []finding) []*posternv1.Reason {
	var out []*posternv1.Reason
	for _, f := range findings {
		out = append(out, f.reason)
	}
	return out
}

// due is the earliest moment at which one of the findings is due.
func due(findings []finding) *timestamppb.Timestamp {
	var first *timestamppb.Timestamp
	for _, f := range findings {
		first = earlier(first, f.due)
	}
	return first
}

// earlier is the earlier of two moments, of which nil is none.
func earlier(a, b *timestamppb.Timestamp) *timestamppb.Timestamp {
	if a == nil || b != nil && b.AsTime().Before(a.AsTime()) {
		return b
	}
	return a
}
