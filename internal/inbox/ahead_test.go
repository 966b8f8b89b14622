package inbox_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/inbox"
	"postern/internal/outlet"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A clock that was a month ahead and was set right leaves nothing asleep: what was reported or handed over, or tried in vain,
// meanwhile goes as soon as it would have.
func TestWhatAnInboxPutOffWhileItsClockWasAheadGoes(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	ahead, dir := 30*24*time.Hour, filepath.Join(t.TempDir(), "import")
	set := func(c *inbox.Config) {
		c.Clock = func() time.Time { return x.Clock.Now().Add(ahead) }
		c.Outlets.Folder, c.Outlets.Hook = &outlet.Folder{Dir: dir + "-none"}, &outlet.Hook{Command: []string{"/bin/sh", "-c", "kill -9 $$"}, Timeout: time.Minute}
		if ahead == 0 {
			c.Outlets.Folder.Dir = t.TempDir()
		}
	}
	submit(t, x, ordinary(x))
	x.Settle()
	in.Restart(set)
	id := in.Items()[0].GetId()
	must(in.ReplyItem(as(t, "LEE", "DUTY_WORKER"), &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: id}, Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN}}))(t)
	must(in.SendTest(t.Context(), nil))(t)
	in.ToHub.Down(true)
	if _, err := in.StepReports(t.Context()); err == nil {
		t.Fatal("the hub is down")
	}
	for _, way := range []string{"folder", "hook"} { // the folder is not there, and of the command nobody knows
		if worked, err := in.StepOutlet(t.Context(), way); !worked || err == nil {
			t.Fatalf("%s: %v, %v", way, worked, err)
		}
	}
	in.ToHub.Down(false)
	ahead = 0
	in.Restart(set)
	x.Clock.Advance(time.Second)
	for name, step := range map[string]func(context.Context) (bool, error){"reports": in.StepReports,
		"folder": func(ctx context.Context) (bool, error) { return in.StepOutlet(ctx, "folder") }} {
		if worked, err := step(t.Context()); !worked || err != nil {
			t.Errorf("%s, with the clock right: %v, %v", name, worked, err)
		}
	}
	if worked, err := in.StepOutlet(t.Context(), "hook"); worked || err != nil {
		t.Errorf("what is unclear was tried again: %v, %v", worked, err)
	}
}

// However long a hub asks for patience, an answer is tried again within the hour.
func TestAHubPutsNothingOffForLongerThanAnHour(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	submit(t, x, ordinary(x))
	x.Settle()
	must(in.ReplyItem(as(t, "LEE", "DUTY_WORKER"), &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: in.Items()[0].GetId()}, Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN}}))(t)
	busy := fault.New(fault.Exhausted, "BUSY", "Later.")
	busy.RetryAfter = 90 * 24 * time.Hour
	in.ToHub.Carry(func(string, []byte, func() ([]byte, error)) ([]byte, error) { return nil, busy })
	if _, err := in.StepReports(t.Context()); fault.From(err).RetryAfter != busy.RetryAfter {
		t.Fatal(err)
	}
	in.ToHub.Carry(nil)
	x.Clock.Advance(time.Hour)
	if worked, err := in.StepReports(t.Context()); !worked || err != nil {
		t.Errorf("an hour later: %v, %v", worked, err)
	}
}

// A clock that is years ahead, at a start or by a leap, and for weeks, costs no private key: what was sealed before it was set
// right is opened then. Nor does it use up a number for a key that nobody would take.
func TestAClockThatIsYearsAheadForgetsNoKey(t *testing.T) {
	for name, starts := range map[string]bool{"at a start": true, "while it serves": false} {
		t.Run(name, func(t *testing.T) {
			x := testkit.NewExchange(t)
			in := x.Inbox(testkit.Bristol)
			x.Settle()
			n := ordinary(x) // to the key that was there first
			must(in.Rotate(t.Context(), &localv1.RotateRequest{}))(t)
			x.Settle()
			before := len(must(in.ListRing(t.Context(), &localv1.ListRingRequest{}))(t).GetKeys())
			var ahead time.Duration
			set := func(c *inbox.Config) { c.Clock = func() time.Time { return x.Clock.Now().Add(ahead) } }
			if !starts {
				in.Restart(set)
				must(in.StepKeys(t.Context()))(t)
			}
			ahead = 20 * 365 * 24 * time.Hour
			if starts {
				in.Restart(set)
			}
			in.ToHub.Down(true)
			for range 20 * 24 {
				_, _ = in.StepKeys(t.Context())
				x.Clock.Advance(time.Hour)
			}
			in.ToHub.Down(false)
			ahead = 0
			in.Restart(set)
			if after := len(must(in.ListRing(t.Context(), &localv1.ListRingRequest{}))(t).GetKeys()); before != 2 || after != before {
				t.Errorf("of %d keys there are %d", before, after)
			}
			submit(t, x, n)
			x.Settle()
			if len(in.Items()) != 1 {
				t.Error("what was sealed to the older key is lost")
			}
		})
	}
}
