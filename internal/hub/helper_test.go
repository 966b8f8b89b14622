package hub_test

import (
	"context"
	"crypto/sha256"
	"slices"
	"testing"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	share = posternv1.Outcome_OUTCOME_SHARE
	refer = posternv1.Outcome_OUTCOME_REFER_TO_PERSON
)

// world is an exchange as the tests of a hub use it.
type world struct {
	*testkit.Exchange
	t       *testing.T
	prepare func() // set by between
}

func newWorld(t *testing.T, edits ...func(*testkit.Config)) *world {
	t.Helper()
	return &world{Exchange: testkit.NewExchange(t, edits...), t: t}
}

// submit submits as the desk of a prison.
func (w *world) submit(prison string, n *posternv1.SealedNotification) (*posternv1.SubmitResponse, error) {
	return w.Submission(prison).Submit(w.t.Context(), &posternv1.SubmitRequest{Notification: n})
}

// decided submits as HMP Bristol and must get a decision with a receipt that holds.
func (w *world) decided(n *posternv1.SealedNotification) (*posternv1.SubmitResponse, *verify.Event) {
	w.t.Helper()
	answer := must(w.submit(testkit.HMPBristol, n))(w.t)
	event := must(verify.Receipt(answer.GetReceipt(), w.LogKeys()))(w.t)
	sum := sha256.Sum256(n.GetManifest().GetPayload())
	if event.Kind != logv1.Kind_KIND_DECIDED || event.Origin != w.Ledger.Origin(ledger.Sent) ||
		!slices.Equal(event.Core.GetManifestSha256(), sum[:]) || event.Core.GetOutcome() != answer.GetDecision().GetOutcome() {
		w.t.Fatalf("the receipt is of another event: %v", event)
	}
	return answer, event
}

// one seals a form that makes one notification.
func (w *world) one(f *posternv1.Form) *posternv1.SealedNotification {
	w.t.Helper()
	all := w.Seal(testkit.HMPBristol, f)
	if len(all) != 1 {
		w.t.Fatalf("%d notifications", len(all))
	}
	return all[0]
}

// shareable is a notification that will be shared with Bristol.
func (w *world) shareable() *posternv1.SealedNotification {
	w.t.Helper()
	return w.one(formtest.New(testkit.Bristol))
}

// events lists the events of a kind, oldest first; all kinds for 0.
func (w *world) events(kind logv1.Kind) []ledger.Logged {
	w.t.Helper()
	var all []ledger.Logged
	_, err := w.Ledger.Events(context.Background(), "", 1<<30, func(e ledger.Logged) (bool, error) {
		if kind == 0 || e.Leaf.Kind == kind {
			all = append(all, e)
		}
		return true, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

// waiting is how many deliveries wait.
func (w *world) waiting() (n int) {
	w.t.Helper()
	for _, q := range must(w.Hub.GetStatus(w.t.Context(), &localv1.GetStatusRequest{}))(w.t).GetQueues() {
		n += int(q.GetWaiting())
	}
	return n
}

// rules are the ids of the rules that fired.
func rules(d *posternv1.Decision) []string {
	var ids []string
	for _, r := range d.GetReasons() {
		ids = append(ids, r.GetRuleId())
	}
	for _, c := range d.GetChildren() {
		for _, r := range c.GetReasons() {
			ids = append(ids, r.GetRuleId())
		}
	}
	return ids
}

func offered(n *posternv1.SealedNotification) []string {
	var paths []string
	for _, s := range n.GetSections() {
		paths = append(paths, s.GetPath())
	}
	return paths
}

func wantFault(t *testing.T, err error, kind fault.Kind, reason string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no fault, want %s", reason)
	}
	if f := fault.From(err); f.Kind != kind || f.Reason != reason {
		t.Fatalf("%v %s (%v), want %v %s", f.Kind, f.Reason, err, kind, reason)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
