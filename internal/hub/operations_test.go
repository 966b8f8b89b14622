package hub_test

import (
	"strings"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

// examined is what the hub says of itself.
func (w *world) examined() *localv1.ExamineResponse {
	w.t.Helper()
	return must(w.Hub.Examine(w.t.Context(), &localv1.ExamineRequest{}))(w.t)
}

// finds fails unless there is a finding of the check and level with the words.
func finds(t *testing.T, r *localv1.ExamineResponse, check string, level localv1.Level, words string) {
	t.Helper()
	for _, f := range r.GetFindings() {
		if f.GetCheck() == check && f.GetLevel() == level && strings.Contains(f.GetWords()+" "+f.GetFix(), words) {
			return
		}
	}
	t.Errorf("no %s %s with %q in %v", level, check, words, r.GetFindings())
}

const (
	well    = localv1.Level_LEVEL_OK
	warning = localv1.Level_LEVEL_WARNING
	problem = localv1.Level_LEVEL_PROBLEM
)

func TestAHubThatIsWellSaysSo(t *testing.T) {
	w := newWorld(t)
	w.decided(w.one(w.Example("shared_in_full")))
	r := w.examined()
	for _, f := range r.GetFindings() {
		if f.GetLevel() != well || f.GetWords() == "" {
			t.Errorf("%v", f)
		}
	}
	finds(t, r, "queue "+testkit.Bristol, well, "1 wait")
	if len(r.GetPeers()) != 2 || !strings.HasSuffix(r.GetPeers()[0].GetUri(), "/inbox") || r.GetPeers()[0].GetAddress() == "" {
		t.Errorf("it delivers to %v", r.GetPeers())
	}
}

func TestWhatAHubFindsWrongInTime(t *testing.T) {
	w := newWorld(t, func(c *testkit.Config) {
		c.Register.KeyEnds = map[string]time.Time{testkit.Bristol: testkit.Now.AddDate(0, 0, 20), testkit.Lancashire: testkit.Now.AddDate(0, 0, 3)}
	})
	w.decided(w.one(w.Example("shared_in_full")))
	r := w.examined()
	finds(t, r, "key "+testkit.Bristol, warning, "must make a new recipient key")
	finds(t, r, "key "+testkit.Lancashire, problem, "must make a new recipient key")

	w.Clock.Advance(2 * time.Hour)
	finds(t, w.examined(), "queue "+testkit.Bristol, warning, "Telephone the authority")

	begun := w.shareable()
	w.decided(begun)
	w.try()
	w.try()
	w.withdraw(testkit.HMPBristol, idOf(t, begun))
	w.Clock.Advance(2 * time.Hour)
	finds(t, w.examined(), "stop requests "+testkit.Bristol, problem, "the team may still see what was withdrawn")
	w.Clock.Advance(-2 * time.Hour)

	w.Clock.Advance(-6 * time.Hour)
	finds(t, w.examined(), "log sent", problem, "Set the clock")
}

func TestPausedDeliveriesAreShownEverywhere(t *testing.T) {
	w := newWorld(t)
	out := must(w.Hub.SetPause(t.Context(), &localv1.SetPauseRequest{Pause: true}))(t)
	if !out.GetPauseTime().AsTime().Equal(w.Clock.Now().Truncate(time.Second)) {
		t.Errorf("paused since %v", out.GetPauseTime())
	}
	answer, _ := w.decided(w.one(w.Example("shared_in_full"))) // decided and recorded all the same
	if answer.GetDecision().GetOutcome() != share {
		t.Errorf("decided %s", answer.GetDecision().GetOutcome())
	}
	w.RestartHub()
	finds(t, w.examined(), "deliveries", warning, "--resume")
	status := must(w.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t)
	if status.GetPauseTime() == nil || len(status.GetQueues()) != 1 {
		t.Errorf("status: %v", status)
	}
	if out := must(w.Hub.SetPause(t.Context(), &localv1.SetPauseRequest{}))(t); out.GetPauseTime() != nil {
		t.Errorf("paused since %v", out.GetPauseTime())
	}
	if status := must(w.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t); status.GetPauseTime() != nil {
		t.Errorf("status: %v", status)
	}
}

func TestAHubWithoutADirectoryIsNotReady(t *testing.T) {
	w := newWorld(t, func(c *testkit.Config) { c.NoDirectory = true })
	failing := func() (names []string) {
		for _, c := range w.Hub.Checks() {
			if err := c.Holds(t.Context()); err != nil {
				if fault.KindOf(err) == fault.Internal {
					t.Errorf("%s fails without public words: %v", c.Name, err)
				}
				names = append(names, c.Name)
			}
		}
		return names
	}
	if got := failing(); len(got) != 1 || got[0] != "directory" {
		t.Errorf("not ready: %v", got)
	}
	finds(t, w.examined(), "directory", problem, "postern hub directory load")
	w.LoadDirectory(1, testkit.Register{})
	if got := failing(); len(got) != 0 {
		t.Errorf("not ready: %v", got)
	}
}
