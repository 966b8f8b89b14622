package auditor_test

import (
	"bytes"
	"context"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	"postern/policy"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// again collects what a replay says.
type again struct {
	grpc.ServerStream
	ctx context.Context
	all []*localv1.ReplayResponse
}

func (a *again) Context() context.Context { return a.ctx }

func (a *again) Send(r *localv1.ReplayResponse) error {
	a.all = append(a.all, proto.CloneOf(r))
	return nil
}

// count is how often each came out.
func (a *again) count() map[localv1.Replayed]int {
	n := map[localv1.Replayed]int{}
	for _, r := range a.all {
		n[r.GetReplayed()]++
	}
	return n
}

func replayed(t *testing.T, x *testkit.Exchange, req *localv1.ReplayRequest) (*again, error) {
	t.Helper()
	out := &again{ctx: t.Context()}
	return out, x.Auditor().Replay(req, out)
}

// shorter is the policy with decisions that end after two hours.
func shorter(t *testing.T) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	noError(t, fs.WalkDir(policy.Bundle, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(policy.Bundle, name)
		out[name] = &fstest.MapFile{Data: bytes.Replace(data, []byte(`"decision_valid_hours": 168`), []byte(`"decision_valid_hours": 2`), 1)}
		return err
	}))
	return out
}

// Families of every route, and one that was told of before.
func families(t *testing.T, edits ...func(*testkit.Config)) *testkit.Exchange {
	t.Helper()
	x := testkit.NewExchange(t, edits...)
	d := x.Desk(testkit.HMPBristol)
	d.Take(formtest.New(testkit.Bristol, testkit.Lancashire))
	d.Take(formtest.Urgent(testkit.Bristol, 2))
	d.Take(formtest.Declined())
	x.Settle()
	return x
}

func TestWhatWasDecidedIsDecidedAgain(t *testing.T) {
	x := families(t)
	out, err := replayed(t, x, &localv1.ReplayRequest{})
	noError(t, err)
	if n := out.count(); n[localv1.Replayed_REPLAYED_SAME] != len(out.all) || len(out.all) < 3 {
		t.Errorf("of %d came out %v", len(out.all), n)
	}
	before := len(out.all)
	out, err = replayed(t, x, &localv1.ReplayRequest{Filter: &posternv1.EventFilter{Authority: testkit.Lancashire}})
	noError(t, err)
	if len(out.all) != 1 || out.all[0].GetEvent().GetAuthority() != testkit.Lancashire {
		t.Errorf("of %d, those to Lancashire are %v", before, out.all)
	}
}

// A decision that the policy did not make is found, though the log holds it and its proof is right.
func TestADecisionThatIsNotThePolicysIsFound(t *testing.T) {
	x := families(t, func(c *testkit.Config) { c.Forges = true })
	var was ledger.Logged
	_, err := x.Ledger.Events(t.Context(), "", 1, func(e ledger.Logged) (bool, error) {
		shared := e.Details.GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
		if shared {
			was = e
		}
		return shared, nil
	})
	noError(t, err)
	forge := func(edit func(*posternv1.Decision)) {
		t.Helper()
		details := proto.CloneOf(was.Details)
		details.Salt = nil // each event has its own
		edit(details.Decision)
		noError(t, x.Ledger.Append(t.Context(), func(tx *ledger.Tx) error {
			_, err := tx.Record(ledger.Sent, ledger.Event{Kind: logv1.Kind_KIND_DECIDED, Time: x.Clock.Now(), Core: was.Core, Details: details})
			return err
		}))
	}
	forge(func(d *posternv1.Decision) { d.Children[0].Reasons[0].Text += " So they said." })
	forge(func(d *posternv1.Decision) { d.Paths = d.Paths[1:] })
	forge(func(d *posternv1.Decision) {
		d.Outcome, d.Reasons = posternv1.Outcome_OUTCOME_REFER_TO_PERSON, []*posternv1.Reason{{RuleId: "policy_error"}}
	})
	forge(func(d *posternv1.Decision) { d.EngineVersion = "opa/0.1" }) // is no difference
	x.Settle()
	out, err := replayed(t, x, &localv1.ReplayRequest{})
	noError(t, err)
	n := out.count()
	if n[localv1.Replayed_REPLAYED_DIFFERS] != 2 || n[localv1.Replayed_REPLAYED_UNDECIDED] != 1 {
		t.Errorf("came out %v", n)
	}
	for _, r := range out.all {
		if differs := r.GetReplayed() == localv1.Replayed_REPLAYED_DIFFERS; differs && len(r.GetDifferences()) == 0 {
			t.Errorf("%v says nothing", r)
		}
	}
}

// The policy of then is known by its digest: another is refused, and one that is gone is said to be.
func TestThePolicyOfThenIsKnownByItsDigest(t *testing.T) {
	x := families(t)
	same, err := engine.Pack(policy.Bundle)
	noError(t, err)
	short, err := engine.Pack(shorter(t))
	noError(t, err)
	link := x.ToHub(testkit.AuditorPath)
	link.Answers(func(method string, b []byte) []byte {
		if !strings.HasSuffix(method, "/GetPolicy") {
			return b
		}
		b, err := proto.Marshal(&posternv1.GetPolicyResponse{Bundle: short})
		if err != nil {
			t.Error(err)
		}
		return b
	})
	if _, err := replayed(t, x, &localv1.ReplayRequest{}); fault.From(err).Reason != "POLICY_OF_ANOTHER" || fault.KindOf(err) != fault.Unverified {
		t.Errorf("with another policy: %v", err)
	}
	link.Answers(nil)

	revision, err := engine.Revision(policy.Bundle)
	noError(t, err)
	noError(t, x.Store.Update(t.Context(), func(tx store.Tx) error {
		return tx.Delete(schema.HubPolicy, []byte(revision))
	}))
	out, err := replayed(t, x, &localv1.ReplayRequest{})
	noError(t, err)
	if n := out.count(); n[localv1.Replayed_REPLAYED_POLICY_MISSING] != len(out.all) {
		t.Errorf("without the policy came out %v", n)
	}
	out, err = replayed(t, x, &localv1.ReplayRequest{Bundle: same})
	noError(t, err)
	if n := out.count(); n[localv1.Replayed_REPLAYED_SAME] != len(out.all) {
		t.Errorf("with a draft that is the same came out %v", n)
	}
	out, err = replayed(t, x, &localv1.ReplayRequest{Bundle: short})
	noError(t, err)
	for _, r := range out.all {
		shared := r.GetEvent().GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
		if differs := r.GetReplayed() == localv1.Replayed_REPLAYED_DIFFERS; differs != shared {
			t.Errorf("with another end of every decision to share: %v", r)
		}
	}
}
