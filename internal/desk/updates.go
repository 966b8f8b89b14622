package desk

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

var updatesKey = []byte("updates")

// StepUpdates fetches one page of updates and keeps them with the place to go on from, in one transaction each. It
// reports whether there were any.
func (d *Desk) StepUpdates(ctx context.Context) (bool, error) {
	var token []byte
	told := ""
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		if token, err = s.Get(schema.DeskCursor, updatesKey); err != nil {
			return err
		}
		told, err = d.toldAll(s)
		return err
	})
	if err != nil {
		return false, err
	}
	asked, err := d.follow.Ask()
	if err != nil {
		return false, err
	}
	page, err := d.cfg.Hub.ListUpdates(ctx, &posternv1.ListUpdatesRequest{PageToken: string(token), KnownLogs: asked.Known(), WithdrawalsTold: told})
	if err != nil {
		return false, d.follow.Failed(ctx, asked, err)
	}
	if err := d.takePage(ctx, asked, page); err != nil {
		return false, err
	}
	d.answered.Store(d.cfg.Clock().UnixNano())
	if lost, err := d.heard(ctx, page.GetCheckpoint()); err != nil || lost {
		return lost, err
	}
	if len(page.GetUpdates()) == 0 {
		return false, nil
	}
	d.resealing.Store(true)
	for _, u := range page.GetUpdates() {
		if err := d.applyUpdate(ctx, u); err != nil {
			return false, err
		}
		if err := failpoint.Hit(failpoint.DeskUpdate); err != nil {
			return false, err
		}
	}
	if err := failpoint.Hit(failpoint.DeskUpdates); err != nil {
		return false, err
	}
	// A crash before this line fetches the same page again, and applying it again changes nothing.
	return true, d.promised().Update(ctx, func(tx store.Tx) error {
		return tx.Put(schema.DeskCursor, updatesKey, []byte(page.GetNextPageToken()))
	})
}

// takePage holds the checkpoint of a page, and those of the receipts in it, against what is known of the log. A receipt
// that does not verify is left to applyUpdate, which passes over its update.
func (d *Desk) takePage(ctx context.Context, asked follow.Asked, page *posternv1.ListUpdatesResponse) error {
	newest, err := d.follow.Verify(page.GetCheckpoint())
	if err != nil {
		return err
	}
	seen := []follow.Seen{newest}
	for _, u := range page.GetUpdates() {
		if event, err := verify.Receipt(u.GetReceipt(), d.cfg.LogKeys); err == nil {
			seen = append(seen, follow.SeenIn(event))
		}
	}
	return d.follow.Take(ctx, asked, page.GetConsistency(), seen...)
}

// applyUpdate applies one update; again, it changes nothing. One that this desk cannot believe or does not know is
// logged and passed over: it must not stop the others. An error is our own store's, and then all is fetched again.
func (d *Desk) applyUpdate(ctx context.Context, u *posternv1.Update) error {
	var skip *fault.Error
	var whole bool
	var further *localv1.WithdrawNotificationRequest   // what the person took back, here or at another prison
	var objection *localv1.WithdrawNotificationRequest // what they objected to at another prison
	err := d.change(ctx, u.GetNotificationId(), func(tx store.Tx, n *localv1.Notification) error {
		skip, further, objection, whole = nil, nil, nil, false
		takenBack := false
		var parts []string // of it that were taken back, by this update, which may come again after a crash
		before := proto.CloneOf(n)
		switch update := u.GetUpdate().(type) {
		case *posternv1.Update_Decision:
			// Without its receipt it is only the hub's word.
			var err error
			parts, objection, err = d.applyDecision(tx, n, update.Decision, u.GetReceipt())
			if fault.KindOf(err) == fault.Unverified {
				skip = fault.From(err)
			}
			if err != nil {
				return err
			}
		case *posternv1.Update_Acknowledgement:
			_, manifest, err := d.signed(tx, n)
			if err != nil {
				return err
			}
			if err := d.checkAcknowledgement(manifest, n, update.Acknowledgement, u.GetUpdateTime().AsTime()); err != nil {
				skip = fault.From(err)
				return skip
			}
			n.State = after(n.GetState(), acknowledged)
		case *posternv1.Update_Reply:
			n.Reply = update.Reply
			stopped := update.Reply.GetCode() == posternv1.ReplyCode_REPLY_CODE_STOP_ASKED
			// Nobody takes back what goes without permission: a stop is then about what went with it before, and about what goes
			// on from it with permission.
			if stopped && n.GetRoute() > posternv1.Route_ROUTE_STANDARD {
				takenBack = len(update.Reply.GetPaths()) == 0
				break
			}
			if n.State = after(n.GetState(), replied(update.Reply)); stopped {
				parts = update.Reply.GetPaths()
				d.stopAskedElsewhere(n, parts)
			}
		default:
			skip = fault.New(fault.Unverified, "UPDATE_UNKNOWN", "The update is of a kind that this desk cannot check.")
			return skip
		}
		if takenBack || n.GetTakenBackElsewhere() || n.GetState() == stateWithdrawn || n.GetState() == stateStopAsked {
			further = &localv1.WithdrawNotificationRequest{}
		} else if len(parts) > 0 && leavesNoChild(n, parts) {
			whole = true
		} else if len(parts) > 0 {
			further = &localv1.WithdrawNotificationRequest{Paths: parts}
		}
		if !proto.Equal(before, n) {
			n.UpdateTime = timestamppb.New(d.cfg.Clock().Truncate(time.Second))
		}
		return nil
	})
	if err == nil && whole { // another prison took the last child
		_, err = d.Withdraw(ctx, &localv1.WithdrawNotificationRequest{Id: u.GetNotificationId(), Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_OTHER}, d.itself())
	}
	if err == nil && objection != nil {
		_, err = d.Withdraw(ctx, objection, d.itself())
	}
	if err == nil && further != nil { // a crash before this: the same update comes again, and a withdrawal twice is one
		further.Method = posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_OTHER
		err = d.withdrawFurther(ctx, u.GetNotificationId(), further, d.itself())
	}
	if errors.Is(err, notHere) {
		skip = notHere
	}
	if skip != nil {
		d.cfg.Log.ErrorContext(ctx, "update passed over", "notification", u.GetNotificationId(), "reason", skip.Reason)
		return nil
	}
	return err
}

// checkAcknowledgement verifies that the team of this very authority signed for this very manifest. The hub cannot
// make one, so "delivered" does not rest on its word.
//
// The certificate is judged in the hour in which the hub heard it, and not only by now: a desk that was off meanwhile
// would lose it to a certificate that has ended since. Now counts too: the clock of a hub may have been wrong by then.
// Nobody acknowledged before the notification was made, so an hour before that is that moment: hours are whole, and the
// clock of a hub may be a minute behind.
func (d *Desk) checkAcknowledgement(manifest []byte, n *localv1.Notification, s *posternv1.Signed, hour time.Time) error {
	now, made := d.cfg.Clock(), n.GetCreateTime().AsTime()
	party, err := envelope.VerifyStatement(s, envelope.TypeAcknowledgement, d.cfg.Anchors, now)
	for _, at := range []time.Time{hour.Add(time.Hour), hour} { // it may have ended, or begun, within the hour
		if at.Before(made) {
			at = made
		}
		if err != nil && at.Before(now) {
			party, err = envelope.VerifyStatement(s, envelope.TypeAcknowledgement, d.cfg.Anchors, at)
		}
	}
	if err != nil {
		return err
	}
	ack := &posternv1.Acknowledgement{}
	if err := proto.Unmarshal(s.GetPayload(), ack); err != nil {
		return fault.New(fault.Unverified, "BAD_ACKNOWLEDGEMENT", "The acknowledgement cannot be read.").Because(err)
	}
	if party.Role != posternv1.Role_ROLE_INBOX || party.ID != n.GetAuthority() || !bytes.Equal(ack.GetManifestSha256(), manifest) {
		return fault.New(fault.Unverified, "ACKNOWLEDGEMENT_OF_ANOTHER", "The acknowledgement is of another team or notification.")
	}
	return nil
}

// StepDirectory syncs the directory whole, verifies it, and keeps it. It reports whether a newer one came into force.
func (d *Desk) StepDirectory(ctx context.Context) (bool, error) {
	worked, err := d.syncDirectory(ctx)
	if err == nil {
		d.unsynced.Store(nil)
	} else {
		d.unsynced.Store(fault.From(err))
	}
	return worked, err
}

func (d *Desk) syncDirectory(ctx context.Context) (bool, error) {
	current := d.directory.Load()
	asked, err := d.follow.Ask()
	if err != nil {
		return false, err
	}
	req := &posternv1.ListAuthoritiesRequest{KnownRevision: current.Number(), KnownLogs: asked.Known()}
	var revision *posternv1.Signed
	var entries [][]byte
	for {
		page, err := d.cfg.Directory.ListAuthorities(ctx, req)
		if err != nil {
			return false, d.follow.Failed(ctx, asked, err)
		}
		newest, err := d.follow.Verify(page.GetCheckpoint())
		if err == nil {
			err = d.follow.Take(ctx, asked, page.GetConsistency(), newest)
		}
		if err == nil { // or what is sent next would go to a hub that does not know what was withdrawn
			_, err = d.heardNew(ctx, newest.Head.Origin, newest.Checkpoint)
		}
		if err != nil {
			return false, err
		}
		if page.GetRevision() == nil {
			return false, sameRevision(current, page.GetContentsSha256())
		}
		revision, entries = page.GetRevision(), append(entries, page.GetEntries()...)
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	newer, err := directory.Open(revision, entries, d.cfg.Anchors, d.cfg.Clock())
	if err != nil {
		return false, err
	}
	if newer.Number() <= current.Number() {
		return false, fault.Newf(fault.Unverified, "DIRECTORY_ROLLED_BACK", "The hub serves an older directory than it did: %d, and this desk has %d. Telephone its operator.", newer.Number(), current.Number())
	}
	err = d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := d.judgeDirectory(ctx, tx, newer); err != nil {
			return err
		}
		return directory.Save(tx, schema.DeskDirectory, revision, entries)
	})
	if err != nil {
		return false, err
	}
	// A crash here starts again with the stored one; a failure fetches the same again.
	if err := failpoint.Hit(failpoint.DeskDirectory); err != nil {
		return false, err
	}
	return true, d.usePins(ctx, newer)
}

// sameRevision reports another directory by the number of the one this desk has: a hub that replaced a lost one may have been
// given it by hand. Neither of the two is the later one, so the desk keeps its own and says so. A hub from before says nothing.
func sameRevision(ours *directory.Directory, theirs []byte) error {
	contents := ours.Contents()
	if ours.Number() == 0 || len(theirs) == 0 || bytes.Equal(theirs, contents[:]) {
		return nil
	}
	return fault.Newf(fault.Unverified, "DIRECTORY_ANOTHER", "The hub has another directory by the number of this desk's, %d. Telephone its operator: it is to be loaded again with a greater number.", ours.Number())
}

// stopAskedElsewhere notes that the team was asked to stop, of these parts or of all, where that was not said here: then
// another prison took the withdrawal, some time ago.
func (d *Desk) stopAskedElsewhere(n *localv1.Notification, parts []string) {
	said := partsSaid(n)
	known := takenBack(n) || len(parts) == 0 && n.GetTakenBackElsewhere() ||
		len(parts) > 0 && len(said) > 0 && !slices.ContainsFunc(parts, func(p string) bool { return !consent.Withdrawn(said, p) })
	if known {
		return
	}
	n.TakenBackElsewhereTime = d.now()
	if len(parts) > 0 {
		leaveOut(n, parts)
	} else {
		n.TakenBackElsewhere = true
	}
}
