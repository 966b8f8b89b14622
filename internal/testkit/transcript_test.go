package testkit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/follow"
	"postern/internal/form/formtest"
	"postern/internal/identity"
	"postern/internal/inbox"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store/mem"
	"postern/internal/testkit"
	"postern/internal/vault"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// The transcript of an exchange is for whoever writes a desk or an inbox from docs/formats.md. It is made once: run
//
//	go test ./internal/testkit -run Transcript -update
//
// only when a format changes, and then say so in docs/formats.md.
var update = flag.Bool("update", false, "make the transcript anew")

const transcriptFile = "../envelope/testdata/vectors/exchange.json"

// transcript is every call of an exchange between one desk, the hub and one inbox, and the keys of desk and inbox.
type transcript struct {
	Domain     string            `json:"domain"`
	Hub        string            `json:"hub"`
	Anchors    map[string]string `json:"anchors_pem"`
	Sent       []string          `json:"sent_log_keys"`
	Received   []string          `json:"received_log_keys"`
	Desk       papers            `json:"desk"`
	Inbox      papers            `json:"inbox"`
	PrivateKey string            `json:"recipient_private_key_hex"`
	Calls      []call            `json:"calls"`
}

type papers struct {
	Certificates string `json:"certificates_pem"`
	Key          string `json:"key_pem"`
}

// call is one call: who made it, when by everybody's clock, and both messages.
type call struct {
	Time    time.Time `json:"time"`
	From    string    `json:"from"`
	Method  string    `json:"method"`
	Request []byte    `json:"request_base64"`
	Answer  []byte    `json:"answer_base64"`
}

// record plays an exchange and writes down every call.
func record(t *testing.T) *transcript {
	x := testkit.NewExchange(t)
	tr := &transcript{Domain: testkit.Domain, Hub: testkit.HubURI, Anchors: map[string]string{}}
	written := func(path string) papers {
		p := x.Papers(path)
		tr.Sent, tr.Received = p.Sent[:1], p.Received[:1]
		for name, b := range p.Anchors {
			tr.Anchors[name] = string(b)
		}
		return papers{string(p.Certificates), string(p.Key)}
	}
	tr.Desk, tr.Inbox = written("/prison/BLI/desk"), written("/authority/"+testkit.Bristol+"/inbox")
	in := x.Inbox(testkit.Bristol)
	for from, link := range map[string]*testkit.Link{"desk": x.ToHub("/prison/BLI/desk"), "hub": in.Link, "inbox": in.ToHub} {
		var asked []byte
		link.Requests(func(_ string, b []byte) []byte { asked = bytes.Clone(b); return b })
		link.Answers(func(method string, b []byte) []byte {
			tr.Calls = append(tr.Calls, call{x.Clock.Now().UTC(), from, method, asked, bytes.Clone(b)})
			return b
		})
	}
	keys := must(filepath.Glob(filepath.Join(x.Path("inbox-"+testkit.Bristol, "recipient"), "*.key")))(t)
	block, _ := pem.Decode(must(os.ReadFile(keys[0]))(t))
	tr.PrivateKey = hex.EncodeToString(block.Bytes)

	d := x.Desk(testkit.HMPBristol)
	f := formtest.New(testkit.Bristol)
	f.Consent = formtest.Consent(1, "parent/name", "child/{n}/identity", "child/{n}/relationship", "child/{n}/home", "child/{n}/carer", "child/{n}/safety", "child/{n}/phone")
	id := d.Take(f)[0]
	x.Settle()
	reply(t, x, in, tr, id)
	x.Clock.Advance(time.Hour)
	x.Settle()
	q := &localv1.WithdrawNotificationRequest{Id: id, Paths: []string{"child/1/phone"}, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PAPER}
	must(d.Withdraw(t.Context(), q, testkit.Staff))(t)
	x.Settle()
	must(in.AnswerStop(t.Context(), &localv1.AnswerStopRequest{Id: id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}))(t)
	x.Settle()
	return tr
}

// reply has the team say of the one notification that it knows the family: its prison hears less than that.
func reply(t *testing.T, x *testkit.Exchange, in *testkit.Inbox, tr *transcript, id string) {
	t.Helper()
	q := &posternv1.DeliverRequest{}
	for _, c := range tr.Calls {
		if strings.HasSuffix(c.Method, "/Deliver") && proto.Unmarshal(c.Request, q) != nil {
			t.Fatal("a delivery that cannot be read")
		}
	}
	manifest := sha256.Sum256(q.GetDelivery().GetNotification().GetManifest().GetPayload())
	payload := must(proto.Marshal(&posternv1.Report{DeliveryId: q.GetDelivery().GetDeliveryId(), NotificationId: id, ManifestSha256: manifest[:], ReportTime: timestamppb.New(x.Clock.Now()),
		Report: &posternv1.Report_Reply{Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN}}}))(t)
	signed := must(envelope.SignStatement(x.Identity("/authority/"+testkit.Bristol+"/inbox"), envelope.TypeReport, payload))(t)
	asked := must(in.Inbox.Log().Ask())(t)
	a := must(posternv1.NewMailboxServiceClient(in.ToHub).Report(t.Context(), &posternv1.ReportRequest{Signed: signed, KnownLogs: asked.Known()}))(t)
	event := must(verify.Receipt(a.GetReceipt(), x.LogKeys()))(t)
	if err := in.Inbox.Log().Take(t.Context(), asked, a.GetConsistency(), follow.SeenIn(event)); err != nil {
		t.Fatal(err)
	}
}

func readTranscript(t testing.TB) (tr transcript) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(must(os.ReadFile(transcriptFile))(t)))
	d.DisallowUnknownFields()
	if err := d.Decode(&tr); err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestTranscript: our side of the vectors. The directory opens, the desk's statements hold, the receipts hold, and an
// inbox with the same keys gives the same answers, byte for byte.
func TestTranscript(t *testing.T) {
	if *update {
		b := must(json.MarshalIndent(record(t), "", " "))(t)
		if err := os.WriteFile(transcriptFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tr := readTranscript(t)
	r := newReplay(t, tr)
	r.open(r.secrets())
	seen := map[string]int{}
	for _, c := range tr.Calls {
		r.now = c.Time
		method := c.Method[strings.LastIndexByte(c.Method, '/')+1:]
		seen[method]++
		switch method {
		case "ListAuthorities":
			r.directory(c)
		case "Submit":
			r.submitted(c)
		case "Deliver":
			r.delivered(c)
		case "Report":
			r.reported(c)
		}
	}
	for method, n := range map[string]int{"ListAuthorities": 1, "Submit": 2, "Deliver": 2, "Report": 1, "ListUpdates": 2, "Resume": 1} {
		if seen[method] < n {
			t.Errorf("the transcript has %d calls of %s", seen[method], method)
		}
	}
}

// replay is a transcript being held against our code.
type replay struct {
	transcript
	t       testing.TB
	anchors *identity.Anchors
	keys    verify.Keys
	now     time.Time
	inbox   *inbox.Inbox
}

func newReplay(t testing.TB, tr transcript) *replay {
	t.Helper()
	return &replay{transcript: tr, t: t, now: tr.Calls[0].Time, keys: must(verify.NewKeys(append(tr.Sent, tr.Received...)...))(t),
		anchors: must(identity.NewAnchors(identity.AnchorConfig{Domain: tr.Domain, Prison: []byte(tr.Anchors["prison"]), Authority: []byte(tr.Anchors["authority"]),
			Hub: []byte(tr.Anchors["hub"]), Auditor: []byte(tr.Anchors["auditor"])}))(t)}
}

// read parses the two messages of a call.
func (r *replay) read(c call, request, answer proto.Message) {
	r.t.Helper()
	if err := proto.Unmarshal(c.Request, request); err != nil {
		r.t.Fatal(err)
	}
	if err := proto.Unmarshal(c.Answer, answer); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replay) directory(c call) {
	q, a := &posternv1.ListAuthoritiesRequest{}, &posternv1.ListAuthoritiesResponse{}
	r.read(c, q, a)
	if a.GetRevision() != nil {
		must(directory.Open(a.GetRevision(), a.GetEntries(), r.anchors, r.now))(r.t)
	}
}

func (r *replay) submitted(c call) {
	q, a := &posternv1.SubmitRequest{}, &posternv1.SubmitResponse{}
	r.read(c, q, a)
	v := must(envelope.Verify(q.GetNotification(), envelope.VerifyConfig{Audience: r.Domain, Anchors: r.anchors, At: r.now, Whole: true}))(r.t)
	event := must(verify.Receipt(a.GetReceipt(), r.keys))(r.t)
	if !bytes.Equal(event.Core.GetManifestSha256(), v.ManifestSHA256()) {
		r.t.Error("the receipt is of another manifest")
	}
}

func (r *replay) reported(c call) {
	q, a := &posternv1.ReportRequest{}, &posternv1.ReportResponse{}
	r.read(c, q, a)
	if party := must(envelope.VerifyStatement(q.GetSigned(), envelope.TypeReport, r.anchors, r.now))(r.t); party.ID != testkit.Bristol {
		r.t.Errorf("a report of %s", party)
	}
	must(verify.Receipt(a.GetReceipt(), r.keys))(r.t)
}

func (r *replay) delivered(c call) {
	q, want := &posternv1.DeliverRequest{}, &posternv1.DeliverResponse{}
	r.read(c, q, want)
	got := must(r.inbox.Deliver(r.t.Context(), q))(r.t)
	if want.GetAcknowledgement() == nil || !proto.Equal(got.GetAcknowledgement(), want.GetAcknowledgement()) {
		r.t.Errorf("the same delivery is answered with %v", got)
	}
}

// secrets are the files of the transcript's inbox.
type secrets struct {
	self  *identity.Identity
	vault *vault.Vault
	dir   string
	keys  map[string]*envelope.RecipientPrivate
}

func (r *replay) secrets() secrets {
	t, dir := r.t, r.t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s := secrets{dir: filepath.Join(dir, "keys")}
	s.self = must(identity.Load(write("inbox.pem", r.Inbox.Certificates), write("inbox-key.pem", r.Inbox.Key)))(t)
	s.vault = must(vault.Open(vault.Config{Dir: filepath.Join(dir, "vault"), Clock: r.clock}))(t)
	block := func(kind string, b []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: map[string]string{"Digest": envelope.KeyID(b)}, Bytes: b})
	}
	seed := must(hex.DecodeString(r.PrivateKey))(t)
	file := append(block("POSTERN RECIPIENT KEY", seed), block("POSTERN CONTINUITY KEY", make([]byte, 32))...)
	key := must(envelope.ParseRecipient(file))(t)
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write("keys/"+key.KeyID()+".key", string(file))
	signed := must(key.Publish(s.self, 1, r.now, r.now.AddDate(1, 0, 0)))(t)
	write("keys/"+key.KeyID()+".signed", string(must(proto.Marshal(signed))(t)))
	s.keys = must(inbox.LoadKeys(s.dir))(t)
	return s
}

func (r *replay) clock() time.Time { return r.now }

// open opens an inbox with the keys of the transcript, in which nothing is yet.
func (r *replay) open(s secrets) {
	r.inbox = must(inbox.Open(inbox.Config{Identity: s.self, Anchors: r.anchors, Vault: s.vault, Keys: s.keys, KeyDir: s.dir,
		Store:   must(mem.Open(r.t.Context(), mem.Config{Disk: mem.NewDisk(), Schema: schema.Inbox}))(r.t),
		LogKeys: r.keys, AllLogs: r.keys, Clock: r.clock, Log: slog.New(slog.DiscardHandler)}))(r.t)
}
