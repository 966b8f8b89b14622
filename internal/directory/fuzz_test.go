package directory_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// FuzzParseYAML: any text is a directory without faults, or every fault of it is told with its place and what to do.
func FuzzParseYAML(f *testing.F) {
	whole, err := os.ReadFile("testdata/directory.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte("authorities:\n  - code: E06000023\n"))
	f.Add([]byte("prisons: [{id: BLI, name: x, jurisdiction: GB-ENG}]\nagreements: [{file: a}]"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := directory.ParseYAML(text)
		if err == nil {
			return
		}
		told := fault.From(err)
		if told.Kind != fault.Invalid {
			t.Fatal(err)
		}
		for _, at := range told.Fields {
			if at.Path == "" || at.Reason == "" {
				t.Fatalf("a fault without its place or reason: %+v", at)
			}
		}
	})
}

// FuzzVerifyPublished: changed bytes of a published key are refused, or are the same key; and none but that very key takes
// the place of the one in use. The keys are those of the committed exchange.
func FuzzVerifyPublished(f *testing.F) {
	b, err := os.ReadFile("../envelope/testdata/vectors/exchange.json")
	must(f, err)
	var v struct {
		Domain  string            `json:"domain"`
		Anchors map[string]string `json:"anchors_pem"`
		Calls   []struct {
			Time   time.Time `json:"time"`
			Answer []byte    `json:"answer_base64"`
		} `json:"calls"`
	}
	must(f, json.Unmarshal(b, &v))
	a := v.Anchors
	anchors := value(identity.NewAnchors(identity.AnchorConfig{Domain: v.Domain, Prison: []byte(a["prison"]), Authority: []byte(a["authority"]), Hub: []byte(a["hub"]), Auditor: []byte(a["auditor"])}))(f)
	page := &posternv1.ListAuthoritiesResponse{}
	must(f, proto.Unmarshal(v.Calls[0].Answer, page))
	d := value(directory.Open(page.GetRevision(), page.GetEntries(), anchors, v.Calls[0].Time))(f)
	made := map[string]bool{}
	for _, a := range d.Authorities() {
		if s := a.GetRecipientKey(); s != nil {
			made[string(s.GetPayload())] = true
			f.Add(value(proto.Marshal(s))(f))
		}
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		s := &posternv1.Signed{}
		if proto.Unmarshal(wire, s) != nil {
			return
		}
		k, err := directory.VerifyPublished(s, anchors, v.Calls[0].Time)
		if err != nil {
			if fault.KindOf(err) != fault.Unverified {
				t.Fatal(err)
			}
			return
		}
		trusted, _ := d.RecipientKey(k.GetAuthority())
		if newer, err := directory.Succeeds(trusted, s, k); !made[string(s.GetPayload())] || newer || err != nil {
			t.Fatalf("a key that nobody signed: %v, %v", newer, err)
		}
	})
}

// row is a store that holds one value, under every key.
type row []byte

func (r row) Get(store.Keyspace, []byte) ([]byte, error) { return r, nil }

// FuzzStoredNumber: the number that is read by itself is the one that the whole revision has, wherever that can be read.
func FuzzStoredNumber(f *testing.F) {
	add := func(signed *posternv1.Signed) {
		b, err := proto.Marshal(signed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	revision, err := proto.Marshal(&posternv1.DirectoryRevision{Audience: "postern.example", Number: 300, EntriesSha256: [][]byte{make([]byte, 32)}})
	if err != nil {
		f.Fatal(err)
	}
	add(&posternv1.Signed{Payload: revision, PayloadType: "x"})
	add(&posternv1.Signed{Payload: append(revision, 0x10, 7)}) // the number once more
	add(&posternv1.Signed{PayloadType: "no payload"})
	f.Add([]byte{0x0a, 2, 0x10, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		signed, whole := &posternv1.Signed{}, &posternv1.DirectoryRevision{}
		if proto.Unmarshal(b, signed) != nil || proto.Unmarshal(signed.GetPayload(), whole) != nil {
			return
		}
		if n, err := directory.StoredNumber(row(b), "any"); err != nil || n != whole.GetNumber() {
			t.Errorf("number %d, %v, want %d", n, err, whole.GetNumber())
		}
	})
}
