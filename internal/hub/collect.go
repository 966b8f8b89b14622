package hub

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/rpc"
	posternv1 "postern/proto/postern/v1"
)

const (
	// collectLife is how long a stream lasts: less than a connection, so that it ends between two deliveries.
	collectLife = 2 * time.Minute
	// collectPoll is how often a stream looks for what has become due by time alone; everything else wakes it.
	collectPoll = time.Second
)

// Collect hands the caller its deliveries, one by one: the next when the one before was answered (Report), or when its
// answer is not awaited any more. A stream that breaks loses nothing: what was not answered comes again.
func (h *Hub) Collect(req *posternv1.CollectRequest, stream grpc.ServerStreamingServer[posternv1.CollectResponse]) error {
	ctx := stream.Context()
	caller, _ := rpc.Party(ctx)
	if err := h.ahead(ctx, req.GetKnownLogs(), ledger.Sent, ledger.Received); err != nil {
		return err
	}
	h.delivery.Heard(caller.ID, req.GetKnownLogs())
	if err := h.delivery.Claim(ctx, caller.ID, req.GetHeld()); err != nil {
		return err
	}
	end := time.NewTimer(collectLife)
	defer end.Stop()
	for {
		changed := h.delivery.Changed()
		next, err := h.delivery.Next(ctx, caller.ID)
		switch {
		case err != nil:
			return err
		case next != nil:
			if err := failpoint.Hit(failpoint.HubCollect); err != nil {
				h.delivery.Lost(caller.ID, next.GetDeliveryId())
				return err
			}
			if err := stream.Send(&posternv1.CollectResponse{Delivery: next}); err != nil {
				h.delivery.Lost(caller.ID, next.GetDeliveryId())
				return err
			}
			// A crash just here, or before its answer comes: it is sent again when it is due, and is known by its id.
			continue
		case req.GetUntilIdle():
			return nil
		}
		poll := time.NewTimer(collectPoll)
		select {
		case <-changed:
		case <-poll.C:
		case <-end.C:
			end.Reset(collectPoll) // again soon, if it must wait for an answer
			if !h.delivery.Awaits(caller.ID) {
				poll.Stop()
				return nil
			}
		case <-ctx.Done():
			poll.Stop()
			h.delivery.Gone(caller.ID)
			return fault.New(fault.Unavailable, "CUT_OFF", "The stream has ended.").Because(ctx.Err())
		}
		poll.Stop()
	}
}

// Resume takes what an inbox says of how far it holds all, when it starts.
func (h *Hub) Resume(ctx context.Context, req *posternv1.ResumeRequest) (*posternv1.ResumeResponse, error) {
	caller, _ := rpc.Party(ctx)
	return &posternv1.ResumeResponse{}, h.delivery.Claim(ctx, caller.ID, req.GetHeld())
}

// answerOf returns the answer to a delivery that a report is, or nil.
func answerOf(req *posternv1.ReportRequest, r *posternv1.Report) *posternv1.DeliverResponse {
	switch {
	case req.GetSigned().GetPayloadType() == envelope.TypeAcknowledgement:
		return &posternv1.DeliverResponse{Answer: &posternv1.DeliverResponse_Acknowledgement{Acknowledgement: req.GetSigned()}}
	case r.GetRefusal() != nil:
		return &posternv1.DeliverResponse{Answer: &posternv1.DeliverResponse_Report{Report: req.GetSigned()}}
	}
	return nil
}

// collected takes the answer to a delivery that was collected: it is verified and recorded as one that was sent.
func (h *Hub) collected(ctx context.Context, caller identity.Party, req *posternv1.ReportRequest, answer *posternv1.DeliverResponse) (*posternv1.ReportResponse, error) {
	event, err := h.delivery.Answered(ctx, caller, req.GetDeliveryId(), answer)
	if err != nil {
		return nil, err
	}
	// A crash here: the answer is a leaf, and the inbox, which heard nothing, gives it again to no effect.
	if err := failpoint.Hit(failpoint.HubCollected); err != nil {
		return nil, err
	}
	if err := h.delivery.Claim(ctx, caller.ID, req.GetHeld()); err != nil {
		return nil, err
	}
	h.delivery.Heard(caller.ID, req.GetKnownLogs())
	return h.reported(ctx, req, event)
}
