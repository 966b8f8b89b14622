package engine

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"postern/policy"
)

// TestPackAndUnpack: what was packed is the same bundle, and nothing but files of a bundle is unpacked.
func TestPackAndUnpack(t *testing.T) {
	archive, err := Pack(policy.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := Unpack(archive)
	if err != nil {
		t.Fatal(err)
	}
	was, err := readWhole(policy.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	is, err := readWhole(folder)
	if err != nil || !slices.EqualFunc(was, is, func(a, b file) bool { return a.path == b.path && bytes.Equal(a.data, b.data) }) {
		t.Errorf("unpacked %d files of %d: %v", len(is), len(was), err)
	}
	for name, bad := range map[string][]tar.Header{
		"a way out":        {{Name: "../data.json"}},
		"from the root":    {{Name: "/data.json"}},
		"a stranger":       {{Name: "run.sh"}},
		"a link":           {{Name: "data.json", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
		"a file twice":     {{Name: "data.json"}, {Name: "data.json"}},
		"a case elsewhere": {{Name: "more/cases/x.yaml"}},
	} {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for _, h := range bad {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(out.Bytes()); err == nil {
			t.Errorf("%s was unpacked", name)
		}
	}
}

func TestABundleTooLargeIsRefused(t *testing.T) {
	big := fstest.MapFS{"data.json": {Data: bytes.Repeat([]byte(" "), maxBundleBytes+1)}}
	if _, err := readWhole(big); err == nil {
		t.Error("a huge file was read")
	}
	if _, err := Unpack(make([]byte, 2*maxBundleBytes+1)); err == nil {
		t.Error("a huge archive was unpacked")
	}
}

// TestCatalogueTellsEveryRule: each rule that people may read, with at least one rule test and one case that shows it.
func TestCatalogueTellsEveryRule(t *testing.T) {
	rules, err := Catalogue(t.Context(), policy.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range rules {
		ids = append(ids, r.ID)
		if r.Title == "" || r.Text == "" || r.Law == "" || len(r.Routes) == 0 || len(r.Tests) == 0 || len(r.Cases) == 0 {
			t.Errorf("%+v", r)
		}
		if len(r.Text) > 330 || strings.Contains(r.Text, "_") {
			t.Errorf("%s: %d letters are too many for a counter, or they hold a code: %s", r.ID, len(r.Text), r.Text)
		}
	}
	for _, id := range []string{
		"consent_given", "consent_declined", "consent_not_asked", "not_understood", "consent_expired", "consent_withdrawn", "capacity_concern",
		"parent_under_18", "minimum", "no_data_sharing_agreement", "agreement_sections", "no_recipient", "gate_hold", "gate_not_done",
		"distant_relation", "carer_absent", "address_confidential", "child_in_care", "too_old", "already_notified", "urgent",
		"urgent_unphoned", "duty_considered", "public_task_considered", "redirected", "recipient_not_covered", "policy_error",
	} {
		if !slices.Contains(ids, id) {
			t.Errorf("no rule %s", id)
		}
	}
	if twice := slices.Compact(slices.Clone(ids)); len(twice) != len(ids) {
		t.Errorf("a rule id stands for two reasons: %v", ids)
	}
	names, err := fs.Glob(policy.Bundle, "cases/*.yaml")
	if err != nil || len(names) < 60 {
		t.Errorf("%d cases, %v", len(names), err)
	}
}

// TestDiffTellsWhatChanges in rules, conditions, settings and cases, and what comes of it.
func TestDiffTellsWhatChanges(t *testing.T) {
	if d, err := Diff(t.Context(), policy.Bundle, policy.Bundle); err != nil || !d.Empty() || d.String() != "Nothing changes.\n" {
		t.Errorf("%v %v", d, err)
	}
	changed := copyOf(t)
	edit := func(name, old, new string) {
		if !bytes.Contains(changed[name].Data, []byte(old)) {
			t.Fatal(old)
		}
		changed[name].Data = bytes.ReplaceAll(changed[name].Data, []byte(old), []byte(new))
	}
	edit("postern/sharing/gate.rego", "# title: Held by the public-protection check", "# title: Held")
	edit("postern/sharing/gate.rego", `input.gate == "HOLD"`, `input.gate == "HALT"`)
	edit("data.json", `"2026-12-25": "Christmas Day"`, `"2026-12-24": "Christmas Eve"`)
	delete(changed, "postern/sharing/agreement_test.rego")
	changed["cases/start/mother_with_two_children.yaml"] = fromBuiltIn(t, "cases/start/mother_with_two_children.yaml")
	changed["cases/a_hold_by_public_protection_does_not_share.yaml"] = fromBuiltIn(t, "cases/a_hold_by_public_protection_does_not_share.yaml")
	d, err := Diff(t.Context(), policy.Bundle, changed)
	if err != nil {
		t.Fatal(err)
	}
	text := d.String()
	for _, want := range []string{
		`gate_hold: the title was "Held by the public-protection check" and becomes "Held".`,
		"gate.rego: what its rules ask for changes.",
		"calendar.bank_holidays.2026-12-24 is new: \"Christmas Eve\".",
		"declined_on_christmas_eve is gone.",
		"Decided differently: a hold by public protection does not share",
		"child 1: was {REFER_TO_PERSON [gate_hold] []}, becomes {REFER_TO_PERSON [policy_error] []}",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not told:\n%s", want, text)
		}
	}
	if len(d.Files) != 1 || strings.Contains(text, "consent_given") {
		t.Errorf("more changes than were made:\n%s", text)
	}
}

func fromBuiltIn(t *testing.T, name string) *fstest.MapFile {
	t.Helper()
	data, err := fs.ReadFile(policy.Bundle, name)
	if err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: data}
}
