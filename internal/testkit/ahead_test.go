package testkit_test

import (
	"testing"
	"time"

	"postern/internal/form/formtest"
	"postern/internal/hub"
	"postern/internal/schema"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

// A hub's clock that is years ahead for a week deletes no content before its time: what an inbox lost meanwhile comes again, and
// what was given up can be sent again.
func TestAHubWhoseClockIsAheadDeletesNoContent(t *testing.T) {
	var ahead time.Duration
	x := testkit.NewExchange(t, func(c *testkit.Config) {
		c.Hub = func(h *hub.Config) { own := h.Clock; h.Clock = func() time.Time { return own().Add(ahead) } }
	})
	in, d := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPBristol)
	retain := func() {
		for worked := true; worked; {
			var err error
			if worked, err = x.Hub.StepRetention(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	retain()
	copied := in.Backup()
	has := d.Take(formtest.New(testkit.Bristol))[0]
	x.Settle()
	in.Link.Down(true)
	parked := d.Take(formtest.New(testkit.Bristol))[0]
	x.Settle()
	for range 5 {
		x.Clock.Advance(24 * time.Hour)
		x.Settle()
		retain()
	}
	ahead = 5 * 365 * 24 * time.Hour
	for range 3 * 24 {
		x.Clock.Advance(time.Hour)
		retain()
	}
	if n := rows(t, x, schema.HubOutboxBody); n != 2 {
		t.Fatalf("%d contents of 2 are left", n)
	}
	ahead = 0
	in.Link.Down(false)
	in.Restore(copied)
	if _, err := x.Hub.Requeue(t.Context(), &localv1.RequeueRequest{Id: parked}); err != nil {
		t.Error(err)
	}
	settle(x)
	if items := in.Items(); len(items) != 2 {
		t.Errorf("of %s and %s the inbox has %v", has, parked, items)
	}
	for range 40 {
		x.Clock.Advance(24 * time.Hour)
		retain()
	}
	if n := rows(t, x, schema.HubOutboxBody); n != 0 {
		t.Errorf("in the end %d contents are left", n)
	}
}
