package desk_test

import (
	"crypto/rand"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// puts takes forms of which each puts the one before it right, and returns the first notification of each.
func puts(t *testing.T, x *testkit.Exchange, d *testkit.Desk, forms ...*posternv1.Form) (ids []string) {
	t.Helper()
	for i, f := range forms {
		if i > 0 {
			f.PrisonNumber, f.Supersedes = forms[0].GetPrisonNumber(), ids[i-1]
		}
		ids = append(ids, d.Take(f)[0])
		x.Settle()
	}
	return ids
}

// corrected is a form of so many children at Bristol that puts another right: something is told otherwise.
func corrected(children int, manner string) *posternv1.Form {
	f := formtest.New(slices.Repeat([]string{testkit.Bristol}, children)...)
	f.GetChildren()[0].GetSafety().SafeManner = manner
	return f
}

// takenBackAll checks that nothing of these is with the team, and that their desk knows.
func takenBackAll(t *testing.T, x *testkit.Exchange, d *testkit.Desk, ids ...string) {
	t.Helper()
	for _, id := range ids {
		n := d.Get(id).GetNotification()
		if got := teamHas(t, x.Inbox(testkit.Bristol), id); len(got) > 0 || !desk.ActionsOf(n).Back {
			t.Errorf("%s is %v, and the team has %v", n.GetReference(), n.GetState(), got)
		}
	}
}

// A correction stands beside what it corrects: whoever takes all of one back takes all of them back, whichever reference is on
// the slip, here or at another prison.
func TestAllOfAChainIsTakenBackByEachReference(t *testing.T) {
	for at, name := range []string{"the first", "the second", "the newest"} {
		for _, elsewhere := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				x, d := opened(t)
				ids := puts(t, x, d, corrected(1, "ring"), corrected(1, "write"), corrected(2, "telephone")) // a child is new in the last
				if n := len(x.Inbox(testkit.Bristol).Items()); n != 3 {
					t.Fatalf("%d came", n)
				}
				n := d.Get(ids[at]).GetNotification()
				if elsewhere {
					withdraws(t, x.Desk(testkit.HMPParc), n.GetReference(), n.GetSlipCode())
				} else if n = withdraws(t, d, n.GetReference(), ""); len(n.GetTakenBackToo()) != 2 || len(n.GetMayStillHold()) != 0 {
					t.Errorf("it says that the same was taken back of %q, and that %q may hold it", n.GetTakenBackToo(), n.GetMayStillHold())
				}
				wait(x)
				takenBackAll(t, x, d, ids...)
				for _, item := range x.Inbox(testkit.Bristol).Items() {
					if item.GetStop() == nil || len(item.GetStop().GetPaths()) > 0 {
						t.Errorf("the team was asked to stop %v of %s", item.GetStop(), item.GetReference())
					}
				}
			})
		}
	}
}

// What waits in the spool while what it puts right is taken back is never sent.
func TestACorrectionThatWaitsIsTakenBackToo(t *testing.T) {
	x, d := opened(t)
	ids := puts(t, x, d, corrected(1, "ring"))
	d.Link.Down(true)
	right := corrected(1, "write")
	right.Supersedes = ids[0]
	ids = append(ids, d.Take(right)[0])
	withdraws(t, d, ids[0], "")
	d.Link.Down(false)
	wait(x)
	takenBackAll(t, x, d, ids...)
	if n := len(x.Inbox(testkit.Bristol).Items()); n != 1 {
		t.Errorf("%d came", n)
	}
}

// A child whose address was put right is with another team by then. What was taken back of them is so at both, also when the
// name was put right with it; of their brother, who was in the same form, nothing is.
func TestAChildWhoMovedIsTakenBackAtBothTeams(t *testing.T) {
	for name, renamed := range map[string]bool{"known by name and birth": false, "whose name was put right": true} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			first, right := formtest.New(testkit.Bristol, testkit.Lancashire), formtest.New(testkit.Lancashire, testkit.Lancashire)
			if renamed {
				right.GetChildren()[0].GetIdentity().GivenName = "Perry"
			}
			old := d.Take(first)
			x.Settle()
			right.PrisonNumber, right.Supersedes = first.GetPrisonNumber(), old[0]
			moved := d.Take(right)[0]
			x.Settle()
			withdraws(t, d, old[0], "")
			wait(x)
			takenBackAll(t, x, d, old[0])
			if got := d.Get(moved).GetNotification().GetWithdrawals(); len(got) != 1 || !slices.Equal(got[0].GetPaths(), []string{"child/1"}) {
				t.Errorf("where both children are now there were taken back %v", got)
			}
			if n := d.Get(old[1]).GetNotification(); len(n.GetWithdrawals()) > 0 {
				t.Errorf("of the brother there was taken back %v", n.GetWithdrawals())
			}
			withdraws(t, d, moved, "")
			if n := d.Get(old[1]).GetNotification(); !desk.ActionsOf(n).Back {
				t.Errorf("the brother's older one is %v", n)
			}
		})
	}
}

// A correction numbers its children anew. A part is taken back of the same child there, under its number there, and of no
// other; where nobody can say which child it is, nothing is guessed and the desk says where it may still be.
func TestAPartIsTakenBackOfTheSameChild(t *testing.T) {
	turned := func() *posternv1.Form {
		f := corrected(2, "write")
		slices.Reverse(f.GetChildren())
		return f
	}
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	ids := puts(t, x, d, corrected(2, "ring"), turned())
	n := withdraws(t, d, ids[0], "", "child/1/school", "parent/birth")
	if !slices.Equal(n.GetTakenBackToo(), []string{envelope.Reference(ids[1])}) || len(n.GetMayStillHold()) > 0 {
		t.Errorf("it says that the same was taken back of %q, and that %q may hold it", n.GetTakenBackToo(), n.GetMayStillHold())
	}
	withdraws(t, d, ids[1], "", "child/1/phone")
	wait(x)
	for id, gone := range map[string][]string{ids[0]: {"child/1/school", "child/2/phone"}, ids[1]: {"child/2/school", "child/1/phone"}} {
		got := teamHas(t, in, id)
		if slices.Contains(got, gone[0]) || slices.Contains(got, gone[1]) || slices.Contains(got, "parent/birth") || len(got) != 22 {
			t.Errorf("of %s the team has %d: %v", envelope.Reference(id), len(got), got)
		}
	}

	x, d = opened(t)
	renamed, unknown := turned(), turned()
	renamed.GetChildren()[1].GetIdentity().GivenName = "Perry"
	for _, c := range unknown.GetChildren() {
		c.Identity = &posternv1.ChildIdentity{Provenance: &posternv1.Provenance{Known: posternv1.Known_KNOWN_NOT_ASKED}}
	}
	for _, right := range []*posternv1.Form{renamed, unknown} {
		ids = puts(t, x, d, corrected(2, "ring"), right)
		n = withdraws(t, d, ids[0], "", "child/1/school")
		if !slices.Equal(n.GetMayStillHold(), []string{envelope.Reference(ids[1])}) || len(n.GetTakenBackToo()) > 0 {
			t.Errorf("it says that %q may hold it, and that the same was taken back of %q", n.GetMayStillHold(), n.GetTakenBackToo())
		}
		if got := d.Get(ids[1]).GetNotification().GetWithdrawals(); len(got) > 0 {
			t.Errorf("somebody guessed %v", got)
		}
		withdraws(t, d, ids[1], "", "child/2/school")
		withdraws(t, d, ids[0], "")
		wait(x)
		takenBackAll(t, x, d, ids...)
	}
}

// A child who goes on in a notification of her own has a slip of her own, and takes back of the correction what tells of her.
func TestWhoGoesOnTakesBackOnlyTheirOwnOfACorrection(t *testing.T) {
	x, d := opened(t)
	first := mayBeAlone(2)
	id := d.Take(first)[0]
	x.Settle()
	answeredCall(t, d, id, 2)
	x.Settle()
	on := d.Get(id).GetNotification().GetFollowups()[0].GetId()
	right := corrected(2, "write")
	right.PrisonNumber, right.Supersedes = first.GetPrisonNumber(), id
	newer := d.Take(right)[0]
	x.Settle()
	withdraws(t, d, on, "")
	wait(x)
	takenBackAll(t, x, d, on)
	got := teamHas(t, x.Inbox(testkit.Bristol), newer)
	if slices.Contains(got, "child/2/home") || !slices.Contains(got, "child/1/home") || len(teamHas(t, x.Inbox(testkit.Bristol), id)) == 0 {
		t.Errorf("of the correction the team has %v", got)
	}
	withdraws(t, d, newer, "")
	wait(x)
	takenBackAll(t, x, d, id, on, newer)
}

// What goes without permission is not undone: of that an objection is recorded, and the desk says that it may still be there.
func TestAnObjectionIsRecordedOfACorrectionToo(t *testing.T) {
	for name, byNewer := range map[string]bool{"permission is taken back": false, "the urgent one is objected to": true} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			ids := puts(t, x, d, corrected(1, "ring"), formtest.Urgent(testkit.Bristol, 1))
			by := ids[0]
			if byNewer {
				by = ids[1]
			}
			n := withdraws(t, d, by, "")
			wait(x)
			takenBackAll(t, x, d, ids[0])
			urgent := d.Get(ids[1]).GetNotification()
			if w := urgent.GetWithdrawals(); urgent.GetState() != delivered || len(w) != 1 || !w[0].GetObjection() {
				t.Errorf("the urgent one is %v", urgent)
			}
			if byNewer != slices.Equal(n.GetTakenBackToo(), []string{envelope.Reference(ids[0])}) || byNewer == slices.Equal(n.GetMayStillHold(), []string{envelope.Reference(ids[1])}) {
				t.Errorf("it says that the same was taken back of %q, and that %q may hold it", n.GetTakenBackToo(), n.GetMayStillHold())
			}
		})
	}
}

// What another prison took back before the person agreed again does not take back what they agreed to, however late the desk
// hears of it; and a third form does not put the second right by permission that was taken back of the first.
func TestWhatWasAgreedSinceIsNotTakenBack(t *testing.T) {
	x, d := opened(t)
	first := d.Take(unchecked(testkit.Bristol))[0]
	x.Settle()
	n := d.Get(first).GetNotification()
	d.Link.Down(true)
	withdraws(t, x.Desk(testkit.HMPParc), n.GetReference(), n.GetSlipCode())
	x.Clock.Advance(time.Hour)
	again := corrected(1, "write")
	again.Supersedes, again.Consent.GiveTime = first, timestamppb.New(x.Clock.Now())
	x.Clock.Advance(time.Minute)
	newer := d.Take(again)[0]
	d.Link.Down(false)
	wait(x)
	if n = d.Get(newer).GetNotification(); !desk.ActionsOf(d.Get(first).GetNotification()).Back || n.GetState() != delivered || len(n.GetWithdrawals()) > 0 {
		t.Fatalf("what was agreed to since is %v", n)
	}
	third := corrected(1, "telephone")
	third.Supersedes = newer
	_, _, err := d.Desk.Take(t.Context(), testkit.FormJSON(t, third), testkit.Staff)
	wantFault(t, err, fault.Invalid, "PERMISSION_TAKEN_BACK")
	third.Consent.GiveTime = again.GetConsent().GetGiveTime()
	if ids := d.Take(third); len(ids) != 1 {
		t.Errorf("by the permission of since, it is not taken: %v", ids)
	}
}

// What was sealed again stands in the place of the first, and either may be the one that the team has.
func TestWhatWasSealedAgainTakesTheFirstBack(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	in.Link.Down(true)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	x.Settle()
	tenDays(x)
	must(in.Rotate(t.Context(), &localv1.RotateRequest{}))(t)
	in.Link.Down(false)
	wait(x)
	wait(x)
	again := d.Get(id).GetNotification().GetResealedBy()
	right := corrected(1, "write")
	right.Supersedes, right.Consent.GiveTime = id, timestamppb.New(x.Clock.Now())
	x.Clock.Advance(time.Minute)
	newer := d.Take(right)[0]
	x.Settle()
	if len(teamHas(t, in, again)) == 0 || len(teamHas(t, in, newer)) == 0 {
		t.Fatal("the team has neither")
	}
	d.Link.Down(true) // nothing that the hub tells carries it on
	withdraws(t, d, again, "")
	if n := d.Get(id).GetNotification(); !desk.ActionsOf(n).Back {
		t.Errorf("the first is %v", n)
	}
	d.Link.Down(false)
	wait(x)
	takenBackAll(t, x, d, id, again, newer)
}

// A desk that stops between taking back what was sealed again, and what it was made of, carries that over when it is back:
// all of it, or the part, and no more.
func TestWhatWasSealedAgainIsTakenBackAfterACrash(t *testing.T) {
	for name, paths := range map[string][]string{"all": nil, "a part": {"child/1/phone"}} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			in := x.Inbox(testkit.Bristol)
			in.Link.Down(true)
			id := d.Take(formtest.New(testkit.Bristol))[0]
			x.Settle()
			tenDays(x)
			must(in.Rotate(t.Context(), &localv1.RotateRequest{}))(t)
			in.Link.Down(false)
			wait(x)
			again := d.Get(id).GetNotification().GetResealedBy()
			had := teamHas(t, in, again)
			if len(had) == 0 {
				t.Fatal("the team does not have what was sealed again")
			}
			d.Restart(func(c *desk.Config) { c.Rand = io.LimitReader(rand.Reader, 16) }) // the id of one withdrawal
			_, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Paths: paths, Method: byPhone}, testkit.Staff)
			if err == nil {
				t.Fatal("both were taken back at once")
			}
			if n := d.Get(again).GetNotification(); len(n.GetWithdrawals()) > 0 {
				t.Fatalf("it was carried over: %v", n.GetWithdrawals())
			}
			d.Link.Down(true) // nothing that the hub tells carries it over
			d.Restart()
			for worked := true; worked; {
				worked = must(d.StepReseal(t.Context()))(t)
			}
			if all := d.Get(again).GetNotification().GetWithdrawals(); len(all) != 1 || !slices.Equal(all[0].GetPaths(), paths) {
				t.Errorf("carried over: %v", all)
			}
			d.Link.Down(false)
			wait(x)
			if len(paths) == 0 {
				takenBackAll(t, x, d, id, again)
				return
			}
			left := slices.DeleteFunc(had, func(p string) bool { return slices.Contains(paths, p) })
			if got := teamHas(t, in, again); !slices.Equal(got, left) {
				t.Errorf("the team has %v, want %v", got, left)
			}
			before := d.Get(again).GetNotification()
			withdraws(t, d, id, "", "child/1/school") // and once more, of which the first part is no news
			wait(x)
			if n := d.Get(again).GetNotification(); len(n.GetWithdrawals()) != len(before.GetWithdrawals())+1 {
				t.Errorf("taken back there: %v", n.GetWithdrawals())
			}
		})
	}
}
