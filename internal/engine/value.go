package engine

import (
	"encoding/json"
	"strconv"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"

	"postern/policy"
)

// value is the input as the engine evaluates it, built once and without a detour over JSON. Every key is present but
// the two that may be absent, age_years and consideration.
func (in *Input) value() ast.Value {
	children := make([]*ast.Term, len(in.Children))
	for i, c := range in.Children {
		children[i] = ast.NewTerm(c.value())
	}
	calls := make([]*ast.Term, len(in.Calls))
	for i, c := range in.Calls {
		calls[i] = object("time", str(c.Time), "result", str(c.Result), "child", num(c.Child))
	}
	v := object(
		"now", str(in.Now), "today", str(in.Today), "statement", str(in.Statement), "route", str(in.Route),
		"destination_source", str(in.DestinationSource), "change_reason", str(in.ChangeReason),
		"supersedes", yes(in.Supersedes), "already_notified", yes(in.AlreadyNotified),
		"first_notification", str(in.FirstNotification), "redirected", yes(in.Redirected),
		"first_submit_time", str(in.FirstSubmitTime), "gate", str(in.Gate),
		"caller", object("prison_id", str(in.Caller.PrisonID), "jurisdiction", str(in.Caller.Jurisdiction), "known", yes(in.Caller.Known)),
		"reception", object("reason", str(in.Reception.Reason), "receive_date", str(in.Reception.ReceiveDate)),
		"enquiry", object("outcome", str(in.Enquiry.Outcome), "ask_again_date", str(in.Enquiry.AskAgainDate),
			"not_asked_reason", str(in.Enquiry.NotAskedReason)),
		"consent", in.Consent.value(),
		"recipient", in.Recipient.value(),
		"agreement", object("in_force", yes(in.Agreement.InForce), "id", str(in.Agreement.ID),
			"parent", set(in.Agreement.Parent), "child", set(in.Agreement.Child), "end_date", str(in.Agreement.EndDate), "end_time", str(in.Agreement.EndTime)),
		"children", ast.ArrayTerm(children...),
		"parent", object(in.Parent.pairs()...),
		"calls", ast.ArrayTerm(calls...),
		"urgency", object("reason", str(in.Urgency.Reason), "authorised_role", str(in.Urgency.AuthorisedRole)),
	).Value.(ast.Object)
	if c := in.Consideration; c != nil {
		v.Insert(str("consideration"), object("law", str(c.Law), "relevant", str(c.Relevant), "helps_function", str(c.HelpsFunction),
			"not_more_detrimental", nums(c.NotMoreDetrimental), "parent_told", str(c.ParentTold), "paths", strs(c.Paths),
			"role", str(c.Role), "time", str(c.Time)))
	}
	return v
}

func (c Consent) value() *ast.Term {
	return object(
		"state", str(c.State), "jurisdiction", str(c.Jurisdiction), "capacity_concern", yes(c.CapacityConcern),
		"grantor_under_18", yes(c.GrantorUnder18), "understood", str(c.Understood), "give_time", str(c.GiveTime),
		"expire_time", str(c.ExpireTime), "ask_again_date", str(c.AskAgainDate),
		"children", nums(c.Children), "authorities", strs(c.Authorities), "follows_child", yes(c.FollowsChild))
}

func (r Recipient) value() *ast.Term {
	return object(
		"authority", str(r.Authority), "known", yes(r.Known), "enrolled", yes(r.Enrolled), "jurisdiction", str(r.Jurisdiction),
		"age_limit", num(int(r.AgeLimit)), "early_help", r.EarlyHelp.value(), "safeguarding", r.Safeguarding.value())
}

func (d FrontDoor) value() *ast.Term {
	return object("name", str(d.Name), "phone_now", str(d.PhoneNow), "in_hours", yes(d.InHours))
}

func (s Sections) pairs() []any {
	return []any{"known", table(s.Known), "offered", set(s.Offered), "permitted", set(s.Permitted)}
}

func (c Child) value() ast.Value {
	v := object(append(c.Sections.pairs(),
		"number", num(c.Number), "unborn", yes(c.Unborn), "as_of_date", str(c.AsOfDate), "carer_known", str(c.CarerKnown),
		"carer_is_adult", str(c.CarerIsAdult), "primary_carer_before", str(c.PrimaryCarerBefore),
		"lived_with_before", str(c.LivedWithBefore), "parental_responsibility", str(c.ParentalResponsibility),
		"in_care", yes(c.InCare), "address_confidential", yes(c.AddressConfidential),
		"same_address_group", num(c.SameAddressGroup), "outward_code_only", yes(c.OutwardCodeOnly))...).Value.(ast.Object)
	if c.AgeYears != nil {
		v.Insert(str("age_years"), num(*c.AgeYears))
	}
	return v
}

// object makes an object of keys, each followed by its *ast.Term.
func object(pairs ...any) *ast.Term {
	terms := make([][2]*ast.Term, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		terms = append(terms, [2]*ast.Term{str(pairs[i].(string)), pairs[i+1].(*ast.Term)})
	}
	return ast.ObjectTerm(terms...)
}

func table(m map[string]string) *ast.Term {
	terms := make([][2]*ast.Term, 0, len(m))
	for k, v := range m {
		terms = append(terms, [2]*ast.Term{str(k), str(v)})
	}
	return ast.ObjectTerm(terms...)
}

// vocabulary is one term for each word of the schema: the keys and the short names that inputs are full of. Terms never
// change, so all inputs share them.
var vocabulary = sync.OnceValue(func() map[string]*ast.Term {
	words := map[string]*ast.Term{"": ast.StringTerm("")}
	type schema struct {
		Enum       []string          `json:"enum"`
		Items      *schema           `json:"items"`
		Properties map[string]schema `json:"properties"`
	}
	var gather func(s schema)
	gather = func(s schema) {
		for _, word := range s.Enum {
			words[word] = ast.StringTerm(word)
		}
		for key, property := range s.Properties {
			words[key] = ast.StringTerm(key)
			gather(property)
		}
		if s.Items != nil {
			gather(*s.Items)
		}
	}
	var root schema
	if err := json.Unmarshal([]byte(policy.InputSchema), &root); err != nil {
		panic(err) // a broken build, not an input
	}
	gather(root)
	return words
})

func str(s string) *ast.Term {
	if t, ok := vocabulary()[s]; ok {
		return t
	}
	return ast.StringTerm(s)
}

func num(n int) *ast.Term  { return ast.InternedTerm(n) }
func yes(b bool) *ast.Term { return ast.InternedTerm(b) }

// set makes a set, since the one thing policy does with names of sections is to ask what several lists have in common.
func set(list []string) *ast.Term {
	terms := make([]*ast.Term, len(list))
	for i, s := range list {
		terms[i] = str(s)
	}
	return ast.SetTerm(terms...)
}

func strs(list []string) *ast.Term { return array(list, str) }
func nums(list []int) *ast.Term    { return array(list, num) }

func array[T any](list []T, term func(T) *ast.Term) *ast.Term {
	terms := make([]*ast.Term, len(list))
	for i, x := range list {
		terms[i] = term(x)
	}
	return ast.ArrayTerm(terms...)
}

// writer writes values as JSON: keys sorted, no space, no HTML escapes but in the few strings that need quoting. What it
// writes is what was evaluated, since it reads the evaluated value and nothing else.
type writer struct{ b []byte }

func (w *writer) value(v ast.Value) {
	switch v := v.(type) {
	case ast.Object:
		open := len(w.b)
		v.Foreach(func(key, value *ast.Term) {
			w.b = append(w.b, ',')
			w.value(key.Value)
			w.b = append(w.b, ':')
			w.value(value.Value)
		})
		w.enclose(open, '{', '}')
	case *ast.Array:
		open := len(w.b)
		for i := range v.Len() {
			w.b = append(w.b, ',')
			w.value(v.Elem(i).Value)
		}
		w.enclose(open, '[', ']')
	case ast.Set:
		open := len(w.b)
		for _, term := range v.Slice() { // sorted
			w.b = append(w.b, ',')
			w.value(term.Value)
		}
		w.enclose(open, '[', ']')
	case ast.String:
		w.string(string(v))
	case ast.Number:
		w.b = append(w.b, v...)
	case ast.Boolean:
		w.b = strconv.AppendBool(w.b, bool(v))
	default:
		w.b = append(w.b, "null"...)
	}
}

// enclose turns the comma in front of the first element into the opening bracket, or makes one when there is none.
func (w *writer) enclose(open int, left, right byte) {
	if len(w.b) == open {
		w.b = append(w.b, left)
	}
	w.b[open] = left
	w.b = append(w.b, right)
}

// string quotes a string. Nearly all are plain ASCII, which needs no care.
func (w *writer) string(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string always marshals
			}
			w.b = append(w.b, quoted...)
			return
		}
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, s...)
	w.b = append(w.b, '"')
}

// marshal returns a value as JSON.
func marshal(v ast.Value) []byte {
	w := writer{b: make([]byte, 0, 4096)}
	w.value(v)
	return w.b
}
