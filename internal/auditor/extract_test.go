package auditor_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger/archive"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// unzipped are the files of an extract by name.
func unzipped(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	noError(t, err)
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		noError(t, err)
		files[f.Name], err = io.ReadAll(r)
		noError(t, err)
	}
	return files
}

func zipped(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, data := range files {
		w, err := z.Create(name)
		noError(t, err)
		_, err = w.Write(data)
		noError(t, err)
	}
	noError(t, z.Close())
	return out.Bytes()
}

// An extract has what fits, no more, and anybody can verify it without the hub; whatever is changed in it is found.
func TestAnExtractIsVerifiedAndNothingInItCanBeChanged(t *testing.T) {
	x, ids := audited(t)
	x.Desk(testkit.HMPBristol).Take(formtest.Declined())
	x.Settle()
	against := archive.Config{Keys: x.LogKeys(), Anchors: x.Anchors()}
	data, err := x.Auditor().Extract(t.Context(), &posternv1.EventFilter{Kind: "decided", Outcome: posternv1.Outcome_OUTCOME_SHARE})
	noError(t, err)
	report, err := archive.VerifyExtract(data, against)
	noError(t, err)
	if report.Events != len(ids) || report.By.URI() != x.Identity(testkit.AuditorPath).Party().URI() || report.Time.IsZero() {
		t.Errorf("verified %+v", report)
	}
	files := unzipped(t, data)
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(files["decisions.csv"], []byte("\ufeff")))).ReadAll()
	noError(t, err)
	if len(rows) != 1+len(ids) || !slices.Contains(rows[1], "SHARE") || !slices.Contains(rows[1], "BLI") || !strings.Contains(string(files["decisions.jsonl"]), rows[1][0]) {
		t.Errorf("the table says %q", rows)
	}
	form := formtest.New(testkit.Bristol)
	for name, content := range files {
		if strings.Contains(string(content), form.GetParent().GetName().GetFamilyName()) {
			t.Errorf("%s names a person", name)
		}
		for what, changed := range map[string][]byte{"changed": append(bytes.Clone(content[1:]), 'x'), "shorter": content[:len(content)-1], "gone": nil} {
			other := unzipped(t, data)
			if other[name] = changed; changed == nil {
				delete(other, name)
			}
			if _, err := archive.VerifyExtract(zipped(t, other), against); fault.KindOf(err) != fault.Unverified {
				t.Errorf("with %s %s: %v", name, what, err)
			}
		}
	}
	files["receipts/more.tlog-proof"] = []byte("x")
	if _, err := archive.VerifyExtract(zipped(t, files), against); fault.KindOf(err) != fault.Unverified {
		t.Errorf("with a file more: %v", err)
	}
	if _, err := archive.VerifyExtract([]byte("PK"), against); fault.KindOf(err) != fault.Unverified {
		t.Errorf("of no ZIP file: %v", err)
	}
}

// Nothing that the hub changes on its way gets into an extract.
func TestAnExtractOfWhatDoesNotHoldIsNotMade(t *testing.T) {
	x, _ := audited(t)
	a := x.Auditor()
	x.ToHub(testkit.AuditorPath).Answers(func(method string, raw []byte) []byte {
		if !strings.HasSuffix(method, "/ListEvents") {
			return raw
		}
		out := &posternv1.ListEventsResponse{}
		noError(t, proto.Unmarshal(raw, out))
		out.Events[0].PrisonId = "LPI"
		again, err := proto.Marshal(out)
		noError(t, err)
		return again
	})
	if _, err := a.Extract(t.Context(), &posternv1.EventFilter{Kind: "decided"}); fault.From(err).Reason != "EVENT_DIFFERS" {
		t.Errorf("got %v", err)
	}
}
