package hub

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/delivery"
	"postern/internal/envelope"
	localv1 "postern/proto/postern/local/v1"
)

// ListDeadLetters lists the deliveries that were given up and whose content is still there.
func (h *Hub) ListDeadLetters(ctx context.Context, _ *localv1.ListDeadLettersRequest) (*localv1.ListDeadLettersResponse, error) {
	letters, err := h.delivery.DeadLetters(ctx)
	return &localv1.ListDeadLettersResponse{DeadLetters: shown(letters)}, err
}

// Requeue sends again what was given up.
func (h *Hub) Requeue(ctx context.Context, req *localv1.RequeueRequest) (*localv1.RequeueResponse, error) {
	letters, err := h.delivery.Requeue(ctx, req.GetId())
	return &localv1.RequeueResponse{DeadLetters: shown(letters)}, err
}

func shown(letters []delivery.DeadLetter) []*localv1.DeadLetter {
	var out []*localv1.DeadLetter
	for _, l := range letters {
		out = append(out, &localv1.DeadLetter{
			Id: l.DeliveryID, NotificationId: l.NotificationID, Reference: envelope.Reference(l.NotificationID), Authority: l.Authority,
			StopRequest: l.Stop, Reason: l.Why, Attempts: l.Attempts, EnqueueTime: timestamppb.New(l.EnqueueTime),
			ParkTime: timestamppb.New(l.ParkTime), EraseTime: timestamppb.New(l.EraseTime),
		})
	}
	return out
}
