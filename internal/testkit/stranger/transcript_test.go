package stranger

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	posternv1 "postern/proto/postern/v1"
)

type papers struct {
	Certificates string `json:"certificates_pem"`
	Key          string `json:"key_pem"`
}

// transcript is an exchange between a desk and an inbox of the program, over its hub.
type transcript struct {
	Domain   string            `json:"domain"`
	Hub      string            `json:"hub"`
	Anchors  map[string]string `json:"anchors_pem"`
	Sent     []string          `json:"sent_log_keys"`
	Received []string          `json:"received_log_keys"`
	Desk     papers            `json:"desk"`
	Inbox    papers            `json:"inbox"`
	Private  string            `json:"recipient_private_key_hex"`
	Calls    []*recorded       `json:"calls"`
}

type recorded struct {
	Time    time.Time `json:"time"`
	From    string    `json:"from"`
	Method  string    `json:"method"`
	Request []byte    `json:"request_base64"`
	Answer  []byte    `json:"answer_base64"`
}

// tape is a connection on which the answers are those of one recorded call.
type tape struct{ *recorded }

func (c tape) Invoke(_ context.Context, method string, _, reply any, _ ...grpc.CallOption) error {
	if method != c.Method {
		return errors.New("another call was made: " + method)
	}
	return proto.Unmarshal(c.Answer, reply.(proto.Message))
}

func (tape) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("no call of the transcript is a stream")
}

func (c tape) hub() *Hub {
	return &Hub{Submission: posternv1.NewSubmissionServiceClient(c), Directory: posternv1.NewDirectoryServiceClient(c),
		Mailbox: posternv1.NewMailboxServiceClient(c), Audit: posternv1.NewAuditServiceClient(c)}
}

// TestTranscript: of an exchange that the program had with itself, we believe everything; and in the place of its inbox
// we would have given the same signed answers.
func TestTranscript(t *testing.T) {
	v := vectors[transcript](t, "exchange")
	d, in, clock := v.cast(t)
	made := map[string]*posternv1.Signed{} // the last acknowledgement
	for _, c := range v.Calls {
		*clock = c.Time
		hub := tape{c}.hub()
		d.Hub, in.Hub = hub, hub
		var err error
		switch c.From + c.Method[strings.LastIndexByte(c.Method, '/'):] {
		case "desk/ListAuthorities":
			err = d.Sync(t.Context())
		case "desk/Submit":
			q := &posternv1.SubmitRequest{}
			if err := proto.Unmarshal(c.Request, q); err != nil {
				t.Fatal(err)
			}
			err = d.Submit(t.Context(), d.adopt(t, q.GetNotification()))
		case "desk/ListUpdates":
			a := &posternv1.ListUpdatesResponse{}
			if err := proto.Unmarshal(c.Answer, a); err != nil {
				t.Fatal(err)
			}
			if err = d.follow(t.Context(), a.GetCheckpoint(), a.GetConsistency()); err == nil {
				for _, u := range a.GetUpdates() {
					err = errors.Join(err, d.update(u))
				}
			}
		case "hub/Deliver":
			q, want := &posternv1.DeliverRequest{}, &posternv1.DeliverResponse{}
			if err := errors.Join(proto.Unmarshal(c.Request, q), proto.Unmarshal(c.Answer, want)); err != nil {
				t.Fatal(err)
			}
			var got *posternv1.DeliverResponse
			got, err = in.Deliver(t.Context(), q)
			slices.SortFunc(got.GetKnownLogs(), func(a, b *posternv1.KnownLog) int { return strings.Compare(a.GetOrigin(), b.GetOrigin()) }) // in any order
			if !proto.Equal(got, want) {
				t.Errorf("we answer\n%v\nand the program answered\n%v", got, want)
			}
			made[q.GetDelivery().GetDeliveryId()] = got.GetAcknowledgement()
		case "inbox/Report":
			q := &posternv1.ReportRequest{}
			if err := proto.Unmarshal(c.Request, q); err != nil {
				t.Fatal(err)
			}
			_, err = in.send(t.Context(), q)
		}
		if err != nil {
			t.Errorf("%s: %v", c.Method, err)
		}
	}
	v.end(t, d, in, made)
}

// cast is the desk and the inbox of the transcript, with their keys.
func (v transcript) cast(t *testing.T) (*Desk, *Inbox, *time.Time) {
	t.Helper()
	anchors := map[string][]byte{}
	for name, pem := range v.Anchors {
		anchors[name] = []byte(pem)
	}
	trust, err := NewTrust(v.Domain, anchors)
	if err != nil {
		t.Fatal(err)
	}
	var sent, both []*LogKey
	for i, text := range append(v.Sent, v.Received...) {
		k, err := ParseLogKey(text)
		if err != nil {
			t.Fatal(err)
		}
		if both = append(both, k); i < len(v.Sent) {
			sent = append(sent, k)
		}
	}
	self := func(p papers) *Self {
		s, err := trust.NewSelf([]byte(p.Certificates), []byte(p.Key))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := new(time.Time)
	clock := func() time.Time { return *now }
	seed := unhex(t, v.Private)
	d := &Desk{Self: self(v.Desk), Trust: trust, Log: NewWitness(sent...), Clock: clock, Staff: &posternv1.Sender{}}
	in := &Inbox{Self: self(v.Inbox), Trust: trust, Log: NewWitness(both...), Sent: sent, Clock: clock}
	id, err := in.AddKey(seed)
	if err != nil || id == "" {
		t.Fatal(err)
	}
	return d, in, now
}

// adopt takes a message of the program's desk for our own.
func (d *Desk) adopt(t *testing.T, n *posternv1.SealedNotification) *Sent {
	t.Helper()
	m := &posternv1.Manifest{}
	if err := read(n.GetManifest().GetPayload(), m); err != nil {
		t.Fatal(err)
	}
	// The same bytes, signed with the same key, have the same signature.
	again, err := d.Self.Sign(manifestType, n.GetManifest().GetPayload())
	if err != nil || !proto.Equal(again, n.GetManifest()) {
		t.Errorf("the program signs its manifests otherwise: %v", err)
	}
	s := &Sent{ID: m.GetNotificationId(), Message: n, Authority: m.GetOffer().GetAuthority()}
	if d.sent == nil {
		d.sent = map[string]*Sent{}
	}
	d.sent[s.ID] = s
	return s
}

// end checks what desk and inbox know when it is over.
func (v transcript) end(t *testing.T, d *Desk, in *Inbox, made map[string]*posternv1.Signed) {
	t.Helper()
	items, stops := in.Items(), in.Stops()
	if len(items) != 1 || len(stops) != 1 || !stops[0].Found || len(made) != 2 {
		t.Fatalf("the inbox has %d items and was asked to stop %d times", len(items), len(stops))
	}
	if len(items[0].Sections) != 6 || len(items[0].Mismatch) > 0 || items[0].Sections["child/1/phone"] != nil {
		t.Errorf("the item has %d sections", len(items[0].Sections))
	}
	s := d.sent[items[0].NotificationID]
	want := []posternv1.ReplyCode{posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT, posternv1.ReplyCode_REPLY_CODE_STOP_ASKED}
	if s == nil || !s.Acknowledged || len(s.Replies) != len(want) || s.Replies[0] != want[0] || s.Replies[1] != want[1] {
		t.Errorf("the desk knows of %+v", s)
	}
}
