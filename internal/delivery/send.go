package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/queue"
	"postern/internal/schema"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Why a delivery cannot be sent now. It is kept: what is missing may come back.
var (
	errNoDirectory = fault.New(fault.Unavailable, "NO_DIRECTORY", "There is no directory yet.")
	errNoEndpoint  = fault.New(fault.Unavailable, "NO_ENDPOINT", "The directory does not say where to send to this authority.")
	errNoBody      = fault.New(fault.Internal, "OUTBOX_BODY", "A delivery in the outbox has lost its content.")
	errNotCovered  = fault.New(fault.Unverified, "NOT_COVERED", "The receipt does not cover what would be sent.")
)

// send makes one attempt and returns the verified outcome.
func (d *Delivery) send(ctx context.Context, p pending) (outcome, error) {
	to, address, err := d.route(p.item.Destination)
	if err != nil {
		return outcome{}, err
	}
	delivery, err := d.release(ctx, p)
	if err != nil {
		return outcome{}, err
	}
	if err := d.begin(ctx, p); err != nil {
		return outcome{}, err
	}
	if err := failpoint.Hit(failpoint.DeliveryBegun); err != nil {
		return outcome{}, err
	}
	sendCtx, cancel := context.WithTimeout(ctx, d.cfg.SendTimeout)
	defer cancel()
	answer, err := d.cfg.Sender.Send(sendCtx, to, address, delivery)
	if err != nil {
		return outcome{}, err
	}
	return verify(answer, to, delivery, p.about.subject(), d.cfg.Anchors, d.cfg.Clock())
}

// route takes party and address from the directory of this moment and from nowhere else: an item in the outbox cannot
// say where it goes.
func (d *Delivery) route(authority string) (to identity.Party, address string, err error) {
	dir := d.cfg.Directory()
	if dir == nil {
		return to, "", errNoDirectory
	}
	a, ok := dir.Authority(authority)
	if !ok || a.GetEndpoint().GetMode() != posternv1.DeliveryMode_DELIVERY_MODE_PUSH {
		return to, "", errNoEndpoint
	}
	return identity.Party{Domain: dir.Domain(), Role: posternv1.Role_ROLE_INBOX, ID: authority}, a.GetEndpoint().GetAddress(), nil
}

// release makes the Delivery out of the two things that only one transaction could have written: the sealed body and
// the event in the ledger. Without either, or where they differ, there is nothing to send.
func (d *Delivery) release(ctx context.Context, p pending) (*posternv1.Delivery, error) {
	receipt, err := d.cfg.Ledger.Receipt(ctx, p.about.EventID)
	if err != nil {
		return nil, err
	}
	if p.sealed == nil {
		return nil, errNoBody
	}
	delivery, err := d.unseal(p.item, p.sealed)
	if err != nil {
		return nil, err
	}
	core := &logv1.Core{}
	if err := proto.Unmarshal(receipt.GetCore(), core); err != nil {
		return nil, errNotCovered.Because(err)
	}
	covered := covers(core, delivery.GetNotification()) && d.cfg.Clock().Before(core.GetValidUntilTime().AsTime())
	if p.about.Stop != nil {
		subject := sha256.Sum256(delivery.GetStopRequest().GetPayload())
		covered = bytes.Equal(subject[:], p.about.Stop) && bytes.Equal(subject[:], core.GetSubjectSha256())
	}
	if !covered || !bytes.Equal(core.GetManifestSha256(), p.about.ManifestSHA256) {
		return nil, errNotCovered
	}
	delivery.Receipt = receipt
	return delivery, nil
}

func (d *Delivery) unseal(it queue.Item, sealed []byte) (*posternv1.Delivery, error) {
	body, err := d.cfg.Vault.Open(string(schema.HubOutboxBody), it.Key(), sealed)
	if err != nil {
		return nil, err
	}
	delivery := &posternv1.Delivery{}
	if err := proto.Unmarshal(body, delivery); err != nil {
		return nil, errNoBody.Because(err)
	}
	return delivery, nil
}

// covers says whether an event shares, until some time, this manifest with exactly these sections: all that were
// released and no other.
func covers(core *logv1.Core, n *posternv1.SealedNotification) bool {
	manifest := sha256.Sum256(n.GetManifest().GetPayload())
	if core.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE || core.GetValidUntilTime() == nil || !bytes.Equal(core.GetManifestSha256(), manifest[:]) {
		return false
	}
	var held [][]byte
	for _, s := range n.GetSections() {
		held = append(held, envelope.SectionDigest(s))
	}
	released := slices.Clone(core.GetSectionsSha256())
	slices.SortFunc(held, bytes.Compare)
	slices.SortFunc(released, bytes.Compare)
	return slices.EqualFunc(held, released, bytes.Equal)
}
