package hub_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	withhold = posternv1.Outcome_OUTCOME_WITHHOLD

	decided   = logv1.Kind_KIND_DECIDED
	withdrawn = logv1.Kind_KIND_WITHDRAWN
	stopAsked = logv1.Kind_KIND_STOP_ASKED
)

// withdrawal seals the withdrawal of a notification as an honest desk would; edits change what it says.
func (w *world) withdrawal(prison, withdraws string, edits ...func(*posternv1.Withdrawal)) *posternv1.SealedNotification {
	w.t.Helper()
	stated := &posternv1.Withdrawal{Withdraws: withdraws, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}
	for _, edit := range edits {
		edit(stated)
	}
	now := w.Clock.Now()
	return must(envelope.Seal(envelope.Draft{Manifest: &posternv1.Manifest{
		NotificationId: must(envelope.NewID(rand.Reader))(w.t), Audience: testkit.Domain,
		CreateTime: timestamppb.New(now), ExpireTime: timestamppb.New(now.AddDate(0, 0, 30)),
		Sender:    &posternv1.Sender{PrisonId: prison, StaffId: "TEST01"},
		Statement: &posternv1.Manifest_Withdrawal{Withdrawal: stated},
	}}, nil, w.Identity("/prison/"+prison+"/desk")))(w.t)
}

func paths(p ...string) func(*posternv1.Withdrawal) {
	return func(w *posternv1.Withdrawal) { w.Paths = p }
}

func code(c string) func(*posternv1.Withdrawal) {
	return func(w *posternv1.Withdrawal) { w.SlipCode = c }
}

// withdraw submits a withdrawal and must be answered with a receipt that holds. It returns the rule that says what
// became of it.
func (w *world) withdraw(prison, withdraws string, edits ...func(*posternv1.Withdrawal)) string {
	w.t.Helper()
	return w.answered(prison, w.withdrawal(prison, withdraws, edits...))
}

func (w *world) answered(prison string, n *posternv1.SealedNotification) string {
	w.t.Helper()
	answer := must(w.submit(prison, n))(w.t)
	event := must(verify.Receipt(answer.GetReceipt(), w.LogKeys()))(w.t)
	sum := sha256.Sum256(n.GetManifest().GetPayload())
	if event.Kind != withdrawn || event.Origin != w.Ledger.Origin(ledger.Sent) || !bytes.Equal(event.Core.GetManifestSha256(), sum[:]) ||
		event.Core.GetOutcome() != answer.GetDecision().GetOutcome() || len(answer.GetDecision().GetReasons()) != 1 {
		w.t.Fatalf("answered %v with the receipt of %v", answer.GetDecision(), event)
	}
	return answer.GetDecision().GetReasons()[0].GetRuleId()
}

// withSlip is a notification with a code on its slip.
func (w *world) withSlip(f *posternv1.Form) (n *posternv1.SealedNotification, slip string) {
	w.t.Helper()
	slip = must(envelope.NewSlipCode(rand.Reader))(w.t)
	sum := sha256.Sum256([]byte(slip))
	return w.Seal(testkit.HMPBristol, f, func(d *envelope.Draft) { d.Hub.SlipCodeSha256 = sum[:] })[0], slip
}

func idOf(t *testing.T, n *posternv1.SealedNotification) string {
	t.Helper()
	m := &posternv1.Manifest{}
	if err := proto.Unmarshal(n.GetManifest().GetPayload(), m); err != nil {
		t.Fatal(err)
	}
	return m.GetNotificationId()
}

// rows counts what a keyspace of the hub holds.
func (w *world) rows(ks store.Keyspace) (n int) {
	w.t.Helper()
	err := w.Store.View(w.t.Context(), func(s store.Snapshot) error {
		return s.Scan(ks, nil, nil, func(_, _ []byte) (bool, error) { n++; return true, nil })
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// try makes the courier try once while Bristol's inbox does not answer: a send that began.
func (w *world) try() {
	w.t.Helper()
	link := w.Inbox(testkit.Bristol).Link
	link.Down(true)
	defer link.Down(false)
	if worked, err := w.Hub.StepDelivery(w.t.Context()); err != nil || !worked {
		w.t.Fatalf("worked %v: %v", worked, err)
	}
}

// settle lets everything come to rest, also what waits for its backoff.
func (w *world) settle() {
	w.t.Helper()
	w.Clock.Advance(2 * testkit.MaxWait)
	w.Settle()
}

// updates is what the hub tells a prison.
func (w *world) updates(prison string) []*posternv1.Update {
	w.t.Helper()
	return must(w.Submission(prison).ListUpdates(w.t.Context(), &posternv1.ListUpdatesRequest{}))(w.t).GetUpdates()
}

// item is what Bristol's team sees; nil when it has nothing.
func (w *world) item(id string) *localv1.GetItemResponse {
	w.t.Helper()
	out, err := w.Inbox(testkit.Bristol).GetItem(w.t.Context(), &localv1.GetItemRequest{Id: id})
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return must(out, err)(w.t)
}

func TestWithdrawnBeforeItBeganToBeSent(t *testing.T) {
	w := newWorld(t)
	n := w.shareable()
	_, event := w.decided(n)
	if got := w.withdraw(testkit.HMPBristol, idOf(t, n)); got != "withdrawn" {
		t.Errorf("answered %s", got)
	}
	if w.waiting() != 0 || w.rows(schema.HubOutboxBody) != 0 {
		t.Error("something still waits to be sent")
	}
	w.settle()
	if len(w.events(stopAsked)) != 0 || len(w.events(logv1.Kind_KIND_DELIVERED)) != 0 || w.item(idOf(t, n)) != nil {
		t.Error("the team was told of something that never began to be sent")
	}
	all := w.events(withdrawn)
	if len(all) != 1 || all[0].Log != ledger.Sent || !bytes.Equal(all[0].Core.GetFollowsEvent(), event.EventID[:]) ||
		all[0].Details.GetNotificationId() != idOf(t, n) || all[0].Details.GetSender().GetStaffId() != "TEST01" {
		t.Errorf("recorded %v", all)
	}
	if got := w.updates(testkit.HMPBristol); len(got) != 0 {
		t.Errorf("the desk, which had its answer, is told %v", got)
	}
	// The same notification again is answered as it was, and sends nothing; another under its id is refused.
	if answer, _ := w.decided(n); answer.GetDecision().GetOutcome() != share || w.waiting() != 0 {
		t.Errorf("again: %v, %d wait", answer.GetDecision().GetOutcome(), w.waiting())
	}
}

func TestWithdrawnAfterASendBegan(t *testing.T) {
	for name, send := range map[string]func(*world){
		"and failed":                func(w *world) { w.try() },
		"and its answer was lost":   func(w *world) { w.Inbox(testkit.Bristol).Link.LoseAnswers(1); w.Hub.StepDelivery(w.t.Context()) },
		"and it was delivered":      func(w *world) { w.Settle() },
		"and the hub was restarted": func(w *world) { w.try(); w.RestartHub() },
		"and it was given up": func(w *world) {
			w.try()
			w.Inbox(testkit.Bristol).Link.Down(true)
			w.Clock.Advance(25 * time.Hour)
			w.Settle()
			w.Inbox(testkit.Bristol).Link.Down(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.shareable()
			w.decided(n)
			send(w)
			before := w.item(idOf(t, n))
			sent := w.watch()
			if got := w.withdraw(testkit.HMPBristol, idOf(t, n)); got != "stop_asked" {
				t.Errorf("answered %s", got)
			}
			if w.waiting() != 1 || w.rows(schema.HubOutboxBody) != 1 {
				t.Errorf("%d wait, not the stop request alone", w.waiting())
			}
			w.settle()
			if *sent != 0 {
				t.Errorf("%d sends of what was withdrawn", *sent)
			}
			after := w.item(idOf(t, n))
			if before == nil && after != nil {
				t.Errorf("the team sees %v, which never came", after)
			}
			if before != nil && (len(before.GetSections()) == 0 || len(after.GetSections()) != 0 || after.GetItem().GetStop() == nil || after.GetItem().GetChildren() != 0) {
				t.Errorf("the team still sees %v", after)
			}
			asked := w.events(stopAsked)
			sum := sha256.Sum256(n.GetManifest().GetPayload())
			if len(asked) != 1 || asked[0].Log != ledger.Sent || !bytes.Equal(asked[0].Core.GetManifestSha256(), sum[:]) ||
				!bytes.Equal(asked[0].Core.GetFollowsEvent(), w.events(withdrawn)[0].Leaf.EventID[:]) {
				t.Errorf("recorded %v", asked)
			}
			last := w.updates(testkit.HMPBristol)
			if r := last[len(last)-1].GetReply(); r.GetCode() != posternv1.ReplyCode_REPLY_CODE_STOP_ASKED || len(r.GetPaths()) != 0 {
				t.Errorf("the desk is told %v", last)
			}
			if w.waiting() != 0 {
				t.Error("the stop request did not arrive")
			}
		})
	}
}

// watch counts every further attempt to send a notification to Bristol, whether or not it gets there.
func (w *world) watch() *int {
	n := 0
	w.Inbox(testkit.Bristol).Link.Requests(func(_ string, b []byte) []byte {
		req := &posternv1.DeliverRequest{}
		if err := proto.Unmarshal(b, req); err != nil {
			w.t.Error(err)
		}
		if req.GetDelivery().GetNotification() != nil {
			n++
		}
		return b
	})
	return &n
}

func TestTwiceIsOnce(t *testing.T) {
	for name, began := range map[string]bool{"before it began": false, "after it began": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.shareable()
			w.decided(n)
			if began {
				w.try()
			}
			first := w.withdrawal(testkit.HMPBristol, idOf(t, n))
			rule := w.answered(testkit.HMPBristol, first)
			if again := w.answered(testkit.HMPBristol, first); again != rule || len(w.events(withdrawn)) != 1 {
				t.Errorf("the same statement: %s then %s, %d leaves", rule, again, len(w.events(withdrawn)))
			}
			if again := w.withdraw(testkit.HMPBristol, idOf(t, n)); again != rule {
				t.Errorf("%s then %s", rule, again)
			}
			if again := w.withdraw(testkit.HMPBristol, idOf(t, n), paths("child/1/phone")); again != rule {
				t.Errorf("%s then of a part %s", rule, again)
			}
			want := 0
			if began {
				want = 1
			}
			if len(w.events(stopAsked)) != want || w.waiting() != want || len(w.updates(testkit.HMPBristol)) != want {
				t.Errorf("%d asked, %d wait, %d updates", len(w.events(stopAsked)), w.waiting(), len(w.updates(testkit.HMPBristol)))
			}
		})
	}
}

func TestAnyPrisonWithdrawsWithTheCode(t *testing.T) {
	for name, began := range map[string]bool{"before it began": false, "after it began": true} {
		for _, by := range []func(string) string{func(id string) string { return id }, envelope.Reference} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				n, slip := w.withSlip(formtest.New(testkit.Bristol))
				id := idOf(t, n)
				answer := must(w.submit(testkit.HMPBristol, n))(t)
				want := "withdrawn"
				if began {
					w.settle()
					want = "stop_asked"
				}
				if got := w.withdraw(testkit.HMPParc, by(id), code(slip)); got != want {
					t.Fatalf("answered %s", got)
				}
				w.settle()
				if item := w.item(id); began != (item != nil) || len(item.GetSections()) != 0 {
					t.Errorf("the team sees %v", item)
				}
				all := w.updates(testkit.HMPBristol)
				last := all[len(all)-1]
				if began {
					if last.GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_STOP_ASKED {
						t.Errorf("the sender is told %v", last)
					}
				} else {
					e := must(verify.Receipt(last.GetReceipt(), w.LogKeys()))(t)
					sum := sha256.Sum256(n.GetManifest().GetPayload())
					if e.Kind != withdrawn || !bytes.Equal(e.Core.GetSubjectSha256(), sum[:]) || rules(last.GetDecision())[0] != "withdrawn" {
						t.Errorf("the sender is told %v", last)
					}
				}
				if got := w.updates(testkit.HMPParc); len(got) != 0 {
					t.Errorf("the other prison is told %v", got)
				}
				if answer.GetDecision().GetOutcome() != share || w.events(withdrawn)[0].Details.GetCaller() != "spiffe://"+testkit.Domain+"/prison/PRI/desk" {
					t.Error("the log does not say who took it")
				}
			})
		}
	}
}

// Not yours, not there and a wrong code: with a code all are NOT_FOUND in the same words, without one all are answered
// as for a notification that never came. Nothing of the real one is touched.
func TestNotYoursAndNotThereAnswerAlike(t *testing.T) {
	w := newWorld(t)
	n, _ := w.withSlip(formtest.New(testkit.Bristol))
	must(w.submit(testkit.HMPBristol, n))(t)
	bare := w.shareable() // its slip has no code
	w.decided(bare)
	other := must(envelope.NewSlipCode(rand.Reader))(t)
	var said []string
	for _, id := range []string{idOf(t, n), idOf(t, bare), must(envelope.NewID(rand.Reader))(t), envelope.Reference(idOf(t, n)), envelope.Reference(idOf(t, bare)), envelope.Reference(must(envelope.NewID(rand.Reader))(t))} {
		_, err := w.submit(testkit.HMPParc, w.withdrawal(testkit.HMPParc, id, code(other)))
		wantFault(t, err, fault.NotFound, "NOT_FOUND")
		said = append(said, err.Error())
	}
	if len(slices.Compact(said)) != 1 {
		t.Errorf("answers differ: %q", said)
	}
	var texts []string
	for _, id := range []string{idOf(t, n), idOf(t, bare), must(envelope.NewID(rand.Reader))(t)} {
		answer := must(w.submit(testkit.HMPParc, w.withdrawal(testkit.HMPParc, id)))(t)
		core := must(verify.Receipt(answer.GetReceipt(), w.LogKeys()))(t).Core
		if core.GetFollowsEvent() != nil || core.GetSubjectSha256() != nil {
			t.Errorf("the receipt tells of %v", core)
		}
		texts = append(texts, answer.GetDecision().GetReasons()[0].String())
	}
	if len(slices.Compact(texts)) != 1 {
		t.Errorf("answers differ: %q", texts)
	}
	if w.waiting() != 2 {
		t.Errorf("%d wait: another prison stopped what is not its own", w.waiting())
	}
	w.settle()
	if len(w.item(idOf(t, n)).GetSections()) == 0 {
		t.Error("it did not arrive")
	}
}

func TestWithdrawnBeforeItCame(t *testing.T) {
	w := newWorld(t)
	n, other, partly := w.shareable(), w.shareable(), w.shareable()
	w.withdraw(testkit.HMPBristol, idOf(t, n))
	w.withdraw(testkit.HMPParc, idOf(t, other)) // means nothing: it is not its own
	w.withdraw(testkit.HMPBristol, idOf(t, partly), paths("child/1/phone"))
	w.RestartHub()

	answer, _ := w.decided(n)
	if answer.GetDecision().GetOutcome() != withhold || !slices.Contains(rules(answer.GetDecision()), "withdrawn") {
		t.Errorf("decided %v", answer.GetDecision())
	}
	if answer, _ := w.decided(other); answer.GetDecision().GetOutcome() != share {
		t.Errorf("another prison's tombstone: %v", answer.GetDecision())
	}
	if answer, _ := w.decided(partly); answer.GetDecision().GetOutcome() != share || slices.Contains(answer.GetDecision().GetPaths(), "child/1/phone") {
		t.Errorf("decided %v", answer.GetDecision())
	}
	w.settle()
	if w.item(idOf(t, n)) != nil || w.item(idOf(t, other)) == nil {
		t.Error("the wrong one arrived")
	}
	if item := w.item(idOf(t, partly)); item == nil || slices.Contains(item.GetItem().GetPaths(), "child/1/phone") {
		t.Error("a part withdrawn arrived")
	}
}
