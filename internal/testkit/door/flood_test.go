package door_test

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/rpc"
	"postern/internal/testkit"
	"postern/internal/testkit/flood"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// mostMemory is what hub, attacker and honest parties, all in this process, may hold under any attack. Without the
// limits it is gigabytes.
const mostMemory = 768 << 20

// Under every attack by a party with a good certificate, every call of an honest desk is answered, also over a new
// connection, and memory stays bounded. How long it takes, internal/bench measures.
func TestHonestDesksAreServedUnderAttack(t *testing.T) {
	d := openDoors(t, rpc.Limits{}, func(c *testkit.Config) { c.RefusalBudget = 600 })
	calls := testkit.N(10, 500)
	if raced { // the check has a stage of its own for this test
		calls = 3
	}
	junk := d.marshal(&posternv1.SubmitRequest{Notification: d.considered(deskBWI, newID(t))}) // signed by another than who sends it
	for _, a := range flood.Attacks() {
		t.Run(a.Name, func(t *testing.T) {
			target := d.target(deskPRI, d.hub)
			target.From = net.IPv4(127, 0, 0, 66) // as from another machine
			target.Method, target.Message = "/postern.v1.SubmissionService/Submit", junk
			ctx, stop := context.WithCancel(t.Context())
			var sent atomic.Int64
			var attacking sync.WaitGroup
			attacking.Go(func() { a.Run(ctx, target, &sent) })
			defer attacking.Wait()
			defer stop()
			for sent.Load() == 0 && t.Context().Err() == nil {
				runtime.Gosched()
			}
			most, conn := uint64(0), d.dial(deskBLI, d.hub)
			for i := range calls {
				if i%3 == 2 {
					conn = d.dial(deskBLI, d.hub)
				}
				req := &posternv1.SubmitRequest{Notification: d.considered(deskBLI, newID(t))}
				if err := patiently(t, conn, req); err != nil {
					t.Fatalf("honest call %d: %v", i, err)
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse+m.StackInuse)
			}
			if most > mostMemory {
				t.Errorf("%d MB held", most>>20)
			}
			t.Logf("%d sent by the attacker, at most %d MB held", sent.Load(), most>>20)
		})
	}
	if got := len(d.events(logv1.Kind_KIND_REFUSED)); got > 601 {
		t.Errorf("the attacker made %d leaves", got)
	}
}

// patiently submits as a desk's spool does: what did not reach the hub goes again. On a machine that is busy with other
// things a handshake under attack can take longer than the five seconds that it has.
func patiently(t *testing.T, conn grpc.ClientConnInterface, req *posternv1.SubmitRequest) (err error) {
	for range 20 {
		_, err = posternv1.NewSubmissionServiceClient(conn).Submit(soon(t), req, grpc.WaitForReady(true))
		if kind := fault.KindOf(err); err == nil || kind != fault.Unavailable && kind != fault.Deadline {
			return err
		}
	}
	return err
}

// A desk that sends more than a form holds is refused, and that is on record.
func TestSeventeenChildren(t *testing.T) {
	d := openDoors(t, rpc.Limits{})
	conn := posternv1.NewSubmissionServiceClient(d.dial(deskBLI, d.hub))
	for _, children := range []uint32{16, 17, 100} {
		n := d.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol), func(draft *envelope.Draft) {
			first := draft.Children[0]
			for number := uint32(2); number <= children; number++ {
				c := proto.CloneOf(first)
				c.Number = number
				draft.Children = append(draft.Children, c)
			}
		})[0]
		_, err := conn.Submit(soon(t), &posternv1.SubmitRequest{Notification: n})
		if children == 16 && err != nil || children > 16 && fault.From(err).Reason != "BAD_CHILD_NUMBER" {
			t.Errorf("%d children: %v", children, err)
		}
	}
	if got := len(d.events(logv1.Kind_KIND_REFUSED)); got != 2 {
		t.Errorf("%d refusals on record", got)
	}
}
