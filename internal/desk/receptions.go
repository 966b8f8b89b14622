package desk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/ledger/verify"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// SendReceptions signs a prison's counts of its receptions and has the hub record them. It keeps nothing: until the hub
// has answered with a receipt the caller has its file, and the same days sent again replace what was sent.
func (d *Desk) SendReceptions(ctx context.Context, req *localv1.SendReceptionsRequest) (*localv1.SendReceptionsResponse, error) {
	by, err := d.signedIn(ctx)
	if err != nil {
		return nil, err
	}
	now := d.cfg.Clock()
	days, err := form.Receptions(req.GetCsv(), now, language(req.GetLanguage()))
	if err != nil {
		return nil, err
	}
	id, err := envelope.NewID(d.cfg.Rand)
	if err != nil {
		return nil, err
	}
	message, err := envelope.Seal(envelope.Draft{Manifest: &posternv1.Manifest{
		NotificationId: id, Audience: d.cfg.Identity.Party().Domain,
		CreateTime: timestamppb.New(now.Truncate(time.Second)), ExpireTime: timestamppb.New(now.Truncate(time.Second).Add(time.Hour)),
		Sender:    &posternv1.Sender{PrisonId: d.cfg.Identity.Party().ID, Unit: d.cfg.Unit, StaffId: by.ID, StaffRole: by.Role, ReplyTo: d.cfg.ReplyTo},
		Statement: &posternv1.Manifest_Receptions{Receptions: &posternv1.Receptions{Days: days}},
	}}, nil, d.cfg.Identity)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, firstAttempt)
	defer cancel()
	if _, err := d.ask(ctx, message, false, d.checkCounted); err != nil {
		return nil, err
	}
	out := &localv1.SendReceptionsResponse{Days: uint32(len(days))}
	for _, day := range days {
		out.Received += day.GetReceived()
	}
	return out, nil
}

// checkCounted verifies that the counts are in the sent log.
func (d *Desk) checkCounted(message *posternv1.SealedNotification, answer *posternv1.SubmitResponse) (*verify.Event, error) {
	event, err := verify.Receipt(answer.GetReceipt(), d.cfg.LogKeys)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(message.GetManifest().GetPayload()); event.Kind != logv1.Kind_KIND_RECEPTIONS_COUNTED ||
		!bytes.Equal(event.Core.GetManifestSha256(), sum[:]) {
		return nil, fault.New(fault.Unverified, "RECEIPT_OF_ANOTHER", "The hub's receipt is not about these counts. Stop using this hub and telephone its operator.")
	}
	return event, nil
}
