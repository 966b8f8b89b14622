package testkit_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

func TestAFormArrives(t *testing.T) {
	x := testkit.NewExchange(t)
	desk := x.Desk(testkit.HMPBristol)
	ids := desk.Take(formtest.New(testkit.Bristol))
	x.Settle()
	got := desk.Get(ids[0]).GetNotification()
	if got.GetState() != localv1.State_STATE_DELIVERED || got.GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
		t.Fatalf("the desk has it as %v: %v", got.GetState(), got.GetDecision())
	}
	if items := x.Inbox(testkit.Bristol).Items(); len(items) != 1 || items[0].GetId() != ids[0] {
		t.Fatalf("the team has %v", items)
	}
}

// Each fault must be felt, or a test that relies on it proves nothing.
func TestEveryFaultIsFelt(t *testing.T) {
	x := testkit.NewExchange(t)
	link, hub := x.ToHub("/prison/BLI/desk"), x.Submission(testkit.HMPBristol)
	submit := func() error {
		_, err := hub.Submit(t.Context(), &posternv1.SubmitRequest{Notification: x.Seal(testkit.HMPBristol, formtest.Declined())[0]})
		return err
	}
	decided := func() (n uint64) {
		n, _, _ = x.Ledger.Head(1)
		return n
	}
	if err := submit(); err != nil || decided() != 2 {
		t.Fatalf("without a fault: %v, %d leaves", err, decided())
	}

	link.Down(true)
	if err := submit(); fault.KindOf(err) != fault.Unavailable || decided() != 2 {
		t.Errorf("down: %v, %d leaves", err, decided())
	}
	link.Down(false)

	link.LoseAnswers(1)
	if err := submit(); fault.KindOf(err) != fault.Unavailable || decided() != 3 {
		t.Errorf("answer lost: %v, %d leaves", err, decided())
	}

	handled := 0
	link.Requests(func(_ string, b []byte) []byte { handled++; return b })
	link.Duplicate(true)
	if err := submit(); err != nil || handled != 1 || decided() != 4 {
		t.Errorf("doubled: %v, sent %d times, %d leaves", err, handled, decided())
	}
	link.Duplicate(false)

	link.Requests(func(_ string, b []byte) []byte { return bytes.Replace(b, []byte("Reception"), []byte("Deception"), 1) })
	if err := submit(); fault.KindOf(err) != fault.Unverified || decided() != 5 {
		t.Errorf("tampered: %v, %d leaves", err, decided())
	}
	link.Requests(nil)

	link.Answers(func(string, []byte) []byte { return []byte{0xff} })
	if err := submit(); fault.KindOf(err) != fault.Unavailable || decided() != 6 {
		t.Errorf("answer garbled: %v, %d leaves", err, decided())
	}
	link.Answers(nil)

	arrived, release := link.Hold()
	done := make(chan error, 1)
	request := &posternv1.SubmitRequest{Notification: x.Seal(testkit.HMPBristol, formtest.Declined())[0]}
	go func() {
		_, err := hub.Submit(t.Context(), request)
		done <- err
	}()
	<-arrived
	if decided() != 6 {
		t.Error("a held call was handled")
	}
	release()
	if err := <-done; err != nil || decided() != 7 {
		t.Errorf("released: %v, %d leaves", err, decided())
	}
}

func TestErrorsCrossWithoutTheirCause(t *testing.T) {
	x := testkit.NewExchange(t)
	_, err := x.Submission(testkit.HMPBristol).ListUpdates(t.Context(), &posternv1.ListUpdatesRequest{PageToken: "nonsense"})
	if fault.From(err).Reason != "BAD_PAGE_TOKEN" || errors.Unwrap(err) != nil {
		t.Fatalf("%v, because of %v", err, errors.Unwrap(err))
	}
}

func TestPersonalFindsWhatIsPersonal(t *testing.T) {
	f := formtest.New(testkit.Bristol)
	words := testkit.Personal(f)
	for _, w := range []string{f.GetPrisonNumber(), "Morwenna", "Peregrine-1", "1 Sixpenny Steps", "ZZ99 3QT", "01632 960147", "2019-05-01", "Fernhollow Primary"} {
		if !slices.Contains(words, w) {
			t.Errorf("%q is missing", w)
		}
	}
	if slices.Contains(words, "2026-11-21") {
		t.Error("the date of reception, which everybody may see, is among them")
	}
	if got := testkit.Holds([]string{"Ab\"cde", "absent"}, []byte(`{"x":"Ab\"cde"}`)); len(got) != 1 {
		t.Errorf("found %q", got)
	}
}
