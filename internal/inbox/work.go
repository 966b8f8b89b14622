package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/delivery"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What a team does about an item is a record of its own, beside the item: it names staff by their ids and nobody of the
// family, it stays when the item is withdrawn, and of all of it only the codes of replies and outcomes leave the inbox.
//
// Whoever acts says how many deeds they have seen. If there are more, somebody else was quicker and nothing is done: the
// second of two is told. The same again by the same person is one, so that a second press or a page gone back to is
// harmless.

// changed is what the second of two is told.
var changed = fault.New(fault.Precondition, "CHANGED", "Somebody of the team did something about this meanwhile. Look again; nothing was done now.")

// actor is the staff id of who calls: signed in, or the user on this machine.
func actor(ctx context.Context) (string, error) {
	if p, ok := rpc.LocalPerson(ctx); ok {
		return p.ID, nil
	}
	if uid, ok := rpc.LocalUID(ctx); ok {
		return fmt.Sprintf("uid %d", uid), nil
	}
	return "", fault.New(fault.Unauthenticated, "NO_USER", "It cannot be told who calls.")
}

// readWork reads what was done about an item; nothing for one that nobody has touched.
func (in *Inbox) readWork(r store.Reader, key []byte) (*localv1.Work, error) {
	w := &localv1.Work{}
	sealed, err := r.Get(schema.InboxWork, key)
	if err != nil || sealed == nil {
		return w, err
	}
	b, err := in.cfg.Vault.Open(string(schema.InboxWork), key, sealed)
	if err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(b, w); err != nil {
		return nil, fault.New(fault.Internal, "BAD_RECORD", "A record of this inbox cannot be read.").Because(err)
	}
	return w, nil
}

// did adds a deed to what was done about an item, and does with it what it means.
func (in *Inbox) did(tx store.Tx, key []byte, w *localv1.Work, d *localv1.Deed) error {
	w.Deeds = append(w.Deeds, d)
	switch what := d.GetDeed().(type) {
	case *localv1.Deed_Assigned:
		w.AssignedTo = what.Assigned
	case *localv1.Deed_Replied:
		w.Reply, w.UnheardTime = what.Replied, nil
		if w.AssignedTo == "" {
			w.AssignedTo = d.GetStaffId() // who answers it has it
		}
	case *localv1.Deed_Outcome:
		w.Outcome, w.UnheardTime = what.Outcome, nil
	case *localv1.Deed_Told:
		w.Told = append(w.Told, what.Told)
	}
	return in.keepWork(tx, key, w)
}

func (in *Inbox) keepWork(tx store.Tx, key []byte, w *localv1.Work) error {
	sealed, err := in.seal(schema.InboxWork, key, w)
	if err != nil {
		return err
	}
	return tx.Put(schema.InboxWork, key, sealed)
}

// noted adds the deed of whoever calls, who knows that it was not done before, where it can be told who: a part of the inbox that calls itself is nobody.
func (in *Inbox) noted(ctx context.Context, tx store.Tx, key []byte, d *localv1.Deed) error {
	by, err := actor(ctx)
	if err != nil {
		return nil
	}
	w, err := in.readWork(tx, key)
	if err != nil {
		return err
	}
	d.Time, d.StaffId = in.now(), by
	return in.did(tx, key, w, d)
}

// sawAll refuses whoever saw fewer deeds than there are.
func (in *Inbox) sawAll(r store.Reader, key []byte, seen *uint32) error {
	w, err := in.readWork(r, key)
	if err == nil && seen != nil && int(*seen) != len(w.GetDeeds()) {
		return changed
	}
	return err
}

// same reports whether the newest deed about the same thing is this one by the same person: then there is nothing to do.
// While the prison has not heard the reply, to say again what was said is a deed: it was told by telephone, or is to be sent
// once more. So it is after more came, or went astray: what was said before is not about that.
func same(i *localv1.Item, d *localv1.Deed) bool {
	w := i.GetWork()
	if about := d.GetReplied() != nil || d.GetOutcome() != 0; about && (w.GetUnheardTime() != nil || !doneSince(i, func(old *localv1.Deed) bool {
		return (old.GetReplied() != nil) == (d.GetReplied() != nil) && (old.GetOutcome() != 0) == (d.GetOutcome() != 0)
	})) {
		return false
	}
	for _, old := range slices.Backward(w.GetDeeds()) {
		if fmt.Sprintf("%T", old.GetDeed()) != fmt.Sprintf("%T", d.GetDeed()) {
			continue
		}
		again := proto.CloneOf(old)
		again.Time = d.GetTime()
		if proto.Equal(again, d) {
			return true
		}
		if d.GetTold() == nil { // several can be told, each once
			return false
		}
	}
	return false
}

// act does one thing about an item, in one transaction with what is reported of it; no report for what stays here. It
// returns the work after it.
func (in *Inbox) act(ctx context.Context, seen *localv1.Seen, d *localv1.Deed, allowed func(*localv1.GetItemResponse) error, reported *posternv1.Report) (*localv1.Work, error) {
	by, err := actor(ctx)
	if err != nil {
		return nil, err
	}
	d.Time, d.StaffId = in.now(), by
	var key, report []byte
	var id string
	err = in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		key, id, err = in.find(s, seen.GetId())
		return err
	})
	if err == nil && reported != nil {
		reported.NotificationId, reported.ManifestSha256, reported.ReportTime = id, key, d.GetTime()
		report, err = in.signedReport(reported)
	}
	if err != nil {
		return nil, err
	}
	var w *localv1.Work
	err = in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		sealed, err := tx.Get(schema.InboxItem, key)
		if err != nil || sealed == nil {
			return errors.Join(err, notHere)
		}
		item, err := in.openItem(key, sealed)
		if err != nil {
			return err
		}
		if w, err = in.readWork(tx, key); err != nil {
			return err
		}
		if item.Item.Work = w; same(item.GetItem(), d) {
			return nil
		}
		if seen.Deeds != nil && int(seen.GetDeeds()) != len(w.GetDeeds()) {
			return changed
		}
		if err := allowed(item); err != nil {
			return err
		}
		if err := in.did(tx, key, w, d); err != nil || report == nil {
			return err
		}
		return in.spoolReport(tx, item.GetItem().GetId(), report)
	})
	if err != nil {
		return nil, err
	}
	if report != nil {
		in.wakeUp()
	}
	return w, nil
}

func (in *Inbox) signedReport(r *posternv1.Report) ([]byte, error) {
	signed, err := in.sign(r)
	if err != nil {
		return nil, err
	}
	b, err := proto.Marshal(signed)
	if err != nil {
		return nil, fault.From(err)
	}
	return b, nil
}

// AssignItems gives items to somebody, each by itself: one that a colleague touched meanwhile is left and named.
func (in *Inbox) AssignItems(ctx context.Context, req *localv1.AssignItemsRequest) (*localv1.AssignItemsResponse, error) {
	settings, err := in.settings(ctx)
	if err != nil {
		return nil, err
	}
	by, err := actor(ctx)
	if err != nil {
		return nil, err
	}
	known := slices.ContainsFunc(settings.GetColleagues(), func(c *localv1.Colleague) bool { return c.GetStaffId() == req.GetTo() })
	if req.GetTo() != "" && req.GetTo() != by && !known {
		return nil, fault.InvalidFields("NO_COLLEAGUE", "This cannot be assigned like this.", []fault.Field{{Path: "to", Reason: "Nobody of the team has this staff id.", Fix: "Choose one of the team, as the team's settings name them."}})
	}
	out := &localv1.AssignItemsResponse{}
	for _, item := range req.GetItems() {
		_, err := in.act(ctx, item, &localv1.Deed{Deed: &localv1.Deed_Assigned{Assigned: req.GetTo()}}, func(*localv1.GetItemResponse) error { return nil }, nil)
		reference := envelope.Reference(item.GetId())
		if reference == "" {
			reference, _ = envelope.ParseReference(item.GetId()) // as act found it
		}
		switch {
		case errors.Is(err, changed):
			out.Changed = append(out.Changed, reference)
		case err != nil:
			return nil, err
		default:
			out.Assigned = append(out.Assigned, reference)
		}
	}
	return out, nil
}

// withdrawnWhole refuses what makes no sense any more when all was withdrawn.
func withdrawnWhole(i *localv1.GetItemResponse) error {
	if stop := i.GetItem().GetStop(); stop != nil && len(stop.GetPaths()) == 0 {
		return fault.New(fault.Precondition, "WITHDRAWN", "The person withdrew this. Answer what the team was asked: to stop.")
	}
	return nil
}

// ReplyItem answers an item. It is judged by the valve that the hub judges it by, so that what could not flow back is
// refused here, where somebody can choose again.
func (in *Inbox) ReplyItem(ctx context.Context, req *localv1.ReplyItemRequest) (*localv1.ReplyItemResponse, error) {
	if _, err := delivery.Valve(delivery.ByTeam, &posternv1.Update{Update: &posternv1.Update_Reply{Reply: req.GetReply()}}); err != nil {
		return nil, err
	}
	detail := req.GetReply().GetCode() == posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL
	if detail != (len(req.GetReply().GetPaths()) > 0) {
		return nil, fault.InvalidFields("REPLY_PATHS", "This is no whole reply.", []fault.Field{{Path: "paths", Reason: "To ask for detail is to ask for sections, and nothing else is.", Fix: "Name the sections, such as child/1/school."}})
	}
	reply := &posternv1.Reply{Code: req.GetReply().GetCode(), Paths: slices.Compact(slices.Sorted(slices.Values(req.GetReply().GetPaths())))}
	w, err := in.act(ctx, req.GetItem(), &localv1.Deed{Deed: &localv1.Deed_Replied{Replied: reply}}, withdrawnWhole,
		&posternv1.Report{Report: &posternv1.Report_Reply{Reply: reply}})
	if err == nil {
		in.cfg.Log.InfoContext(ctx, "item answered", "code", plain.Enum(reply.GetCode()))
	}
	return &localv1.ReplyItemResponse{Work: w}, err
}

// RecordOutcome records what came of an item. It is a code for suppressed statistics: no prison hears it.
func (in *Inbox) RecordOutcome(ctx context.Context, req *localv1.RecordOutcomeRequest) (*localv1.RecordOutcomeResponse, error) {
	code := req.GetOutcome()
	if _, known := posternv1.FamilyOutcomeCode_name[int32(code)]; !known || code == 0 {
		return nil, fault.New(fault.Invalid, "OUTCOME", "That is not an outcome. `postern inbox outcome --help` names all.")
	}
	w, err := in.act(ctx, req.GetItem(), &localv1.Deed{Deed: &localv1.Deed_Outcome{Outcome: code}}, withdrawnWhole,
		&posternv1.Report{Report: &posternv1.Report_FamilyOutcome{FamilyOutcome: &posternv1.FamilyOutcome{Code: code}}})
	return &localv1.RecordOutcomeResponse{Work: w}, err
}

// RecordTold records that the carer or a child was told that this team was told. It stays here.
func (in *Inbox) RecordTold(ctx context.Context, req *localv1.RecordToldRequest) (*localv1.RecordToldResponse, error) {
	t := req.GetTold()
	var wrong []fault.Field
	say := func(path, reason, fix string) {
		wrong = append(wrong, fault.Field{Path: path, Reason: reason, Fix: fix})
	}
	if _, known := localv1.ToldWhom_name[int32(t.GetWhom())]; !known || t.GetWhom() == 0 {
		say("whom", "It is not said who was told.", "Say the carer or a child.")
	}
	if _, known := localv1.ToldHow_name[int32(t.GetHow())]; !known || t.GetHow() == 0 {
		say("how", "It is not said how.", "Say face to face, by telephone or by letter.")
	}
	day, err := time.Parse(time.DateOnly, t.GetToldDate())
	switch {
	case err != nil:
		say("told_date", "That is no day.", "Write the day, the month and the year.")
	case day.Format(time.DateOnly) > in.cfg.Clock().In(in.zone).Format(time.DateOnly):
		say("told_date", "That day has not come yet.", "Record it when they were told.")
	}
	if len(wrong) > 0 {
		return nil, fault.InvalidFields("TOLD", "This cannot be recorded like this.", wrong)
	}
	w, err := in.act(ctx, req.GetItem(), &localv1.Deed{Deed: &localv1.Deed_Told{Told: t}}, func(i *localv1.GetItemResponse) error {
		if (t.GetWhom() == localv1.ToldWhom_TOLD_WHOM_CHILD) != (t.GetChildNumber() > 0) || t.GetChildNumber() > 0 && !slices.Contains(i.GetItem().GetChildNumbers(), t.GetChildNumber()) {
			return fault.InvalidFields("TOLD", "This cannot be recorded like this.", []fault.Field{{Path: "whom", Reason: "There is no such child in it.", Fix: "Children are numbered as the notification shows them."}})
		}
		return withdrawnWhole(i)
	}, nil)
	return &localv1.RecordToldResponse{Work: w}, err
}
