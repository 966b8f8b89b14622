package consent_test

import (
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	posternv1 "postern/proto/postern/v1"
)

// TestEveryFieldOfAConsentIsMapped: whoever keeps consents in the words of ISO, Kantara or FHIR finds each of ours there.
func TestEveryFieldOfAConsentIsMapped(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "| `Consent` | ISO/IEC TS 27560 | Kantara receipt 1.1 | FHIR R5 `Consent` |")
	if !found {
		t.Fatal("docs/formats.md has no mapping of consents")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var fields []string
	var walk func(prefix string, d protoreflect.MessageDescriptor)
	walk = func(prefix string, d protoreflect.MessageDescriptor) {
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			if m := f.Message(); m != nil && m.FullName() != "google.protobuf.Timestamp" {
				walk(prefix+string(f.Name())+".", m)
				continue
			}
			fields = append(fields, prefix+string(f.Name()))
		}
	}
	walk("", (*posternv1.Consent)(nil).ProtoReflect().Descriptor())
	if len(fields) < 25 {
		t.Fatalf("only %d fields: %q", len(fields), fields)
	}
	for _, name := range fields {
		at := strings.Index(table, "\n| `"+name+"`")
		if at < 0 {
			t.Errorf("docs/formats.md does not map %s", name)
			continue
		}
		row, _, _ := strings.Cut(table[at+1:], "\n")
		cells := strings.Split(strings.Trim(row, "|"), "|")
		if len(cells) != 4 || strings.TrimSpace(strings.Join(cells[1:], "")) == "" {
			t.Errorf("docs/formats.md maps %s to nothing: %s", name, row)
		}
	}
	for line := range strings.Lines(table) {
		name, ok := strings.CutPrefix(line, "| `")
		name, _, _ = strings.Cut(name, "`")
		known := strings.Contains(" "+strings.Join(fields, " ")+" ", " "+name+" ") || name == "Offer.lawful_basis"
		if ok && !known {
			t.Errorf("docs/formats.md maps %s, which no consent has", name)
		}
	}
}
