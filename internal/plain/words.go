package plain

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// Words is a short enum name or a field name as a person reads it: "not known" for NOT_KNOWN or not_known.
func Words(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", " "))
}

// PathWords names a section path as a person reads it: "child 2: home", "parent: name".
func PathWords(path string) string { return PathWordsIn(words.English, path) }

// PathWordsIn is PathWords in a language.
func PathWordsIn(lang words.Language, path string) string {
	parts := strings.Split(path, "/")
	name := sectionName(lang, parts[len(parts)-1])
	switch len(parts) {
	case 3:
		return lang.Text("section.of_child", words.Args{"number": parts[1], "section": name})
	case 2:
		return lang.Text("section.of_"+parts[0], words.Args{"section": name})
	}
	return name
}

// sectionName is the last part of a path in words; of one that this version does not know, the name itself.
func sectionName(lang words.Language, name string) string {
	if id := "section." + name; lang.Has(id) {
		return lang.Text(id, nil)
	}
	return Words(name)
}

// Outcome is an outcome in plain words.
func Outcome(o posternv1.Outcome) string { return OutcomeIn(words.English, o) }

// OutcomeIn is Outcome in a language.
func OutcomeIn(lang words.Language, o posternv1.Outcome) string {
	if id := "outcome." + strings.ToLower(Enum(o)); lang.Has(id) {
		return lang.Text(id, nil)
	}
	return lang.Text("outcome.none", nil)
}

// Kind is what a kind of event is called, by its name in the log; a kind that came later keeps that name.
func Kind(lang words.Language, name string) string {
	if id := "kind." + name; lang.Has(id) {
		return lang.Text(id, nil)
	}
	return Words(name)
}

// Decision gives a decision in plain words, a line each: what, for whom and why, and what a person must do.
func Decision(d *posternv1.Decision) []string { return DecisionIn(words.English, d) }

// DecisionIn is Decision in a language. The reasons of the policy are English beside their rules; another language has
// them by the id of the rule, and a rule it has no words for keeps its English: better that than none.
func DecisionIn(lang words.Language, d *posternv1.Decision) []string {
	out := []string{capital(OutcomeIn(lang, d.GetOutcome())) + "."}
	for _, r := range d.GetReasons() {
		out = append(out, "  "+reason(lang, r))
	}
	for _, c := range d.GetChildren() {
		out = append(out, lang.Text("decision.child", words.Args{"number": c.GetNumber(), "outcome": OutcomeIn(lang, c.GetOutcome())}))
		for _, r := range c.GetReasons() {
			out = append(out, "  "+reason(lang, r))
		}
	}
	return append(out, ToDoIn(lang, d.GetObligations())...)
}

// ToDoIn says what a person has to do.
func ToDoIn(lang words.Language, all []*posternv1.Obligation) (out []string) {
	for _, o := range all {
		out = append(out, lang.Text("decision.to_do", words.Args{"what": obligation(lang, o)}))
	}
	return out
}

// ReasonIn is what a reason says, without the sections and the rule it names.
func ReasonIn(lang words.Language, r *posternv1.Reason) string {
	if id := "rule." + r.GetRuleId(); lang.Has(id) {
		return lang.Text(id, nil)
	}
	return r.GetText()
}

func reason(lang words.Language, r *posternv1.Reason) string {
	s := ReasonIn(lang, r)
	if len(r.GetPaths()) > 0 {
		names := make([]string, len(r.GetPaths()))
		for i, p := range r.GetPaths() {
			names[i] = PathWordsIn(lang, p)
		}
		s += " (" + strings.Join(names, ", ") + ")"
	}
	return s + " [" + r.GetRuleId() + "]"
}

func obligation(lang words.Language, o *posternv1.Obligation) string {
	s := Words(Enum(o.GetKind()))
	if id := "obligation." + strings.ToLower(Enum(o.GetKind())); lang.Has(id) {
		s = lang.Text(id, nil)
	}
	if o.GetChildNumber() > 0 {
		s = lang.Text("decision.about", words.Args{"number": o.GetChildNumber(), "what": s})
	}
	if o.GetPhoneNumber() != "" {
		s += ", " + o.GetPhoneNumber()
	}
	if o.GetDueTime() != nil {
		s = lang.Text("decision.by", words.Args{"what": s, "time": When(lang, o.GetDueTime().AsTime())})
	}
	return s
}

// Time is a moment as people in the United Kingdom read it, in UTC offset of the given time's location.
func Time(t time.Time) string { return t.Format("2 January 2006 15:04 MST") }

// Date is the day of a moment, in the location of the given time.
func Date(lang words.Language, t time.Time) string {
	month := lang.Text(fmt.Sprintf("month.m%02d", t.Month()), nil)
	return lang.Text("month.date", words.Args{"day": t.Day(), "month": month, "year": t.Year()})
}

// When is a moment as people in the United Kingdom read it, wherever the machine is: 29 November 2026 at 9:32am.
func When(lang words.Language, t time.Time) string {
	at := t.In(london())
	return lang.Text("web.when", words.Args{"date": Date(lang, at), "time": at.Format("3:04pm")})
}

// Visible shows a value where it must not act: control characters, marks that turn the direction of text and characters
// without width, which could make one name look like another, are written as escapes.
func Visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if Hidden(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Hidden reports whether a character acts on a screen instead of showing there.
func Hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Cf, unicode.Zl, unicode.Zp)
}
