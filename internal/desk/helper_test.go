package desk_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	queued    = localv1.State_STATE_QUEUED
	waiting   = localv1.State_STATE_WAITING
	withheld  = localv1.State_STATE_WITHHELD
	closed    = localv1.State_STATE_CLOSED
	referred  = localv1.State_STATE_REFERRED
	accepted  = localv1.State_STATE_ACCEPTED
	delivered = localv1.State_STATE_DELIVERED

	undelivered = localv1.State_STATE_UNDELIVERED
)

// opened is an exchange and the desk of HMP Bristol in it.
func opened(t *testing.T, edits ...func(*testkit.Config)) (*testkit.Exchange, *testkit.Desk) {
	t.Helper()
	x := testkit.NewExchange(t, edits...)
	return x, x.Desk(testkit.HMPBristol)
}

// family is a form that will be shared with Bristol.
func family() *posternv1.Form { return formtest.New(testkit.Bristol) }

// spool is what waits to be submitted.
func spool(t *testing.T, d *testkit.Desk) []queue.Item {
	t.Helper()
	var items []queue.Item
	err := d.Store.View(t.Context(), func(s store.Snapshot) (err error) {
		items, err = queue.New(queue.Config{Keyspace: schema.DeskSpool}).List(s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// decisions is how many decisions the hub has recorded.
func decisions(t *testing.T, x *testkit.Exchange) (n int) {
	t.Helper()
	_, err := x.Ledger.Events(t.Context(), "", 1<<30, func(e ledger.Logged) (bool, error) {
		if e.Leaf.Kind == logv1.Kind_KIND_DECIDED {
			n++
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rewrite changes every answer of a method on its way.
func rewrite[M proto.Message](t *testing.T, method string, like M, edit func(M)) func(string, []byte) []byte {
	return func(called string, b []byte) []byte {
		if !strings.HasSuffix(called, "/"+method) {
			return b
		}
		m := like.ProtoReflect().New().Interface().(M)
		if err := proto.Unmarshal(b, m); err != nil {
			t.Error(err)
		}
		edit(m)
		b, err := proto.Marshal(m)
		if err != nil {
			t.Error(err)
		}
		return b
	}
}

// toDecide is the list of the safeguarding lead, as the site asks for it.
func toDecide(t *testing.T, d *testkit.Desk) []*localv1.Notification {
	t.Helper()
	return must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{Referred: true,
		States: []localv1.State{localv1.State_STATE_REFERRED, localv1.State_STATE_UNDELIVERED}}))(t).GetNotifications()
}

func hasTask(n *localv1.Notification, kind posternv1.ObligationKind) bool {
	return slices.ContainsFunc(n.GetTasks(), func(task *localv1.Task) bool { return task.GetKind() == kind })
}

// works runs a step that must do something.
func works(t *testing.T, worked bool, err error) {
	t.Helper()
	if err != nil || !worked {
		t.Fatalf("worked %v: %v", worked, err)
	}
}

// rests runs a step that must find nothing to do.
func rests(t *testing.T, worked bool, err error) {
	t.Helper()
	if err != nil || worked {
		t.Fatalf("worked %v: %v", worked, err)
	}
}

func wantFault(t *testing.T, err error, kind fault.Kind, reason string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no fault, want %s", reason)
	}
	if f := fault.From(err); f.Kind != kind || f.Reason != reason {
		t.Fatalf("%v %s (%v), want %v %s", f.Kind, f.Reason, err, kind, reason)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
