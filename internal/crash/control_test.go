//go:build crash

package crash

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	localv1 "postern/proto/postern/local/v1"
)

// TestTheJudgeFindsEachFault shows the judge, beside what is in order, one thing at a time that is not.
func TestTheJudgeFindsEachFault(t *testing.T) {
	const desk, id, other = deskBLI, "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	world := func() (*ledger, seen) {
		l := newLedger()
		l.handIn("form", desk, []byte("{}"))
		l.acknowledged("form", []string{id})
		return l, seen{
			desks:   map[string][]*localv1.Notification{desk: {{Id: id, FormId: "form", Authority: "E06000023", State: localv1.State_STATE_DELIVERED}}},
			inboxes: map[string][]*localv1.Item{bristol: {{Id: id}}},
		}
	}
	withdrawn := func(l *ledger, s seen) {
		l.withdrawn[id] = true
		s.desks[desk][0].State = localv1.State_STATE_STOP_ASKED
		s.desks[desk][0].Withdrawals = []*localv1.TakenWithdrawal{{}}
	}
	for _, c := range []struct {
		name string
		edit func(l *ledger, s seen)
		want string
	}{
		{"all is well", func(*ledger, seen) {}, ""},
		{"well withdrawn", func(l *ledger, s seen) { withdrawn(l, s); s.inboxes[bristol][0].Stop = &localv1.Stop{} }, ""},
		{"the desk forgot", func(_ *ledger, s seen) { s.desks[desk], s.inboxes[bristol] = nil, nil }, "lost"},
		{"the team never got it", func(_ *ledger, s seen) { s.inboxes[bristol] = nil }, "lost"},
		{"it stays queued", func(_ *ledger, s seen) { s.desks[desk][0].State = localv1.State_STATE_QUEUED }, "lost"},
		{"shown twice", func(_ *ledger, s seen) { s.inboxes[bristol] = append(s.inboxes[bristol], s.inboxes[bristol][0]) }, "twice"},
		{"one form made two", func(_ *ledger, s seen) {
			s.desks[desk] = append(s.desks[desk], &localv1.Notification{Id: other, FormId: "form", Authority: "E06000023", State: localv1.State_STATE_WITHHELD})
		}, "twice"},
		{"from nowhere", func(_ *ledger, s seen) { s.inboxes[bristol] = append(s.inboxes[bristol], &localv1.Item{Id: other}) }, "shown"},
		{"shown though withheld", func(_ *ledger, s seen) { s.desks[desk][0].State = localv1.State_STATE_WITHHELD }, "shown"},
		{"shown though withdrawn", func(l *ledger, s seen) { withdrawn(l, s) }, "shown"},
		{"the withdrawal was lost", func(l *ledger, _ seen) { l.withdrawn[id] = true }, "lost"},
		{"nobody withdrew it", func(l *ledger, s seen) {
			withdrawn(l, s)
			delete(l.withdrawn, id)
			s.inboxes[bristol][0].Stop = &localv1.Stop{}
		}, "shown"},
		{"gone after it was shown", func(l *ledger, s seen) {
			l.shown[bristol] = map[string]bool{id: false}
			s.inboxes[bristol] = nil
			s.desks[desk][0].State = localv1.State_STATE_WITHHELD
		}, "lost"},
		{"back in view", func(l *ledger, _ seen) { l.shown[bristol] = map[string]bool{id: true} }, "shown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, s := world()
			c.edit(l, s)
			got := l.judge(s)
			if (c.want == "") != (len(got) == 0) || c.want != "" && !strings.HasPrefix(got[0], c.want) {
				t.Errorf("findings %q, want %q", got, c.want)
			}
		})
	}
	l, _ := world()
	if got := l.acknowledged("form", []string{other}); len(got) != 1 || !strings.HasPrefix(got[0], "lost") {
		t.Errorf("another answer to the same form: %q", got)
	}
}

// TestAPartyThatForgetsIsFoundOut is the control of every harness here: a party's files of some time ago are put back, as
// if its disk had lied, and the same driver, judge and auditor must say so.
func TestAPartyThatForgetsIsFoundOut(t *testing.T) {
	for n, c := range []struct {
		party string
		files []string
		want  []string // one of these
	}{
		{deskBLI, []string{"desk-BLI/desk.db"}, []string{"lost"}},
		{hub, []string{"hub/hub.db", "hub-checkpoints/newest"}, []string{"unrecorded", "unverified"}},
	} {
		t.Run(c.party, func(t *testing.T) {
			w := newWorld(t, n, must(release())(t))
			w.start(all...)
			d := newDriver(w, uint64(n))
			d.kinds = []string{"shared_in_full"}
			w.kill(c.party)
			old := map[string][]byte{}
			for _, f := range c.files {
				old[f] = must(os.ReadFile(filepath.Join(w.dir, f)))(t)
			}
			w.start(c.party)
			var actions []action
			for range 8 {
				actions = append(actions, d.submits(d.anotherForm()))
			}
			d.do(context.Background(), actions, func() {})
			if findings := append(d.settle(), d.audit()...); len(findings) > 0 {
				t.Fatalf("before anything was done:\n%s", lines(findings))
			}
			w.kill(c.party)
			for f, content := range old {
				if err := os.WriteFile(filepath.Join(w.dir, f), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w.start(c.party)
			findings := append(d.judge(d.look()), d.audit()...)
			for _, f := range findings {
				for _, want := range c.want {
					if strings.HasPrefix(f, want) {
						return
					}
				}
			}
			t.Errorf("%s forgot, and nobody noticed: %q", c.party, findings)
		})
	}
}
