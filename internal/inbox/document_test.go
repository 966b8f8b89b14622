package inbox

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What leaves for a case system says what was shared and names what was not; what was said is text in both, whatever it is.
func TestDocument(t *testing.T) {
	hostile := "=HYPERLINK(\"https://x.example\")"
	identity, err := proto.Marshal(&posternv1.ChildIdentity{GivenName: "Ffion Ŵyn", FamilyName: hostile,
		Provenance: &posternv1.Provenance{Known: posternv1.Known_KNOWN_KNOWN, Basis: posternv1.Basis_BASIS_PARENT_SAID, AsOfDate: "2026-11-22"}})
	if err != nil {
		t.Fatal(err)
	}
	item := &localv1.GetItemResponse{Item: &localv1.Item{Id: "11111111-2222-4333-8444-555555555555", Reference: "PN-7K3F-9Q2M", PrisonId: "BLI"},
		Sections: []*localv1.OpenedSection{{Path: "child/2/identity", Content: identity}}, NotShared: []string{"child/2/phone", "parent/birth"}}

	b, err := DocumentJSON(item)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		ID        string
		Sections  map[string]map[string]any
		NotShared []string `json:"not_shared"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.ID != item.Item.Id || doc.Sections["child/2/identity"]["family_name"] != hostile || len(doc.NotShared) != 2 {
		t.Errorf("%s", b)
	}

	b, err = DocumentCSV(item)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff")))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, row := range rows {
		all = append(all, strings.Join(row, "|"))
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		"reference|prison|child|section|field|value|known|basis|as_of",
		"PN-7K3F-9Q2M|BLI|2|identity|Family name|'" + hostile + "|KNOWN|PARENT_SAID|2026-11-22",
		"PN-7K3F-9Q2M|BLI|2|phone|||NOT_SHARED||", "PN-7K3F-9Q2M|BLI||parent/birth|||NOT_SHARED||",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	item.Sections[0].Path = "child/2/unheard-of"
	if _, err := DocumentCSV(item); err == nil {
		t.Error("a section of another version was left out in silence")
	}
}
