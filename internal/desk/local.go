package desk

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// firstAttempt is how long a person at the counter waits for the hub; after that the form is safely queued.
const firstAttempt = 5 * time.Second

// anyTime is past every backoff.
var anyTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// SubmitForm takes a form and tries once, for a few seconds, to get its decisions.
func (d *Desk) SubmitForm(ctx context.Context, req *localv1.SubmitFormRequest) (*localv1.SubmitFormResponse, error) {
	by, err := d.signedIn(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.firstDirectory(ctx); err != nil {
		return nil, err
	}
	formID, ids, err := d.TakeIn(ctx, language(req.GetLanguage()), req.GetFormJson(), by)
	if err != nil {
		return nil, err
	}
	d.drain(ctx, ids)
	out := &localv1.SubmitFormResponse{FormId: formID}
	out.Notifications, err = d.show(ctx, ids)
	return out, err
}

// firstDirectory syncs the directory for a desk that has never had one: without it every authority would be unknown and
// every form refused as wrong. Later forms do with the last revision, whatever the hub does.
func (d *Desk) firstDirectory(ctx context.Context) error {
	if d.directory.Load().Number() > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, firstAttempt)
	defer cancel()
	_, err := d.StepDirectory(ctx)
	if d.directory.Load().Number() > 0 { // from here or from the loop
		return nil
	}
	if err == nil {
		return fault.New(fault.Unavailable, "NO_DIRECTORY", "The hub has no directory yet, so this desk knows no authority. Its operator loads one: postern hub directory load. Nothing was kept: submit the form again then.")
	}
	if why := fault.From(err); why.Kind == fault.Unverified || why.Kind == fault.Invalid || why.Kind == fault.Denied {
		return fault.Newf(fault.Unavailable, "NO_DIRECTORY", "This desk has no directory, because it cannot take what the hub says: %s Nothing was kept: submit the form again when that is mended.", why.Message).Because(err)
	}
	return fault.New(fault.Unavailable, "NO_DIRECTORY", "This desk has never heard from the hub, so it knows no authority yet. Nothing was kept: submit the form again when the hub answers.").Because(err)
}

// drain works on the spool until each of the ids has its decision, the hub fails once, or firstAttempt has passed. Failing is
// no error to the caller: what is queued is safe, and the answer says "queued".
func (d *Desk) drain(ctx context.Context, ids []string) {
	ctx, cancel := context.WithTimeout(ctx, firstAttempt)
	defer cancel()
	for d.anyUndecided(ctx, ids) {
		if worked, err := d.stepSpool(ctx, anyTime); err != nil || !worked {
			return
		}
	}
}

// anyUndecided goes by the decision and not by the state: a team's acknowledgement may come before the hub's answer.
func (d *Desk) anyUndecided(ctx context.Context, ids []string) bool {
	undecided := false
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		for _, id := range ids {
			n := &localv1.Notification{}
			if err := d.load(s, schema.DeskNotification, id, n); err != nil {
				return err
			}
			undecided = undecided || n.GetDecision() == nil || n.GetResubmitting() || unanswered(n)
		}
		return nil
	})
	return err == nil && undecided
}

// unanswered reports whether a decision not to share waits for the hub.
func unanswered(n *localv1.Notification) bool {
	last := lastConsidered(n, false)
	return last != nil && last.GetAnswer() == nil
}

// signedIn maps who calls to a member of staff: the person at the site, or else the user on the socket.
func (d *Desk) signedIn(ctx context.Context) (Staff, error) {
	if p, ok := rpc.LocalPerson(ctx); ok {
		return StaffOf(p.ID, p.Roles...)
	}
	uid, ok := rpc.LocalUID(ctx)
	if !ok {
		return Staff{}, fault.New(fault.Unauthenticated, "NO_USER", "The desk cannot tell which user you are. Use the postern command on the desk's own machine.")
	}
	s, ok := d.cfg.Staff[uid]
	if !ok {
		return Staff{}, fault.Newf(fault.Denied, "UNMAPPED_USER", "User %d is not a member of staff of this desk. Add it under staff in the desk's configuration.", uid)
	}
	return s, nil
}

// GetNotification returns one notification of this desk, with its receipt.
func (d *Desk) GetNotification(ctx context.Context, req *localv1.GetNotificationRequest) (*localv1.GetNotificationResponse, error) {
	if _, err := d.signedIn(ctx); err != nil {
		return nil, err
	}
	out := &localv1.GetNotificationResponse{Notification: &localv1.Notification{}}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		id, err := d.find(s, req.GetId())
		if err != nil {
			return err
		}
		if err := d.load(s, schema.DeskNotification, id, out.Notification); err != nil {
			return err
		}
		shown, err := d.shown(s, out.Notification)
		if err == nil {
			err = d.addChain(s, shown)
		}
		if err != nil {
			return err
		}
		out.Notification = d.forReader(ctx, shown)
		if len(shown.GetFormChildren()) > 0 {
			f := &posternv1.Form{}
			if err := d.loadIfThere(s, schema.DeskForm, shown.GetFormId(), f); err != nil {
				return err
			}
			out.Children = childrenOf(f, shown)
		}
		if !proto.Equal(out.GetNotification().GetDecision(), shown.GetDecision()) {
			return nil // the receipt would say what the check found
		}
		b, err := s.Get(schema.DeskReceipt, []byte(id))
		if err != nil || b == nil {
			return err
		}
		out.Receipt = &posternv1.Receipt{}
		return proto.Unmarshal(b, out.Receipt)
	})
	return out, err
}

// ListNotifications lists the notifications of this desk: newest first, or in the order in which they are due where only
// those are asked for that wait or need a decision.
func (d *Desk) ListNotifications(ctx context.Context, req *localv1.ListNotificationsRequest) (*localv1.ListNotificationsResponse, error) {
	if _, err := d.signedIn(ctx); err != nil {
		return nil, err
	}
	out := &localv1.ListNotificationsResponse{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		return s.Scan(schema.DeskNotification, nil, nil, func(key, sealed []byte) (bool, error) {
			n := &localv1.Notification{}
			if err := d.unseal(schema.DeskNotification, string(key), sealed, n); err != nil {
				return false, err
			}
			shown, err := d.inList(s, n)
			if err != nil {
				return false, err
			}
			out.Notifications = append(out.Notifications, d.forReader(ctx, shown))
			return true, nil
		})
	})
	out.Notifications = PartOf(out.Notifications, req)
	return out, err
}

// PartOf is the part of a list that a request asks for, in its order: of a list as the reader may see it, so that one
// reading serves several parts.
func PartOf(all []*localv1.Notification, req *localv1.ListNotificationsRequest) (part []*localv1.Notification) {
	for _, n := range all {
		if listed(req, n) {
			part = append(part, n)
		}
	}
	slices.SortStableFunc(part, inQueue(req))
	return part
}
