package auditor_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"postern/internal/auditor"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

func as(t *testing.T, id string) context.Context {
	return rpc.WithPerson(t.Context(), rpc.Person{ID: id, Roles: []string{"AUDITOR"}})
}

// Each auditor has searches of their own, over restarts.
func TestSearchesAreKeptForWhoeverSavedThem(t *testing.T) {
	x, _ := audited(t)
	a := x.Auditor()
	noError(t, a.SaveSearch(as(t, "one"), "refused", "outcome=WITHHOLD"))
	noError(t, a.SaveSearch(as(t, "one"), "All of Bristol", "prison=BLI"))
	noError(t, a.SaveSearch(as(t, "one"), "refused", "outcome=REFER_TO_PERSON"))
	noError(t, a.SaveSearch(as(t, "two"), "mine", "kind=erased"))
	mine, err := x.Auditor().Searches(as(t, "one"))
	noError(t, err)
	if len(mine) != 2 || mine[0].Name != "All of Bristol" || mine[1].Query != "outcome=REFER_TO_PERSON" {
		t.Fatalf("kept %+v", mine)
	}
	noError(t, a.DeleteSearch(as(t, "two"), mine[0].ID)) // which is not theirs
	noError(t, a.DeleteSearch(as(t, "one"), mine[1].ID))
	noError(t, a.DeleteSearch(as(t, "one"), mine[1].ID))
	if mine, err = a.Searches(as(t, "one")); err != nil || len(mine) != 1 {
		t.Errorf("left are %+v, %v", mine, err)
	}
	for _, name := range []string{"", strings.Repeat("ŵ", 61)} {
		if err := a.SaveSearch(as(t, "one"), name, ""); len(fault.From(err).Fields) != 1 {
			t.Errorf("the name %q: %v", name, err)
		}
	}
	for i := range 50 {
		err = a.SaveSearch(as(t, "one"), fmt.Sprint(i), "")
	}
	if fault.From(err).Reason != "SEARCHES_FULL" {
		t.Errorf("the 51st: %v", err)
	}
	noError(t, os.WriteFile(x.Path("notes.json"), []byte("{"), 0o600))
	if _, err := a.Searches(as(t, "one")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("from a damaged file: %v", err)
	}
}

// Whoever comes again sees proved that the log goes on from what they themselves saw.
func TestTheLogGoesOnFromTheLastVisit(t *testing.T) {
	x, _ := audited(t)
	a := x.Auditor()
	_, err := a.ListEvents(t.Context(), &localv1.ListEventsRequest{})
	noError(t, err)
	first, err := a.Integrity(as(t, "one"))
	noError(t, err)
	for _, c := range first {
		if c.Before.Checkpoint != "" || c.Fault != "" || c.Now.Size == 0 {
			t.Errorf("the first visit: %+v", c)
		}
	}
	x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))
	x.Settle()
	grown, err := x.Auditor().Integrity(as(t, "one"))
	noError(t, err)
	if len(grown) != 2 {
		t.Fatalf("%d logs", len(grown))
	}
	for i, c := range grown {
		if c.Fault != "" || c.Then != first[i].Now || c.Now.Size <= c.Then.Size || len(c.Hashes) == 0 {
			t.Errorf("the second visit: %+v", c)
		}
	}
	other, err := a.Integrity(as(t, "two"))
	noError(t, err)
	if other[0].Before.Checkpoint != "" {
		t.Error("a visit of somebody else's counts")
	}
}

// What known-log prints of a party that sees both logs is compared whole.
func TestAllThatKnownLogPrintsIsCompared(t *testing.T) {
	x, _ := audited(t)
	a := x.Auditor()
	_, err := a.ListEvents(t.Context(), &localv1.ListEventsRequest{})
	noError(t, err)
	var printed []string
	logs, err := x.Auditor().Log().GetLogs(t.Context(), &localv1.GetLogsRequest{})
	noError(t, err)
	for _, l := range logs.GetLogs() {
		printed = append(printed, l.GetCheckpoint())
	}
	all, err := a.Compare(as(t, "one"), "the inspectorate", strings.Join(printed, "\n"))
	noError(t, err)
	if len(all) != 2 || !all[0].Holds || !all[1].Holds || all[0].Origin == all[1].Origin {
		t.Errorf("compared %+v", all)
	}
	if kept, err := a.Compared(t.Context()); err != nil || len(kept) != 2 {
		t.Errorf("remembered are %+v, %v", kept, err)
	}
	if _, err := a.Compare(as(t, "one"), "nobody", printed[0]+"\nwords\n1\n\nno signature\n"); len(fault.From(err).Fields) != 1 {
		t.Errorf("with something else behind it: %v", err)
	}
}

// A checkpoint of another party is held against the log; one of another tree stops the auditor.
func TestCheckpointsOfOthersAreCompared(t *testing.T) {
	x, _ := audited(t)
	a := x.Auditor()
	_, err := a.ListEvents(t.Context(), &localv1.ListEventsRequest{})
	noError(t, err)
	desk := x.Desk(testkit.HMPBristol).Logs().GetLogs()[0]
	x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))
	x.Settle()
	compare := func(checkpoints string) auditor.Comparison {
		t.Helper()
		all, err := a.Compare(as(t, "one"), "the desk at BLI", checkpoints)
		noError(t, err)
		if len(all) != 1 {
			t.Fatalf("compared %+v", all)
		}
		return all[0]
	}
	c := compare(desk.GetCheckpoint())
	if !c.Holds || c.Size != desk.GetSize() || c.Origin != desk.GetOrigin() {
		t.Errorf("compared %+v", c)
	}
	if _, err := a.Compare(as(t, "one"), "nobody", "words\n1\n\n"); len(fault.From(err).Fields) != 1 {
		t.Errorf("of what is no checkpoint: %v", err)
	}
	// The hub is put back to an older copy and goes another way: what the desk has seen is of a tree that is no more.
	copied := x.CopyHub()
	x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))
	x.Settle()
	_, _, gone := x.Ledger.Head(ledger.Sent)
	x.RestoreHub(copied)
	if c = compare(gone + "\n" + desk.GetCheckpoint()); c.Holds {
		t.Errorf("of a log that is no more: %+v", c)
	}
	if a.Log().Stopped() == nil {
		t.Error("the auditor goes on with a hub that tells people different things")
	}
	all, err := x.Auditor().Compared(t.Context())
	noError(t, err)
	if len(all) != 2 || all[0].Holds || !all[1].Holds || all[1].Who != "one" || all[1].With != "the desk at BLI" {
		t.Errorf("remembered are %+v", all)
	}
}
