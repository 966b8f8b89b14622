package delivery

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/identity"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// FuzzAnswer: any bytes as an inbox's answer prove nothing, unless the inbox signed them about this very delivery: a
// delivery is acknowledged by exactly its acknowledgement. The keys are those of the committed exchange.
func FuzzAnswer(f *testing.F) {
	b, err := os.ReadFile("../envelope/testdata/vectors/exchange.json")
	if err != nil {
		f.Fatal(err)
	}
	var v struct {
		Domain  string            `json:"domain"`
		Anchors map[string]string `json:"anchors_pem"`
		Calls   []struct {
			Time    time.Time `json:"time"`
			Method  string    `json:"method"`
			Request []byte    `json:"request_base64"`
			Answer  []byte    `json:"answer_base64"`
		} `json:"calls"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		f.Fatal(err)
	}
	a := v.Anchors
	anchors, err := identity.NewAnchors(identity.AnchorConfig{Domain: v.Domain, Prison: []byte(a["prison"]), Authority: []byte(a["authority"]), Hub: []byte(a["hub"]), Auditor: []byte(a["auditor"])})
	if err != nil {
		f.Fatal(err)
	}
	to, err := identity.ParseURI("spiffe://" + v.Domain + "/authority/E06000023/inbox")
	if err != nil {
		f.Fatal(err)
	}
	var subject, good []byte
	var id string
	var at time.Time
	for _, c := range v.Calls {
		if !strings.HasSuffix(c.Method, "/Deliver") {
			continue
		}
		f.Add(c.Answer)
		q, answer := &posternv1.DeliverRequest{}, &posternv1.DeliverResponse{}
		if proto.Unmarshal(c.Request, q) != nil || proto.Unmarshal(c.Answer, answer) != nil {
			f.Fatal("the exchange cannot be read")
		}
		if n := q.GetDelivery().GetNotification(); n != nil {
			sum := sha256.Sum256(n.GetManifest().GetPayload())
			subject, id, at, good = sum[:], q.GetDelivery().GetDeliveryId(), c.Time, answer.GetAcknowledgement().GetPayload()
		}
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := &posternv1.DeliverResponse{}
		if proto.Unmarshal(wire, r) != nil {
			return
		}
		o, err := verify(r, to, id, subject, anchors, at)
		if err != nil {
			if fault.From(err).Reason != errBadAnswer.Reason {
				t.Fatal(err)
			}
			return
		}
		if o.kind != logv1.Kind_KIND_DELIVERED || !bytes.Equal(r.GetAcknowledgement().GetPayload(), good) {
			t.Fatalf("an answer that the inbox never gave is %v", o.kind)
		}
	})
}
