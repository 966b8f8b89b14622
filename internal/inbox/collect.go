package inbox

import (
	"context"
	"errors"
	"io"

	"postern/internal/failpoint"
	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// StepCollect takes from the hub what is to be had now, and reports whether there was anything. Nothing waits here: the
// hub ends the stream when it has nothing more to give before something is answered.
func (in *Inbox) StepCollect(ctx context.Context) (bool, error) { return in.collect(ctx, true) }

// collect takes deliveries over a stream of our own opening, one by one, until it ends. Each is taken exactly as one that
// is sent, and answered with a report. A break anywhere loses nothing: what was not answered comes again, and what was
// kept is known by its id.
func (in *Inbox) collect(ctx context.Context, untilIdle bool) (worked bool, err error) {
	held, err := in.held(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked, err := in.follow.Ask()
	if err != nil {
		return false, err
	}
	stream, err := in.cfg.Hub.Collect(ctx, &posternv1.CollectRequest{Held: held, UntilIdle: untilIdle, KnownLogs: asked.Known()})
	if err != nil {
		return false, err
	}
	for {
		next, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return worked, nil
		}
		if err != nil {
			return worked, in.follow.Failed(ctx, asked, err)
		}
		if err := in.collected(ctx, next.GetDelivery()); err != nil {
			return worked, err
		}
		worked = true
	}
}

// collected takes one delivery and answers it.
func (in *Inbox) collected(ctx context.Context, d *posternv1.Delivery) error {
	answer, err := in.delivered(ctx, d)
	if err != nil {
		return err // we could not say; the hub gives us the next one first
	}
	// A crash here: it comes again when it is due, and is known by its id.
	if err := failpoint.Hit(failpoint.InboxCollected); err != nil {
		return err
	}
	signed := answer.GetAcknowledgement()
	if signed == nil {
		signed = answer.GetReport()
	}
	err = in.report(ctx, &posternv1.ReportRequest{Signed: signed, DeliveryId: d.GetDeliveryId(), Held: answer.GetHeld()})
	if fault.KindOf(err) == fault.NotFound && err != nil {
		in.cfg.Log.InfoContext(ctx, "the hub does not await this answer any more", "delivery", d.GetDeliveryId())
		return nil // withdrawn meanwhile; the stop request is on its way
	}
	if err != nil {
		return err
	}
	return failpoint.Hit(failpoint.InboxAccounted)
}
