package desk_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// history is a random life of a desk, and what an onlooker knows of it: what was taken, and when something last happened.
type history struct {
	t     *testing.T
	rng   *rand.Rand
	x     *testkit.Exchange
	d     *testkit.Desk
	forms map[string]*posternv1.Form
	last  map[string]time.Time             // of a notification
	was   map[string]*localv1.Notification // as it was the day before
	lost  bool                             // a hub was lost
	done  map[string]int                   // what was done how often
}

const historyLife = 5 * aDay

func (h *history) list() []*localv1.Notification {
	h.t.Helper()
	return must(h.d.Local.ListNotifications(h.t.Context(), &localv1.ListNotificationsRequest{}))(h.t).GetNotifications()
}

// take hands a form in that ends early.
func (h *history) take(f *posternv1.Form) {
	if f.GetConsent().GetState() == posternv1.ConsentState_CONSENT_STATE_GIVEN {
		f.Consent.GiveTime = timestamppb.New(h.x.Clock.Now())
		f.Consent.ExpireTime = timestamppb.New(h.x.Clock.Now().Add(time.Duration(1+h.rng.IntN(6)) * aDay))
	}
	f.FormId = fmt.Sprintf("%08x-0000-4000-8000-%012x", h.rng.Uint32(), h.rng.Uint32())
	if _, _, err := h.d.Desk.Take(h.t.Context(), testkit.FormJSON(h.t, f), testkit.Staff); h.refused(err) {
		return
	}
	h.forms[f.GetFormId()] = f
}

// refused reports whether something was refused, as much of what is done at random is.
func (h *history) refused(err error) bool {
	h.t.Helper()
	if err != nil && fault.KindOf(err) == fault.Internal {
		h.t.Fatalf("%v", err)
	}
	return err != nil
}

func (h *history) someForm() *posternv1.Form {
	bristol, other := testkit.Bristol, testkit.Lancashire
	switch h.rng.IntN(8) {
	case 0:
		return formtest.New(bristol, other)
	case 1:
		return unchecked(bristol)
	case 2:
		return formtest.Urgent(bristol, 1)
	case 3:
		return formtest.Duty(bristol, 2)
	case 4:
		return formtest.Declined()
	case 5:
		return formtest.Enquiry(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED)
	case 6:
		return mayBeAlone(2)
	}
	return formtest.New(bristol)
}

// act does something to a notification.
func (h *history) act(n *localv1.Notification, what int) {
	ctx, id := h.t.Context(), n.GetId()
	var err error
	switch what {
	case 0:
		_, err = h.d.Withdraw(ctx, &localv1.WithdrawNotificationRequest{Id: id, Method: byPhone}, testkit.Staff)
	case 1:
		_, err = h.d.Withdraw(ctx, &localv1.WithdrawNotificationRequest{Id: id, Method: byPhone, Paths: []string{[]string{"child/1", "child/2", "child/1/phone"}[h.rng.IntN(3)]}}, testkit.Staff)
	case 2:
		slip := h.d.Get(id).GetNotification().GetSlipCode()
		if slip == "" {
			return
		}
		_, err = h.x.Desk(testkit.HMPParc).Withdraw(ctx, &localv1.WithdrawNotificationRequest{Id: n.GetReference(), SlipCode: slip, Method: byPhone}, testkit.Staff)
	case 3:
		_, err = h.d.Cases.SetGate(ctx, &localv1.SetGateRequest{Id: id, Gate: []posternv1.Gate{posternv1.Gate_GATE_NO_HOLD, posternv1.Gate_GATE_HOLD}[h.rng.IntN(2)]})
	case 4:
		_, err = h.d.Cases.RecordCall(ctx, &localv1.RecordCallRequest{Id: id, Who: "Zebedee", Reference: "Ref-8812",
			Result: []posternv1.CallResult{posternv1.CallResult_CALL_RESULT_ANSWERED, posternv1.CallResult_CALL_RESULT_NO_ANSWER}[h.rng.IntN(2)]})
	case 5:
		req := deciding(id, h.rng.IntN(2) == 0)
		req.Reasons = "in her own words"
		_, err = h.d.Cases.Consider(ctx, req)
	case 6:
		_, err = h.d.Cases.Review(ctx, &localv1.ReviewRequest{Id: id, Findings: "looked at twice"})
	case 7:
		_, err = h.d.Cases.CloseManual(ctx, &localv1.CloseManualRequest{Id: id, How: localv1.ManualRoute_MANUAL_ROUTE_POST, To: "Mrs Pargeter"})
	case 8:
		f := h.forms[n.GetFormId()]
		right := formtest.New(testkit.Bristol, testkit.Bristol)
		right.PrisonNumber, right.Supersedes = f.GetPrisonNumber(), id
		h.take(right)
		return
	case 9:
		_, err = h.d.BeginDraft(signedIn(h.t, "REC1", "RECEPTION_OFFICER"), &localv1.Draft{Form: &posternv1.Form{Supersedes: n.GetFormId()}})
	case 10:
		_, err = h.d.Cases.CloseObjections(ctx, &localv1.CloseObjectionsRequest{Id: id})
	case 11:
		_, err = h.d.Cases.RecordMove(ctx, &localv1.RecordMoveRequest{Id: id, PrisonId: []string{testkit.HMPParc, testkit.HMPBristol, "OTHER"}[h.rng.IntN(3)]})
	}
	if !h.refused(err) {
		h.done[fmt.Sprint("act ", what)]++
	}
}

// owes says of a notification, as it is shown, whether anything of it waits for somebody.
func (h *history) owes(n *localv1.Notification) bool {
	switch n.GetState() {
	case queued, waiting, referred, accepted:
		return true
	}
	considered := n.GetConsiderations()
	stays := len(considered) > 0 && !considered[len(considered)-1].GetShare()
	return desk.ActionsOf(n).ByHand || desk.ActionsOf(n).Read || n.GetDueTime() != nil && !stays || slices.ContainsFunc(n.GetTasks(), func(x *localv1.Task) bool {
		return x.GetKind() != posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN || !stays
	}) || slices.ContainsFunc(n.GetWithdrawals(), func(w *localv1.TakenWithdrawal) bool { return w.GetAnswer() == nil }) ||
		stays && considered[len(considered)-1].GetAnswer() == nil
}

// happenings is what changes with whatever happens to a notification.
func happenings(n *localv1.Notification) string {
	read := slices.ContainsFunc(n.GetWithdrawals(), func(w *localv1.TakenWithdrawal) bool { return w.GetReadTime() != nil })
	return fmt.Sprint(read, n.GetMove().GetRecordTime().AsTime(), n.GetState(), n.GetUpdateTime().AsTime(), len(n.GetWithdrawals()), len(n.GetCalls()), len(n.GetConsiderations()), n.GetReview() != nil,
		n.GetManual() != nil, n.GetGate().GetSetTime(), n.GetSupersededBy(), len(n.GetFollowups()))
}

// chained gives each notification the name of what hangs together with it.
func chained(all []*localv1.Notification) map[string]string {
	of := map[string]string{} // a name → its chain
	for _, n := range all {
		for _, name := range []string{n.GetFormId(), n.GetSupersedes(), n.GetSupersededBy()} {
			for _, known := range []string{name, n.GetId()} {
				if of[known] == "" {
					of[known] = known
				}
			}
			old, now := of[name], of[n.GetId()]
			for other, chain := range of {
				if name != "" && chain == old {
					of[other] = now
				}
			}
		}
	}
	return of
}

// night lets the desk look for what to erase, and judges it: nothing that is owed, whose permission holds or whose time has not
// come is erased, and what is finished is.
func (h *history) night(drafts bool) {
	now := h.x.Clock.Now()
	owed, until, last := map[string]bool{}, map[string]time.Time{}, map[string]time.Time{}
	chains := chained(h.list())
	for _, n := range h.list() {
		chain := chains[n.GetId()]
		if was := h.was[n.GetId()]; happenings(was) != happenings(n) {
			h.last[n.GetId()] = now
		}
		if h.was[n.GetId()] = n; h.last[n.GetId()].After(last[chain]) {
			last[chain] = h.last[n.GetId()]
		}
		owed[chain] = owed[chain] || h.owes(n)
		f := h.forms[n.GetFormId()]
		if c := f.GetConsent(); c.GetState() == posternv1.ConsentState_CONSENT_STATE_GIVEN && !desk.ActionsOf(n).Back && consent.Expiry(c).After(until[chain]) {
			until[chain] = consent.Expiry(c)
		}
	}
	for _, it := range spool(h.t, h.d) {
		for _, n := range h.was {
			if it.ID == n.GetId() || string(it.Body) == n.GetId() {
				owed[chains[n.GetId()]] = true
			}
		}
	}
	for again := true; again; {
		again = must(h.d.StepErase(h.t.Context()))(h.t)
	}
	erased := map[string]int{}
	for _, n := range h.list() {
		chain := chains[n.GetId()]
		if n.GetErasure() == nil {
			erased[chain] |= 1
			continue
		}
		erased[chain] |= 2
		if h.was[n.GetId()].GetErasure() == nil && (owed[chain] || now.Before(until[chain].Add(historyLife)) || now.Before(last[chain].Add(historyLife-aDay))) {
			h.t.Fatalf("on %v it was erased though owed %v, permitted until %v, last touched %v: %v", now, owed[chain], until[chain], last[chain], n)
		}
	}
	for chain, what := range erased {
		if what == 3 {
			h.t.Fatalf("on %v a part of a chain was erased", now)
		}
		ends := last[chain]
		if until[chain].After(ends) {
			ends = until[chain]
		}
		if what == 1 && !drafts && !owed[chain] && now.After(ends.Add(historyLife+2*aDay)) {
			for id, n := range h.was {
				if chains[id] == chain {
					h.t.Log(n)
				}
			}
			h.t.Fatalf("on %v a chain is kept that was finished on %v", now, ends)
		}
	}
}

// end does what is still to be done about everything.
func (h *history) end() {
	for _, n := range h.list() {
		if n.GetErasure() == nil && h.owes(n) {
			for _, what := range []int{3, 4, 5, 6, 7, 10} {
				if h.act(n, what); h.rng.IntN(4) == 0 {
					h.act(n, 0)
				}
			}
		}
	}
}

// TestNothingOwedIsErasedAndNothingFinishedIsKept plays random histories of a prison.
func TestNothingOwedIsErasedAndNothingFinishedIsKept(t *testing.T) {
	for seed := range uint64(testkit.N(4, 300)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			x, d := opened(t, func(c *testkit.Config) { c.Desk = func(c *desk.Config) { c.FormLife, c.DraftLife = historyLife, aDay } })
			h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 1)), x: x, d: d, forms: map[string]*posternv1.Form{},
				last: map[string]time.Time{}, was: map[string]*localv1.Notification{}, done: map[string]int{}}
			d.Restart()
			h.play()
		})
	}
}

func (h *history) play() {
	t, x, d := h.t, h.x, h.d
	for range 25 {
		for range h.rng.IntN(4) {
			all := h.list()
			switch what := h.rng.IntN(24); {
			case what < 5 || len(all) == 0:
				h.take(h.someForm())
			case what < 20:
				h.act(all[h.rng.IntN(len(all))], h.rng.IntN(12))
			case what == 20:
				d.Link.Down(h.rng.IntN(2) == 0)
			case what == 21:
				x.Inbox(testkit.Bristol).Link.Down(h.rng.IntN(2) == 0)
			case what == 22:
				d.Restart()
			case what == 23 && !h.lost:
				x.LoseHub()
				h.lost = true
			}
			x.Settle()
		}
		x.Clock.Advance(aDay)
		x.Settle()
		h.night(true)
	}
	d.Link.Down(false)
	x.Inbox(testkit.Bristol).Link.Down(false)
	for day := range 70 {
		x.Clock.Advance(aDay)
		x.Settle()
		h.end()
		x.Settle()
		h.night(day < 2)
	}
	left, numbers := 0, []string{}
	for _, n := range h.list() {
		if n.GetErasure() == nil {
			left++
			t.Logf("kept as owed: %v %v", n.GetState(), n.GetTasks())
			continue
		}
		if f := h.forms[n.GetFormId()]; f.GetEnquiry() == 0 {
			numbers = append(numbers, f.GetPrisonNumber())
		}
	}
	t.Logf("%d forms, %d kept, done %v, lost %v", len(h.forms), left, h.done, h.lost)
	if left == 0 {
		numbers = append(numbers, names...)
	}
	if found := holds(t, x, d, numbers...); len(found) > 0 {
		t.Errorf("there are still %v", found)
	}
	for _, n := range h.list() {
		acts := desk.ActionsOf(n)
		if n.GetErasure() == nil || !acts.Withdraw || n.GetRoute() != posternv1.Route_ROUTE_STANDARD {
			continue
		}
		withdraw(t, d, n.GetId())
		wait(x)
		after := d.Get(n.GetId()).GetNotification()
		if after.GetWithdrawals()[len(after.GetWithdrawals())-1].GetAnswer() == nil || !h.lost && len(teamHas(t, x.Inbox(testkit.Bristol), n.GetId())) > 0 {
			t.Errorf("taken back after it was erased: %v", after)
		}
	}
}
