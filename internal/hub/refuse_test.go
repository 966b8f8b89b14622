package hub_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/testkit"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// refusedAs checks that the newest event of the sent log is a refusal for this reason.
func (w *world) refusedAs(reason string) {
	w.t.Helper()
	all := w.events(logv1.Kind_KIND_REFUSED)
	if len(all) == 0 {
		w.t.Fatal("no refusal was recorded")
	}
	last := all[len(all)-1]
	if last.Details.GetRefusal() != reason || last.Log != ledger.Sent || len(last.Core.GetSubjectSha256()) != 32 {
		w.t.Errorf("recorded %v, want %s", last.Details, reason)
	}
}

// places are the bytes of a notification in which a bit may be flipped: for each, who reads and writes it.
func places(n *posternv1.SealedNotification) map[string]*[]byte {
	at := map[string]*[]byte{"payload": &n.Manifest.Payload, "signature": &n.Manifest.Signatures[0].Signature,
		"certificate": &n.Manifest.Signatures[0].Certificates[0]}
	for i := range n.Facts {
		at[fmt.Sprintf("facts %d", i)] = &n.Facts[i]
	}
	for i, s := range n.Sections {
		at[fmt.Sprintf("section %d", i)] = &s.Ciphertext
	}
	return at
}

func TestAFlippedBitIsRefusedAndRecorded(t *testing.T) {
	w := newWorld(t, func(c *testkit.Config) { c.RefusalBudget = 10_000 })
	n := w.shareable()
	random := rand.New(rand.NewPCG(2026, 11))
	var names []string
	for name := range places(n) {
		names = append(names, name)
	}
	var reasons []string
	for i := range testkit.N(200, 5000) {
		bad := proto.CloneOf(n)
		name := names[i%len(names)]
		b := *places(bad)[name]
		bit := random.IntN(8 * len(b))
		b[bit/8] ^= 1 << (bit % 8)
		_, err := w.submit(testkit.HMPBristol, bad)
		if kind := fault.KindOf(err); err == nil || kind != fault.Unverified && kind != fault.Invalid {
			t.Fatalf("bit %d of the %s: %v", bit, name, err)
		}
		reasons = append(reasons, fault.From(err).Reason)
	}
	refused := w.events(logv1.Kind_KIND_REFUSED)
	if len(refused) != len(reasons) {
		t.Fatalf("%d refusals recorded, %d made", len(refused), len(reasons))
	}
	for i, e := range refused {
		if e.Details.GetRefusal() != reasons[i] || e.Details.GetCaller() != w.Identity("/prison/BLI/desk").Party().URI() {
			t.Errorf("refusal %d: %v, want %s", i, e.Details, reasons[i])
		}
	}
	if got := w.events(logv1.Kind_KIND_DECIDED); len(got) > 0 || w.waiting() > 0 {
		t.Errorf("%d decisions, %d wait", len(got), w.waiting())
	}
	w.decided(n) // the control: as it was made it is taken
}

func TestWhatIsNotWhatWasSignedIsRefused(t *testing.T) {
	w := newWorld(t)
	n := w.shareable()
	other := w.shareable()
	for name, edit := range map[string]func(*posternv1.SealedNotification){
		"a section left out":   func(n *posternv1.SealedNotification) { n.Sections = n.Sections[1:] },
		"a section twice":      func(n *posternv1.SealedNotification) { n.Sections = append(n.Sections, n.Sections[0]) },
		"a section of another": func(n *posternv1.SealedNotification) { n.Sections[0] = other.Sections[0] },
		"a section renamed":    func(n *posternv1.SealedNotification) { n.Sections[0].Path = "parent/custody" },
		"facts left out":       func(n *posternv1.SealedNotification) { n.Facts = n.Facts[1:] },
		"facts of another":     func(n *posternv1.SealedNotification) { n.Facts[0] = other.Facts[0] },
		"no facts":             func(n *posternv1.SealedNotification) { n.Facts = nil },
		"no manifest":          func(n *posternv1.SealedNotification) { n.Manifest = nil },
		"no signature":         func(n *posternv1.SealedNotification) { n.Manifest.Signatures = nil },
		"two signatures": func(n *posternv1.SealedNotification) {
			n.Manifest.Signatures = append(n.Manifest.Signatures, n.Manifest.Signatures[0])
		},
		"signature of another":        func(n *posternv1.SealedNotification) { n.Manifest.Signatures = other.Manifest.Signatures },
		"a statement of another kind": func(n *posternv1.SealedNotification) { n.Manifest.PayloadType = envelope.TypeReport },
		"a redirection":               func(n *posternv1.SealedNotification) { n.Redirections = []*posternv1.Redirection{{}} },
		"an unknown field":            func(n *posternv1.SealedNotification) { n.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.submit(testkit.HMPBristol, testkit.Clone(n, edit))
			if kind := fault.KindOf(err); err == nil || kind != fault.Unverified && kind != fault.Invalid {
				t.Fatal(err)
			}
			w.refusedAs(fault.From(err).Reason)
		})
	}
	if got := w.events(logv1.Kind_KIND_DECIDED); len(got) > 0 || w.waiting() > 0 {
		t.Errorf("%d decisions, %d wait", len(got), w.waiting())
	}
}

func TestADeskSpeaksForItselfOnly(t *testing.T) {
	w := newWorld(t)
	n := w.shareable()
	_, err := w.submit(testkit.HMPParc, n)
	wantFault(t, err, fault.Denied, "SENDER_IS_NOT_CALLER")
	w.refusedAs("SENDER_IS_NOT_CALLER")

	resigned := proto.CloneOf(n)
	resigned.Manifest = must(envelope.SignStatement(w.Identity("/prison/PRI/desk"), envelope.TypeManifest, n.GetManifest().GetPayload()))(t)
	for _, caller := range []string{testkit.HMPBristol, testkit.HMPParc} {
		_, err = w.submit(caller, resigned)
		wantFault(t, err, fault.Denied, "SENDER_MISMATCH")
		w.refusedAs("SENDER_MISMATCH")
	}
	byInbox := proto.CloneOf(n)
	byInbox.Manifest = must(envelope.SignStatement(w.Identity("/authority/E06000023/inbox"), envelope.TypeManifest, n.GetManifest().GetPayload()))(t)
	_, err = w.submit(testkit.HMPBristol, byInbox)
	wantFault(t, err, fault.Denied, "NOT_A_DESK")
	w.decided(n)
}

func TestAnEnquiryThatSaysTooLittleIsRefusedAndRecorded(t *testing.T) {
	w := newWorld(t)
	for _, e := range []*posternv1.Enquiry{
		{},
		{Outcome: posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED},
		{Outcome: posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN, NotAskedReason: posternv1.NotAskedReason_NOT_ASKED_REASON_LATE},
	} {
		_, err := w.submit(testkit.HMPBristol, w.Seal(testkit.HMPBristol, formtest.Declined(), func(d *envelope.Draft) {
			d.Manifest.Statement = &posternv1.Manifest_Enquiry{Enquiry: e}
		})[0])
		wantFault(t, err, fault.Invalid, "BAD_ENQUIRY")
		w.refusedAs("BAD_ENQUIRY")
	}
}

func TestEveryOutcomeOfAskingIsRecorded(t *testing.T) {
	w := newWorld(t)
	for outcome, want := range map[posternv1.EnquiryOutcome]posternv1.Outcome{
		posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN:    posternv1.Outcome_OUTCOME_WAIT,
		posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED:   posternv1.Outcome_OUTCOME_WAIT,
		posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN: posternv1.Outcome_OUTCOME_WITHHOLD,
		posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED:    posternv1.Outcome_OUTCOME_REFER_TO_PERSON,
	} {
		out, err := w.submit(testkit.HMPBristol, w.Seal(testkit.HMPBristol, formtest.Enquiry(outcome))[0])
		if err != nil || out.GetDecision().GetOutcome() != want || out.GetReceipt() == nil {
			t.Errorf("%v: %v, %v", outcome, out.GetDecision(), err)
		}
	}
	if n := len(w.events(logv1.Kind_KIND_DECIDED)); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
}

func TestRefusalsBeyondTheBudgetAreRefusedAndNotRecorded(t *testing.T) {
	w := newWorld(t, func(c *testkit.Config) { c.RefusalBudget = 3 })
	bad := testkit.Clone(w.shareable(), func(n *posternv1.SealedNotification) { n.Manifest.Payload[0] ^= 1 })
	refuse := func(prison string, want int) {
		t.Helper()
		_, err := w.submit(prison, bad)
		wantFault(t, err, fault.Unverified, "BAD_SIGNATURE")
		if got := len(w.events(logv1.Kind_KIND_REFUSED)); got != want {
			t.Errorf("%d recorded, want %d", got, want)
		}
	}
	for _, want := range []int{1, 2, 3, 3, 3} {
		refuse(testkit.HMPBristol, want)
	}
	refuse(testkit.HMPParc, 4) // another desk has its own
	w.Clock.Advance(time.Hour / 3)
	refuse(testkit.HMPBristol, 5)
	refuse(testkit.HMPBristol, 5)
	w.decided(w.shareable()) // and what is right is still taken
}

// What package rpc tells of is a leaf too, within the same budget: of the log that desks see only what a desk caused.
// What Submit has recorded is not recorded again, and an old copy of the hub writes nothing.
func TestEveryRefusalIsRecordedOnce(t *testing.T) {
	w := newWorld(t, func(c *testkit.Config) { c.RefusalBudget = 4 })
	role := fault.New(fault.Denied, "ROLE", "No.")
	desk, inbox := w.Identity("/prison/BLI/desk").Party(), w.Identity("/authority/E06000023/inbox").Party()
	w.Hub.Refused(t.Context(), desk, "/x/y", role)
	w.Hub.Refused(t.Context(), inbox, "/x/y", role)
	w.Hub.Refused(t.Context(), w.Identity(testkit.AuditorPath).Party(), "/x/y", role)
	w.Hub.Refused(t.Context(), desk, "/x/y", fault.New(fault.Precondition, "LOG_AHEAD", "No."))
	_, err := w.Hub.Submit(rpc.WithParty(t.Context(), desk), &posternv1.SubmitRequest{})
	w.Hub.Refused(t.Context(), desk, "/x/y", err)
	for range 5 {
		w.Hub.Refused(t.Context(), desk, "/x/y", fault.New(fault.NotFound, "NOT_FOUND", "No."))
	}
	var got []string
	for _, e := range w.events(logv1.Kind_KIND_REFUSED) {
		got = append(got, e.Log.String()+" "+e.Details.GetRefusal())
	}
	want := []string{"received ROLE", "received ROLE", "sent " + fault.From(err).Reason, "sent NOT_FOUND", "sent NOT_FOUND", "sent ROLE"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}
