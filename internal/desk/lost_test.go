package desk_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// wait lets everything come to rest, also what waits for its backoff.
func wait(x *testkit.Exchange) {
	for range 3 {
		x.Clock.Advance(2 * testkit.MaxWait)
		x.Settle()
	}
}

func withdraw(t *testing.T, d *testkit.Desk, id string) {
	t.Helper()
	_, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff)
	if err != nil {
		t.Fatal(err)
	}
}

// The hub's disk is replaced by an empty one. What it had accepted arrives, what the team has is shown once, what was
// finished stays finished, and a person can still withdraw what the hub no longer knew; also where the request to stop
// was lost with it.
func TestAHubThatLosesItsDiskLosesNothing(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	take := func(f *posternv1.Form) string {
		id := d.Take(f)[0]
		x.Settle()
		return id
	}
	here, stopping := take(family()), take(family())
	in.Link.Down(true)
	onItsWay := take(family())
	withdraw(t, d, stopping)
	x.Settle()
	unchecked := family()
	unchecked.Gate = posternv1.Gate_GATE_NOT_DONE
	waiting := take(unchecked)
	d.Link.Down(true)
	never := take(family())
	d.Link.Down(false)
	if d.State(here) != delivered || d.State(onItsWay) != accepted || d.State(stopping) != localv1.State_STATE_STOP_ASKED || d.State(never) != queued || d.State(waiting) != localv1.State_STATE_WAITING {
		t.Fatalf("states %v %v %v %v", d.State(here), d.State(onItsWay), d.State(stopping), d.State(never))
	}

	x.LoseHub()
	in.Link.Down(false)
	wait(x)
	for name, id := range map[string]string{"delivered before": here, "on its way": onItsWay, "queued": never} {
		if s := d.State(id); s != delivered {
			t.Errorf("%s: state %v", name, s)
		}
	}
	if s := d.State(waiting); s != localv1.State_STATE_WAITING || decisions(t, x) < 5 {
		t.Errorf("what waited is %v, and this hub has %d decisions", s, decisions(t, x))
	}
	items := in.Items()
	if len(items) != 4 {
		t.Errorf("%d items, want each once", len(items))
	}
	stopped := func(id string) bool {
		return slices.ContainsFunc(in.Items(), func(i *localv1.Item) bool { return i.GetId() == id && i.GetStop() != nil })
	}
	if !stopped(stopping) || d.State(stopping) != localv1.State_STATE_STOP_ASKED {
		t.Errorf("the request to stop was lost with the hub; state %v", d.State(stopping))
	}
	withdraw(t, d, here)
	wait(x)
	if !stopped(here) || d.State(here) != localv1.State_STATE_STOP_ASKED {
		t.Errorf("what the hub had lost cannot be withdrawn: state %v", d.State(here))
	}
	if n := len(spool(t, d)); n != 0 {
		t.Errorf("%d are in the spool still", n)
	}
}

// What was withdrawn before the hub lost its disk is not sent by the next one, not even for a moment, whether it was taken
// here or at another prison; and the team, which may have it, is asked to stop all the same.
func TestNothingWithdrawnIsSentByTheNextHub(t *testing.T) {
	x, d := opened(t)
	in, other := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPParc)
	whole, elsewhere, unheard := d.Take(family())[0], d.Take(family())[0], d.Take(family())[0]
	x.Settle()
	in.Link.Down(true)
	never, part := d.Take(family())[0], d.Take(family())[0]
	x.Settle() // each has begun to be sent
	withdraw(t, d, whole)
	withdraw(t, d, never)
	byPaper := func(id string) {
		t.Helper()
		_, err := other.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PAPER,
			SlipCode: d.Get(id).GetNotification().GetSlipCode()}, testkit.Staff)
		if err != nil {
			t.Fatal(err)
		}
	}
	byPaper(elsewhere)
	_, err := d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: part, Paths: []string{"child/1/school"}, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff)
	if err != nil {
		t.Fatal(err)
	}
	x.Settle()
	for _, id := range []string{whole, elsewhere, never} {
		if s := d.State(id); s != localv1.State_STATE_STOP_ASKED {
			t.Fatalf("state %v", s)
		}
	}

	d.Link.Down(true)
	byPaper(unheard)
	x.Settle()
	x.LoseHub()
	x.Clock.Advance(2 * testkit.MaxWait)
	x.Settle() // the other prison is quicker than the one that has not heard
	d.Link.Down(false)
	in.Link.Down(false)
	sent := map[string][]string{} // by notification, the paths that were sent of it
	in.Link.Requests(func(_ string, b []byte) []byte {
		req, m := &posternv1.DeliverRequest{}, &posternv1.Manifest{}
		if proto.Unmarshal(b, req) != nil || proto.Unmarshal(req.GetDelivery().GetNotification().GetManifest().GetPayload(), m) != nil {
			t.Error("a delivery cannot be read")
		}
		for _, s := range req.GetDelivery().GetNotification().GetSections() {
			sent[m.GetNotificationId()] = append(sent[m.GetNotificationId()], s.GetPath())
		}
		return b
	})
	wait(x)
	if len(sent[whole])+len(sent[elsewhere])+len(sent[never])+len(sent[unheard]) > 0 || len(sent[part]) == 0 || slices.Contains(sent[part], "child/1/school") {
		t.Errorf("sent of what was withdrawn whole %v %v, elsewhere %v %v, in part %v", sent[whole], sent[never], sent[elsewhere], sent[unheard], sent[part])
	}
	items := in.Items()
	for _, id := range []string{whole, elsewhere, unheard} {
		if !slices.ContainsFunc(items, func(i *localv1.Item) bool { return i.GetId() == id && i.GetStop() != nil }) {
			t.Errorf("the team was not asked to stop using %s", id)
		}
		if s := d.State(id); s != localv1.State_STATE_STOP_ASKED {
			t.Errorf("it ends as %v", s)
		}
		if _, err := in.AnswerStop(t.Context(), &localv1.AnswerStopRequest{Id: id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}); err != nil {
			t.Error(err)
		}
	}
	wait(x)
	// Of the two that it never had the inbox answers by itself.
	if n := len(events(t, x, logv1.Kind_KIND_STOP_ANSWERED)); n != 5 {
		t.Errorf("%d answers are recorded, want 5", n)
	}
	if s := d.State(part); s != delivered {
		t.Errorf("what is left ends as %v", s)
	}
}

// What a hub that is gone had taken, and the next one takes no more since it has expired, is not on its way for ever: nobody
// knows whether the team has it, so a person telephones. It does not go by itself after that either, when the team's key has
// changed. What that hub had taken without its desk hearing of it needs a person too, who is told that the team may have it.
func TestWhatExpiredBeforeTheNextHubHeardOfItIsUndelivered(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	in.Link.Down(true)
	id := d.Take(family())[0]
	x.Settle()
	d.Link.LoseAnswers(1)
	unheard := d.Take(family())[0]
	if _, err := d.StepSpool(t.Context()); err == nil {
		t.Fatal("the answer was not lost")
	}
	if d.State(id) != accepted || d.State(unheard) != queued {
		t.Fatalf("states %v %v", d.State(id), d.State(unheard))
	}
	d.Link.Down(true)
	if _, err := in.Rotate(t.Context(), &localv1.RotateRequest{}); err != nil {
		t.Fatal(err)
	}
	x.Settle()
	x.LoseHub()
	x.Clock.Advance(40 * 24 * time.Hour)
	d.Link.Down(false)
	in.Link.Down(false)
	wait(x)
	over := func(when string, items int) {
		t.Helper()
		n := d.Get(unheard).GetNotification()
		if d.State(id) != localv1.State_STATE_UNDELIVERED || n.GetState() != referred || !strings.Contains(n.GetDecision().GetReasons()[0].GetText(), "may have sent it") {
			t.Errorf("%s: states %v and %v, for %v", when, d.State(id), n.GetState(), n.GetDecision().GetReasons())
		}
		if n := len(in.Items()); n != items {
			t.Errorf("%s: %d items at the inbox, want %d", when, n, items)
		}
	}
	over("once the next hub was told", 0)
	d.Take(formtest.New(testkit.Bristol)) // an update comes: what could not be delivered is looked at again
	wait(x)
	wait(x)
	over("later", 1)
	if n := withdraws(t, d, unheard, ""); n.GetState() != stateWithdrawn || len(n.GetMaybeSentSha256()) != 1 {
		t.Errorf("taken back it is %v, and what a hub that is gone may have sent is not told from what nobody sent: %v", n.GetState(), n)
	}
}

// A hub that lost its disk is told again what the safeguarding lead decided not to share: that somebody looked stands in
// its new log. What was decided, and what was done since, stays as it is at the desk.
func TestAHubThatLosesItsDiskHearsAgainWhatWasConsidered(t *testing.T) {
	x, d := opened(t)
	consider := func(id, why string) *localv1.Notification {
		return must(d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: id, Reasons: why, Codes: &posternv1.Consideration{
			Relevant: posternv1.Answer_ANSWER_NO, ParentTold: posternv1.Answer_ANSWER_YES}}))(t).GetNotifications()[0]
	}
	stays := d.Take(formtest.Declined())[0]
	unchecked := family()
	unchecked.Gate = posternv1.Gate_GATE_NOT_DONE
	changes := d.Take(unchecked)[0]
	x.Settle()
	consider(stays, "The family is known and helped.")
	consider(changes, "Nobody had asked the school yet.")
	d.Link.Down(true)
	late := d.Take(formtest.Declined())[0]
	d.Link.Down(false)
	x.Settle()
	d.Link.Down(true)
	consider(late, "The lead decided while the hub was away.")
	d.Link.Down(false)
	withdraw(t, d, changes)

	x.LoseHub()
	wait(x)
	if n := len(events(t, x, logv1.Kind_KIND_CONSIDERED)); n != 3 {
		t.Errorf("the new log has %d considerations, want 3", n)
	}
	for _, id := range []string{stays, late} {
		if n := d.Get(id).GetNotification(); n.GetState() != withheld || n.GetConsiderations()[0].GetAnswer() == nil {
			t.Errorf("it is %v", n)
		}
	}
	if s := d.State(changes); s != localv1.State_STATE_WITHDRAWN {
		t.Errorf("what was withdrawn since is %v", s)
	}
	if n := len(spool(t, d)); n != 0 {
		t.Errorf("%d are in the spool still", n)
	}
}

// Long after, the new hub refuses it as too old: what the old one said of it stands, and it is not told for ever.
func TestWhatWasConsideredLongAgoStandsThoughTheHubIsNew(t *testing.T) {
	x, d := opened(t)
	id := d.Take(formtest.Declined())[0]
	x.Settle()
	must(d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: id, Reasons: "The family is known and helped.", Codes: &posternv1.Consideration{
		Relevant: posternv1.Answer_ANSWER_NO, ParentTold: posternv1.Answer_ANSWER_YES}}))(t)
	before := d.Get(id).GetNotification()
	x.Clock.Advance(60 * 24 * time.Hour)
	x.LoseHub()
	wait(x)
	if after := d.Get(id).GetNotification(); !proto.Equal(before, after) {
		t.Errorf("it was %v and is %v", before, after)
	}
	if n := len(spool(t, d)); n != 0 {
		t.Errorf("%d are in the spool still", n)
	}
}

// Nothing is submitted again while the hub's log goes on as it did.
func TestNothingIsSubmittedAgainWithoutALoss(t *testing.T) {
	x, d := opened(t)
	for range 3 {
		d.Take(family())
		wait(x)
	}
	x.RestartHub()
	d.Restart()
	wait(x)
	if n := decisions(t, x); n != 3 {
		t.Errorf("%d decisions, want 3", n)
	}
}

// Answers are lost and the desk dies while it tells the hub again: each is shown once.
func TestSubmittingAgainOverBreaks(t *testing.T) {
	x, d := opened(t)
	in := x.Inbox(testkit.Bristol)
	in.Link.Down(true)
	var ids []string
	for range 3 {
		ids = append(ids, d.Take(family())...)
	}
	x.Settle()
	x.LoseHub()
	lost := 0
	for range 4 { // notices, and submits some of them
		if _, err := d.StepUpdates(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.Link.LoseAnswers(1)
		if _, err := d.StepSpool(t.Context()); err != nil {
			lost++
		}
		d.Link.LoseAnswers(0)
		x.Clock.Advance(testkit.MaxWait)
		d.Restart()
	}
	if lost < 2 {
		t.Fatalf("only %d answers were lost", lost)
	}
	in.Link.Down(false)
	wait(x)
	for _, id := range ids {
		if s := d.State(id); s != delivered {
			t.Errorf("state %v", s)
		}
	}
	if n := len(in.Items()); n != 3 {
		t.Errorf("%d items", n)
	}
}

// A desk whose certificate was renewed while a notification was on its way submits the same bytes under its new one, and
// the hub gives the same answer: a statement is its bytes and not its signature.
func TestARenewedCertificateSignsTheSameBytes(t *testing.T) {
	x, d := opened(t)
	var manifests, leaves [][]byte
	d.Link.Requests(func(method string, b []byte) []byte {
		req := &posternv1.SubmitRequest{}
		if method == posternv1.SubmissionService_Submit_FullMethodName && proto.Unmarshal(b, req) == nil {
			signed := req.GetNotification().GetManifest()
			manifests = append(manifests, signed.GetPayload())
			leaves = append(leaves, signed.GetSignatures()[0].GetCertificates()[0])
		}
		return b
	})
	d.Link.LoseAnswers(1)
	id := d.Take(formtest.New(testkit.Bristol))[0]
	if _, err := d.StepSpool(t.Context()); err == nil {
		t.Fatal("the answer was not lost")
	}
	d.Restart(func(c *desk.Config) { c.Identity = x.Renewed() })
	x.Clock.Advance(2 * time.Minute)
	x.Settle()
	if len(manifests) != 2 || !slices.Equal(manifests[0], manifests[1]) || slices.Equal(leaves[0], leaves[1]) {
		t.Fatalf("submitted %d times, or other bytes, or under the old certificate", len(manifests))
	}
	if d.State(id) != delivered || decisions(t, x) != 1 || len(x.Inbox(testkit.Bristol).Items()) != 1 {
		t.Errorf("state %v, %d decisions", d.State(id), decisions(t, x))
	}
}

// A hub is put back from a copy in which it had decided and not sent. Since then the notification was delivered and taken
// back, whole or in part, and the stop request was lost. The team is asked to stop all the same, once.
func TestAStopThatWasLostWithACopyReachesTheTeam(t *testing.T) {
	unchecked := family()
	unchecked.Gate = posternv1.Gate_GATE_NOT_DONE
	for name, c := range map[string]struct {
		form  *posternv1.Form
		state localv1.State // in the copy
		paths []string      // what is taken back; none for all
		end   localv1.State
	}{
		"it waited for a check":               {unchecked, waiting, nil, localv1.State_STATE_STOP_ASKED},
		"it was to be sent":                   {family(), accepted, nil, localv1.State_STATE_STOP_ASKED},
		"it waited for a check, a part of it": {unchecked, waiting, []string{"child/1/school"}, delivered},
		"it was to be sent, a part of it":     {family(), accepted, []string{"child/1/school"}, delivered},
	} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			in, other := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPParc)
			id := d.Take(c.form)[0]
			must(d.StepSpool(t.Context()))(t)
			if d.State(id) != c.state {
				t.Fatalf("state %v", d.State(id))
			}
			copied := x.CopyHub()
			if c.state == waiting {
				setGate(t, d, id, posternv1.Gate_GATE_NO_HOLD)
			}
			x.Settle()
			if d.State(id) != delivered {
				t.Fatalf("state %v", d.State(id))
			}
			in.Link.Down(true)
			must(d.Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Paths: c.paths, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff))(t)
			x.Settle()
			if d.State(id) != c.end {
				t.Fatalf("taken back it is %v", d.State(id))
			}

			x.RestoreHub(copied)
			x.NewGeneration(seen(t, d, other, in)...)
			in.Link.Down(false)
			wait(x)
			items := in.Items()
			if len(items) != 1 || items[0].GetStop() == nil || !slices.Equal(items[0].GetStop().GetPaths(), c.paths) || d.State(id) != c.end {
				t.Errorf("the team sees %v, and the desk shows %v", items, d.State(id))
			}
			if n := len(events(t, x, logv1.Kind_KIND_STOP_ASKED)); n != 1 {
				t.Errorf("it was asked %d times", n)
			}
			if n := len(spool(t, d)); n != 0 || d.Log().Stopped() != nil || in.Log().Stopped() != nil {
				t.Errorf("%d are in the spool still; stopped %v, %v", n, d.Log().Stopped(), in.Log().Stopped())
			}
		})
	}
}

// A hub that replaces a lost one may be given another directory by the number that a desk has already: the desk keeps its own,
// and says so until one with a greater number comes.
func TestAnotherDirectoryByTheSameNumberIsNoticed(t *testing.T) {
	x, d := opened(t)
	x.LoadDirectory(7, testkit.Register{})
	worked, err := d.StepDirectory(t.Context())
	works(t, worked, err)
	worked, err = d.StepDirectory(t.Context())
	rests(t, worked, err)
	x.LoseHubDisk()
	x.LoadDirectory(7, testkit.Register{Without: []string{testkit.Bristol}})
	for range 2 {
		worked, err = d.StepDirectory(t.Context())
		wantFault(t, err, fault.Unverified, "DIRECTORY_ANOTHER")
	}
	if worked || found(t, d, "newest directory", "another directory by the number of this desk's, 7") != localv1.Level_LEVEL_PROBLEM {
		t.Error("the desk that has another directory than its hub is well")
	}
	x.LoadDirectory(8, testkit.Register{})
	worked, err = d.StepDirectory(t.Context())
	works(t, worked, err)
	worked, err = d.StepDirectory(t.Context())
	rests(t, worked, err)
}

// After the loss of a hub its operator loads the directory. Under a number that is not above a desk's, the desk and the hub
// say so, and the hub knows which number would do.
func TestTheDirectoryOfTheNextHubReachesTheDesks(t *testing.T) {
	x, d := opened(t)
	x.LoadDirectory(7, testkit.Register{})
	worked, err := d.StepDirectory(t.Context())
	works(t, worked, err)
	x.LoseHubDisk()
	x.LoadDirectory(1, testkit.Register{})
	_, err = d.StepDirectory(t.Context())
	wantFault(t, err, fault.Unverified, "DIRECTORY_ROLLED_BACK")
	if found(t, d, "newest directory", "goes on with 7") != localv1.Level_LEVEL_PROBLEM {
		t.Error("the desk that takes no directory is well")
	}
	hub := must(x.Hub.Examine(t.Context(), &localv1.ExamineRequest{}))(t)
	if !slices.ContainsFunc(hub.GetFindings(), func(f *localv1.Finding) bool {
		return f.GetLevel() == localv1.Level_LEVEL_PROBLEM && strings.Contains(f.GetWords(), "The desk of "+testkit.HMPBristol+" has directory 7")
	}) {
		t.Errorf("the hub of which no desk takes the directory is well: %v", hub.GetFindings())
	}
	at := must(x.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t).GetDirectoryRevisionAtDesks()
	x.LoadDirectory(at+1, testkit.Register{})
	worked, err = d.StepDirectory(t.Context())
	works(t, worked, err)
	for _, r := range []*localv1.ExamineResponse{must(d.Examine(t.Context(), &localv1.ExamineRequest{}))(t), must(x.Hub.Examine(t.Context(), &localv1.ExamineRequest{}))(t)} {
		for _, f := range r.GetFindings() {
			if f.GetLevel() == localv1.Level_LEVEL_PROBLEM {
				t.Errorf("%v", f)
			}
		}
	}
}
