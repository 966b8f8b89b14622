package form_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"postern/internal/form"
	"postern/internal/form/formtest"
	posternv1 "postern/proto/postern/v1"
)

// FuzzCheck: what Check accepts never fails later, what it refuses names a field. The bytes are read as JSON and as the
// wire form, which can hold what no JSON can.
func FuzzCheck(f *testing.F) {
	for _, seed := range []*posternv1.Form{
		formtest.New(formtest.Bristol), formtest.New(formtest.Bristol, formtest.Lancashire, formtest.Bristol), formtest.Declined(),
		formtest.Urgent(formtest.Bristol, 2), formtest.Duty(formtest.Lancashire, 2),
		formtest.Enquiry(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED),
	} {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		wire, err := proto.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fromWire := &posternv1.Form{}
		if proto.Unmarshal(data, fromWire) == nil {
			neverFailsLater(t, fromWire)
		}
		if fromText, err := form.Decode(data); err == nil {
			neverFailsLater(t, fromText)
		}
	})
}

func neverFailsLater(t *testing.T, f *posternv1.Form) {
	if faults(t, f) != nil {
		return
	}
	for _, p := range parts(t, f) {
		children, _ := form.Facts(p, config())
		wire(t, p)
		for _, s := range p.Sections {
			fits(t, s)
		}
		if wrong := form.CompareFacts(children, opened(p)); len(wrong) > 0 {
			t.Fatalf("%v contradict the facts they were made with", wrong)
		}
	}
}
