package desk_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

func TestAFormIsAnsweredAtOnce(t *testing.T) {
	x, d := opened(t)
	out := must(d.Local.SubmitForm(t.Context(), &localv1.SubmitFormRequest{FormJson: testkit.FormJSON(t, family())}))(t)
	n := out.GetNotifications()
	if len(n) != 1 || n[0].GetState() != accepted || n[0].GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_SHARE || out.GetFormId() == "" {
		t.Fatalf("answered %v", out)
	}
	if _, err := verify.Receipt(d.Get(n[0].GetId()).GetReceipt(), x.LogKeys()); err != nil {
		t.Error(err)
	}
	no := must(d.Local.SubmitForm(t.Context(), &localv1.SubmitFormRequest{FormJson: testkit.FormJSON(t, formtest.Declined())}))(t).GetNotifications()
	if len(no) != 1 || no[0].GetState() != referred || no[0].GetAuthority() != "" {
		t.Errorf("of a person who said no: %v", no)
	}
}

// Hub down: queued, and sent later; how often it was tried, and when to try again, survive a crash.
func TestWhatCannotBeSentWaits(t *testing.T) {
	x, d := opened(t)
	d.Link.Down(true)
	out := must(d.Local.SubmitForm(t.Context(), &localv1.SubmitFormRequest{FormJson: testkit.FormJSON(t, family())}))(t)
	id := out.GetNotifications()[0].GetId()
	if d.State(id) != queued || d.Get(id).GetReceipt() != nil {
		t.Fatalf("it is %v", d.State(id))
	}
	for attempts := uint32(1); attempts < 6; attempts++ {
		d.Restart()
		item := spool(t, d)[0]
		wait := item.DueTime.Sub(x.Clock.Now())
		if item.Attempts != attempts || wait < 0 || wait > testkit.MaxWait {
			t.Fatalf("after %d attempts: %d, due in %v", attempts, item.Attempts, wait)
		}
		if wait > 0 {
			x.Clock.Advance(wait - 1)
			worked, err := d.StepSpool(t.Context())
			rests(t, worked, err)
			x.Clock.Advance(1)
		}
		_, err := d.StepSpool(t.Context())
		wantFault(t, err, fault.Unavailable, "NOBODY")
	}
	d.Link.Down(false)
	x.Clock.Advance(testkit.MaxWait)
	worked, err := d.StepSpool(t.Context())
	works(t, worked, err)
	if d.State(id) != accepted || len(spool(t, d)) > 0 {
		t.Errorf("it is %v, %d wait", d.State(id), len(spool(t, d)))
	}
	worked, err = d.StepSpool(t.Context())
	rests(t, worked, err)
}

// A person at the counter does not wait for a backoff.
func TestANewFormTakesTheWaitingOnesAlong(t *testing.T) {
	_, d := opened(t)
	d.Link.Down(true)
	submit := func() *localv1.Notification {
		return must(d.Local.SubmitForm(t.Context(), &localv1.SubmitFormRequest{FormJson: testkit.FormJSON(t, family())}))(t).GetNotifications()[0]
	}
	first, second := submit(), submit()
	d.Link.Down(false)
	third := submit()
	if third.GetState() != accepted || d.State(first.GetId()) != accepted || d.State(second.GetId()) != accepted {
		t.Errorf("%v, %v, %v", d.State(first.GetId()), d.State(second.GetId()), third.GetState())
	}
}

func TestACrashAtAnyPointSubmitsTheSameAgain(t *testing.T) {
	x, d := opened(t)
	id := d.Take(family())[0]
	d.Restart() // kept, not sent
	d.Link.LoseAnswers(1)
	_, err := d.StepSpool(t.Context())
	wantFault(t, err, fault.Unavailable, "CUT_OFF")
	d.Restart() // decided, not heard
	if d.State(id) != queued || decisions(t, x) != 1 {
		t.Fatalf("it is %v, %d decisions", d.State(id), decisions(t, x))
	}
	x.RestartHub()
	x.Clock.Advance(testkit.MaxWait)
	worked, err := d.StepSpool(t.Context())
	works(t, worked, err)
	if d.State(id) != accepted || decisions(t, x) != 1 {
		t.Errorf("it is %v, %d decisions", d.State(id), decisions(t, x))
	}
	d.Link.Duplicate(true)
	x.Settle()
	if d.State(id) != delivered || len(x.Inbox(testkit.Bristol).Items()) != 1 {
		t.Errorf("it is %v", d.State(id))
	}
}

func TestAnAnswerThatItsReceiptDoesNotProveIsNone(t *testing.T) {
	x, d := opened(t)
	earlier := d.Take(family())[0]
	x.Settle()
	other := d.Get(earlier).GetReceipt()
	id := d.Take(family())[0]
	for name, edit := range map[string]func(*posternv1.SubmitResponse){
		"no receipt":        func(r *posternv1.SubmitResponse) { r.Receipt = nil },
		"no decision":       func(r *posternv1.SubmitResponse) { r.Decision = nil },
		"nothing":           func(r *posternv1.SubmitResponse) { proto.Reset(r) },
		"of another":        func(r *posternv1.SubmitResponse) { r.Receipt = other },
		"core":              func(r *posternv1.SubmitResponse) { r.Receipt.Core[3] ^= 1 },
		"leaf":              func(r *posternv1.SubmitResponse) { r.Receipt.Leaf[20] ^= 1 },
		"opening":           func(r *posternv1.SubmitResponse) { r.Receipt.Opening[0] ^= 1 },
		"digest of details": func(r *posternv1.SubmitResponse) { r.Receipt.DetailsSha256[0] ^= 1 },
		"proof":             func(r *posternv1.SubmitResponse) { r.Receipt.TlogProof = other.GetTlogProof() },
		"outcome":           func(r *posternv1.SubmitResponse) { r.Decision.Outcome = posternv1.Outcome_OUTCOME_WITHHOLD },
		"fewer sections":    func(r *posternv1.SubmitResponse) { r.Decision.Paths = r.Decision.Paths[1:] },
		"no sections":       func(r *posternv1.SubmitResponse) { r.Decision.Paths = nil },
		"policy":            func(r *posternv1.SubmitResponse) { r.Decision.PolicyRevision = "another" },
		"time":              func(r *posternv1.SubmitResponse) { r.Decision.DecideTime.Seconds++ },
		"validity":          func(r *posternv1.SubmitResponse) { r.Decision.ValidUntilTime.Seconds++ },
	} {
		t.Run(name, func(t *testing.T) {
			d.Link.Answers(rewrite(t, "Submit", &posternv1.SubmitResponse{}, edit))
			x.Clock.Advance(testkit.MaxWait)
			_, err := d.StepSpool(t.Context())
			if fault.KindOf(err) != fault.Unverified {
				t.Errorf("%v", err)
			}
			if got := d.Get(id); got.GetNotification().GetState() != queued || got.GetNotification().GetDecision() != nil || got.GetReceipt() != nil {
				t.Errorf("the desk shows %v", got)
			}
		})
	}
	d.Link.Answers(nil)
	x.Clock.Advance(testkit.MaxWait)
	x.Settle()
	if d.State(id) != delivered || decisions(t, x) != 2 {
		t.Errorf("it is %v, %d decisions", d.State(id), decisions(t, x))
	}
}

// A refusal for good is a person's business now; nothing goes on waiting behind it.
func TestWhatTheHubRefusesForGoodGoesToAPerson(t *testing.T) {
	x, d := opened(t)
	d.Link.Down(true)
	late := d.Take(family())[0]
	x.Clock.Advance(31 * 24 * time.Hour) // the manifest has expired
	d.Link.Down(false)
	worked, err := d.StepSpool(t.Context())
	works(t, worked, err)
	got := d.Get(late)
	if n := got.GetNotification(); n.GetState() != referred || n.GetDecision().GetReasons()[0].GetRuleId() != "hub_refused" || got.GetReceipt() != nil {
		t.Errorf("the desk shows %v", got)
	}
	if len(spool(t, d)) > 0 {
		t.Error("it waits still")
	}
}

// The team may have it before the desk has heard the hub's answer. What the desk then hears late changes nothing.
func TestTheAnswerMayComeAfterTheAcknowledgement(t *testing.T) {
	x, d := opened(t)
	id := d.Take(family())[0]
	d.Link.LoseAnswers(1)
	if _, err := d.StepSpool(t.Context()); err == nil {
		t.Fatal("no fault")
	}
	worked, err := x.Hub.StepDelivery(t.Context())
	works(t, worked, err)
	worked, err = d.StepUpdates(t.Context())
	works(t, worked, err)
	x.Clock.Advance(testkit.MaxWait)
	worked, err = d.StepSpool(t.Context())
	works(t, worked, err)
	got := d.Get(id)
	if n := got.GetNotification(); n.GetState() != delivered || n.GetDecision() == nil || got.GetReceipt() == nil {
		t.Errorf("the desk shows %v", got)
	}
}

// Whoever submits a form waits for its decision, also when the team was quicker than the hub's answer.
func TestAFormIsAnsweredWithItsDecision(t *testing.T) {
	x, d := opened(t)
	f := family()
	f.FormId = formID
	d.Take(f)
	d.Link.LoseAnswers(1)
	_, _ = d.StepSpool(t.Context())
	_, _ = x.Hub.StepDelivery(t.Context())
	_, _ = d.StepUpdates(t.Context())
	out := must(d.Local.SubmitForm(t.Context(), &localv1.SubmitFormRequest{FormJson: testkit.FormJSON(t, f)}))(t)
	if n := out.GetNotifications()[0]; n.GetDecision() == nil || n.GetState() != delivered {
		t.Errorf("answered %v", n)
	}
}

func TestOnlyTheTeamsOwnSignatureSaysDelivered(t *testing.T) {
	sign := func(x *testkit.Exchange, path, payloadType string, m proto.Message) *posternv1.Signed {
		return must(envelope.SignStatement(x.Identity(path), payloadType, must(proto.Marshal(m))(t)))(t)
	}
	for name, forge := range map[string]func(x *testkit.Exchange, real *posternv1.Signed) *posternv1.Signed{
		"another team's": func(x *testkit.Exchange, real *posternv1.Signed) *posternv1.Signed {
			return must(envelope.SignStatement(x.Identity("/authority/E10000017/inbox"), envelope.TypeAcknowledgement, real.GetPayload()))(t)
		},
		"the hub's": func(x *testkit.Exchange, real *posternv1.Signed) *posternv1.Signed {
			return must(envelope.SignStatement(x.Identity("/hub/main"), envelope.TypeAcknowledgement, real.GetPayload()))(t)
		},
		"of another manifest": func(x *testkit.Exchange, _ *posternv1.Signed) *posternv1.Signed {
			return sign(x, "/authority/E06000023/inbox", envelope.TypeAcknowledgement, &posternv1.Acknowledgement{ManifestSha256: make([]byte, 32)})
		},
		"another statement": func(x *testkit.Exchange, real *posternv1.Signed) *posternv1.Signed {
			return must(envelope.SignStatement(x.Identity("/authority/E06000023/inbox"), envelope.TypeReport, real.GetPayload()))(t)
		},
		"a changed one": func(_ *testkit.Exchange, real *posternv1.Signed) *posternv1.Signed {
			return testkit.Clone(real, func(s *posternv1.Signed) { s.Payload[5] ^= 1 })
		},
		"an empty one": func(*testkit.Exchange, *posternv1.Signed) *posternv1.Signed { return &posternv1.Signed{} },
	} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			first, second := d.Take(family())[0], d.Take(family())[0]
			d.Link.Answers(rewrite(t, "ListUpdates", &posternv1.ListUpdatesResponse{}, func(r *posternv1.ListUpdatesResponse) {
				for _, u := range r.GetUpdates() {
					if u.GetNotificationId() == first {
						u.Update = &posternv1.Update_Acknowledgement{Acknowledgement: forge(x, u.GetAcknowledgement())}
					}
				}
			}))
			x.Settle()
			if d.State(first) != accepted {
				t.Errorf("it is %v", d.State(first))
			}
			if d.State(second) != delivered {
				t.Errorf("the one after it is %v", d.State(second))
			}
		})
	}
}

// again lets the desk fetch all updates from the first.
func again(t *testing.T, d *testkit.Desk) {
	t.Helper()
	err := d.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(schema.DeskCursor, []byte("updates")) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestUpdatesAppliedAgainChangeNothing(t *testing.T) {
	x, d := opened(t)
	id := d.Take(family())[0]
	x.Settle()
	before := d.Get(id)
	for range 2 {
		x.Clock.Advance(time.Hour)
		again(t, d)
		worked, err := d.StepUpdates(t.Context())
		works(t, worked, err)
		if after := d.Get(id); !proto.Equal(before, after) {
			t.Fatalf("%v became %v", before, after)
		}
	}
	worked, err := d.StepUpdates(t.Context())
	rests(t, worked, err)
}

// After a later state an acknowledgement that comes again is old news.
func TestAnUpdateDoesNotGoBack(t *testing.T) {
	x, d := opened(t)
	id := d.Take(family())[0]
	x.Settle()
	reply := func(code posternv1.ReplyCode) {
		d.Link.Answers(rewrite(t, "ListUpdates", &posternv1.ListUpdatesResponse{}, func(r *posternv1.ListUpdatesResponse) {
			r.Updates = []*posternv1.Update{{NotificationId: id, Update: &posternv1.Update_Reply{Reply: &posternv1.Reply{Code: code}}}}
		}))
		worked, err := d.StepUpdates(t.Context())
		works(t, worked, err)
		d.Link.Answers(nil)
	}
	reply(posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT)
	if got := d.Get(id).GetNotification(); got.GetState() != delivered || got.GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT {
		t.Errorf("the desk shows %v", got)
	}
	reply(posternv1.ReplyCode_REPLY_CODE_CLOSED)
	again(t, d)
	worked, err := d.StepUpdates(t.Context())
	works(t, worked, err)
	if d.State(id) != localv1.State_STATE_CLOSED {
		t.Errorf("it is %v", d.State(id))
	}
}

// A decision that comes without a receipt is no decision.
func TestADecisionWithoutAReceiptIsPassedOver(t *testing.T) {
	x, d := opened(t)
	id := d.Take(family())[0]
	x.Settle()
	before := d.Get(id)
	d.Link.Answers(rewrite(t, "ListUpdates", &posternv1.ListUpdatesResponse{}, func(r *posternv1.ListUpdatesResponse) {
		r.Updates = []*posternv1.Update{
			{NotificationId: id, Update: &posternv1.Update_Decision{Decision: &posternv1.Decision{Outcome: posternv1.Outcome_OUTCOME_WITHHOLD}}},
			{NotificationId: id}, // of a kind this version does not know
			{NotificationId: "5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b", Update: &posternv1.Update_Reply{}},
		}
	}))
	x.Clock.Advance(time.Hour)
	worked, err := d.StepUpdates(t.Context())
	works(t, worked, err)
	if after := d.Get(id); !proto.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}

func TestUpdatesNeedASignedCheckpoint(t *testing.T) {
	x, d := opened(t)
	id := d.Take(family())[0]
	if worked, err := d.StepSpool(t.Context()); err != nil || !worked {
		t.Fatal(err)
	}
	if worked, err := x.Hub.StepDelivery(t.Context()); err != nil || !worked {
		t.Fatal(err)
	}
	d.Link.Answers(rewrite(t, "ListUpdates", &posternv1.ListUpdatesResponse{}, func(r *posternv1.ListUpdatesResponse) { r.Checkpoint = "" }))
	if _, err := d.StepUpdates(t.Context()); fault.KindOf(err) != fault.Unverified || d.State(id) != accepted {
		t.Errorf("%v, it is %v", err, d.State(id))
	}
}

func TestTheDirectoryDoesNotGoBack(t *testing.T) {
	x, d := opened(t)
	older := x.Revision(1, testkit.Register{})
	x.LoadDirectory(2, testkit.Register{})
	worked, err := d.StepDirectory(t.Context())
	works(t, worked, err)
	worked, err = d.StepDirectory(t.Context())
	rests(t, worked, err)
	serve := func(r *posternv1.ListAuthoritiesResponse) {
		r.Revision, r.Entries, r.NextPageToken = older.GetRevision(), older.GetEntries(), ""
	}
	d.Link.Answers(rewrite(t, "ListAuthorities", &posternv1.ListAuthoritiesResponse{}, serve))
	_, err = d.StepDirectory(t.Context())
	wantFault(t, err, fault.Unverified, "DIRECTORY_ROLLED_BACK")

	x.LoadDirectory(3, testkit.Register{})
	d.Link.Answers(rewrite(t, "ListAuthorities", &posternv1.ListAuthoritiesResponse{}, func(r *posternv1.ListAuthoritiesResponse) { r.Entries[0][40] ^= 1 }))
	_, err = d.StepDirectory(t.Context())
	wantFault(t, err, fault.Unverified, "DIRECTORY_ENTRIES")
	d.Link.Answers(nil)
	worked, err = d.StepDirectory(t.Context())
	works(t, worked, err)
}

// The last directory is kept: without the hub a desk still knows whom a form is for.
func TestTheDirectoryIsKnownOffline(t *testing.T) {
	_, d := opened(t)
	d.Link.Down(true)
	d.Restart()
	if id := d.Take(family())[0]; d.Get(id).GetNotification().GetAuthorityName() != "Bristol" {
		t.Error("it does not know Bristol")
	}
}

func TestRunSubmitsUntilItsContextEnds(t *testing.T) {
	x, d := opened(t)
	ids := d.Take(family())
	ctx, cancel := context.WithCancel(t.Context())
	submitted := make(chan struct{}, 8)
	d.Link.Answers(func(method string, b []byte) []byte {
		if bytes.HasSuffix([]byte(method), []byte("/Submit")) {
			submitted <- struct{}{}
		}
		return b
	})
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	<-submitted
	ids = append(ids, d.Take(family())...) // what comes later wakes it
	<-submitted
	cancel()
	<-done
	x.Settle()
	if slices.ContainsFunc(ids, func(id string) bool { return d.State(id) != delivered }) {
		t.Error("not everything arrived")
	}
}
