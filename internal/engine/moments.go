package engine

import (
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// What a bundle may do with time for its answers to be remembered. Everything is read off the rules when they are
// compiled; a bundle that does anything else with time works as well, and each of its decisions is evaluated.
//
//   - A moment of the input is read in one place, by a rule of the form `name := time.parse_rfc3339_ns(input.path)`.
//   - The names of moments are compared with one another (< <= > >=), and nothing else is done with them, but for the
//     two rules in untilRules, word for word, and for deadlines.
//   - A deadline is a rule `name := expression` that reads first_submit_time, itself or through another deadline, and
//     not only inside a comprehension. Other moments are in it only as terms of what always has a value (+ - * max min), so
//     that whether it comes to reading first_submit_time depends on other facts only. Anything may be done with a deadline.
//   - good_until is used in valid_until only, and valid_until in decision only.
//   - All rules are in one package, refer to it by plain names, and none evaluates another with another input.
//
// Then the order of the moments is all that an answer owes to them that was found without reading first_submit_time: it
// can change when now passes one of them, or when what else is in the input changes (today among it), and at no other
// time. Only valid_until moves along with now, as untilRules say. Whether first_submit_time is read is found out by
// evaluating without one (memory.go): an answer that rests on a deadline is not remembered.
type moments struct {
	hours time.Duration // data.settings.decision_valid_hours
}

// leaf is a value of the input that differs from one statement to the next, and is no part of what is remembered.
type leaf struct {
	path   string
	moment bool // rules may compare it; any other they may not read at all
}

// leaves is in the order of the JSON, which is sorted.
var leaves = [...]leaf{
	{"agreement.end_time", true}, {"consent.expire_time", true}, {"consent.give_time", false}, {firstSubmit, true},
	{"now", true}, {"reception.receive_date", false},
}

// firstSubmit is the moment that deadlines are reckoned from, and firstSubmitLeaf its number among the leaves.
const (
	firstSubmit     = "first_submit_time"
	firstSubmitLeaf = 3
)

// places is where the values of the leaves are in the JSON of an input.
type places [len(leaves)]place

type place struct{ from, to int }

// untilRules are the two rules that may calculate with moments.
var untilRules = map[string]string{
	"good_until": `good_until := min([consent_end, agreement_end]) if permission`,
	"valid_until": `valid_until := min([good_until, now + (data.settings.decision_valid_hours * 3600000000000)]) if { outcome == "SHARE"; input.route == "STANDARD" } ` +
		`else := now + (data.settings.decision_valid_hours * 3600000000000) if outcome == "SHARE" else := 0`,
}

// momentsOf reads the rules of a bundle; nil when its answers cannot be remembered.
func momentsOf(b *bundle) *moments {
	hours, ok := b.validHours()
	modules, err := modules(b.files)
	if !ok || err != nil {
		return nil
	}
	r := rulesOfTime{names: map[string]string{}, deadlines: map[string]bool{}}
	for _, m := range modules {
		r.module(m)
	}
	for more := true; more; { // until no further rule reads a deadline
		more = false
		for _, m := range modules {
			for _, rule := range m.Rules {
				more = r.deadline(rule) || more
			}
		}
	}
	for _, m := range modules {
		for _, rule := range m.Rules {
			r.rule(rule)
		}
	}
	if r.broken || r.names["now"] != "now" || r.names["consent_end"] != "consent.expire_time" || r.names["agreement_end"] != "agreement.end_time" {
		return nil
	}
	return &moments{hours: hours}
}

// validHours reads the setting that valid_until is made of.
func (b *bundle) validHours() (time.Duration, bool) {
	data, err := b.data()
	if err != nil {
		return 0, false
	}
	settings, _ := data["settings"].(map[string]any)
	n, _ := settings["decision_valid_hours"].(interface{ Int64() (int64, error) })
	if n == nil {
		return 0, false
	}
	hours, err := n.Int64()
	return time.Duration(hours) * time.Hour, err == nil && hours > 0 && hours < 1e5
}

// rulesOfTime checks rules as they were written.
type rulesOfTime struct {
	home      string            // the one package
	names     map[string]string // the rules that are a moment, and which leaf
	deadlines map[string]bool   // the rules that cannot be evaluated without reading firstSubmit
	broken    bool
}

// module finds the names of moments.
func (r *rulesOfTime) module(m *ast.Module) {
	home := m.Package.Path.String()
	if r.home == "" {
		r.home = home
	}
	for _, i := range m.Imports {
		r.broken = r.broken || !strings.HasPrefix(i.Path.String(), "rego.")
	}
	r.broken = r.broken || home != r.home
	for _, rule := range m.Rules {
		if path, ok := momentRule(rule); ok {
			if _, twice := r.names[string(rule.Head.Name)]; twice {
				r.broken = true
			}
			r.names[string(rule.Head.Name)] = path
		}
	}
}

// momentRule recognises `name := time.parse_rfc3339_ns(input.path)`.
func momentRule(rule *ast.Rule) (path string, ok bool) {
	h := rule.Head
	if len(h.Args) > 0 || h.Key != nil || h.Value == nil || rule.Default || rule.Else != nil || !plainTrue(rule.Body) || len(h.Reference) != 1 {
		return "", false
	}
	call, ok := h.Value.Value.(ast.Call)
	if !ok || len(call) != 2 || call[0].Value.String() != "time.parse_rfc3339_ns" {
		return "", false
	}
	path, ok = inputPath(call[1].Value)
	i := slices.IndexFunc(leaves[:], func(l leaf) bool { return l.moment && l.path == path })
	return path, ok && i >= 0
}

// deadline finds a rule to be a deadline, and reports whether that is news.
func (r *rulesOfTime) deadline(rule *ast.Rule) bool {
	name := string(rule.Head.Name)
	if r.deadlines[name] || r.names[name] != "" || untilRules[name] != "" || !r.readsFirstSubmit(rule) {
		return false
	}
	r.deadlines[name] = true
	return true
}

// readsFirstSubmit reports whether a rule is `name := expression` that reads firstSubmit, whatever the other moments are.
func (r *rulesOfTime) readsFirstSubmit(rule *ast.Rule) (reads bool) {
	h := rule.Head
	if len(h.Args) > 0 || h.Key != nil || h.Value == nil || rule.Default || rule.Else != nil || !plainTrue(rule.Body) || len(h.Reference) != 1 {
		return false
	}
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			return true // may have nothing to evaluate
		case ast.Var:
			reads = reads || r.names[string(x)] == firstSubmit || r.deadlines[string(x)]
		}
		return false
	}).Walk(h.Value)
	return reads && r.total(h.Value.Value)
}

// total reports whether a value is there or not for the same other facts whatever the moments in it are, but for firstSubmit
// and deadlines: what is not there is not an error, and what comes after it is not read.
func (r *rulesOfTime) total(v ast.Value) bool {
	var moment bool
	ast.WalkVars(v, func(x ast.Var) bool {
		moment = moment || r.names[string(x)] != "" && r.names[string(x)] != firstSubmit || x == "good_until"
		return false
	})
	if !moment {
		return true
	}
	all := func(terms []*ast.Term) bool {
		return !slices.ContainsFunc(terms, func(t *ast.Term) bool { return !r.total(t.Value) })
	}
	switch v := v.(type) {
	case ast.Var:
		return true
	case ast.Call:
		return slices.Contains([]string{"plus", "minus", "mul", "max", "min"}, v[0].Value.String()) && all(v[1:])
	case *ast.Array:
		terms := make([]*ast.Term, v.Len())
		for i := range terms {
			terms[i] = v.Elem(i)
		}
		return all(terms)
	}
	return false
}

// declared checks what a rule declares: its own variable must not go by the name of a moment or a deadline.
func (r *rulesOfTime) declared(terms ...*ast.Term) {
	for _, t := range terms {
		ast.WalkVars(t, func(v ast.Var) bool {
			r.broken = r.broken || r.names[string(v)] != "" || r.deadlines[string(v)]
			return false
		})
	}
}

func plainTrue(b ast.Body) bool { return len(b) == 0 || len(b) == 1 && b[0].String() == "true" }

// inputPath is the path of a reference to the input as far as it is spelt out; ok when it is all spelt out.
func inputPath(v ast.Value) (path string, ok bool) {
	ref, isRef := v.(ast.Ref)
	if !isRef || !ref.HasPrefix(ast.InputRootRef) {
		return "", false
	}
	var parts []string
	for _, t := range ref[1:] {
		s, isString := t.Value.(ast.String)
		if !isString {
			return strings.Join(parts, "."), false
		}
		parts = append(parts, string(s))
	}
	return strings.Join(parts, "."), true
}

// rule checks every reference of one rule.
func (r *rulesOfTime) rule(rule *ast.Rule) {
	name := string(rule.Head.Name)
	if _, ok := momentRule(rule); ok {
		return
	}
	if _, taken := r.names[name]; taken || untilRules[name] != "" && !sameRule(rule, untilRules[name]) {
		r.broken = true
	}
	if r.deadlines[name] && !r.readsFirstSubmit(rule) {
		r.broken = true // one more rule by the name of a deadline
	}
	r.declared(rule.Head.Args...)
	var visitor *ast.GenericVisitor
	visitor = ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.With:
			r.broken = true
		case *ast.SomeDecl:
			for _, t := range x.Symbols {
				if call, ok := t.Value.(ast.Call); ok {
					r.declared(call[1 : len(call)-1]...) // some k, v in list
				} else {
					r.declared(t)
				}
			}
		case *ast.Every:
			if x.Key != nil {
				r.declared(x.Key)
			}
			r.declared(x.Value)
		case *ast.Expr:
			if x.IsAssignment() {
				r.declared(x.Operand(0))
			}
			return r.compares(x)
		case ast.Call:
			return r.ordered(x)
		case ast.Ref:
			r.reference(x)
			if x.HasPrefix(ast.InputRootRef) || x.HasPrefix(ast.DefaultRootRef) {
				for _, t := range x[1:] {
					visitor.Walk(t)
				}
				return true
			}
		case ast.Var:
			r.variable(name, string(x))
		}
		return false
	})
	visitor.Walk(rule)
}

// compares reports whether an expression does nothing but compare two moments.
func (r *rulesOfTime) compares(e *ast.Expr) bool {
	terms, ok := e.Terms.([]*ast.Term)
	return ok && len(e.With) == 0 && r.ordered(terms)
}

func (r *rulesOfTime) ordered(terms []*ast.Term) bool {
	if len(terms) != 3 || !slices.Contains([]string{"lt", "lte", "gt", "gte"}, terms[0].Value.String()) {
		return false
	}
	for _, t := range terms[1:] {
		if v, ok := t.Value.(ast.Var); !ok || r.names[string(v)] == "" && !r.deadlines[string(v)] {
			return false
		}
	}
	return true
}

// reference checks that a reference to the input reaches no leaf, and that one to data does not reach the rules.
func (r *rulesOfTime) reference(ref ast.Ref) {
	if ref.HasPrefix(ast.DefaultRootRef) && (len(ref) < 2 || !oneOf(ref[1].Value, "settings", "law", "calendar")) {
		r.broken = true
	}
	if !ref.HasPrefix(ast.InputRootRef) {
		return
	}
	path, _ := inputPath(ref)
	for _, l := range leaves {
		if path == "" || path == l.path || strings.HasPrefix(l.path, path+".") || strings.HasPrefix(path, l.path+".") {
			r.broken = true
		}
	}
}

func oneOf(v ast.Value, words ...string) bool {
	s, ok := v.(ast.String)
	return ok && slices.Contains(words, string(s))
}

// variable checks where the names of moments, and of the rules made of them, are used.
func (r *rulesOfTime) variable(rule, name string) {
	switch {
	case name == "input" || name == "data": // whole
		r.broken = true
	case r.names[name] == firstSubmit:
		// Whoever evaluates it has read it.
	case r.names[name] != "", name == "good_until" && rule != name:
		r.broken = r.broken || untilRules[rule] == "" && !r.deadlines[rule]
	case name == "valid_until":
		r.broken = r.broken || rule != "decision" && rule != name
	}
}

// sameRule compares a rule with one as it is written above; what people read of it is no part of it.
func sameRule(rule *ast.Rule, text string) bool {
	want, err := ast.ParseRuleWithOpts(text, parserOptions())
	if err != nil {
		return false
	}
	bare := rule.Copy()
	for r := bare; r != nil; r = r.Else {
		r.Annotations = nil
	}
	return bare.Equal(want)
}
