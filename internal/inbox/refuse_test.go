package inbox_test

import (
	"crypto/rand"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/inbox"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	badSignature   = posternv1.RefusalReason_REFUSAL_REASON_BAD_SIGNATURE
	badReceipt     = posternv1.RefusalReason_REFUSAL_REASON_BAD_RECEIPT
	staleDecision  = posternv1.RefusalReason_REFUSAL_REASON_STALE_DECISION
	keyUnknown     = posternv1.RefusalReason_REFUSAL_REASON_KEY_UNKNOWN
	wrongAuthority = posternv1.RefusalReason_REFUSAL_REASON_WRONG_AUTHORITY
	badSection     = posternv1.RefusalReason_REFUSAL_REASON_BAD_SECTION
)

// A hub cannot release what it did not record, nor anything the desk did not sign.
func TestWhatDeskAndLedgerDoNotVouchForIsRefused(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	other := held(t, x, ordinary(x))
	x.Clock.Advance(testkit.MaxWait)
	x.Settle() // the other one is out of the way
	before := rows(t, in)
	full := ordinary(x)
	d := held(t, x, full)

	core := func(edit func(*logv1.Core)) func(*posternv1.Delivery) {
		return func(d *posternv1.Delivery) {
			d.Receipt = recorded(t, x, d, ledger.Sent, logv1.Kind_KIND_DECIDED, edit)
		}
	}
	for name, c := range map[string]struct {
		edit func(*posternv1.Delivery)
		want posternv1.RefusalReason
	}{
		"no receipt":         {func(d *posternv1.Delivery) { d.Receipt = nil }, badReceipt},
		"garbled leaf":       {func(d *posternv1.Delivery) { d.Receipt.Leaf[9] ^= 1 }, badReceipt},
		"garbled core":       {func(d *posternv1.Delivery) { d.Receipt.Core[9] ^= 1 }, badReceipt},
		"garbled opening":    {func(d *posternv1.Delivery) { d.Receipt.Opening[9] ^= 1 }, badReceipt},
		"garbled proof":      {func(d *posternv1.Delivery) { d.Receipt.TlogProof += "x" }, badReceipt},
		"receipt of another": {func(d *posternv1.Delivery) { d.Receipt = other.GetReceipt() }, badReceipt},
		"message of another": {func(d *posternv1.Delivery) { d.GetNotification().Manifest = other.GetNotification().GetManifest() }, badSignature},
		"all but receipt":    {func(d *posternv1.Delivery) { d.Content = other.Content }, badReceipt},
		"a refusal's receipt": {func(d *posternv1.Delivery) {
			d.Receipt = recorded(t, x, d, ledger.Sent, logv1.Kind_KIND_REFUSED, func(*logv1.Core) {})
		}, badReceipt},
		"the other log": {func(d *posternv1.Delivery) {
			d.Receipt = recorded(t, x, d, ledger.Received, logv1.Kind_KIND_DECIDED, func(*logv1.Core) {})
		}, badReceipt},
		"a referral":     {core(func(c *logv1.Core) { c.Outcome = posternv1.Outcome_OUTCOME_REFER_TO_PERSON }), badReceipt},
		"a section less": {core(func(c *logv1.Core) { c.SectionsSha256 = c.SectionsSha256[1:] }), badReceipt},
		"a section more": {core(func(c *logv1.Core) { c.SectionsSha256 = append(c.SectionsSha256, make([]byte, 32)) }), badReceipt},
		"no sections": {func(d *posternv1.Delivery) {
			core(func(c *logv1.Core) { c.SectionsSha256 = nil })(d)
			d.GetNotification().Sections = nil
		}, badReceipt},
		"made again of another": {func(d *posternv1.Delivery) { d.FirstReceipt = other.GetReceipt() }, badReceipt},
		"made again of less": {func(d *posternv1.Delivery) {
			d.FirstReceipt = recorded(t, x, d, ledger.Sent, logv1.Kind_KIND_DECIDED, func(c *logv1.Core) { c.SectionsSha256 = c.SectionsSha256[1:] })
		}, badReceipt},
		"made again of a referral": {func(d *posternv1.Delivery) {
			d.FirstReceipt = recorded(t, x, d, ledger.Sent, logv1.Kind_KIND_DECIDED, func(c *logv1.Core) { c.Outcome = posternv1.Outcome_OUTCOME_REFER_TO_PERSON })
		}, badReceipt},
		"another manifest":            {core(func(c *logv1.Core) { c.ManifestSha256[0] ^= 1 }), badReceipt},
		"no end":                      {core(func(c *logv1.Core) { c.ValidUntilTime = nil }), staleDecision},
		"past its end":                {core(func(c *logv1.Core) { c.ValidUntilTime = c.EventTime }), staleDecision},
		"before the manifest":         {core(func(c *logv1.Core) { c.EventTime.Seconds -= 3600 }), badSignature},
		"section held back":           {func(d *posternv1.Delivery) { d.GetNotification().Sections = d.GetNotification().Sections[1:] }, badReceipt},
		"section changed":             {func(d *posternv1.Delivery) { d.GetNotification().Sections[0].Ciphertext[9] ^= 1 }, badSignature},
		"section renamed":             {func(d *posternv1.Delivery) { d.GetNotification().Sections[0].Path = "parent/custody" }, badSignature},
		"broken signature":            {func(d *posternv1.Delivery) { d.GetNotification().Manifest.Signatures[0].Signature[9] ^= 1 }, badSignature},
		"changed manifest":            {func(d *posternv1.Delivery) { d.GetNotification().Manifest.Payload[9] ^= 1 }, badSignature},
		"no signature":                {func(d *posternv1.Delivery) { d.GetNotification().Manifest.Signatures = nil }, badSignature},
		"facts of the hub":            {func(d *posternv1.Delivery) { d.GetNotification().Facts = full.GetFacts() }, badSignature},
		"changed facts":               {func(d *posternv1.Delivery) { d.GetNotification().Facts[0][9] ^= 1 }, badSignature},
		"facts of the child left out": {func(d *posternv1.Delivery) { d.GetNotification().Facts = nil }, badSignature},
		"nothing":                     {func(d *posternv1.Delivery) { d.Content = nil }, badSignature},
	} {
		t.Run(name, func(t *testing.T) {
			bad := testkit.Clone(d, c.edit)
			refused(t, x, bad, deliver(t, in, bad), bristolInbox, c.want)
			if rows(t, in) != before {
				t.Error("something was stored")
			}
		})
	}
	acknowledged(t, x, d, deliver(t, in, d)) // the control
}

// What was offered and signed, but not released, is refused like anything else that the core does not show.
func TestWhatWasOfferedAndNotReleasedIsRefused(t *testing.T) {
	minimum := []string{"parent/name", "child/{n}/identity", "child/{n}/home", "child/{n}/safety"}
	x := testkit.NewExchange(t, func(c *testkit.Config) { c.Register.Sections = map[string][]string{testkit.Bristol: minimum} })
	in := x.Inbox(testkit.Bristol)
	full := ordinary(x)
	d := held(t, x, full)
	if len(d.GetNotification().GetSections()) != len(minimum) {
		t.Fatalf("%d sections released", len(d.GetNotification().GetSections()))
	}
	more := testkit.Clone(d, func(d *posternv1.Delivery) { d.GetNotification().Sections = full.GetSections() })
	refused(t, x, more, deliver(t, in, more), bristolInbox, badReceipt)
	if rows(t, in) > 0 {
		t.Error("something was stored")
	}
	acknowledged(t, x, d, deliver(t, in, d))
}

func TestADecisionGoesStale(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	d := held(t, x, ordinary(x))
	core := &logv1.Core{}
	if err := proto.Unmarshal(d.GetReceipt().GetCore(), core); err != nil {
		t.Fatal(err)
	}
	x.Clock.Advance(core.GetValidUntilTime().AsTime().Sub(x.Clock.Now()))
	refused(t, x, d, deliver(t, in, d), bristolInbox, staleDecision)
	x.Clock.Advance(-time.Second)
	acknowledged(t, x, d, deliver(t, in, d))
}

func TestWhatIsForAnotherTeamIsRefused(t *testing.T) {
	x := testkit.NewExchange(t)
	d := held(t, x, ordinary(x))
	in := x.Inbox(testkit.Lancashire)
	refused(t, x, d, deliver(t, in, d), "/authority/E10000017/inbox", wrongAuthority)
	if rows(t, in) > 0 {
		t.Error("something was stored")
	}
}

// A refusal is not for ever: the same delivery holds when the key is back.
func TestWithoutTheKeyItIsRefusedUntilTheKeyIsBack(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	d := held(t, x, ordinary(x))
	stranger := must(envelope.GenerateRecipient())(t)
	in.Restart(func(c *inbox.Config) { c.Keys = map[string]*envelope.RecipientPrivate{stranger.KeyID(): stranger} })
	refused(t, x, d, deliver(t, in, d), bristolInbox, keyUnknown)
	if rows(t, in) > 0 {
		t.Error("something was stored")
	}
	in.Restart()
	acknowledged(t, x, d, deliver(t, in, d))
}

// Without the key of the hub's log, as in the minutes after a new generation or when its new key was forgotten, nothing is
// refused, neither a notification nor a stop request: each is taken when it comes again and the key is there.
func TestWithoutTheLogsKeyNothingIsRefused(t *testing.T) {
	s := newStopper(t, false)
	sent := s.Ledger.Origin(ledger.Sent)
	stop := s.good("child/1/phone")
	for _, origin := range []string{verify.OriginOf(sent, 2), sent} {
		_, vkey, err := ledger.GenerateKey(rand.Reader, origin)
		if err != nil {
			t.Fatal(err)
		}
		keys := must(verify.NewKeys(vkey))(t)
		s.in.Restart(func(c *inbox.Config) { c.LogKeys, c.AllLogs = keys, keys })
		for _, d := range []*posternv1.Delivery{s.first, stop} {
			_, err := s.in.Client().Deliver(t.Context(), &posternv1.DeliverRequest{Delivery: d})
			wantFault(t, err, fault.Unavailable, "LOG_KEY_MISSING")
		}
	}
	s.in.Restart()
	acknowledged(t, s.Exchange, s.first, deliver(t, s.in, s.first))
	if reason := s.deliver(stop); reason != 0 || s.sees().GetItem().GetStop() == nil {
		t.Errorf("with the key: refused %v", reason)
	}
}

// A desk can sign what does not open; the hub cannot tell, the inbox does, and the desk hears that it did not arrive.
func TestWhatDoesNotOpenIsRefusedRecordedAndHeard(t *testing.T) {
	x := testkit.NewExchange(t)
	n := ordinary(x)
	m := &posternv1.Manifest{}
	if err := proto.Unmarshal(n.GetManifest().GetPayload(), m); err != nil {
		t.Fatal(err)
	}
	m.GetOffer().EncapsulatedKey[40] ^= 1
	n.Manifest = must(envelope.SignStatement(x.Identity(bli), envelope.TypeManifest, must(proto.Marshal(m))(t)))(t)
	d := held(t, x, n)
	in := x.Inbox(testkit.Bristol)
	refused(t, x, d, deliver(t, in, d), bristolInbox, badSection)
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	if rows(t, in) > 0 || events(t, x, logv1.Kind_KIND_DELIVERY_REFUSED, "BAD_SECTION") != 1 {
		t.Errorf("%d rows, %d recorded", rows(t, in), events(t, x, logv1.Kind_KIND_DELIVERY_REFUSED, "BAD_SECTION"))
	}
	x.Clock.Advance(time.Hour)
	updates := must(x.Submission(testkit.HMPBristol).ListUpdates(t.Context(), &posternv1.ListUpdatesRequest{}))(t).GetUpdates()
	if len(updates) != 1 || updates[0].GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_UNDELIVERED {
		t.Errorf("the desk hears %v", updates)
	}
}

func TestADeliveryNeedsAnID(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	for _, d := range []*posternv1.Delivery{nil, {}} {
		_, err := in.Client().Deliver(t.Context(), &posternv1.DeliverRequest{Delivery: d})
		wantFault(t, err, fault.Invalid, "NO_DELIVERY_ID")
	}
	_, err := in.GetItem(t.Context(), &localv1.GetItemRequest{Id: "nonsense"})
	wantFault(t, err, fault.Invalid, "BAD_REFERENCE")
}
