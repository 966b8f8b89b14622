package hub_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/hub"
	"postern/internal/ledger"
	"postern/internal/testkit"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// TestFiltersFindTheSameWithTheIndex: every filter gives the same list before and after the events are indexed, and for
// every scope.
func TestFiltersFindTheSameWithTheIndex(t *testing.T) {
	id := func(i int) string { return fmt.Sprintf("5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f%04x", i) }
	for name, scope := range map[string]hub.Scope{"all": {All: true}, "a prison": {Prisons: []string{"PRI"}}, "a prison and authorities": {Prisons: []string{"BLI"}, Authorities: []string{"E2", "E5"}}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *testkit.Config) {
				c.Hub = func(h *hub.Config) { h.Auditors = map[string]hub.Scope{"ig": scope} }
			})
			outcomes := []posternv1.Outcome{posternv1.Outcome_OUTCOME_SHARE, posternv1.Outcome_OUTCOME_WAIT, refer}
			err := w.Ledger.Append(t.Context(), func(tx *ledger.Tx) error {
				for i := range 700 {
					d := &posternv1.Decision{Outcome: outcomes[i%3], Children: []*posternv1.ChildDecision{{Number: 1, Reasons: []*posternv1.Reason{{RuleId: fmt.Sprint("rule_", i%40)}}}}}
					if i%11 == 0 {
						d.Reasons = []*posternv1.Reason{{RuleId: "of_all"}}
					}
					_, err := tx.Record(ledger.Log(1+i%2), ledger.Event{Kind: logv1.Kind(1 + i%4), Time: testkit.Now.Add(time.Duration(i) * time.Minute), Core: &logv1.Core{},
						Details: &logv1.Details{Sender: &posternv1.Sender{PrisonId: []string{"BLI", "PRI"}[i*3%5%2]}, Authority: fmt.Sprint("E", i%7), NotificationId: id(i), Decision: d}})
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			w.Clock.Advance(24 * time.Hour) // questions come after what they ask about
			filters := []*posternv1.EventFilter{nil, {PrisonId: "PRI"}, {Authority: "E3", PrisonId: "BLI"}, {RuleId: "rule_7"}, {RuleId: "of_all", Outcome: refer},
				{Kind: "refused", Authority: "E1"}, {Notification: id(300)}, {Notification: id(9999)}, {Outcome: refer, RuleId: "nothing"},
				{StartTime: timestamppb.New(testkit.Now.Add(90 * time.Minute)), EndTime: timestamppb.New(testkit.Now.Add(150 * time.Minute))},
				{StartTime: timestamppb.New(testkit.Now.Add(200*time.Minute + 30*time.Second)), Kind: "decided", PrisonId: "PRI"}}
			list := func(f *posternv1.EventFilter) (found []string) {
				for token := ""; ; {
					page := must(w.Audit(testkit.AuditorPath).ListEvents(t.Context(), &posternv1.ListEventsRequest{Filter: f, PageSize: 40, PageToken: token}))(t)
					for _, e := range undisclosed(page.GetEvents()) {
						found = append(found, e.GetEventId())
					}
					if token = page.GetNextPageToken(); token == "" {
						return found
					}
				}
			}
			var before [][]string
			for _, f := range filters {
				before = append(before, list(f))
			}
			blocks := 0
			for worked := true; worked; blocks++ {
				if worked, err = w.Hub.StepIndex(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for i, f := range filters {
				if after := list(f); !slices.Equal(after, before[i]) || blocks != 3 {
					t.Errorf("%v: %d events, %d with %d blocks indexed", f, len(before[i]), len(after), blocks-1)
				}
			}
			if len(before[1]) == 0 || len(before[4]) == 0 || name == "all" && len(before[6]) != 1 {
				t.Errorf("the filters find too little to prove anything")
			}
		})
	}
}
