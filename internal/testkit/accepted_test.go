package testkit_test

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/consent"
	"postern/internal/form/formtest"
	"postern/internal/section"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What the check of a form accepts never fails later: it is split, sealed, verified, decided by a rule that knows it, and
// what the decision lets go is opened by the team exactly as it was written, whatever letters and marks are in it.
func TestWhatIsAcceptedNeverFailsLater(t *testing.T) {
	x := testkit.NewExchange(t)
	desk := x.Desk(testkit.HMPBristol)
	inboxes := map[string]*testkit.Inbox{testkit.Bristol: x.Inbox(testkit.Bristol), testkit.Lancashire: x.Inbox(testkit.Lancashire)}
	shared, kinds := 0, map[posternv1.Route]int{}
	forms := rapid.Custom(formtest.Any)
	for i := range testkit.N(40, 2000) {
		f := forms.Example(i)
		f.FormId, f.PrisonNumber = "", fmt.Sprintf("A%04dZZ", i)
		for _, c := range f.GetChildren() {
			if inboxes[c.GetAuthority()] == nil {
				c.Authority = testkit.Bristol // the register of the exchange has two
			}
		}
		if f.GetConsent() != nil {
			f.Consent.Authorities = slices.DeleteFunc(f.Consent.Authorities, func(a string) bool { return inboxes[a] == nil })
			f.Consent.FollowsChild = f.Consent.FollowsChild || len(f.Consent.Authorities) == 0
		}
		ids := desk.Take(f)
		x.Settle()
		for _, id := range ids {
			n := desk.Get(id).GetNotification()
			d := n.GetDecision()
			if d == nil || n.GetState() == localv1.State_STATE_QUEUED {
				t.Fatalf("%s was accepted and has no decision", id)
			}
			// Of a team that the person did not name no rule speaks: a person decides.
			unnamed := f.GetRoute() <= posternv1.Route_ROUTE_STANDARD && f.GetConsent() != nil && !consent.Reaches(f.GetConsent(), n.GetAuthority())
			for _, r := range allReasons(d) {
				if r.GetRuleId() == "policy_error" && !unnamed {
					t.Fatalf("the rules do not know what to do with it: %v\n%v", d, f)
				}
			}
			if d.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
				continue
			}
			shared++
			kinds[f.GetRoute()]++
			item, err := inboxes[n.GetAuthority()].GetItem(t.Context(), &localv1.GetItemRequest{Id: id})
			if err != nil || item.GetItem().GetFactsMismatch() {
				t.Fatalf("the team cannot open it as it was decided: %v, %v", item.GetItem(), err)
			}
			for _, s := range item.GetSections() {
				same(t, f, n.GetAuthority(), s)
			}
		}
	}
	if shared < 5 || len(kinds) < 2 {
		t.Errorf("only %d were shared, by %v: this proves little", shared, kinds)
	}
}

func allReasons(d *posternv1.Decision) []*posternv1.Reason {
	all := slices.Clone(d.GetReasons())
	for _, c := range d.GetChildren() {
		all = append(all, c.GetReasons()...)
	}
	return all
}

// same fails unless an opened section is the one of the form; a home given as another child's travels in full.
func same(t *testing.T, f *posternv1.Form, authority string, s *localv1.OpenedSection) {
	sec, ok := section.Lookup(s.GetPath())
	got := sec.New()
	if !ok || proto.Unmarshal(s.GetContent(), got) != nil {
		t.Fatalf("%s cannot be read", s.GetPath())
	}
	path := s.GetPath()
	if n, ofChild := section.ChildOf(path); ofChild {
		for i, c := range f.GetChildren() {
			if c.GetAuthority() == authority {
				n--
			}
			if n == 0 {
				path = sec.Path(i + 1)
				break
			}
		}
	}
	want, ok := section.Get(f, path)
	if home, is := want.(*posternv1.ChildHome); is && home.GetSameAsChild() != 0 {
		return
	}
	if !ok || !proto.Equal(got, want) {
		t.Fatalf("%s arrived as\n%v\nand was\n%v", path, got, want)
	}
}
