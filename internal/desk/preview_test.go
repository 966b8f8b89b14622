package desk_test

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/examples/forms"
	"postern/internal/desk"
	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/rpc"
	"postern/internal/testkit"
	"postern/internal/words"
	"postern/policy"
	posternv1 "postern/proto/postern/v1"
)

// atSite is the context of somebody at the site.
func atSite(t testing.TB, roles ...string) context.Context {
	return rpc.WithPerson(t.Context(), rpc.Person{ID: "RES77", Roles: roles})
}

// drain submits everything that is in the spool.
func drain(t testing.TB, d *testkit.Desk) {
	t.Helper()
	for {
		worked, err := d.StepSpool(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !worked {
			return
		}
	}
}

// failer is what a rapid.T and a testing.T have in common.
type failer interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}

// lookAhead previews a form, hands it in, and holds what the hub decides against what was foretold.
func lookAhead(t *testing.T, f failer, d *testkit.Desk, form *posternv1.Form) {
	f.Helper()
	ahead, err := d.Preview(atSite(t, "SAFEGUARDING_LEAD"), words.English, form)
	_, ids, taken := d.Desk.Take(t.Context(), testkit.FormJSON(t, form), testkit.Staff)
	if err != nil || taken != nil {
		if fault.From(err).Reason != fault.From(taken).Reason || len(fault.From(err).Fields) != len(fault.From(taken).Fields) {
			f.Fatalf("looking ahead ends in %v, handing in in %v", err, taken)
		}
		return
	}
	drain(t, d)
	wantForetold(f, d, ahead, ids)
}

// wantForetold holds what the hub decided against what was foretold.
func wantForetold(f failer, d *testkit.Desk, ahead *desk.Preview, ids []string) {
	f.Helper()
	if len(ids) != len(ahead.Parts) {
		f.Fatalf("%d notifications, foretold were %d", len(ids), len(ahead.Parts))
	}
	for i, id := range ids {
		n := d.Get(id).GetNotification()
		if part := ahead.Parts[i]; part.Authority != n.GetAuthority() || !proto.Equal(part.Decision, n.GetDecision()) {
			f.Errorf("for %s was foretold\n%v\nthe hub decided for %s\n%v", part.Authority, part.Decision, n.GetAuthority(), n.GetDecision())
		}
		var goes []string
		for _, s := range ahead.Parts[i].Sections {
			if s.Fate == desk.Goes {
				goes = append(goes, s.Path)
			}
		}
		released := slices.Sorted(slices.Values(ahead.Parts[i].Then.GetPaths()))
		if slices.Sort(goes); !slices.Equal(goes, released) {
			f.Errorf("shown as going are %q, released %q", goes, released)
		}
	}
}

// Whatever the form, the desk foretells what the hub decides: outcome, sections, reasons, what is to do and until when.
func TestThePreviewIsWhatTheHubDecides(t *testing.T) {
	x, d := opened(t)
	left := testkit.N(30, 1500)
	rapid.Check(t, func(rt *rapid.T) {
		if left--; left < 0 {
			return
		}
		f := formtest.Any(rt)
		f.FormId = ""
		if rapid.Bool().Draw(rt, "check not done") {
			f.Gate = posternv1.Gate_GATE_NOT_DONE
		}
		x.Clock.Advance(time.Duration(rapid.IntRange(0, 3).Draw(rt, "hours later")) * time.Hour)
		lookAhead(t, rt, d, f)
	})
}

// So it is for every example, and for the same story told twice.
func TestThePreviewOfEveryExample(t *testing.T) {
	names, err := fs.Glob(forms.Files, "*.json")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d examples: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(name, ".json"), func(t *testing.T) {
			x, d := opened(t)
			f := x.Example(strings.TrimSuffix(name, ".json"))
			lookAhead(t, t, d, f)
			x.Clock.Advance(time.Hour)
			lookAhead(t, t, d, f)
		})
	}
}

// What lies undelivered does not count as sent, at the desk as little as at the hub.
func TestThePreviewOfWhatLiesUndelivered(t *testing.T) {
	x, d := opened(t)
	f := formtest.New(testkit.Bristol)
	lookAhead(t, t, d, f)
	x.Inbox(testkit.Bristol).Link.Down(true)
	for range 30 {
		x.Clock.Advance(time.Hour)
		x.Settle()
	}
	before, err := d.Preview(atSite(t, "SAFEGUARDING_LEAD"), words.English, f)
	if err != nil || before.Parts[0].Decision.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
		t.Errorf("foretold %v: %v", before, err)
	}
	lookAhead(t, t, d, f)
}

// Nor does what was shared by a permission that has ended, which is given again.
func TestThePreviewOnceThePermissionHasEnded(t *testing.T) {
	x, d := opened(t)
	f := formtest.New(testkit.Bristol)
	end := x.Clock.Now().Add(10 * 24 * time.Hour)
	f.Consent.ExpireTime = timestamppb.New(end)
	lookAhead(t, t, d, f)
	x.Clock.Advance(end.Sub(x.Clock.Now()))
	f.FormId, f.Consent.GiveTime, f.Consent.ExpireTime = "", timestamppb.New(end), nil
	ahead, err := d.Preview(atSite(t, "SAFEGUARDING_LEAD"), words.English, f)
	if err != nil || ahead.Parts[0].Decision.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
		t.Errorf("foretold %v: %v", ahead, err)
	}
	lookAhead(t, t, d, f)
}

// complaints gathers what a check complains of.
type complaints struct {
	testing.TB
	n int
}

func (c *complaints) Errorf(string, ...any) { c.n++ }

// The control of both: the hour at which a form arrives is the hub's to know, and where it matters the check notices.
func TestAnotherHourIsAnotherDecision(t *testing.T) {
	x, d := opened(t)
	f := family()
	f.Consent.ExpireTime = timestamppb.New(x.Clock.Now().Add(time.Hour))
	ahead := must(d.Preview(atSite(t, "RESETTLEMENT"), words.English, f))(t)
	ids := d.Take(f)
	x.Clock.Advance(2 * time.Hour)
	drain(t, d)
	c := &complaints{TB: t}
	if wantForetold(c, d, ahead, ids); c.n == 0 {
		t.Error("the permission ended on the way, and no difference is found")
	}
}

// Reception learns nothing of the public-protection check by looking ahead: whatever it found, the preview is the same.
func TestThePreviewTellsReceptionNothingOfTheCheck(t *testing.T) {
	_, d := opened(t)
	var seen []*desk.Preview
	for _, gate := range []posternv1.Gate{posternv1.Gate_GATE_NOT_DONE, posternv1.Gate_GATE_HOLD} {
		f := family()
		f.PrisonNumber, f.Gate = "A0001ZZ", gate
		seen = append(seen, must(d.Preview(atSite(t, "RECEPTION_OFFICER"), words.English, f))(t))
	}
	a, b := seen[0].Parts[0], seen[1].Parts[0]
	if !proto.Equal(a.Decision, b.Decision) || !proto.Equal(a.Then, b.Then) || len(a.Sections) != len(b.Sections) {
		t.Errorf("not done: %v\nheld: %v", a.Decision, b.Decision)
	}
	if a.Decision.GetOutcome() != posternv1.Outcome_OUTCOME_WAIT || a.Then.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE || len(a.Decision.GetPaths()) > 0 {
		t.Errorf("now %v, then %v", a.Decision, a.Then)
	}
}

// A section that stays has its reason: the person did not agree, the agreement leaves it out, or the rules say so.
func TestWhatStaysSaysWhy(t *testing.T) {
	x, d := opened(t)
	f := x.Example("shared_in_part")
	fates := map[desk.Fate][]string{}
	for _, s := range must(d.Preview(atSite(t, "RESETTLEMENT"), words.English, f))(t).Parts[0].Sections {
		fates[s.Fate] = append(fates[s.Fate], s.Path)
		if s.Message == nil || s.Fate == desk.Stays && len(s.Reasons) == 0 {
			t.Errorf("%s is %d without a reason", s.Path, s.Fate)
		}
	}
	if len(fates[desk.Goes]) == 0 || len(fates[desk.Stays])+len(fates[desk.NotAgreed]) == 0 {
		t.Errorf("the sections are %v", fates)
	}
}

// The desk looks ahead without the hub, and says by which rules and how old they are.
func TestThePreviewNeedsNoHub(t *testing.T) {
	x, d := opened(t)
	own := must(engine.Revision(policy.Bundle))(t)
	ahead := func() desk.PolicyAge {
		t.Helper()
		p := must(d.Preview(atSite(t, "RESETTLEMENT"), words.English, family()))(t)
		if len(p.Parts) != 1 || p.Parts[0].Decision.GetPolicyRevision() != p.Policy.Revision || p.Directory == 0 {
			t.Fatalf("looked ahead: %+v", p)
		}
		return p.Policy
	}
	if p := ahead(); p.Revision != own || !p.BuiltIn || !p.Since.IsZero() || !p.Checked.IsZero() {
		t.Errorf("before anything was heard: %+v", p)
	}
	revision := activate(t, x)
	must(d.StepPolicy(t.Context()))(t)
	came := x.Clock.Now()
	x.Clock.Advance(48 * time.Hour)
	must(d.StepPolicy(t.Context()))(t)
	if p := ahead(); p.Revision != revision || p.BuiltIn || !p.Since.Equal(came) || !p.Checked.Equal(x.Clock.Now()) {
		t.Errorf("two days after it came at %v: %+v", came, p)
	}
	d.Link.Down(true)
	d.Restart()
	if p := ahead(); p.Revision != revision || !p.Since.Equal(came) || !p.Checked.IsZero() {
		t.Errorf("after a restart without the hub: %+v", p)
	}
}

// The faults are those of handing it in, in the reader's language.
func TestThePreviewOfAFaultyForm(t *testing.T) {
	_, d := opened(t)
	f := family()
	f.Children[0].Home.Postcode = "no such thing"
	_, err := d.Preview(atSite(t, "RESETTLEMENT"), words.Welsh, f)
	wantFault(t, err, fault.Invalid, "FORM_INVALID")
	if fields := fault.From(err).Fields; len(fields) != 1 || fields[0].Path != "children[0].home.postcode" {
		t.Errorf("the faults are %v", fields)
	}
}
