package desk_test

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/testkit"
	"postern/policy"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// activate brings a policy with another rule file into force at the hub, and returns its revision.
func activate(t *testing.T, x *testkit.Exchange) string {
	t.Helper()
	b := fstest.MapFS{"postern/sharing/more.rego": {Data: []byte("package postern.sharing\n\nimport rego.v2\n\n# Nothing more.\n")}}
	err := fs.WalkDir(policy.Bundle, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(policy.Bundle, name)
		b[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b[engine.SignatureFile] = &fstest.MapFile{Data: must(engine.Sign(b, x.Identity("/operator/main"), x.Clock.Now()))(t)}
	archive := must(engine.Pack(b))(t)
	return must(x.Hub.ActivatePolicy(t.Context(), &localv1.ActivatePolicyRequest{Bundle: archive}))(t).GetRevision()
}

// The desk fetches the policy in force, verifies it, and has it offline and after a restart.
func TestTheDeskHasThePolicyInForce(t *testing.T) {
	x, d := opened(t)
	builtIn := must(engine.Revision(policy.Bundle))(t)
	if !must(d.StepPolicy(t.Context()))(t) || must(d.StepPolicy(t.Context()))(t) {
		t.Error("the first step fetches it, the second has it")
	}
	if e := must(d.Policy(t.Context()))(t); e.Revision() != builtIn {
		t.Errorf("revision %s", e.Revision())
	}
	revision := activate(t, x)
	if !must(d.StepPolicy(t.Context()))(t) {
		t.Error("another policy in force is no news")
	}
	d.Restart()
	if e := must(d.Policy(t.Context()))(t); e.Revision() != revision || revision == builtIn {
		t.Errorf("revision %s, in force is %s", e.Revision(), revision)
	}
}

// A policy that is not as an operator signed it is not kept.
func TestAForgedPolicyIsNotKept(t *testing.T) {
	for name, edit := range map[string]func(*posternv1.GetPolicyResponse){
		"unsigned":       func(r *posternv1.GetPolicyResponse) { r.Signatures = nil },
		"another bundle": func(r *posternv1.GetPolicyResponse) { r.Bundle = r.Bundle[:len(r.Bundle)/2] },
		"another name":   func(r *posternv1.GetPolicyResponse) { r.Revision = "0" + r.Revision[1:] + "0" },
		"other words":    func(r *posternv1.GetPolicyResponse) { r.Statement = append(r.Statement, 0x1a, 0) },
		"no such policy": func(r *posternv1.GetPolicyResponse) { r.Bundle, r.Statement = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			activate(t, x)
			d.Link.Answers(rewrite(t, "GetPolicy", &posternv1.GetPolicyResponse{}, edit))
			if _, err := d.StepPolicy(t.Context()); err == nil || fault.KindOf(err) == fault.Internal {
				t.Errorf("kept: %v", err)
			}
			if e := must(d.Policy(t.Context()))(t); e.Revision() != must(engine.Revision(policy.Bundle))(t) {
				t.Errorf("revision %s", e.Revision())
			}
		})
	}
}
