package hub_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/form/formtest"
	"postern/internal/identity"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// ending is a world in which the certificate of HMP Bristol's desk ends in two hours.
func ending(t *testing.T) (w *world, own *identity.Identity) {
	t.Helper()
	w = newWorld(t, func(c *testkit.Config) {
		c.IdentityOf = func(path string) *identity.Identity {
			if path == "/prison/BLI/desk" {
				return own
			}
			return nil
		}
	})
	own = w.Issue("/prison/BLI/desk", testkit.Now.AddDate(0, 0, -30).Add(2*time.Hour), 30)
	return w, own
}

// What waits is decided again, more than once, after the certificate of its desk has ended. It was good at the first decision,
// so the team takes it.
func TestWhatIsDecidedAgainOutlivesTheDesksCertificate(t *testing.T) {
	w, _ := ending(t)
	d, in := w.Desk(testkit.HMPBristol), w.Inbox(testkit.Bristol)
	in.Link.Down(true)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	must(d.StepSpool(t.Context()))(t)
	for number := range uint64(3) {
		w.Clock.Advance(4 * time.Hour)
		w.LoadDirectory(number+2, testkit.Register{})
		w.settle()
	}
	in.Link.Down(false)
	w.Clock.Advance(2 * testkit.MaxWait)
	w.settle()
	if decisions, _ := w.decisions(); w.item(id) == nil || len(decisions) < 2 {
		t.Errorf("it was decided %d times and did not arrive: %v", len(decisions), must(w.Hub.ListDeadLetters(t.Context(), &localv1.ListDeadLettersRequest{}))(t))
	}
}

// So does an inbox that lost what was narrowed meanwhile.
func TestWhatIsNarrowedOutlivesTheDesksCertificate(t *testing.T) {
	w, own := ending(t)
	d, in := w.Desk(testkit.HMPBristol), w.Inbox(testkit.Bristol)
	copied := in.Backup()
	id := d.Take(formtest.New(testkit.Bristol))[0]
	w.Settle()
	w.Clock.Advance(12 * time.Hour)
	if err := own.Replace(w.Issue("/prison/BLI/desk", w.Clock.Now().AddDate(0, 0, -1), 30)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"child/1/school", "parent/custody"} {
		must(d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Paths: []string{path}, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff))(t)
		w.Settle()
	}
	in.Restore(copied)
	for range 3 {
		w.Clock.Advance(2 * testkit.MaxWait)
		w.Settle()
	}
	if it := w.item(id); it == nil || slices.Contains(it.GetItem().GetPaths(), "child/1/school") {
		t.Errorf("the team has %v; given up %v", it.GetItem(), must(w.Hub.ListDeadLetters(t.Context(), &localv1.ListDeadLettersRequest{}))(t))
	}
}

// An authority leaves the directory, as when councils are made one, while something waits for its inbox, which is off. The
// desk hears at once that a person must telephone, and not after the longest time that any authority may have.
func TestWhatWaitsForAnAuthorityThatLeavesTheDirectory(t *testing.T) {
	for want, tried := range map[localv1.State]bool{localv1.State_STATE_UNDELIVERED: true, localv1.State_STATE_REFERRED: false} {
		w := newWorld(t)
		d := w.Desk(testkit.HMPBristol)
		w.Inbox(testkit.Bristol).Link.Down(true)
		id := d.Take(formtest.New(testkit.Bristol))[0]
		must(d.StepSpool(t.Context()))(t)
		if tried {
			must(w.Hub.StepDelivery(t.Context()))(t)
		}
		w.loadEntries(2, func(all []*posternv1.DirectoryEntry) []*posternv1.DirectoryEntry {
			return slices.DeleteFunc(all, func(e *posternv1.DirectoryEntry) bool {
				a := &posternv1.DataSharingAgreement{}
				if err := proto.Unmarshal(e.GetAgreement().GetPayload(), a); err != nil {
					t.Fatal(err)
				}
				return e.GetAuthority().GetCode() == testkit.Bristol || slices.Contains(a.GetAuthorities(), testkit.Bristol)
			})
		})
		w.Clock.Advance(2 * testkit.MaxWait)
		w.settle()
		must(d.StepUpdates(t.Context()))(t)
		if d.State(id) != want || w.waiting() != 0 {
			t.Errorf("tried %v: the desk shows %v, %d wait", tried, d.State(id), w.waiting())
		}
	}
}
