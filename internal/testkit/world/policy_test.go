package world

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"postern/internal/engine"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	"postern/internal/testkit"
	"postern/policy"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// rules are one policy that an operator may bring into force: the built-in one, or that with something kept back of what
// goes by permission.
type rules struct {
	name     string
	kept     map[string][]string // by prison, the names of the sections that do not go
	folder   fstest.MapFS
	revision string
}

// keeps reports whether a section of what goes by permission does not go. Without the parent's name nothing does: it is
// too little to help.
func (r *rules) keeps(prison, path string) bool {
	s, _ := section.Lookup(path)
	return r.stops(prison) || slices.Contains(r.kept[prison], s.Name)
}

// stops reports whether nothing of a prison goes by permission.
func (r *rules) stops(prison string) bool { return slices.Contains(r.kept[prison], "name") }

// allRules are the built-in policy, one that holds back a few sections, and one that stops a prison.
var allRules = sync.OnceValues(func() (all []*rules, err error) {
	for _, r := range []*rules{
		{name: "the built-in one"},
		{name: "less", kept: map[string][]string{testkit.HMPBristol: {"phone", "school", "birth"}, testkit.HMPParc: {"phone", "needs", "custody"}}},
		{name: "one prison stopped", kept: map[string][]string{testkit.HMPBristol: {"phone"}, testkit.HMPParc: {"name"}}},
	} {
		if r.folder, err = r.write(); err != nil {
			return nil, err
		}
		if r.revision, err = engine.Revision(r.folder); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
})

// write makes the bundle. Its tests are about another prison, which keeps nothing back.
func (r *rules) write() (fstest.MapFS, error) {
	out := fstest.MapFS{}
	err := fs.WalkDir(policy.Bundle, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(policy.Bundle, name)
		if len(r.kept) > 0 && (strings.HasSuffix(name, "_test.rego") || strings.HasPrefix(name, "cases/")) {
			for _, form := range []string{`prison_id: `, `"prison_id": "`} {
				data = bytes.ReplaceAll(data, []byte(form+testkit.HMPBristol), []byte(form+"ZZI"))
			}
		}
		out[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil || len(r.kept) == 0 {
		return out, err
	}
	change := func(name, old, new string) {
		if bytes.Count(out[name].Data, []byte(old)) != 1 {
			panic("the policy has other rules now, so the simulator's must be made again: " + old)
		}
		out[name].Data = bytes.Replace(out[name].Data, []byte(old), []byte(new), 1)
	}
	const consent, permitted, sections = "postern/sharing/consent.rego", "parent_permitted & input.agreement.parent", "(sections & input.agreement.child) - without_address(input.children[i])"
	change(consent, permitted+" if permission", "("+permitted+") - kept_back if permission")
	change(consent, sections, "("+sections+") - kept_back")
	out[consent].Data = append(out[consent].Data, "\n# What does not go from a prison for now, whatever was permitted.\nkept_back := {name | some name in data.settings.kept_back[input.caller.prison_id]}\n"...)
	var kept []string
	for _, prison := range slices.Sorted(maps.Keys(r.kept)) {
		kept = append(kept, `"`+prison+`": ["`+strings.Join(r.kept[prison], `", "`)+`"]`)
	}
	change("data.json", `"settings": {`, `"settings": {"kept_back": {`+strings.Join(kept, ", ")+`},`)
	out["postern/sharing/kept_test.rego"] = &fstest.MapFile{Data: []byte("package postern.sharing_test\n\nimport rego.v2\n\nimport data.postern.sharing\n\n" +
		"test_kept_back if count(sharing.kept_back) > 0 with input as with_value(\"/caller/prison_id\", \"" + testkit.HMPParc + "\")\n")}
	return out, nil
}

// The simulator's hub takes the tests of these bundles as passed. So they must pass.
func TestTheRulesOfTheWorldPassTheirTests(t *testing.T) {
	all, err := allRules()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all[1:] { // the first is tested where it is
		report, err := engine.Test(t.Context(), r.folder)
		if err != nil || !report.OK() {
			t.Errorf("%s: %v\n%v", r.name, err, report)
		}
	}
}

func passed(context.Context, fs.FS) (*engine.Report, error) {
	return &engine.Report{Rules: []engine.Outcome{{}}, Cases: []engine.Outcome{{}}}, nil
}

// inForce is a policy that was brought into force, or may have been.
type inForce struct {
	*rules
	at   int64 // when
	sure bool  // whether it is known to be in force
}

func (w *World) theRules() []*rules {
	all, err := allRules()
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// changePolicy is the operator, who brings another policy into force.
func (w *World) changePolicy() {
	r := pick(w, w.theRules())
	if w.chance(w.swarm.policies) && w.runs("hub") && !w.busy["hub policy"] {
		w.activate(r)
	}
}

func (w *World) activate(r *rules) {
	w.busy["hub policy"] = true // an operator waits for the answer
	defer delete(w.busy, "hub policy")
	bundle := maps.Clone(r.folder)
	signed, err := engine.Sign(bundle, w.Identity("/operator/main"), w.Clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	bundle[engine.SignatureFile] = &fstest.MapFile{Data: signed}
	archive, err := engine.Pack(bundle)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &inForce{rules: r, at: w.tick()}
	w.policies = append(w.policies, p) // while it is activated it may be in force: what else happens meanwhile is judged by both
	_, err = w.Hub.ActivatePolicy(w.ctx(), &localv1.ActivatePolicyRequest{Bundle: archive})
	w.say("the operator activates %s: %s", r.name, reason(err))
	switch {
	case err == nil:
		p.sure = true
		w.count("policy changed")
	case uncertain(err):
		w.count("policy changed")
	default:
		w.policies = slices.DeleteFunc(w.policies, func(o *inForce) bool { return o == p })
	}
}

// policiesSince are those that may have been in force at some time since a tick.
func (w *World) policiesSince(since int64) (all []*inForce) {
	for _, p := range w.policies {
		if p.sure && p.at <= since {
			all = nil // what was before is over
		}
		all = append(all, p)
	}
	return all
}

// kept reports whether the rules hold a section back: in every policy since a tick, and in any of them.
func (w *World) kept(prison, path string, since int64) (always, ever bool) {
	always = true
	for _, p := range w.policiesSince(since) {
		in := p.keeps(prison, path)
		always, ever = always && in, ever || in
	}
	return always, ever
}

// decidesBy judges by which policy something was decided: one that may have been in force since a tick.
func (w *World) decidesBy(what, revision string, since int64) {
	if !slices.ContainsFunc(w.policiesSince(since), func(p *inForce) bool { return p.revision == revision }) {
		w.fails("%s by a policy that is not in force: %.8s", what, revision)
	}
}

// everStopped reports whether any policy of the history stopped a prison.
func (w *World) everStopped(prison string) bool {
	return slices.ContainsFunc(w.policies, func(p *inForce) bool { return p.stops(prison) })
}

func (w *World) stepPolicy() {
	prison := pick(w, prisons)
	w.alone("desk-"+prison, "policy", w.Desk(prison).StepPolicy)
}

// judgePolicies looks whether every desk knows the policy in force in the end.
func (w *World) judgePolicies() {
	if len(w.policies) == 1 {
		return
	}
	for _, prison := range prisons {
		kept := &posternv1.GetPolicyResponse{}
		err := w.Desk(prison).Store.View(w.ctx(), func(s store.Snapshot) error {
			row, err := s.Get(schema.DeskMeta, []byte("policy"))
			w.ledger.read(row, kept)
			return err
		})
		if err != nil {
			w.fails("desk-%s cannot be read: %v", prison, err)
		}
		w.decidesBy("desk-"+prison+" looks ahead", kept.GetRevision(), w.ticks)
	}
}
