package testkit_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// After a new generation of the logs an inbox gets what it has acknowledged once more, since its numbers may be others now,
// and not again and again; so one that is put back from an older copy after that still gets what it lost.
func TestANewGenerationUsesUpNoReturns(t *testing.T) {
	for way, edit := range ways {
		t.Run(way, func(t *testing.T) {
			x := testkit.NewExchange(t, edit)
			in, d := x.Inbox(testkit.Bristol), x.Desk(testkit.HMPBristol)
			x.Desk(testkit.HMPParc)
			copied := in.Backup()
			for range 3 {
				d.Take(formtest.New(testkit.Bristol))
			}
			x.Settle()
			x.NewGeneration()
			n := 0
			count := func(_ string, b []byte) []byte {
				sent, answered := &posternv1.DeliverRequest{}, &posternv1.ReportRequest{}
				if proto.Unmarshal(b, sent) == nil && sent.GetDelivery().GetNotification() != nil || proto.Unmarshal(b, answered) == nil && answered.GetDeliveryId() != "" {
					n++
				}
				return b
			}
			in.Link.Requests(count)
			in.ToHub.Requests(count)
			settle(x)
			in.Restart()
			settle(x)
			d.Take(formtest.New(testkit.Bristol))
			settle(x)
			if n < 4 || n > 5 {
				t.Errorf("%d deliveries, want each of three once more and a new one", n)
			}
			in.Restore(copied)
			settle(x)
			settle(x)
			if items := in.Items(); len(items) != 4 {
				t.Errorf("an inbox that lost everything has %d items again, want 4", len(items))
			}
		})
	}
}
