package testkit_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

// A key is published when the certificate that signed it has ended already, as when the hub could not be reached meanwhile.
func TestAKeyIsPublishedWhenItsCertificateHasEnded(t *testing.T) {
	x := testkit.NewExchange(t)
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	own := x.Issue(bristolInbox, testkit.Now.AddDate(0, 0, -30).Add(time.Hour), 30)
	in.Restart(func(c *inbox.Config) { c.Identity = own })
	in.ToHub.Down(true)
	if _, err := in.Rotate(t.Context(), &localv1.RotateRequest{}); err != nil {
		t.Fatal(err)
	}
	x.Clock.Advance(2 * time.Hour)
	if err := own.Replace(x.Issue(bristolInbox, x.Clock.Now().AddDate(0, 0, -1), 30)); err != nil {
		t.Fatal(err)
	}
	in.ToHub.Down(false)
	settle(x)
	if p := pin(t, d); p.GetVersion() != 2 {
		t.Errorf("the desk pins version %d", p.GetVersion())
	}
}

// A hub that lost its disk has the first key of an authority in its directory, which ended long ago. After its start an inbox
// tells it of those that followed, though their private parts are forgotten, and families are told of again.
func TestAHubThatLostItsDiskHearsOfTheKeysAgain(t *testing.T) {
	x := testkit.NewExchange(t, func(c *testkit.Config) {
		c.Register.KeyEnds = map[string]time.Time{testkit.Bristol: testkit.Now.AddDate(0, 0, 29)}
	})
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	for range 4 { // to the fourth version and beyond the last use of the first key
		x.Settle()
		inboxDays(x, in, 61)
	}
	x.Settle()
	ring, err := in.ListRing(t.Context(), &localv1.ListRingRequest{})
	if err != nil || ring.GetKeys()[0].GetVersion() < 4 || ring.GetKeys()[len(ring.GetKeys())-1].GetVersion() == 1 {
		t.Fatalf("the ring is %v, %v", ring, err)
	}
	x.LoseHub()
	in.Restart() // with the keys of the new log
	settle(x)
	for _, prison := range []string{testkit.HMPBristol, testkit.HMPParc} {
		if _, err := x.Desk(prison).StepDirectory(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f := formtest.New(testkit.Bristol)
	f.Consent.GiveTime = timestamppb.New(x.Clock.Now().Add(-time.Hour))
	id := d.Take(f)[0]
	settle(x)
	if s := d.State(id); s != localv1.State_STATE_DELIVERED {
		t.Errorf("the desk shows %v: %v", s, d.Get(id).GetNotification().GetDecision())
	}
	if p := pin(t, d); p.GetVersion() != ring.GetKeys()[0].GetVersion() {
		t.Errorf("the desk pins version %d", p.GetVersion())
	}
}

// A private key is forgotten when nothing can come for it any more, also while no hub takes the newest one: a hub that is away
// or refuses keeps no key of a quarter's families alive.
func TestAKeyIsForgottenWhateverTheHubSays(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	rotated(t, in)
	first := must(in.ListRing(t.Context(), &localv1.ListRingRequest{}))(t).GetKeys()[1]
	in.Restart()
	in.ToHub.Down(true)
	inboxDays(x, in, int(first.GetForgetTime().AsTime().Sub(x.Clock.Now())/(24*time.Hour))+1)
	for _, k := range must(in.ListRing(t.Context(), &localv1.ListRingRequest{}))(t).GetKeys() {
		if k.GetKeyId() == first.GetKeyId() {
			t.Errorf("it is there still: %v", k)
		}
	}
}
