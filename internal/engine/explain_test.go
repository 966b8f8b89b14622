package engine

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"postern/policy"
)

// TestExplainTellsTheWholeStory: every case is told, with each child, each reason, each section and each duty.
func TestExplainTellsTheWholeStory(t *testing.T) {
	names, err := fs.Glob(policy.Bundle, "cases/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	e := patient(t)
	for _, name := range names {
		in, _, err := readCase(policy.Bundle, name)
		if err != nil {
			t.Fatal(err)
		}
		d, verbatim := e.Decide(t.Context(), in)
		text, err := Explain(t.Context(), e, verbatim)
		if err != nil {
			t.Fatal(err)
		}
		parts := append([]string{"What was decided: " + verdict(d.GetOutcome(), len(in.Children) > 0)}, d.GetPaths()...)
		parts = append(parts, staying(in, d)...)
		reasons := d.GetReasons()
		for _, c := range d.GetChildren() {
			reasons = append(reasons, c.GetReasons()...)
			parts = append(parts, fmt.Sprintf("Child %d: %s", c.GetNumber(), verdicts[c.GetOutcome()]), clock(c.GetDueTime()), waitsFor(c.GetNeeds()))
		}
		parts = append(parts, clock(d.GetDueTime()), clock(d.GetValidUntilTime()), d.GetFirstNotificationId())
		for _, r := range reasons {
			parts = append(parts, r.GetText(), r.GetLaw())
		}
		for _, o := range d.GetObligations() {
			parts = append(parts, duties[o.GetKind()], o.GetPhoneNumber(), clock(o.GetDueTime()))
		}
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is not told:\n%s", name, part, text)
			}
		}
		for _, code := range []string{"OUTCOME_", "OBLIGATION_", "map[", "%!", "NOT_", "_DONE", "ask_again", "public_protection", "S16LA"} {
			if strings.Contains(text, code) {
				t.Errorf("%s: %q is no word:\n%s", name, code, text)
			}
		}
	}
}

func TestExplainToldOnce(t *testing.T) {
	in := family()
	in.Parent.Permitted = append([]string{}, "name", "birth")
	in.Agreement.Parent = []string{"name"}
	in.Children[1].Known["home"] = "NOT_KNOWN"
	text, err := Explain(t.Context(), patient(t), marshal(in.value()))
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(text, "\nDecided with rules")
	const want = `What was asked
  Prison BLI offers to tell authority E06000023 about 2 children, by the standard route, on 2026-11-23.
  Permission: given, until Sun 21 Feb 2027 10:00.
  Data-sharing agreement: BLI-E06000023, in force until the end of 2027-03-31.
  Public-protection check: done, and it holds nothing back.

What was decided: it may go.
  It may be acted upon until Mon 30 Nov 2026 10:00.
  Somebody must act by Tue 24 Nov 2026 17:00.
  Because: The data-sharing agreement with this authority does not include these sections, so they stay in the prison.
    About: parent/birth
    Rule agreement_sections; UK GDPR Article 5(1)(b) and (c), purpose and no more than is needed; Data Protection Act 2018 s.121.

Child 1: it may go.
`
	if !strings.HasPrefix(head, want) {
		t.Errorf("%s", text)
	}
	if strings.Count(text, "The data-sharing agreement with this authority") != 1 {
		t.Errorf("told more than once:\n%s", text)
	}
}

func TestExplainRefusesWhatIsNoInput(t *testing.T) {
	if _, err := Explain(t.Context(), patient(t), []byte(`{"nwo": "x"}`)); err == nil {
		t.Error("explained")
	}
}

func TestExplainSaysWhoPassesItOn(t *testing.T) {
	input, err := CaseInput(policy.Bundle, "the_child_found_elsewhere_is_passed_on_in_an_emergency")
	if err != nil {
		t.Fatal(err)
	}
	in, err := ParseInput(input)
	if err != nil {
		t.Fatal(err)
	}
	if got := request(in); !strings.HasPrefix(got, "What prison BLI told another authority about ") {
		t.Errorf("it reads %q", got)
	}
}
