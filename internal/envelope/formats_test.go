package envelope_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/plain"
	"postern/internal/section"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// page is docs/formats.md, from which strangers write desks and inboxes.
func page(t *testing.T) string {
	t.Helper()
	return string(value(os.ReadFile(filepath.Join("..", "..", "docs", "formats.md")))(t))
}

// rowsOf returns every table row of the page that matches, without the whole match.
func rowsOf(t *testing.T, pattern string) [][]string {
	t.Helper()
	var rows [][]string
	for _, m := range regexp.MustCompile(`(?m)`+pattern).FindAllStringSubmatch(page(t), -1) {
		rows = append(rows, m[1:])
	}
	return rows
}

func TestThePageListsTheSections(t *testing.T) {
	var want [][]string
	letters := map[posternv1.SectionClass]string{posternv1.SectionClass_SECTION_CLASS_MINIMUM: "M",
		posternv1.SectionClass_SECTION_CLASS_PERMITTED: "P", posternv1.SectionClass_SECTION_CLASS_URGENT: "U"}
	for _, s := range section.All() {
		class := letters[s.Class]
		if class == "P" && s.Urgent {
			class = "P, urgent"
		}
		want = append(want, []string{s.Pattern, class, string(s.New().ProtoReflect().Descriptor().Name()), fmt.Sprint(s.PaddedSize)})
	}
	got := rowsOf(t, "^\\| `([a-z/{}]+)` \\| ([MPU]|P, urgent) \\| `([A-Za-z]+)` \\| ([0-9]+) \\|$")
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("docs/formats.md lists the sections as\n%q, they are\n%q", got, want)
	}
}

func TestThePageListsThePayloadTypes(t *testing.T) {
	text := page(t)
	for _, full := range types {
		short, ok := strings.CutPrefix(full, "application/vnd.postern.")
		if !ok || !strings.Contains(text, "`"+short+"`") {
			t.Errorf("docs/formats.md does not list the payload type %s", full)
		}
	}
	listed := map[string]bool{}
	for _, row := range rowsOf(t, "`([a-z-]+\\.v1)`") {
		listed[row[0]] = true
	}
	if len(listed) != len(types) {
		t.Errorf("docs/formats.md lists %d payload types, there are %d", len(listed), len(types))
	}
}

func TestThePageListsTheKinds(t *testing.T) {
	got := map[string]string{}
	for _, row := range rowsOf(t, `^\| (\d+) \| (\w+) \| (\d*) ?\| (\w*) ?\| (\d*) ?\| (\w*) ?\|$`) {
		for i := 0; i < len(row); i += 2 {
			if row[i] != "" {
				got[row[i]] = row[i+1]
			}
		}
	}
	values := logv1.Kind(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ {
		k := logv1.Kind(values.Get(i).Number())
		if name := strings.ToLower(plain.Enum(k)); got[fmt.Sprint(int(k))] != name {
			t.Errorf("docs/formats.md calls kind %d %q, it is %q", k, got[fmt.Sprint(int(k))], name)
		}
	}
	if len(got) != values.Len()-1 {
		t.Errorf("docs/formats.md lists %d kinds, there are %d", len(got), values.Len()-1)
	}
}

// TestThePageGivesEveryReasonToRefuse: an inbox says which check failed in one of these words.
func TestThePageGivesEveryReasonToRefuse(t *testing.T) {
	var got []string
	for _, row := range rowsOf(t, "^\\| [1-9] \\| .* \\| `([A-Z_]+)` \\|$") {
		got = append(got, row[0])
	}
	values := posternv1.RefusalReason(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ {
		if name := plain.Enum(posternv1.RefusalReason(values.Get(i).Number())); !slices.Contains(got, name) {
			t.Errorf("docs/formats.md does not say when to refuse with %s", name)
		}
	}
}

// TestTheLeafOnThePage: the example opens and hashes as the page says.
func TestTheLeafOnThePage(t *testing.T) {
	example := map[string][]byte{}
	for _, row := range rowsOf(t, `^    ([a-zSHA]+[a-zA-Z()0-9 -]*?) +([0-9a-f]{64,})$`) {
		example[row[0]] = value(hex.DecodeString(row[1]))(t)
	}
	core := &logv1.Core{}
	check(t, proto.Unmarshal(example["core"], core))
	mac := hmac.New(sha256.New, example["opening"])
	mac.Write(sha(example["core"]))
	mac.Write(example["SHA-256(details)"])
	commitment := mac.Sum(nil)
	leaf := slices.Concat([]byte{1}, bytes.Repeat([]byte{0xab}, 16), []byte{byte(logv1.Kind_KIND_DECIDED)},
		binary.BigEndian.AppendUint32(nil, uint32(core.GetEventTime().GetSeconds()/3600)), commitment)
	if !bytes.Equal(commitment, example["commitment"]) || !bytes.Equal(leaf, example["leaf"]) || len(leaf) != 54 ||
		!bytes.Equal(sha(append([]byte{0}, leaf...)), example["leaf hash"]) {
		t.Errorf("docs/formats.md gives %x, but the leaf is %x", example, leaf)
	}
	if !core.GetEventTime().AsTime().Equal(now) || core.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
		t.Errorf("the core on the page is %v", core)
	}
}

func TestThePageListsTheVectors(t *testing.T) {
	var got, want []string
	for _, row := range rowsOf(t, "^\\| `([a-z]+\\.json)` \\|") {
		got = append(got, row[0])
	}
	for _, file := range value(os.ReadDir(filepath.Join("testdata", "vectors")))(t) {
		want = append(want, file.Name())
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/formats.md lists the vectors %q, there are %q", got, want)
	}
}
