package testkit_test

import (
	"testing"
	"time"

	"postern/internal/desk"
	"postern/internal/form/formtest"
	"postern/internal/identity"
	"postern/internal/inbox"
	"postern/internal/schema"
	"postern/internal/testkit"
	logv1 "postern/proto/postern/log/v1"
)

// ending is HMP Parc's identity with a certificate that ends in two hours, and the one after it.
func ending(t *testing.T) (func(*testkit.Config), func(*testkit.Desk)) {
	t.Helper()
	x := testkit.NewExchange(t) // every exchange has the same authorities
	path := "/prison/" + testkit.HMPParc + "/desk"
	old, next := x.Issue(path, testkit.Now.AddDate(0, 0, -30).Add(2*time.Hour), 30), x.Issue(path, testkit.Now.AddDate(0, 0, -1), 30)
	return func(c *testkit.Config) {
			c.IdentityOf = func(p string) *identity.Identity {
				if p == path {
					return old
				}
				return nil
			}
		}, func(d *testkit.Desk) {
			d.Restart(func(c *desk.Config) { c.Identity = next })
		}
}

// A team tells the next hub that it passed something on when the certificate has ended that signed the withdrawal. The other
// team believes the stop request: it was good when the person withdrew.
func TestAStopRequestOutlivesItsCertificate(t *testing.T) {
	edit, renew := ending(t)
	s := newFound(t, formtest.New(testkit.Bristol), edit)
	s.passOn()
	s.Settle()
	s.bristol.Link.Down(true)
	s.bristol.ToHub.Down(true)
	s.LoseHub()
	s.Clock.Advance(testkit.MaxWait)
	s.Settle()
	s.withdraw()
	renew(s.desk)
	s.Clock.Advance(3 * time.Hour)
	s.bristol.Link.Down(false)
	s.bristol.ToHub.Down(false)
	settleLater(s.Exchange)
	if !s.stopped(s.bristol) || !s.stopped(s.lancashire) {
		t.Errorf("Bristol stopped %v, Lancashire %v", s.stopped(s.bristol), s.stopped(s.lancashire))
	}
}

// What was narrowed after the certificate of its desk had ended is passed on, and stopped at both teams.
func TestWhatWasNarrowedIsPassedOnWhenTheDesksCertificateHasEnded(t *testing.T) {
	edit, renew := ending(t)
	s := newFound(t, formtest.New(testkit.Bristol), edit)
	renew(s.desk)
	s.Clock.Advance(3 * time.Hour)
	s.withdraw("child/1/school")
	s.passOn()
	settleLater(s.Exchange)
	if len(s.lancashire.Items()) != 1 {
		t.Fatalf("Lancashire does not have it: %v", s.state())
	}
	s.withdraw()
	if !s.stopped(s.lancashire) {
		t.Error("Lancashire is not asked to stop")
	}
}

// An inbox that is put back gets again what it lost, though the certificate has ended by which it had acknowledged that, and
// which it did not have yet at the decision. It is not decided again, and no desk hears of it.
func TestWhatWasLostComesAgainWhenTheInboxsCertificateHasEnded(t *testing.T) {
	for way, edit := range ways {
		t.Run(way, func(t *testing.T) {
			x := testkit.NewExchange(t, edit)
			d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
			own := x.Issue(bristolInbox, testkit.Now.Add(time.Hour), 1)
			with := func(c *inbox.Config) { c.Identity = own }
			d.Take(formtest.New(testkit.Bristol))
			if _, err := d.StepSpool(t.Context()); err != nil {
				t.Fatal(err)
			}
			copied := in.Backup()
			x.Clock.Advance(2 * time.Hour)
			in.Restart(with)
			x.Settle()
			if len(in.Items()) != 1 {
				t.Fatal("it did not arrive")
			}
			told, decided := rows(t, x, schema.HubUpdate), kinds(t, x, logv1.Kind_KIND_DECIDED)
			x.Clock.Advance(8 * 24 * time.Hour)
			in.Restore(copied)
			settle(x)
			if n := len(in.Items()); n != 1 || rows(t, x, schema.HubUpdate) != told || kinds(t, x, logv1.Kind_KIND_DECIDED) != decided {
				t.Errorf("%d items; the desk was told of %d, and %d were decided", n, rows(t, x, schema.HubUpdate)-told, kinds(t, x, logv1.Kind_KIND_DECIDED)-decided)
			}
		})
	}
}
