package testkit_test

import (
	"testing"
	"time"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// heldBack is a carrier of the other side's "too much, try again in an hour", until open is called; it counts how
// often it was asked.
func heldBack(l *testkit.Link) (asked *int, open func()) {
	asked = new(int)
	l.Carry(func(string, []byte, func() ([]byte, error)) ([]byte, error) {
		*asked++
		f := fault.New(fault.Exhausted, "RATE", "You are calling too often. Wait a moment.")
		f.RetryAfter = time.Hour
		return nil, f
	})
	return asked, func() { l.Carry(nil) }
}

// A desk, an inbox and the courier wait as long as they are told, which is longer than any pause of their own, and lose
// nothing.
func TestWhoIsHeldBackWaitsAsLongAsItIsTold(t *testing.T) {
	x := testkit.NewExchange(t)
	d, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	patient := func(what string, l *testkit.Link, step func() error) {
		t.Helper()
		asked, open := heldBack(l)
		for range 5 {
			_ = step() // it says that it was held back
			x.Clock.Advance(10 * time.Minute)
		}
		if *asked != 1 {
			t.Errorf("%s asked %d times before it was time", what, *asked)
		}
		open()
		x.Clock.Advance(10 * time.Minute)
	}
	id := d.Take(formtest.New(testkit.Bristol))[0]
	patient("the desk", d.Link, func() error { _, err := d.StepSpool(t.Context()); return err })
	if _, err := d.StepSpool(t.Context()); err != nil {
		t.Fatal(err)
	}
	patient("the courier", in.Link, func() error { _, err := x.Hub.StepDelivery(t.Context()); return err })
	x.Settle()
	if items := in.Items(); len(items) != 1 || items[0].GetId() != id {
		t.Fatalf("the team sees %v", items)
	}
	// Facts that the sealed values contradict make the inbox report.
	wrong := x.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol), func(d *envelope.Draft) {
		d.Children[0].Age = &posternv1.ChildFacts_AgeYears{AgeYears: 3}
	})[0]
	if _, err := x.Submission(testkit.HMPBristol).Submit(t.Context(), &posternv1.SubmitRequest{Notification: wrong}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Hub.StepDelivery(t.Context()); err != nil {
		t.Fatal(err)
	}
	patient("the inbox", in.ToHub, func() error { _, err := in.StepReports(t.Context()); return err })
	if worked, err := in.StepReports(t.Context()); err != nil || !worked {
		t.Errorf("the report: %v, %v", worked, err)
	}
}
