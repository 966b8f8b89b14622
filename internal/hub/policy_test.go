package hub_test

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"postern/internal/engine"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	"postern/policy"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const policyChanged = logv1.Kind_KIND_POLICY_CHANGED

// folder is the built-in bundle as a folder that a test may change.
func folder(t *testing.T, edits ...func(fstest.MapFS)) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(policy.Bundle, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(policy.Bundle, name)
		out[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range edits {
		edit(out)
	}
	return out
}

// replace changes every occurrence in one file.
func replace(name, old, new string) func(fstest.MapFS) {
	return func(b fstest.MapFS) {
		if !bytes.Contains(b[name].Data, []byte(old)) {
			panic(old)
		}
		b[name] = &fstest.MapFile{Data: bytes.ReplaceAll(b[name].Data, []byte(old), []byte(new))}
	}
}

// elsewhere gives the police another number, which moves the case and the test that say it.
func elsewhere(b fstest.MapFS) {
	replace("data.json", `"police_phone": "999"`, `"police_phone": "112"`)(b)
	replace("postern/sharing/urgent_test.rego", `"CALL_POLICE", "999"`, `"CALL_POLICE", "112"`)(b)
	replace("cases/urgent_at_night_with_nobody_answering_twice_means_the_police.yaml", "CALL_POLICE 999", "CALL_POLICE 112")(b)
}

// sign signs a folder as these parties.
func (w *world) sign(b fstest.MapFS, parties ...string) fstest.MapFS {
	w.t.Helper()
	for _, p := range parties {
		b[engine.SignatureFile] = &fstest.MapFile{Data: must(engine.Sign(b, w.Identity(p), w.Clock.Now()))(w.t)}
	}
	return b
}

func (w *world) activate(b fs.FS) (*localv1.ActivatePolicyResponse, error) {
	w.t.Helper()
	return w.Hub.ActivatePolicy(w.t.Context(), &localv1.ActivatePolicyRequest{Bundle: must(engine.Pack(b))(w.t)})
}

func (w *world) policyInForce() string {
	w.t.Helper()
	return must(w.Hub.GetStatus(w.t.Context(), &localv1.GetStatusRequest{}))(w.t).GetPolicyRevision()
}

// A signed bundle whose tests pass comes into force as an event; it decides from then on, also after a restart, and the
// one before is still served for replays.
func TestActivatePolicy(t *testing.T) {
	w := newWorld(t)
	before := w.policyInForce()
	b := w.sign(folder(t, elsewhere), "/operator/main", "/operator/second")
	out := must(w.activate(b))(t)
	if out.GetRevision() == before || out.GetRevision() != w.policyInForce() || len(out.GetSignedBy()) != 2 || out.GetCases() < 60 {
		t.Fatalf("%v, in force %s", out, w.policyInForce())
	}
	event := must(verify.Receipt(out.GetReceipt(), w.LogKeys()))(t)
	if event.Kind != policyChanged || event.Core.GetPolicyRevision() != out.GetRevision() {
		t.Errorf("the receipt is of %v", event)
	}
	changes := w.events(policyChanged)
	if len(changes) != 1 || !strings.HasSuffix(changes[0].Details.GetCaller(), "/operator/main") {
		t.Errorf("events %v", changes)
	}
	for range 2 {
		if d, _ := w.decided(w.shareable()); d.GetDecision().GetPolicyRevision() != out.GetRevision() || d.GetDecision().GetOutcome() != share {
			t.Errorf("decided %v", d.GetDecision())
		}
		served := must(w.Hub.GetPolicy(t.Context(), &posternv1.GetPolicyRequest{}))(t)
		source := must(engine.OpenServed(served, w.Anchors(), w.Clock.Now()))(t)
		if revision := must(engine.Revision(source))(t); revision != out.GetRevision() || served.GetRevision() != revision {
			t.Errorf("served %s", revision)
		}
		old := must(w.Hub.GetPolicy(t.Context(), &posternv1.GetPolicyRequest{Revision: before}))(t)
		if archive := must(engine.Unpack(old.GetBundle()))(t); must(engine.Revision(archive))(t) != before {
			t.Error("the bundle before is another now")
		}
		w.RestartHub()
	}
	_, err := w.Hub.GetPolicy(t.Context(), &posternv1.GetPolicyRequest{Revision: strings.Repeat("0", 64)})
	wantFault(t, err, fault.NotFound, "NOT_FOUND")
}

// Whatever is wrong with a bundle, the one in force stays, no event is made, and doctor tells.
func TestARefusedPolicyChangesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.policyInForce()
	const operator = "/operator/main"
	for name, c := range map[string]struct {
		bundle fs.FS
		reason string
	}{
		"unsigned":              {folder(t), "POLICY_UNSIGNED"},
		"signed by a desk":      {w.byDesk(folder(t)), "POLICY_SIGNER"},
		"changed since":         {w.changed(folder(t), operator, replace("data.json", `"call_minutes": 60`, `"call_minutes": 600`)), "POLICY_CHANGED"},
		"a test changed since":  {w.changed(folder(t), operator, replace("postern/sharing/gate_test.rego", "HOLD", "HELD")), "POLICY_CHANGED"},
		"a rule added since":    {w.changed(folder(t), operator, func(b fstest.MapFS) { b["postern/sharing/more.rego"] = b["postern/sharing/gate.rego"] }), "POLICY_CHANGED"},
		"a case missing":        {w.changed(folder(t), operator, func(b fstest.MapFS) { delete(b, "cases/declined_on_christmas_eve.yaml") }), "POLICY_CHANGED"},
		"signatures are none":   {folder(t, func(b fstest.MapFS) { b[engine.SignatureFile] = &fstest.MapFile{Data: []byte("{")} }), "POLICY_SIGNATURES"},
		"a misspelt input path": {w.sign(folder(t, replace("postern/sharing/gate.rego", "input.gate ==", "input.gaet ==")), operator), "POLICY_FAULTY"},
		"a failing case":        {w.sign(folder(t, replace("data.json", `"due_hour": 17`, `"due_hour": 16`)), operator), "POLICY_TESTS_FAIL"},
		"a rule nobody tests": {w.sign(folder(t, func(b fstest.MapFS) {
			b["postern/sharing/more.rego"] = &fstest.MapFile{Data: []byte("package postern.sharing\n\nimport rego.v2\n\nmore if input.gate == \"HOLD\"\n")}
		}), operator), "POLICY_TESTS_FAIL"},
	} {
		_, err := w.activate(c.bundle)
		if fault.From(err).Reason != c.reason {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
		if w.policyInForce() != before || len(w.events(policyChanged)) > 0 {
			t.Fatalf("%s: the policy in force is another", name)
		}
	}
	_, err := w.Hub.ActivatePolicy(t.Context(), &localv1.ActivatePolicyRequest{Bundle: []byte("no archive")})
	wantFault(t, err, fault.Invalid, "POLICY_ARCHIVE")
	if d, _ := w.decided(w.shareable()); d.GetDecision().GetPolicyRevision() != before {
		t.Errorf("decided by %s", d.GetDecision().GetPolicyRevision())
	}
	told := false
	for _, f := range must(w.Hub.Examine(t.Context(), &localv1.ExamineRequest{}))(t).GetFindings() {
		told = told || f.GetCheck() == "policy activation" && f.GetLevel() == localv1.Level_LEVEL_WARNING && strings.Contains(f.GetWords(), "POLICY_ARCHIVE")
	}
	if !told || !bytes.Contains(w.Logs(), []byte("a policy was refused; the one in force stays")) {
		t.Error("nobody is told that a policy was refused")
	}
}

// byDesk has a folder signed by one who may not. Sign refuses that, so the statement of an operator is signed by hand.
func (w *world) byDesk(b fstest.MapFS) fs.FS {
	w.t.Helper()
	desk := w.Identity("/prison/" + testkit.HMPBristol + "/desk")
	if _, err := engine.Sign(b, desk, w.Clock.Now()); fault.From(err).Reason != "NOT_AN_OPERATOR" {
		w.t.Fatal(err)
	}
	w.sign(b, "/operator/main")
	signed := &posternv1.Signed{}
	if err := protojson.Unmarshal(b[engine.SignatureFile].Data, signed); err != nil {
		w.t.Fatal(err)
	}
	signed.Signatures = nil
	if err := envelope.AddSignature(signed, desk); err != nil {
		w.t.Fatal(err)
	}
	b[engine.SignatureFile].Data = must(protojson.Marshal(signed))(w.t)
	return b
}

// spoilPolicy makes the stored bundle one that was never signed.
func (w *world) spoilPolicy(revision string) {
	w.t.Helper()
	err := w.Store.Update(w.t.Context(), func(tx store.Tx) error {
		return tx.Put(schema.HubPolicy, []byte(revision), must(proto.Marshal(&posternv1.GetPolicyResponse{Revision: revision}))(w.t))
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// changed signs a folder and changes it then.
func (w *world) changed(b fstest.MapFS, operator string, edit func(fstest.MapFS)) fs.FS {
	w.sign(b, operator)
	edit(b)
	return b
}

// A decision made by a policy that was replaced before it was recorded is made again by the new one.
func TestADecisionByAReplacedPolicyIsMadeAgain(t *testing.T) {
	seen := 0
	for n := 1; ; n++ {
		var revision string
		w, happened := between(t, n, func(w *world) {
			n := w.shareable()
			w.prepare()
			d, _ := w.decided(n)
			last, change := w.events(logv1.Kind_KIND_DECIDED), w.events(policyChanged)
			if len(change) > 0 && change[0].Index < last[len(last)-1].Index && d.GetDecision().GetPolicyRevision() != revision {
				t.Errorf("decided by %s after %s came into force", d.GetDecision().GetPolicyRevision(), revision)
			}
		}, func(w *world) {
			revision = must(w.activate(w.sign(folder(t, elsewhere), "/operator/main")))(t).GetRevision()
		})
		if !happened {
			break
		}
		if seen++; w.policyInForce() != revision {
			t.Errorf("between %d: in force is %s", n, w.policyInForce())
		}
	}
	if seen < 1 {
		t.Errorf("%d places between", seen)
	}
}

// A hub whose stored policy cannot be used refers everything to a person, and says so, until one is activated that can.
func TestAPolicyThatCannotBeUsedRefersEverything(t *testing.T) {
	w := newWorld(t)
	revision := must(w.activate(w.sign(folder(t, elsewhere), "/operator/main")))(t).GetRevision()
	w.spoilPolicy(revision)
	w.RestartHub()
	if d, _ := w.decided(w.shareable()); d.GetDecision().GetOutcome() != refer || d.GetDecision().GetPolicyRevision() != revision {
		t.Fatalf("decided %v", d.GetDecision())
	}
	must(w.activate(w.sign(folder(t), "/operator/main")))(t)
	if d, _ := w.decided(w.shareable()); d.GetDecision().GetOutcome() != share {
		t.Errorf("decided %v", d.GetDecision())
	}
}
