package stranger

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	logpb "postern/proto/postern/log/v1"
	pb "postern/proto/postern/v1"
)

// Updates lists what happened since the last time.
func (d *Desk) Updates(ctx context.Context) ([]*pb.Update, error) {
	var out []*pb.Update
	for {
		page, more, err := d.page(ctx)
		if out = append(out, page...); err != nil || !more {
			return out, err
		}
	}
}

// page takes one page of updates: those that are believed, and whether there may be more.
func (d *Desk) page(ctx context.Context) ([]*pb.Update, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.Log.check(); err != nil {
		return nil, false, err
	}
	a, err := d.Submitter.ListUpdates(ctx, &pb.ListUpdatesRequest{PageToken: d.Token, KnownLogs: d.Log.known(), WithdrawalsTold: d.withdrawalsTold()})
	if err != nil {
		return nil, false, d.Log.heard(err)
	}
	cp, err := d.Log.Keys.Checkpoint(a.Checkpoint)
	if err != nil {
		return nil, false, err
	}
	if err := d.Log.Accept(ctx, cp, a.Consistency); err != nil {
		return nil, false, err
	}
	var out []*pb.Update
	for _, u := range a.Updates {
		if d.update(ctx, u, a.Consistency) == nil {
			out = append(out, u)
		}
	}
	d.Token = a.NextPageToken
	return out, len(a.Updates) > 0, nil
}

// withdrawalsTold is the origin of the log to which all withdrawals have been told; empty while one waits.
func (d *Desk) withdrawalsTold() string {
	d.lost()
	for _, o := range d.Items {
		if o.Kind == logpb.Kind_KIND_WITHDRAWN && (o.State == Queued || o.again) {
			return ""
		}
	}
	if d.Log.Known == nil {
		return ""
	}
	return d.Log.Known.Origin
}

// Key is the key that this desk would seal to, nil for none.
func (d *Desk) Key(authority string) *pb.RecipientKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Directory.Key(authority, d.Now())
}

// update believes one update or says why not.
func (d *Desk) update(ctx context.Context, u *pb.Update, proofs []*pb.ConsistencyProof) error {
	i := slices.IndexFunc(d.Items, func(o *Outgoing) bool { return o.ID == u.NotificationId })
	if i < 0 {
		return errors.New("not ours")
	}
	o := d.Items[i]
	switch {
	case u.GetAcknowledgement() != nil:
		s := u.GetAcknowledgement()
		err := d.Trust.verifyBy(s, TypeAcknowledgement, d.Trust.inboxURI(o.Authority), d.Now())
		if err != nil {
			err = d.Trust.verifyBy(s, TypeAcknowledgement, d.Trust.inboxURI(o.Authority), u.UpdateTime.AsTime())
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(s.Payload, acknowledgement(o.SHA256)) {
			return errors.New("of another manifest")
		}
		o.Acknowledged = true
	case u.GetDecision() != nil:
		e, err := d.believe(ctx, u.Receipt, proofs)
		if err != nil {
			return err
		}
		switch {
		case e.Kind == logpb.Kind_KIND_DECIDED && bytes.Equal(e.Core.ManifestSha256, o.SHA256) && e.Core.Outcome == u.GetDecision().Outcome:
			o.decided(u.GetDecision())
		case e.Kind == logpb.Kind_KIND_WITHDRAWN && bytes.Equal(e.Core.SubjectSha256, o.SHA256):
			o.Decision = u.GetDecision()
			if o.Decision.Outcome != pb.Outcome_OUTCOME_SHARE {
				o.State = Withdrawn
			}
		default:
			return errors.New("the receipt is of something else")
		}
	case u.GetReply() != nil:
		o.Replies = append(o.Replies, u.GetReply())
		if u.GetReply().Code == pb.ReplyCode_REPLY_CODE_UNDELIVERED {
			return d.reseal(o)
		}
	}
	return nil
}

// reseal seals the same again when the key of the authority is another by now.
func (d *Desk) reseal(o *Outgoing) error {
	key := d.Directory.Key(o.Authority, d.Now())
	n, m := &pb.SealedNotification{}, &pb.Manifest{}
	if err := errors.Join(proto.Unmarshal(o.Message, n), proto.Unmarshal(n.Manifest.GetPayload(), m)); err != nil {
		return err
	}
	if key == nil || o.form == nil || o.State == Withdrawn || m.GetOffer().GetRecipientKeyId() == key.KeyId ||
		slices.ContainsFunc(d.Items, func(x *Outgoing) bool { return x.kept.supersedes == o.ID }) {
		return nil
	}
	k := o.kept
	k.id, k.slip, k.supersedes, k.change = newUUID(), NewSlipCode(), o.ID, pb.ChangeReason_CHANGE_REASON_KEY_CHANGED
	again, err := d.build(o.form, o.part, k)
	if err == nil {
		d.Items = append(d.Items, again)
	}
	return err
}
