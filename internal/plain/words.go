package plain

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	posternv1 "postern/proto/postern/v1"
)

// Words is a short enum name or a field name as a person reads it: "not known" for NOT_KNOWN or not_known.
func Words(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", " "))
}

// Line is one label with its value.
type Line struct {
	Label string
	Value string
}

// Lines lists what a section says, field by field in the order of the form, without its provenance and without what
// was not answered.
func Lines(section proto.Message) []Line {
	var out []Line
	m := section.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) || f.Name() == "provenance" {
			continue
		}
		if v := words(f, m.Get(f)); v != "" {
			out = append(out, Line{capital(Words(string(f.Name()))), v})
		}
	}
	return out
}

func words(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if f.IsList() {
		parts := make([]string, v.List().Len())
		for i := range parts {
			parts[i] = word(f, v.List().Get(i))
		}
		return strings.Join(parts, ", ")
	}
	return word(f, v)
}

func word(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch f.Kind() {
	case protoreflect.EnumKind:
		return Words(enumName(f.Enum(), v.Enum()))
	case protoreflect.BoolKind:
		if v.Bool() {
			return "yes"
		}
		return "no"
	case protoreflect.MessageKind:
		var parts []string
		for _, l := range Lines(v.Message().Interface()) {
			parts = append(parts, strings.ToLower(l.Label)+" "+l.Value)
		}
		return strings.Join(parts, "; ")
	case protoreflect.StringKind:
		return v.String()
	default:
		return v.String()
	}
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// PathWords names a section path as a person reads it: "child 2: home", "parent: name".
func PathWords(path string) string {
	parts := strings.Split(path, "/")
	switch len(parts) {
	case 3:
		return "child " + parts[1] + ": " + Words(parts[2])
	case 2:
		return parts[0] + ": " + Words(parts[1])
	}
	return Words(path)
}

// outcomeWords are the outcomes as people at a counter say them.
var outcomeWords = map[posternv1.Outcome]string{
	posternv1.Outcome_OUTCOME_SHARE:           "shared",
	posternv1.Outcome_OUTCOME_WAIT:            "waiting",
	posternv1.Outcome_OUTCOME_WITHHOLD:        "not shared",
	posternv1.Outcome_OUTCOME_REFER_TO_PERSON: "needs a decision by a person",
}

// Outcome is an outcome in plain words.
func Outcome(o posternv1.Outcome) string {
	if w, ok := outcomeWords[o]; ok {
		return w
	}
	return "not decided"
}

// Decision gives a decision in plain words, a line each: what, for whom and why, and what a person must do.
func Decision(d *posternv1.Decision) []string {
	out := []string{capital(Outcome(d.GetOutcome())) + "."}
	for _, r := range d.GetReasons() {
		out = append(out, "  "+reason(r))
	}
	for _, c := range d.GetChildren() {
		out = append(out, fmt.Sprintf("Child %d: %s.", c.GetNumber(), Outcome(c.GetOutcome())))
		for _, r := range c.GetReasons() {
			out = append(out, "  "+reason(r))
		}
	}
	for _, o := range d.GetObligations() {
		out = append(out, "To do: "+obligation(o))
	}
	return out
}

func reason(r *posternv1.Reason) string {
	s := r.GetText()
	if len(r.GetPaths()) > 0 {
		names := make([]string, len(r.GetPaths()))
		for i, p := range r.GetPaths() {
			names[i] = PathWords(p)
		}
		s += " (" + strings.Join(names, ", ") + ")"
	}
	return s + " [" + r.GetRuleId() + "]"
}

var obligationWords = map[posternv1.ObligationKind]string{
	posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE:        "use the manual route: telephone the front door and send a printed request for support",
	posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR:    "telephone the front door",
	posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE:         "call the police",
	posternv1.ObligationKind_OBLIGATION_KIND_CONSIDER_DUTY:       "the safeguarding lead considers the duty to share",
	posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN:           "ask the person again",
	posternv1.ObligationKind_OBLIGATION_KIND_REVIEW:              "review the decision",
	posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR: "alert the duty governor",
}

func obligation(o *posternv1.Obligation) string {
	s := obligationWords[o.GetKind()]
	if s == "" {
		s = Words(Enum(o.GetKind()))
	}
	if o.GetChildNumber() > 0 {
		s = "child " + strconv.Itoa(int(o.GetChildNumber())) + ": " + s
	}
	if o.GetPhoneNumber() != "" {
		s += ", " + o.GetPhoneNumber()
	}
	if o.GetDueTime() != nil {
		s += ", by " + Time(o.GetDueTime().AsTime())
	}
	return s + "."
}

// Time is a moment as people in the United Kingdom read it, in UTC offset of the given time's location.
func Time(t time.Time) string { return t.Format("2 January 2006 15:04 MST") }
