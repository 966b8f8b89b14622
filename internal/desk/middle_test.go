package desk_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What puts right a correction that never went puts right, for the team, what it has: the two name one another there. At the desk
// it puts right the one that its form names, and all of the chain is taken back by each.
func TestACorrectionNamesToTheTeamWhatTheTeamHas(t *testing.T) {
	for name, inBetween := range map[string]int{"one never went": 1, "two never went": 2} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			forms := []*posternv1.Form{corrected(1, "ring")}
			for range inBetween {
				waits := corrected(1, "write")
				waits.Gate = posternv1.Gate_GATE_NOT_DONE
				forms = append(forms, waits)
			}
			ids := puts(t, x, d, append(forms, corrected(2, "telephone"))...)
			first, last := ids[0], ids[len(ids)-1]
			item := func(id string) *localv1.Item {
				return must(x.Inbox(testkit.Bristol).GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t).GetItem()
			}
			if n := item(last); n.GetSupersedes() != first || n.GetChangeReason() != posternv1.ChangeReason_CHANGE_REASON_CHILD_ADDED {
				t.Errorf("the team reads that the last one puts right %q, %v", n.GetSupersedes(), n.GetChangeReason())
			}
			if by := item(first).GetSupersededBy(); !slices.Equal(by, []string{last}) {
				t.Errorf("the team reads that the first one is put right by %q", by)
			}
			if n := d.Get(last).GetNotification(); n.GetSupersedes() != ids[len(ids)-2] {
				t.Errorf("the desk says that it puts right %q", n.GetSupersedes())
			}
			n := d.Get(ids[1]).GetNotification()
			withdraws(t, d, n.GetReference(), "")
			wait(x)
			takenBackAll(t, x, d, first, last)
		})
	}
}

// What is on its way may come yet, so it is named.
func TestACorrectionNamesWhatMayStillCome(t *testing.T) {
	x, d := opened(t)
	first := d.Take(corrected(1, "ring"))[0]
	x.Settle()
	d.Link.Down(true)
	second := corrected(1, "write")
	second.Supersedes = first
	middle := d.Take(second)[0]
	third := proto.CloneOf(second)
	third.FormId, third.Supersedes, third.Children[0].Safety.SafeManner = "", middle, "telephone"
	last := d.Take(third)[0]
	d.Link.Down(false)
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	if n := must(x.Inbox(testkit.Bristol).GetItem(t.Context(), &localv1.GetItemRequest{Id: last}))(t).GetItem(); n.GetSupersedes() != middle {
		t.Errorf("it puts right %q", n.GetSupersedes())
	}
}
