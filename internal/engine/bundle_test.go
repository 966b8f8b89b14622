package engine

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"postern/policy"
)

func revisionOf(t *testing.T, source fs.FS) string {
	t.Helper()
	r, err := Revision(source)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRevisionIsWhatDecides: every byte of a rule, of a setting and of a path counts; tests and cases do not.
func TestRevisionIsWhatDecides(t *testing.T) {
	revision := revisionOf(t, policy.Bundle)
	if len(revision) != 64 || revisionOf(t, copyOf(t)) != revision {
		t.Fatalf("revision %q", revision)
	}
	with := func(change func(fstest.MapFS)) string {
		b := copyOf(t)
		change(b)
		return revisionOf(t, b)
	}
	const rule = "postern/sharing/gate.rego"
	for name, changed := range map[string]string{
		"a setting":     with(func(b fstest.MapFS) { b["data.json"].Data = append(b["data.json"].Data, ' ') }),
		"a rule":        with(func(b fstest.MapFS) { b[rule].Data = append(b[rule].Data, '\n') }),
		"a file's name": with(func(b fstest.MapFS) { b["postern/sharing/fence.rego"] = b[rule]; delete(b, rule) }),
		"a file more":   with(func(b fstest.MapFS) { b["postern/sharing/zzz.rego"] = &fstest.MapFile{} }),
		"a file less":   with(func(b fstest.MapFS) { delete(b, rule) }),
	} {
		if changed == revision {
			t.Errorf("%s changes, the revision does not", name)
		}
	}
	same := with(func(b fstest.MapFS) {
		b["postern/sharing/gate_test.rego"].Data = nil
		b["cases/new.yaml"] = &fstest.MapFile{Data: []byte("story: x\n")}
		b["README.md"] = &fstest.MapFile{Data: []byte("words\n")}
	})
	if same != revision {
		t.Error("tests, cases and words change the revision")
	}
	moved := fstest.MapFS{"data.json": {Data: []byte("{}")}, "a.rego": {Data: []byte("bc")}}
	other := fstest.MapFS{"data.json": {Data: []byte("{}")}, "a.regob": {Data: []byte("c")}, "a.rego": {Data: []byte("b")}}
	if revisionOf(t, moved) == revisionOf(t, other) {
		t.Error("content that moves between files keeps its revision")
	}
}

func TestTarHoldsWhatDecides(t *testing.T) {
	first := patient(t).Archive()
	again, err := New(t.Context(), Config{Bundle: copyOf(t)})
	if err != nil || !bytes.Equal(first, again.Archive()) {
		t.Errorf("the same bundle has two archives: %v", err)
	}
	unpacked := fstest.MapFS{}
	for r := tar.NewReader(bytes.NewReader(first)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		unpacked[header.Name] = &fstest.MapFile{Data: data}
	}
	if revisionOf(t, unpacked) != revisionOf(t, policy.Bundle) {
		t.Error("what was unpacked has another revision")
	}
	for name := range unpacked {
		if (file{path: name}).test() {
			t.Errorf("%s decides nothing", name)
		}
	}
	if e, err := New(t.Context(), Config{Bundle: unpacked}); err != nil || e.Revision() != patient(t).Revision() {
		t.Errorf("what was unpacked does not decide the same: %v", err)
	}
}

func TestWhatCannotBeReadIsAFault(t *testing.T) {
	broken := fstest.MapFS{"data.json": {Data: []byte("{")}}
	for name, err := range map[string]error{
		"no folder": second(Revision(brokenFS{})), "no folder to decide by": second(New(t.Context(), Config{Bundle: brokenFS{}})),
		"settings that are not JSON": second(New(t.Context(), Config{Bundle: broken})),
		"a long name":                second(tarOf([]file{{path: strings.Repeat("x", 300) + ".rego"}})),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type brokenFS struct{}

func (brokenFS) Open(string) (fs.File, error) { return nil, fs.ErrPermission }

func second[T any](_ T, err error) error { return err }

// TestBankHolidaysFollowTheAct reckons the bank holidays of England and Wales by the Banking and Financial Dealings
// Act 1971 and compares them with the settings, year by year.
func TestBankHolidaysFollowTheAct(t *testing.T) {
	b, err := readBundle(policy.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	data, err := b.data()
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for date := range data["calendar"].(map[string]any)["bank_holidays"].(map[string]any) {
		listed = append(listed, date)
	}
	slices.Sort(listed)
	var reckoned []string
	for year := 2026; year <= 2028; year++ {
		reckoned = append(reckoned, bankHolidays(year)...)
	}
	if !slices.Equal(listed, reckoned) {
		t.Errorf("listed   %v\nreckoned %v", listed, reckoned)
	}
}
