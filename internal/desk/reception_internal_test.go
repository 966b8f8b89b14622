package desk

import (
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/engine"
	"postern/policy"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Whatever else there is about a family, reception sees the same of it while the check holds it, while it is not done and
// while it is overdue: every field, but for the ids and for the hour.
func TestReceptionCannotTellAHoldFromAWait(t *testing.T) {
	rules, err := engine.New(t.Context(), engine.Config{Bundle: policy.Bundle, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	cases, err := fs.Glob(policy.Bundle, "cases/*.yaml")
	if err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	held, overdue := 0, 0
	for _, name := range cases {
		for _, late := range []time.Duration{0, 26 * time.Hour, 8 * 24 * time.Hour} {
			hold := decide(t, rules, name, "HOLD", late)
			for _, gate := range []string{"NOT_DONE", ""} {
				wait := decide(t, rules, name, gate, late)
				if awaitsCheck(hold) != awaitsCheck(wait) {
					t.Fatalf("%s: the check is spoken of in one and not in the other", name)
				}
				if !awaitsCheck(hold) {
					continue // by this route the check has no say
				}
				held++
				if wait.GetOutcome() == posternv1.Outcome_OUTCOME_REFER_TO_PERSON {
					overdue++
				}
				same(t, name, asKept(hold, decidedState(hold)), asKept(wait, decidedState(wait)))
				for _, state := range []localv1.State{stateWithdrawn, stateClosed, stateWithheld} {
					same(t, name, asKept(hold, state), asKept(wait, state))
				}
			}
		}
	}
	if held == 0 || overdue == 0 {
		t.Errorf("held %d, overdue %d: nothing was compared", held, overdue)
	}
}

// decide asks the policy about a case, with this check, so long after its hour.
func decide(t *testing.T, rules *engine.Engine, name, gate string, late time.Duration) *posternv1.Decision {
	t.Helper()
	text, err := engine.CaseInput(policy.Bundle, path.Base(name))
	if err != nil {
		t.Fatal(err)
	}
	in, err := engine.ParseInput(text)
	if err != nil {
		t.Fatal(err)
	}
	in.Gate = gate
	now, err := time.Parse(time.RFC3339, in.Now)
	if err != nil {
		t.Fatal(err)
	}
	in.Now = now.Add(late).Format(time.RFC3339)
	d, _ := rules.Decide(t.Context(), in)
	return d
}

func decidedState(d *posternv1.Decision) localv1.State {
	return after(stateQueued, decided(d.GetOutcome()))
}

// asKept is a notification as the desk keeps it with a decision; what is another hour's is set by the decision.
func asKept(d *posternv1.Decision, state localv1.State) *localv1.Notification {
	n := &localv1.Notification{Id: "id", Authority: "E06000023", FormChildren: []uint32{1, 2}, State: state, Decision: d,
		CreateTime: timestamppb.New(time.Unix(1, 0)), UpdateTime: d.GetDecideTime(), ResubmitTime: d.GetDueTime(), DueTime: d.GetDueTime()}
	if slices.ContainsFunc(d.GetReasons(), func(r *posternv1.Reason) bool { return r.GetRuleId() == ruleHold }) {
		n.Gate = &localv1.GateSetting{Gate: posternv1.Gate_GATE_HOLD, StaffId: "PP01"}
		n.Changes, n.ChangesTold, n.Overdue = 1, 1, true
	}
	return n
}

func same(t *testing.T, name string, a, b *localv1.Notification) {
	t.Helper()
	if a, b = forReception(a), forReception(b); !proto.Equal(a, b) {
		t.Errorf("%s: reception can tell\n%v\nfrom\n%v", name, a, b)
	}
}
