package stranger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"crypto/hpke"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	logpb "postern/proto/postern/log/v1"
	pb "postern/proto/postern/v1"
)

func load(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "envelope", "testdata", "vectors", name))
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func un64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectorsDSSE(t *testing.T) {
	var v []struct {
		Type     string `json:"payload_type"`
		Payload  string `json:"payload_hex"`
		Encoding string `json:"encoding_hex"`
	}
	load(t, "dsse.json", &v)
	for _, c := range v {
		if got := hex.EncodeToString(Encode(c.Type, unhex(t, c.Payload))); got != c.Encoding {
			t.Errorf("%s: %s", c.Type, got)
		}
	}
}

func TestVectorsDigests(t *testing.T) {
	var v struct {
		LP []struct {
			Parts []string
			Bytes string `json:"bytes_hex"`
		} `json:"length_prefixed"`
		Sections []struct {
			Path       string
			Ciphertext string `json:"ciphertext_hex"`
			SHA        string `json:"sha256_hex"`
		}
	}
	load(t, "digests.json", &v)
	for _, c := range v.LP {
		if got := hex.EncodeToString(Frame(c.Parts...)); got != c.Bytes {
			t.Errorf("%q: %s", c.Parts, got)
		}
	}
	for _, c := range v.Sections {
		if got := hex.EncodeToString(DigestOfSection(c.Path, unhex(t, c.Ciphertext))); got != c.SHA {
			t.Errorf("%s: %s", c.Path, got)
		}
	}
}

func TestVectorsReferences(t *testing.T) {
	var v struct {
		References []struct{ ID, Reference string }
		Typed      []struct{ Typed, Reference string }
	}
	load(t, "references.json", &v)
	for _, c := range v.References {
		if got, err := Reference(c.ID); got != c.Reference || err != nil {
			t.Errorf("%s: %s %v", c.ID, got, err)
		}
	}
	for _, c := range v.Typed {
		if got, _ := ReadReference(c.Typed); got != c.Reference {
			t.Errorf("%q: %s", c.Typed, got)
		}
	}
	for range 100 {
		s := NewSlipCode()
		if got, ok := ReadSlipCode(s); !ok || got != s || len(s) != 11 {
			t.Errorf("%s", s)
		}
	}
	if _, ok := ReadReference("PN-7K3F-9Q2M"); !ok {
		t.Error("the page's own reference is refused")
	}
	if _, ok := ReadSlipCode("7K3F9-2MQXK"); !ok {
		t.Error("slip code")
	}
}

func TestVectorsSealing(t *testing.T) {
	var v struct {
		Private      string `json:"recipient_private_key_hex"`
		Public       string `json:"recipient_public_key_base64"`
		KeyID        string `json:"recipient_key_id"`
		Enc          string `json:"encapsulated_key_base64"`
		Notification string `json:"notification_id"`
		Sender       string
		Info         string `json:"info_hex"`
		Sections     []struct {
			Path       string
			Context    string `json:"exporter_context_hex"`
			Key        string `json:"key_hex"`
			AD         string `json:"associated_data_hex"`
			Size       int    `json:"padded_size"`
			Salt       string `json:"salt_hex"`
			Ciphertext string `json:"ciphertext_base64"`
			Message    string `json:"message_hex"`
		}
	}
	load(t, "sealing.json", &v)
	key, err := hpke.MLKEM768X25519().NewPrivateKey(unhex(t, v.Private))
	if err != nil || !bytes.Equal(key.PublicKey().Bytes(), un64(t, v.Public)) || KeyID(un64(t, v.Public)) != v.KeyID {
		t.Error("public key or id")
	}
	if hex.EncodeToString(Frame(v.Notification, v.Sender, v.KeyID)) != v.Info {
		t.Error("info")
	}
	x, err := Unsealing(unhex(t, v.Private), un64(t, v.Enc), v.Notification, v.Sender, v.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range v.Sections {
		k, err := x.Key(s.Path)
		if err != nil || hex.EncodeToString(k) != s.Key || hex.EncodeToString(Frame(s.Path)) != s.Context || hex.EncodeToString(Frame(v.Notification, s.Path)) != s.AD {
			t.Errorf("%s: key, context or associated data %v", s.Path, err)
		}
		sealed := &pb.SealedSection{Path: s.Path, Ciphertext: un64(t, s.Ciphertext)}
		plain, err := openUnder(k, v.Notification, sealed)
		if err != nil || !bytes.Equal(plain[:32], unhex(t, s.Salt)) || len(plain) != s.Size {
			t.Errorf("%s: %v", s.Path, err)
		}
		m, err := openSection(k, v.Notification, sealed)
		if err != nil || !bytes.Equal(mustMarshal(m), unhex(t, s.Message)) {
			t.Errorf("%s: %v %v", s.Path, m, err)
		}
	}
}

type trustVector struct {
	Domain    string
	Prison    string `json:"prison_pem"`
	Authority string `json:"authority_pem"`
	Hub       string `json:"hub_pem"`
	Auditor   string `json:"auditor_pem"`
}

func (v trustVector) trust(t *testing.T) *Trust {
	t.Helper()
	tr, err := NewTrust(v.Domain, map[string][]byte{"prison": []byte(v.Prison), "authority": []byte(v.Authority), "hub": []byte(v.Hub), "auditor": []byte(v.Auditor)})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestVectorsStatements(t *testing.T) {
	var v struct {
		Trust trustVector
		Cases []struct {
			Name   string
			Type   string `json:"payload_type"`
			At     time.Time
			Signed string `json:"signed_base64"`
			Party  string
		}
	}
	load(t, "statements.json", &v)
	tr := v.Trust.trust(t)
	for _, c := range v.Cases {
		s := &pb.Signed{}
		if err := proto.Unmarshal(un64(t, c.Signed), s); err != nil {
			t.Fatal(err)
		}
		p, err := tr.Verify(s, c.Type, c.At)
		if p.URI != c.Party || (err == nil) != (c.Party != "") {
			t.Errorf("%s: %v %v", c.Name, p, err)
		}
	}
}

func TestVectorsNotification(t *testing.T) {
	type section struct {
		Path    string
		Message string `json:"message_hex"`
	}
	var v struct {
		Trust        trustVector
		At           time.Time
		Sender       string
		ID           string `json:"notification_id"`
		Reference    string
		SHA          string `json:"manifest_sha256_hex"`
		Private      string `json:"recipient_private_key_hex"`
		Notification string `json:"notification_base64"`
		Sections     []section
		Released     struct {
			Paths        []string
			Children     []int
			SHA          []string `json:"sections_sha256_hex"`
			Notification string   `json:"notification_base64"`
		}
		Refused []struct {
			Why, Audience string
			At            time.Time
		}
	}
	load(t, "notification.json", &v)
	tr := v.Trust.trust(t)
	whole, part := &pb.SealedNotification{}, &pb.SealedNotification{}
	if proto.Unmarshal(un64(t, v.Notification), whole) != nil || proto.Unmarshal(un64(t, v.Released.Notification), part) != nil {
		t.Fatal("does not parse")
	}
	read := &Reader{Trust: tr, Audience: tr.Domain, Now: v.At, AtHub: true}
	c, err := read.check(whole)
	if err != nil {
		t.Fatal(err)
	}
	ref, _ := Reference(v.ID)
	if c.Sender.URI != v.Sender || hex.EncodeToString(c.SHA256) != v.SHA || c.Manifest.NotificationId != v.ID || ref != v.Reference {
		t.Error("not what it should be")
	}
	x := NewInbox(&Self{}, tr, "", nil, &Follower{}, &Follower{}, nil)
	if _, err := x.AddKey(unhex(t, v.Private)); err != nil {
		t.Fatal(err)
	}
	it := &Item{ID: v.ID, Manifest: c.Manifest, raw: whole, Sections: map[string]proto.Message{}, keys: map[string][]byte{}}
	if err := x.open(it, x.keys[c.Manifest.GetOffer().RecipientKeyId], nil); err != nil {
		t.Fatal(err)
	}
	for _, s := range v.Sections {
		if !bytes.Equal(mustMarshal(it.Sections[s.Path]), unhex(t, s.Message)) {
			t.Errorf("%s", s.Path)
		}
	}
	read.AtHub = false
	c, err = read.check(part)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range v.Released.Children {
		if c.Facts[n] == nil || len(c.Facts) != len(v.Released.Children) {
			t.Error("facts of children")
		}
	}
	var digests []string
	for _, d := range sectionDigests(part.Sections) {
		digests = append(digests, hex.EncodeToString(d))
	}
	if !reflect.DeepEqual(digests, v.Released.SHA) {
		t.Errorf("%v", digests)
	}
	for _, r := range v.Refused {
		_, err := (&Reader{Trust: tr, Audience: r.Audience, Now: r.At, AtHub: true}).check(whole)
		if err == nil {
			t.Error(r.Why)
		}
	}
}

// TestPageLeaf is the leaf that section 8 shows.
func TestPageLeaf(t *testing.T) {
	leaf := unhex(t, "01abababababababababababababababab0100079be2cf8eb112039f8342985c77408d73f854743cbf2d3386416ffc9588156f24dcdb")
	r := &pb.Receipt{Leaf: leaf,
		Core:          unhex(t, "0a20111111111111111111111111111111111111111111111111111111111111111110012a0608a0b480d806"),
		DetailsSha256: unhex(t, "41ffd8b76afc92a65758fd9a080ae80421c196f251263b87cbfb6e567dda0879"),
		Opening:       unhex(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")}
	if _, err := (Keys{}).Receipt(r); err == nil || err.Error() != "proof: not in its form" {
		t.Errorf("all but the proof should hold: %v", err)
	}
}

type call struct {
	Time            time.Time
	From, Method    string
	Request         string `json:"request_base64"`
	Answer          string `json:"answer_base64"`
	request, answer []byte
}

type exchangeVector struct {
	Domain, Hub string
	Anchors     map[string]string `json:"anchors_pem"`
	Sent        []string          `json:"sent_log_keys"`
	Received    []string          `json:"received_log_keys"`
	Desk, Inbox struct {
		Certificates string `json:"certificates_pem"`
		Key          string `json:"key_pem"`
	}
	Private string `json:"recipient_private_key_hex"`
	Calls   []call
}

// replay is the hub of the vector: it compares the request of each call with the vector's and gives its answer.
type replay struct {
	grpc.ClientConnInterface
	t    *testing.T
	next *call
}

func (r *replay) Invoke(_ context.Context, method string, req, reply any, _ ...grpc.CallOption) error {
	if r.next == nil || r.next.Method != method {
		if method == "/postern.v1.DirectoryService/ListKeys" {
			return nil
		}
		r.t.Errorf("unexpected call of %s", method)
		return nil
	}
	want := proto.Clone(req.(proto.Message))
	if err := proto.Unmarshal(r.next.request, want); err != nil {
		r.t.Error(err)
	}
	if w, ok := want.(*pb.ListUpdatesRequest); ok {
		got := req.(*pb.ListUpdatesRequest)
		if w.PageToken == "" {
			w.PageToken = got.PageToken // the recorded desk kept no token of a page without updates
		}
	}
	if !proto.Equal(want, req.(proto.Message)) {
		r.t.Errorf("%s:\n got %v\nwant %v", method, req, want)
	}
	err := proto.Unmarshal(r.next.answer, reply.(proto.Message))
	r.next = nil
	return err
}

func TestVectorsExchange(t *testing.T) {
	var v exchangeVector
	load(t, "exchange.json", &v)
	anchors := map[string][]byte{}
	for name, text := range v.Anchors {
		anchors[name] = []byte(text)
	}
	tr, err := NewTrust(v.Domain, anchors)
	if err != nil {
		t.Fatal(err)
	}
	self := func(certificates, key string) *Self {
		s, err := tr.NewSelf([]byte(certificates), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	follower := func(keys []string) *Follower {
		f, err := NewFollower(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	var now time.Time
	clock := func() time.Time { return now }
	wire := &replay{t: t}
	ctx := context.Background()
	d := NewDesk(self(v.Desk.Certificates, v.Desk.Key), tr, wire, follower(v.Sent), clock, nil, nil)
	x := NewInbox(self(v.Inbox.Certificates, v.Inbox.Key), tr, v.Hub, wire, follower(v.Sent), follower(v.Received), clock)
	if _, err := x.AddKey(unhex(t, v.Private)); err != nil {
		t.Fatal(err)
	}
	for i := range v.Calls {
		c := &v.Calls[i]
		c.request, c.answer, now = un64(t, c.Request), un64(t, c.Answer), c.Time
		wire.next = c
		var err error
		switch c.Method {
		case "/postern.v1.DirectoryService/ListAuthorities":
			if c.From != "inbox" { // which asks for the names on its page; this inbox has no page
				err = d.Sync(ctx)
			}
		case "/postern.v1.SubmissionService/Submit":
			req := &pb.SubmitRequest{}
			if err := proto.Unmarshal(c.request, req); err != nil {
				t.Fatal(err)
			}
			read := &Reader{Trust: tr, Audience: tr.Domain, Now: now, AtHub: true}
			checked, cerr := read.check(req.Notification)
			if cerr != nil {
				t.Fatal(cerr)
			}
			m := checked.Manifest
			kind := logpb.Kind_KIND_DECIDED
			if m.GetWithdrawal() != nil {
				kind = logpb.Kind_KIND_WITHDRAWN
			}
			o, _ := d.outgoing(req.Notification, kept{id: m.NotificationId}, kind)
			o.Authority = m.GetOffer().GetAuthority()
			d.Items = append(d.Items, o)
			err = d.Flush(ctx)
		case "/postern.v1.SubmissionService/ListUpdates":
			var got []*pb.Update
			a := &pb.ListUpdatesResponse{}
			_ = proto.Unmarshal(c.answer, a)
			got, _, err = d.page(ctx)
			if len(got) != len(a.Updates) {
				t.Errorf("%d: %d of %d updates are believed", i, len(got), len(a.Updates))
			}
		case "/postern.v1.DirectoryService/ListKeys":
		case "/postern.v1.MailboxService/Resume":
			err = x.Resume(ctx)
		case "/postern.v1.MailboxService/Report":
			want, r := &pb.ReportRequest{}, &pb.Report{}
			if proto.Unmarshal(c.request, want) != nil || proto.Unmarshal(want.Signed.Payload, r) != nil {
				t.Fatal("no report")
			}
			if s := r.GetStopAnswer(); s != nil {
				err = x.AnswerStop(ctx, x.Stops()[0], s.Code)
			} else {
				err = x.Reply(ctx, x.Items()[0], r.GetReply().Code, r.GetReply().Paths...)
			}
		case "/postern.v1.InboxService/Deliver":
			req, want := &pb.DeliverRequest{}, &pb.DeliverResponse{}
			if proto.Unmarshal(c.request, req) != nil || proto.Unmarshal(c.answer, want) != nil {
				t.Fatal("no delivery")
			}
			var got *pb.DeliverResponse
			got, err = x.Deliver(ctx, req)
			if !proto.Equal(got, want) {
				t.Errorf("%d:\n got %v\nwant %v", i, got, want)
			}
			if len(x.pending) > 0 {
				r := &pb.Report{}
				_ = proto.Unmarshal(x.pending[0].Signed.Payload, r)
				t.Errorf("reports: %v", r)
			}
		}
		if err != nil {
			t.Errorf("%d %s: %v", i, c.Method, err)
		}
	}
	if o := d.Items[0]; o.State != Shared || !o.Acknowledged || len(o.Replies) != 2 || d.Items[1].State != Counted {
		t.Errorf("%+v", o)
	}
}
